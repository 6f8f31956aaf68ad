"""What a run that evaluates does at each of pytest's hooks; registered where a model is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_instructlab_eval import options
from pytest_instructlab_eval.errors import ConfigurationError, EvalError
from pytest_instructlab_eval.session import garbage
from pytest_instructlab_eval.session.installed import benchmark_file
from pytest_instructlab_eval.session.termination import end_as_by_ctrl_c, end_undisturbed
from pytest_instructlab_eval.suites.registry import benchmark_of, fixtures
from pytest_instructlab_eval.visible import inert_failure, visible, visible_line

if TYPE_CHECKING:
    import warnings

    from pytest_instructlab_eval.records.scores import Result
    from pytest_instructlab_eval.session.collected import Collected
    from pytest_instructlab_eval.session.collecting import Collecting
    from pytest_instructlab_eval.session.ending import Ending
    from pytest_instructlab_eval.session.gate_tests import GateTestReport
    from pytest_instructlab_eval.session.session import EvalSession

__all__ = ["EvalHooks"]

ROLES = ("served_model", "judge")
HAND_OVER = 20.0  # seconds that interrupted workers have to hand over their results; one is usual
UNAWAITED = re.compile(r"coroutine '\w+\.(chat|choice_logprobs|grade|rate)' was never awaited")
CRASHED = "???"  # the phase that xdist gives a test whose worker died


class EvalHooks:
    """The hooks around one `EvalSession`."""

    def __init__(self, session: EvalSession, collecting: Collecting) -> None:
        from pytest_instructlab_eval.session import distribution, items

        self.eval = session
        self.collecting = collecting
        self.config = session.config
        self.distribution = distribution
        self.items = items
        self.session: pytest.Session | None = None
        self.checked = False
        self.prepared = False
        self.interrupted = False
        self.reported: set[str] = set()
        self.lost: set[str] = set()
        self.completed = False
        self.order: list[str] = []
        self.nodes: list[Any] = []
        self.ending: Ending | None = None
        self.nothing_to_ask = False
        self.unknown_names: list[str] = []
        self.unawaited: list[str] = []  # what is wrong with calls of ours that were not awaited

    # the beginning

    def pytest_report_header(self) -> list[str]:
        """Say what is evaluated, and what is left out and why."""
        from pytest_instructlab_eval.session.header import header

        return [visible_line(line) for line in header(self.eval.settings, self.config, self.eval.unasked)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Under xdist, look at the data before any worker is started."""
        self.session = session
        controls = self.distribution.is_controller(self.config)
        if controls or (self.eval.settings.hosted and not self.distribution.is_worker(self.config)):
            self.eval.signs = self.distribution.Signs.for_controller()
            self.config.add_cleanup(self.eval.signs.remove)
        if not self.distribution.is_worker(self.config):
            end_as_by_ctrl_c(self.config, self._interrupt_workers)
        if controls:
            named = [Path(argument.partition("::")[0]) for argument in self.config.args]
            installed = {benchmark_file(name): fixture for fixture, name in fixtures().items()}
            asked = [fixture for file, fixture in installed.items() if file in named]
            self._check(lambda: self.eval.check_data(asked))
            self.nothing_to_ask = {*named} <= {*installed} and self.eval.asks_nothing(asked)

    def _interrupt_workers(self) -> None:
        for sign in ("interrupt", "stop"):
            self.eval.signs.put_up(sign)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Under xdist, look at the servers while the workers collect, before they are given anything.

        Which names of the ini file are unknown, pytest says after the collection.
        """
        if not self.distribution.is_worker(self.config):
            for name in self.unknown_names:
                self._check(partial(options.check_ini_name, name))
        if self.distribution.is_controller(self.config):
            if not self.nothing_to_ask:
                self._check(self.eval.check_servers)
            garbage.leave_what_is_there()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Know the items; look at the servers, unless nothing will be asked."""
        if self.config.option.collectonly:
            return
        wanted = [item for item in session.items if self._asks_a_model(item)]
        runs = not session.testsfailed or self.config.option.continue_on_collection_errors
        if runs and not self.distribution.is_worker(self.config):
            self._check_forked(self.items.forked_problem(wanted))
            self._check_collected(self.collecting.collected(session))
            if wanted:
                self._check(self.eval.check_servers)
                self._check(lambda: self.eval.check_judge(self._parameter_values(wanted)))
                self.eval.asking.add(self.distribution.worker_id(self.config))
                self._prepare(self._roles(wanted))
        self.eval.begin(session)
        self.eval.route_records()
        if wanted:
            import aiohttp  # noqa: F401  (now, so that the garbage collector leaves it alone)

        if not self.distribution.is_controller(self.config):
            garbage.leave_what_is_there()
        for item in wanted:
            counts = [
                value.requests for value in self._parameter_values([item]) if benchmark_of(value) is not None
            ]
            self.eval.progress.expect(counts[0] if counts else None)
        if wanted:  # the judges were tried already
            self.eval.progress.expect(sum(traffic.requests for traffic in self.eval.models.traffic))

    def _check_forked(self, problem: str | None) -> None:
        """End here where pytest-forked would fork tests that ask a model."""
        if problem is not None:
            raise self.eval.refused(ConfigurationError(problem))

    def _check_collected(self, collected: Collected) -> None:
        """End here where what was collected can't be held to the gates, or kept."""
        if (collected.groups or self.eval.settings.gate) and not self.checked:
            self.checked = True
            self._check(lambda: self.eval.check_data([]))
            if not self.without_tests:
                self._check(self.eval.lock_output)
            self._check(lambda: self.eval.gating.prepare(collected))

    def _parameter_values(self, items: Sequence[pytest.Item]) -> list[Any]:
        specs = [getattr(item, "callspec", None) for item in items]
        return [value for spec in specs if spec is not None for value in spec.params.values()]

    @pytest.hookimpl(specname="pytest_collection_finish", tryfirst=True)
    def pytest_worker_collection_finish(self, session: pytest.Session) -> None:
        """Let the controller know which models will be asked."""
        if self.distribution.is_worker(self.config):
            wanted = [item for item in session.items if self._asks_a_model(item)]
            self.eval.signs.leave("forked", self.items.forked_problem(wanted))
            self.eval.signs.leave("collected", self.collecting.collected(session).to_plain())
            for role in self._roles(session.items):
                self.eval.signs.put_up(role)

    def _asks_a_model(self, item: pytest.Item) -> bool:
        return bool(self._roles([item]))

    def _roles(self, items: Sequence[pytest.Item]) -> set[str]:
        """Which of the models' fixtures the items ask for; one without a question asks for none."""
        return {
            role
            for item in items
            if not self.items.is_empty(item)
            for role in ROLES
            if role in getattr(item, "fixturenames", ())
        }

    def _prepare(self, roles: set[str]) -> None:
        """Try the judges, if tests ask for one, and serve what the run serves itself."""
        self.prepared = True
        if "judge" in roles:
            self._check(self.eval.try_judges)
        self._check(lambda: self.eval.serve(roles))

    def _check(self, check: Callable[[], None]) -> None:
        try:
            check()
        except EvalError as error:
            raise self.eval.refused(error) from None

    # running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Have what comes next under way; under xdist, stop where another worker met the failure limit."""
        if self.eval.signs.is_up("stop"):
            item.session.shouldstop = "stopped by the controller"
            return True
        if not self.eval.signs.is_up("careful"):
            self.eval.reach(item, nextitem)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Wait for an eval test's coroutine."""
        if not self.items.is_eval_test(pyfuncitem):
            return None
        self.eval.call(pyfuncitem)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Keep the failure: pytest-retry tells that of its first attempt alone."""
        try:
            return (yield)
        except BaseException:
            self.eval.keep_failure(item, pytest.ExceptionInfo.from_current())
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the result on the report of the call phase, or of a setup that fails or skips the test.

        Around the wrappers of all other plugins: pytest-retry runs a test again in its own.
        """
        report = yield
        ended = report.when == "call" or (report.when == "setup" and not report.passed)
        if ended and isinstance(item, pytest.Function) and self.items.has_question(item):
            self.eval.conclude(report, item, call)
            report.longrepr = inert_failure(report.longrepr)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Drop the run of an item that was never called; forget the item, which may be run again."""
        self.eval.leave(item)
        self.items.recorder(item).closed = True
        try:
            yield
        finally:
            self.eval.forget(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Any:
        """Tell a question that has no score from one that has."""
        from pytest_instructlab_eval.session.gate_tests import GateTestReport, gate_status

        record = getattr(report, "eval_result", None)
        if isinstance(report, GateTestReport):
            return gate_status(report, self.eval.settings.inconclusive)
        if record is None or report.when != "call" or not report.passed or record["outcome"] != "unscored":
            return None
        if any(score["metadata"].get("answered") for score in record["scores"]):
            return "answered", "a", ("ANSWERED", {"green": True})
        return "unscored", "u", ("UNSCORED", {"yellow": True})

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Know the calls of a model or judge that no test awaited, and the ini file's unknown names."""
        if found := UNAWAITED.match(str(warning_message.message)):
            place = f"{warning_message.filename}:{warning_message.lineno}"
            self.unawaited.append(
                f"{place}: {found[1]} was called without `await`, so nothing was asked there"
            )
        _, unknown, name = str(warning_message.message).partition("Unknown config option: ")
        if unknown:
            self.unknown_names.append(name.strip())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what was found; have the workers stop where the failure limit is reached."""
        if self.distribution.is_worker(self.config):
            return
        self.eval.collect(report)
        if report.when == CRASHED:
            self.lost.add(report.nodeid)
        if report.when not in ("setup", "teardown") or report.outcome != "passed":
            self.reported.add(report.nodeid)
        if self.session is not None and (self.session.shouldfail or self.session.shouldstop):
            self.eval.signs.put_up("stop")

    # the end

    @pytest.hookimpl(specname="pytest_runtestloop", wrapper=True, trylast=True)
    def pytest_gates(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """After the last test, evaluate the gates and tell each as a test."""
        ended = yield
        self.completed = not self.without_tests  # a gate that fails may stop the run too, but at its end
        whole = self.completed and session.testscollected > 0 and self.eval.settings.shard is None
        if whole and not self.distribution.is_worker(self.config):
            from pytest_instructlab_eval.session.gate_tests import as_tests

            self._gather(session, self.eval.finished_unreported(session))
            self.ending = self._make_ending(session, gated=True)
            for reports in as_tests(self.ending.report):
                self._tell(session, reports)
        return ended

    @property
    def without_tests(self) -> bool:
        """Whether pytest was asked not to run the tests."""
        named = ("collectonly", "setuponly", "setupplan")
        return any(self.config.getoption(name, False) for name in named)

    def _tell(self, session: pytest.Session, reports: Sequence[GateTestReport]) -> None:
        hook = self.config.hook
        nodeid, location = reports[0].nodeid, reports[0].location
        hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        session.testscollected += 1  # only now, so that the tests themselves end at 100 %
        reporter: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if hasattr(reporter, "tests_count"):  # pytest-sugar has a count of its own
            reporter.tests_count += 1
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Stop at once."""
        end_undisturbed(self.config)
        self.interrupted = excinfo.type is KeyboardInterrupt  # xdist's own kind is the failure limit
        self.eval.interrupt()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop, keep what was scored, and fail a run whose results are not all there."""
        found = self.eval.finished_unreported(session)
        self.eval.close(0.4 if self.distribution.is_worker(self.config) else 1.0)
        if self.distribution.is_worker(self.config):
            self.config.workeroutput["eval_results"] = [  # type: ignore[attr-defined]
                result.to_plain() for result in found
            ]
            self.config.workeroutput["eval_adaptations"] = self.eval.adaptations  # type: ignore[attr-defined]
            return
        if self.ending is None:  # else it was made before the gates were told
            self._gather(session, found)
            self.ending = self._make_ending(session, gated=False)
        self._end(session, self.ending)

    def _gather(self, session: pytest.Session, unreported: Sequence[Result]) -> None:
        """Have all results, in the order of the tests."""
        if session.exitstatus == pytest.ExitCode.INTERRUPTED:
            self.distribution.wait_for_outputs(self.nodes, HAND_OVER)
            for node in self.nodes:
                self._take_in(node)
        self.eval.add(unreported)
        self.eval.sort_results(self.order or [item.nodeid for item in session.items])

    def _make_ending(self, session: pytest.Session, *, gated: bool) -> Ending:
        """Make the run's report, of what was found; to be called once, before any gate is told."""
        from pytest_instructlab_eval.records.run import ModelAdaptation
        from pytest_instructlab_eval.session.ending import Ending

        run = self.eval.gating.run(
            self.eval.results.values(),
            tuple(self.eval.silent.values()),
            incomplete=self._why_incomplete(session),
            notes=self.eval.notes,
            adaptations=[ModelAdaptation(**record) for record in self.eval.adaptations],
        )
        return Ending(self.eval.settings, self.eval.gating.report(run, gated=gated))

    def _end(self, session: pytest.Session, ending: Ending) -> None:
        """Write what there is, and decide on the exit status."""
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.eval.gating.collected.tests:
            session.exitstatus = pytest.ExitCode.OK  # there are more parts than tests
        ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if ended and not self.without_tests:
            served = self.eval.owner.problems if self.eval.owner is not None else []
            # A failed test says more than a call that was not awaited.
            unawaited = self.unawaited if not session.testsfailed else []
            ending.add_problems(stopped=not self.completed, found=[*served, *unawaited])
            ending.save_baseline()
        else:
            ending.excuse()
        told = self.eval.gating.collected.groups and not self.interrupted and not self.without_tests
        nothing_ran = session.exitstatus in (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR)
        if self.eval.results or (told and not nothing_ran):
            ending.write(failed=session.testsfailed)  # of other plugins too, such as a coverage to reach
        elif session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            self.eval.tell_refusal("no test was collected, or all were deselected")
        elif ending.report.run.incomplete is not None and self.collecting.broken:
            self.eval.tell_refusal(ending.report.run.incomplete)
        elif session.exitstatus == pytest.ExitCode.USAGE_ERROR:
            self.eval.tell_refusal("pytest could not run what was named: its error says why")
        if ending.problems and ended:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _why_incomplete(self, session: pytest.Session) -> str | None:
        """Why tests have no result, None where each has reported."""
        if self.collecting.broken:
            named = ", ".join(sorted(self.collecting.broken)[:5])
            return f"not all tests could be collected: {named} failed"
        if not self.completed:
            return "the run was stopped before its end"
        names = self.order or [item.nodeid for item in session.items]
        twice = len(names) - len(set(names))
        missing = session.testscollected - twice - len(self.reported)
        if missing > 0:
            tests = session.testscollected
            return f"{missing} of {tests} tests never reported a result; a worker may have died"
        if self.lost:
            return (
                f"{_tests(len(self.lost))} ended with a worker that died: {', '.join(sorted(self.lost)[:5])}"
            )
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the table of scores."""
        if self.ending is None:
            return
        lines = self.ending.lines(verbose=self.config.get_verbosity() > 0)
        if count := len(self.eval.without_judge):
            lines.append(f"skipped: {_tests(count)} without a judge; name one with --eval-judge-model")
        if lines and self.config.get_verbosity() >= -1:
            terminalreporter.ensure_newline()
            terminalreporter.section(f"instructlab-eval: {', '.join(self.eval.settings.labels)}")
            for line in lines:
                terminalreporter.write_line(visible_line(line))
        for problem in self.ending.problems:
            terminalreporter.write_line(f"ERROR: {visible(problem)}", red=True)

    def pytest_unconfigure(self) -> None:
        """Leave no thread and no server behind."""
        self.eval.end()
        garbage.leave_what_is_there()

    # xdist

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where the controller's signs are."""
        self.nodes.append(node)
        self.eval.asking.add(node.gateway.id)
        if self.eval.owner is not None:
            self.eval.owner.expect(node.gateway.id)
        self.eval.signs.tell(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Know the order in which results are told; serve the models that are asked."""
        from pytest_instructlab_eval.session.collected import Collected

        self.order = list(ids)
        self._check_forked(self.eval.signs.found("forked"))
        collected = self.eval.signs.found("collected")
        if collected is not None:
            self._check_collected(Collected(**collected))
        roles = {role for role in ROLES if self.eval.signs.is_up(role)}
        if ids and roles and not self.prepared:
            self._prepare(roles)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take in what a worker had scored and could not report."""
        if error is not None:
            self.eval.signs.put_up("careful")
        self.eval.asking.discard(node.gateway.id)
        if self.eval.owner is not None:
            self.eval.owner.forget(node.gateway.id)
        self._take_in(node)

    def _take_in(self, node: Any) -> None:
        from pytest_instructlab_eval.records.scores import Result

        output = getattr(node, "workeroutput", {})
        self.eval.add([Result.from_plain(record) for record in output.get("eval_results", ())])
        self.eval.add_adaptations(output.get("eval_adaptations", ()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Steal work, but none that is under way."""
        if config.getvalue("dist") != "worksteal":
            return None
        return self.distribution.make_scheduler(config, log, self.eval.window + 2)


def _tests(count: int) -> str:
    return "1 test" if count == 1 else f"{count:,} tests"
