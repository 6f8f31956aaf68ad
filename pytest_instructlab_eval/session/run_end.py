"""The hooks of the end of a run: gates as tests, the output files, the exit status."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval.escaping import escape_line, escape_text
from pytest_instructlab_eval.session.collection import Collection
from pytest_instructlab_eval.session.execution import Execution
from pytest_instructlab_eval.session.pytest_internals import add_junit_properties, terminal_reporter
from pytest_instructlab_eval.session.received_results import ReceivedResults
from pytest_instructlab_eval.session.report_data import is_broken
from pytest_instructlab_eval.session.run_hook import hook_problems
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.termination import end_undisturbed
from pytest_instructlab_eval.session.workers import Workers
from pytest_instructlab_eval.session.xdist_internals import CRASHED

if TYPE_CHECKING:
    import warnings

    from pytest_instructlab_eval.records.scores import Result
    from pytest_instructlab_eval.session.run_output import RunOutput

UNAWAITED = re.compile(r"coroutine '\w+\.(chat|choice_logprobs|grade|rate)' was never awaited")


class RunEnd:
    """The hooks of the end, in the process that has all results."""

    def __init__(
        self,
        session: EvalSession,
        collection: Collection,
        execution: Execution,
        results: ReceivedResults,
        workers: Workers,
    ) -> None:
        self._eval = session
        self._config = session.config
        self._collection = collection
        self._execution = execution
        self._results = results
        self._workers = workers
        self._reported: set[str] = set()
        self._lost: set[str] = set()
        self._broken = 0  # reports of tests that failed since a request did, or since their worker died
        self._unawaited: list[str] = []  # sentences about calls that were not awaited
        self._interrupted = False
        self._completed = False
        self._ending: RunOutput | None = None
        self._command: str | None = None

    # --- hooks ---

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Record the calls of a model or judge that no test awaited."""
        if call := UNAWAITED.match(str(warning_message.message)):
            location = f"{warning_message.filename}:{warning_message.lineno}"
            self._unawaited.append(
                f"{location}: {call[1]} was called without `await`, so no request was sent; write `await` "
                "before it"
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the tests that have reported, and those whose worker died."""
        if report.when == CRASHED:
            self._lost.add(report.nodeid)
        if report.failed and (report.when == CRASHED or is_broken(report)):
            self._broken += 1
        if report.when not in ("setup", "teardown") or report.outcome != "passed":
            self._reported.add(report.nodeid)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Evaluate the gates after the last test, and report each as a test."""
        ended = yield
        self._completed = not self._eval.without_tests  # before the gates, as a failed one may stop the run
        if self._completed and session.testscollected > 0 and self._eval.settings.shard is None:
            from pytest_instructlab_eval.session.gate_tests import gate_test_reports

            self._eval.identities.look_again()
            self._gather(session, self._execution.unreported(session))
            self._ending = self._make_ending(session, gated=True)
            for reports in gate_test_reports(self._ending.report):
                hook, nodeid, location = self._config.hook, reports[0].nodeid, reports[0].location
                hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
                session.testscollected += 1  # only now, so that the tests themselves end at 100 %
                count_in_sugar(self._config)
                for report in reports:
                    hook.pytest_runtest_logreport(report=report)
                hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
        return ended

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record that the user ended the run; a subclass is xdist's failure limit."""
        self._interrupted = excinfo.type is KeyboardInterrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop the engine, write the results, and fail an incomplete run."""
        end_undisturbed(self._config)
        unreported = self._execution.unreported(session)
        self._eval.close()
        if self._ending is None:  # otherwise it was made for the gates
            self._gather(session, unreported)
            self._ending = self._make_ending(session, gated=False)
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._eval.gating.collected.tests:
            session.exitstatus = pytest.ExitCode.OK  # there are more parts than tests
        self._end(session, self._ending)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table of scores."""
        if self._ending is None:
            return
        if self._eval.gating.planning is not None and self._eval.settings.plan:
            terminalreporter.section("instructlab-eval: plan")
            for line in self._eval.gating.planning.lines():
                terminalreporter.write_line(escape_line(line))
            return
        from pytest_instructlab_eval.reports.terminal import marked_lines

        verbosity = self._config.get_verbosity()
        lines = [*self._ending.lines(verbose=verbosity > 0), *self.advice()]
        if lines and verbosity >= -1:
            terminalreporter.ensure_newline()
            terminalreporter.section(f"instructlab-eval: {', '.join(self._eval.settings.labels)}")
            for line, markup in marked_lines(lines):
                terminalreporter.write_line(escape_line(line), **markup)
        for problem in self._ending.problems:
            terminalreporter.write_line(f"ERROR: {escape_text(problem)}", red=True)
        terminalreporter.ensure_newline()
        for command in self._ending.commands:
            terminalreporter.write_line(command)

    # --- what they do ---

    def advice(self) -> Iterator[str]:
        """Yield how to have what this run lacks: a judge for the tests without one, the missing answers."""
        if count := len(self._results.without_judge):
            yield f"skipped: {_tests(count)} without a judge; name one with --eval-judge-model"
        if self._command is not None:
            yield f"to ask only what is missing: {self._command}"

    def _order(self, session: pytest.Session) -> list[str]:
        """Return the node ids of the tests in the order of the report."""
        return self._workers.order or [item.nodeid for item in session.items]

    def _gather(self, session: pytest.Session, unreported: Sequence[Result]) -> None:
        """Collect all results, in the order of the tests."""
        if session.exitstatus == pytest.ExitCode.INTERRUPTED:
            self._workers.add_unreported()
        self._results.add(unreported)
        self._results.sort(self._order(session))

    def _make_ending(self, session: pytest.Session, *, gated: bool) -> RunOutput:
        """Return the ending with the report of the run; called once, before any gate is reported."""
        from pytest_instructlab_eval.models.resent_requests import resent_notes
        from pytest_instructlab_eval.session.run_output import RecalledOutput, RunOutput
        from pytest_instructlab_eval.suites.repeat_notes import repeat_notes

        if (recalled := self._eval.recalled) is not None:
            return RecalledOutput(self._eval.settings, recalled, self._why_incomplete(session))
        gating, results, use = self._eval.gating, self._results, self._results.journal_use
        run = gating.run(
            list(results),
            tuple(results.silent.values()),
            incomplete=self._why_incomplete(session),
            notes=(
                *self._eval.questions.notes(gating.collected.groups),
                *repeat_notes(gating.settings_with_marked_gates, list(results)),
                *resent_notes(results.resent + self._eval.models.take_resent()),
                *(() if use is None else use.notes),
                *self._eval.journal.notes,
            ),
            adaptations=results.adaptations,
            journal=use,
            identities=self._eval.identities.models,
            judge_identities=self._eval.identities.judges,
            inputs=self._eval.inputs,
            usage=results.usage,
        )
        return RunOutput(self._eval.settings, gating.report(run, gated=gated))

    def _end(self, session: pytest.Session, ending: RunOutput) -> None:
        """Write the outputs, and set the exit status."""
        status = session.exitstatus
        ended = status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if ended and not self._eval.without_tests:
            # A failed test explains more than a missing `await` does.
            unawaited = [] if session.testsfailed else self._unawaited
            skipped = self._eval.gating.skipped_problems(self._results.silent_without_judge)
            problems = [*self._eval.servers.problems, *skipped, *unawaited]
            ending.add_problems(stopped=not self._completed, problems=problems)
            ending.save_baseline()
        else:
            ending.excuse()
        # pytest's number has failures of other plugins too, such as a missed coverage.
        ending.count(
            status=int(status), failed=session.testsfailed, broken=self._broken + len(self._collection.broken)
        )
        if self._has_results(status):
            ending.write(partial(hook_problems, self._config))
        elif (reason := self._why_nothing(status, ending.report.run.incomplete)) is not None:
            self._eval.tell_refusal(reason)
        if not self._eval.without_tests and status != pytest.ExitCode.USAGE_ERROR:
            run = ending.report.run
            self._command = self._eval.journal.end(
                self._config.invocation_params.args,
                complete=run.incomplete is None and not any(map(has_error, run.results)),
            )
        session.exitstatus = ending.report.exit_status
        add_junit_properties(
            self._config,
            {"eval.headline": ending.report.headline, "eval.exit_status": ending.report.exit_status},
        )

    def _has_results(self, status: int) -> bool:
        """Return whether there are results, or tests that should have had some."""
        if list(self._results) or self._eval.recalled is not None:
            return True
        if self._interrupted or self._eval.without_tests or not self._eval.gating.collected.groups:
            return False
        return status not in (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR)

    def _why_nothing(self, status: int, incomplete: str | None) -> str | None:
        """Return why no test ran; None where the user wanted that, or ended the run."""
        if status == pytest.ExitCode.NO_TESTS_COLLECTED:
            return "no test was collected, or all were deselected"
        if self._collection.broken:
            return incomplete
        if status == pytest.ExitCode.USAGE_ERROR:
            return "pytest could not run these arguments; see its error"
        return None

    def _why_incomplete(self, session: pytest.Session) -> str | None:
        """Return why some tests have no result, None where all have reported."""
        if self._collection.broken:
            return f"not all tests could be collected: {_first(self._collection.broken)} failed"
        if not self._completed:
            return "the run was stopped before its end"
        names = self._order(session)
        twice = len(names) - len(set(names))
        missing = session.testscollected - twice - len(self._reported)
        if missing > 0:
            tests = session.testscollected
            return f"{missing} of {tests} tests never reported a result; a worker may have died"
        if self._lost:
            return f"{_tests(len(self._lost))} ended because a worker died: {_first(self._lost)}"
        return None


def has_error(result: Result) -> bool:
    """Return whether a request of a test had no reply."""
    return result.error is not None or any(score.error or score.errors for score in result.scores)


def count_in_sugar(config: pytest.Config) -> None:
    """Count one more test in pytest-sugar, which has its own count, if it is the reporter."""
    reporter = terminal_reporter(config)
    count = getattr(reporter, "tests_count", None)
    if isinstance(count, int):
        setattr(reporter, "tests_count", count + 1)  # noqa: B010  (pytest's own reporter has no such attribute)


def _first(nodeids: set[str]) -> str:
    return ", ".join(sorted(nodeids)[:5])


def _tests(count: int) -> str:
    return "1 test" if count == 1 else f"{count:,} tests"
