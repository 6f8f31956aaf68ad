"""The verdict of the finished run in the output folder, given again (--eval-reuse-verdict)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.recorded_run import doubts, read_recorded
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.session.outcomes import properties
from pytest_instructlab_eval.session.pytest_internals import tear_down_before

Replayed = Mapping[str, tuple[str, list[tuple[str, object]]]]
"""The outcome and the properties of each test of a recorded run, by node id."""


@dataclass(frozen=True)
class RecalledVerdict:
    """The report of a recorded run, when that run ended, and what its tests reported."""

    report: RunReport
    created: str
    tests: Replayed

    @property
    def note(self) -> str:
        """The sentence that says whose verdict it is."""
        return (
            f"this is the verdict of the run of {self.created}, given again (--eval-reuse-verdict): models, "
            "questions, options and gates are the same, so no question was asked"
        )


def recall(file: Path, now: Run, baseline: Baseline | None) -> RecalledVerdict | str:
    """Return the verdict of a recorded run, or why a run that is about to start must ask anew.

    `now` is that run without its results, and `baseline` is what it would be compared with.
    """
    if not file.exists():
        return "there is no finished run in the output folder"
    try:
        recorded = read_recorded(file, parse_gate)
    except DataError as error:
        return str(error)
    doubt = next(doubts(now, recorded), None)
    if doubt is not None:
        return doubt
    report = RunReport.of(recorded.run, baseline, gated=True)
    verdicts = json.loads(json.dumps(plain_data([verdict.to_plain() for verdict in report.verdicts])))
    if (verdicts, report.exit_status) != (recorded.verdicts, recorded.exit_status) or report.problems:
        return "its results no longer give the verdict that it had"
    tests: dict[str, tuple[str, list[tuple[str, object]]]] = {}
    for test in recorded.run.silent:
        tests[test.nodeid] = test.outcome, []
    for result in recorded.run.results:
        tests[result.nodeid] = "passed", properties(result)
    return RecalledVerdict(report, recorded.created, tests)


def replay(item: pytest.Item, nextitem: pytest.Item | None, tests: Replayed) -> bool:
    """Report a test as it was reported in the recorded run; return False where that did not have it."""
    if item.nodeid not in tests:
        return False
    outcome, user_properties = tests[item.nodeid]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for when in ("setup", "call", "teardown") if outcome == "passed" else ("setup", "teardown"):
        skipped = outcome == "skipped" and when == "setup"
        path, line, _ = item.location
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords=dict.fromkeys(item.keywords, 1),
            outcome="skipped" if skipped else "passed",
            longrepr=(path, line or 0, "Skipped: as in the run whose verdict this is") if skipped else None,
            when=when,
            user_properties=[(str(name), value) for name, value in user_properties],
        )
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    tear_down_before(item, nextitem)
    return True
