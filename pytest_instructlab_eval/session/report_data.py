"""What a test's report carries, as plain data, to the process that has all results."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_instructlab_eval.records.run import ModelAdaptation, SilentTest
from pytest_instructlab_eval.records.scores import Result, plain_data

# Attributes of the report, which xdist carries from a worker where their values are exact builtins.
RESULT, SILENT, ADAPTATIONS = "eval_result", "eval_silent", "eval_adaptations"


def put_result(report: pytest.TestReport, result: Result) -> None:
    """Have the report carry what its test found."""
    setattr(report, RESULT, result.to_plain())


def result_on(report: pytest.TestReport) -> Result | None:
    """Return what the report's test found, None where it found nothing."""
    record = getattr(report, RESULT, None)
    return None if record is None else Result.from_plain(record)


def outcome_on(report: pytest.TestReport) -> str | None:
    """Return the outcome of what the report's test found, None where it found nothing."""
    record = getattr(report, RESULT, None)
    return None if record is None else str(record["outcome"])


def put_silent(report: pytest.TestReport, silent: SilentTest) -> None:
    """Have the report carry that its test recorded no score."""
    setattr(report, SILENT, plain_data(silent))


def silent_on(report: pytest.TestReport) -> SilentTest | None:
    """Return that the report's test recorded no score, None where it did or failed."""
    record = getattr(report, SILENT, None)
    return None if record is None else SilentTest(**record)


def put_adaptations(report: pytest.TestReport, adaptations: Iterable[ModelAdaptation]) -> None:
    """Have the report carry how requests were adapted to servers."""
    setattr(report, ADAPTATIONS, plain_data(list(adaptations)))


def adaptations_on(report: pytest.TestReport) -> list[ModelAdaptation]:
    """Return how requests were adapted to servers, where the report carries it."""
    return [ModelAdaptation(**record) for record in getattr(report, ADAPTATIONS, ())]
