"""The plain data on a test's report, for the process that has all results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from pytest_instructlab_eval.models.resent_requests import Cause
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.run import JournalUse, ModelAdaptation, SilentTest
from pytest_instructlab_eval.records.scores import Result

# Attributes of the report, which xdist carries from a worker where their values are exact builtins.
RESULT, SILENT, ADAPTATIONS, RESENT = "eval_result", "eval_silent", "eval_adaptations", "eval_resent"
BROKEN, JOURNAL = "eval_broken", "eval_journal"


def put_result(report: pytest.TestReport, result: Result) -> None:
    """Attach the result of its test to a report."""
    setattr(report, RESULT, result.to_plain())


def result_on(report: pytest.TestReport) -> Result | None:
    """Return the result on a report, None without one."""
    record = getattr(report, RESULT, None)
    return None if record is None else Result.from_plain(record)


def drop_result(report: pytest.TestReport) -> None:
    """Remove the result from a report, once the process that has all results has stored it."""
    vars(report).pop(RESULT, None)


def outcome_on(report: pytest.TestReport) -> str | None:
    """Return the outcome of the result on a report, None without one."""
    record = getattr(report, RESULT, None)
    return None if record is None else str(record["outcome"])


def put_broken(report: pytest.TestReport) -> None:
    """Attach to a report that its test failed since a request to a model or judge did."""
    setattr(report, BROKEN, True)


def is_broken(report: pytest.TestReport) -> bool:
    """Return whether the test of a report failed since a request to a model or judge did."""
    return getattr(report, BROKEN, False) is True


def put_silent(report: pytest.TestReport, silent: SilentTest) -> None:
    """Attach to a report that its test recorded no score."""
    setattr(report, SILENT, plain_data(silent))


def silent_on(report: pytest.TestReport) -> SilentTest | None:
    """Return the record of a test without a score on a report, None without one."""
    record = getattr(report, SILENT, None)
    return None if record is None else SilentTest(**record)


def put_adaptations(report: pytest.TestReport, adaptations: Iterable[ModelAdaptation]) -> None:
    """Attach the adaptations of requests to a report."""
    setattr(report, ADAPTATIONS, plain_data(list(adaptations)))


def adaptations_on(report: pytest.TestReport) -> list[ModelAdaptation]:
    """Return the adaptations of requests on a report."""
    return [ModelAdaptation(**record) for record in getattr(report, ADAPTATIONS, ())]


def put_resent(report: pytest.TestReport, resent: Mapping[Cause, int]) -> None:
    """Attach the counts of requests that were sent again to a report, if there are any."""
    if resent:
        setattr(report, RESENT, [[server, cause, count] for (server, cause), count in resent.items()])


def resent_on(report: pytest.TestReport) -> Counter[Cause]:
    """Return the counts of requests that were sent again on a report."""
    return Counter({(server, cause): count for server, cause, count in getattr(report, RESENT, ())})


def put_journal_use(report: pytest.TestReport, process: str, use: JournalUse) -> None:
    """Attach to a report what a process has taken from the journal so far."""
    setattr(report, JOURNAL, (process, plain_data(use)))


def journal_use_on(report: pytest.TestReport) -> tuple[str, JournalUse] | None:
    """Return a process and what it has taken from the journal, as on a report; None without it."""
    record = getattr(report, JOURNAL, None)
    return None if record is None else (str(record[0]), JournalUse(**record[1]))
