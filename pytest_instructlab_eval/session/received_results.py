"""The results of one run's tests, collected from their reports."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import pytest

from pytest_instructlab_eval.models.resent_requests import Cause
from pytest_instructlab_eval.records.run import JournalUse, ModelAdaptation, SilentTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.records.usage import ModelUsage, RunUsage, total_usage
from pytest_instructlab_eval.session.outcomes import decides_outcome
from pytest_instructlab_eval.session.report_data import (
    adaptations_on,
    drop_result,
    journal_use_on,
    outcome_on,
    resent_on,
    result_on,
    silent_on,
)
from pytest_instructlab_eval.session.session import NEEDS_JUDGE, EvalSession

TestStatus = tuple[str, str, tuple[str, Mapping[str, bool]]]


class ReceivedResults:
    """The results by node id, and the hooks that collect them.

    `silent` are the tests that did not fail but recorded no score, `without_judge` those that were skipped
    because the run has no judge. `resent` counts the requests of other processes that were sent again.
    """

    def __init__(self, session: EvalSession) -> None:
        self.silent: dict[str, SilentTest] = {}
        self.without_judge: set[str] = set()
        self.resent: Counter[Cause] = Counter()
        self._eval = session
        self._by_nodeid: dict[str, Result] = {}
        self._adaptations: list[ModelAdaptation] = []  # of other processes
        self._journal_uses: dict[str, JournalUse] = {}  # by process
        self._usage: dict[str, list[ModelUsage]] = {}  # of other processes, which may tell it twice
        self._started = time.monotonic()

    def __iter__(self) -> Iterator[Result]:
        return iter(self._by_nodeid.values())

    def of_report(self, report: pytest.TestReport) -> Result | None:
        """Return the result of a report that decides its test's outcome; None for any other."""
        return self._by_nodeid.get(report.nodeid) if decides_outcome(report) else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Store the data of a report, from this process or from a worker.

        This runs before the terminal reporter: after a Ctrl-C while that writes, no later hook is called.
        pytest keeps all reports to its end, so that the result is taken off, which would be there twice.
        """
        if (result := result_on(report)) is not None and report.when in ("setup", "call"):
            self._by_nodeid[report.nodeid] = result
            self.silent.pop(report.nodeid, None)
        elif (silent := silent_on(report)) is not None:
            self.silent[report.nodeid] = silent
        self.add_adaptations(adaptations_on(report))
        self.resent.update(resent_on(report))
        if (use := journal_use_on(report)) is not None:
            self._journal_uses[use[0]] = use[1]
        if report.skipped and isinstance(report.longrepr, tuple) and NEEDS_JUDGE in report.longrepr[2]:
            self.without_judge.add(report.nodeid)
        try:
            yield
        finally:
            drop_result(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> TestStatus | None:
        """Return the status of a gate, or of a question without a score; None for all others."""
        from pytest_instructlab_eval.session.gate_tests import GateTestReport, gate_status

        if isinstance(report, GateTestReport):
            status: TestStatus | None = gate_status(report, self._eval.settings.inconclusive)
            return status
        if report.when != "call" or (outcome := outcome_on(report)) is None:
            return None
        if outcome != "unscored" or not report.passed:
            return _scored_status(report) if self._eval.config.get_verbosity() > 0 else None
        result = result_on(report)
        if result is not None and result.answered:
            return "answered", "a", ("ANSWERED", {"green": True})
        return "unscored", "u", ("UNSCORED", {"yellow": True})

    @property
    def adaptations(self) -> list[ModelAdaptation]:
        """The adaptations of requests, in this process and in its workers."""
        return [*self._eval.models.adaptations, *self._adaptations]

    def add_adaptations(self, adaptations: Iterable[ModelAdaptation]) -> None:
        """Add the adaptations of another process."""
        self._adaptations += adaptations

    @property
    def journal_use(self) -> JournalUse | None:
        """What all processes have taken from the journal; None without --eval-resume."""
        uses = self._journal_uses.values()
        return JournalUse.of_all(uses) if uses or self._eval.settings.resume else None

    @property
    def usage(self) -> RunUsage:
        """What the run has used, in this process and in its workers that have ended."""
        models = total_usage([*self._eval.models.usage, *chain.from_iterable(self._usage.values())])
        return RunUsage(round(time.monotonic() - self._started, 2), models)

    def add_usage(self, process: str, usage: Iterable[ModelUsage]) -> None:
        """Keep the usage of another process at its end."""
        self._usage[process] = list(usage)

    @property
    def silent_without_judge(self) -> list[SilentTest]:
        """The tests that were skipped because the run has no judge."""
        return [test for nodeid, test in self.silent.items() if nodeid in self.without_judge]

    def add(self, results: Iterable[Result]) -> None:
        """Add results without a report."""
        for result in results:
            self._by_nodeid.setdefault(result.nodeid, result)

    def sort(self, nodeids: Sequence[str]) -> None:
        """Sort the results into the order of the tests."""
        index = {nodeid: number for number, nodeid in enumerate(nodeids)}
        ordered = sorted(self._by_nodeid.items(), key=lambda entry: index.get(entry[0], len(index)))
        self._by_nodeid = dict(ordered)


def _scored_status(report: pytest.TestReport) -> TestStatus | None:
    """Return the status of a test with a score, to show it; None for any other, and for expected failures."""
    result = result_on(report)
    score = None if result is None else result.value
    if result is None or score is None or report.skipped or hasattr(report, "wasxfail"):
        return None
    maximum = result.main_scores[0].maximum
    shown = f"{score:.2f}" if maximum == 1 else f"{score:.2f} of {maximum:g}"
    colour, letter = ("green", ".") if report.passed else ("red", "F")
    return report.outcome, letter, (f"{report.outcome.upper()} {shown}", {colour: True})
