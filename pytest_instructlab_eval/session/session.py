"""`EvalSession`: what one pytest run owns, from its settings to its results."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, EvalError, ItemError, OutputInUseError
from pytest_instructlab_eval.judges import Grader
from pytest_instructlab_eval.models import Blocking
from pytest_instructlab_eval.records.recording import describe, without_traceback
from pytest_instructlab_eval.records.run import Silent
from pytest_instructlab_eval.records.scores import Result, plain
from pytest_instructlab_eval.serving import ModelInTurn, Owner, Turns, check_sources, plan
from pytest_instructlab_eval.session import distribution, items
from pytest_instructlab_eval.session.engine import Engine, LookAhead, RecordRouter, Run, current_run
from pytest_instructlab_eval.session.output_lock import OutputLock
from pytest_instructlab_eval.session.progress import Progress, uncaptured
from pytest_instructlab_eval.session.run_models import RunModels
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.digests import data_digest
from pytest_instructlab_eval.suites.registry import benchmark, benchmark_of, fixture_of, fixtures, names
from pytest_instructlab_eval.suites.selection import asked, selected
from pytest_instructlab_eval.visible import visible, visible_line

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges.trial import Put
    from pytest_instructlab_eval.session.gating import Gating

__all__ = ["EvalSession"]

NEEDS_JUDGE = "needs a judge: name one with --eval-judge-model"
TICK = 0.5  # seconds between two looks at the progress while a test is waited for

_DURATION = pytest.StashKey[float]()
_FAILURE = pytest.StashKey[pytest.ExceptionInfo[BaseException]]()


class EvalSession:
    """One run's models, engine, look-ahead and results."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.results: dict[str, Result] = {}
        self.silent: dict[str, Silent] = {}  # tests that did not fail and recorded no score
        self.without_judge: set[str] = set()  # tests that were skipped for want of a judge
        self.progress = Progress()
        self._look_ahead: LookAhead[pytest.Item, str] | None = None
        self._engine: Engine | None = None
        self.signs = distribution.Signs.for_worker(config)
        self.owner: Owner | None = None
        self.asking: set[str] = set()
        self._lock = OutputLock(settings.output_dir)
        self._parameters: dict[str, list[Any]] = {}
        self._adaptations: list[Mapping[str, Any]] = []  # of other processes
        self._told_adaptations = 0
        self._told_refusal = False
        self._put: Put | None = None  # how judges are tried: as the first judged question is put to them

    # --- what tests are made of ---

    @cached_property
    def gating(self) -> Gating:
        """What the run must hold to; not needed in xdist's workers."""
        from pytest_instructlab_eval.session.gating import Gating

        return Gating(self.settings, self._digests, self.config.invocation_params.dir)

    @property
    def engine(self) -> Engine:
        """The loop that everything runs in; started when first needed."""
        if self._engine is None:
            self._engine = Engine()
        return self._engine

    @property
    def budget(self) -> int:
        """How many requests this process may have in flight per server."""
        return distribution.divide(self.settings.max_concurrency, self.config)

    @cached_property
    def models(self) -> RunModels:
        """The candidates and the judge."""
        number = distribution.worker_number(self.config)
        return RunModels(
            self.settings,
            lambda: self.engine,
            budget=self.budget,
            turns=lambda: self.turns,
            share=(number, distribution.workers(self.config)),
        )

    @cached_property
    def turns(self) -> Turns:
        """Where this process waits for models that the run serves."""
        process = distribution.worker_id(self.config)
        return Turns(self.signs.folder, process, current_run.get)

    @property
    def judge(self) -> Grader | None:
        """The judge, None where none was named."""
        return self.models.judge

    def fixture(self, name: str, item: pytest.Item, parameter: Any = None) -> Any:
        """The value of one of our fixtures for an item: models wait in a plain `def` test."""
        value: Any
        if name == "record_score":
            return items.recorder(item)
        if name == "eval_settings":
            return self.settings
        if name == "served_model":
            value = self.models.candidate(parameter)
        elif name == "judge":
            value = self.judge
            if value is None:
                pytest.skip(NEEDS_JUDGE)
        else:
            raise LookupError(name)
        is_async = isinstance(item, pytest.Function) and items.coroutine_function(item) is not None
        return value if is_async else Blocking(value, self.engine.call)

    def parameters(self, fixture: str) -> list[Any]:
        """The questions or tasks behind a parametrized fixture; raises DataError."""
        if fixture not in self._parameters:
            known = benchmark(fixtures()[fixture])
            assert known is not None  # noqa: S101  (each fixture is of one)
            self._parameters[fixture] = found = asked(known, self.settings)
            if found and known.judged_like is not None:
                self._put = self._put or known.judged_like(found[0])
        return self._parameters[fixture]

    @cached_property
    def unasked(self) -> dict[str, list[str]]:
        """What the run leaves out of each benchmark's data; what cannot be read is told when it is read."""
        from pytest_instructlab_eval.suites.selection import unasked

        found: dict[str, list[str]] = {}
        for name in selected(self.settings):
            with contextlib.suppress(EvalError):
                found[name] = unasked(name, self.settings)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not asked of the benchmarks that this run has, as a part of its results."""
        of_data = [
            note
            for name, notes in self.unasked.items()
            if name in self.gating.collected.groups or fixture_of(name) in self._parameters
            for note in notes
        ]
        return (*of_data, *self._unsampled())

    def _unsampled(self) -> Iterator[str]:
        """Say that all of the user's own benchmarks is asked, where only a part of each was asked for."""
        option = "--eval-first-n" if self.settings.sample is None else "--eval-sample"
        own = [name for name in self.gating.collected.groups if name not in names()]
        if own and (self.settings.sample or self.settings.first_n) is not None:
            which = ", ".join(own)
            yield f"{option} takes no part of benchmarks of your own: every question of {which} is asked"

    def asks_nothing(self, fixtures: Sequence[str]) -> bool:
        """Whether there is no question behind any of these parametrized fixtures."""
        return self.settings.base_questions == "same" and not any(map(self.parameters, fixtures))

    def _digests(self, benchmarks: Collection[str]) -> dict[str, Any]:
        return {name: found for name in benchmarks if (found := self._digest(name)) is not None}

    def _digest(self, name: str) -> str | None:
        known, asked = benchmark(name), self._parameters.get(fixture_of(name) or "", ())
        return data_digest(known, asked, self.settings) if known is not None and asked else None

    # --- before anything is asked ---

    def check_data(self, fixtures: Sequence[str]) -> None:
        """Raise ConfigurationError where a place to write to, or these fixtures' data, is not usable."""
        self._check_place("--eval-output-dir", self.settings.output_dir)
        baseline = self.settings.save_baseline
        if baseline is not None:
            if baseline.is_dir():
                raise ConfigurationError(f"--eval-save-baseline: {baseline} is a folder; name a file")
            self._check_place("--eval-save-baseline", baseline.parent)
        for fixture in fixtures:
            self.parameters(fixture)

    def lock_output(self) -> None:
        """Keep the output folder to this run; raises ConfigurationError where another one has it."""
        self._lock.acquire()

    def check_servers(self) -> None:
        """Raise ConfigurationError where a server that runs already can't be reached or lacks its model."""
        self.engine.call(self.models.check())

    def check_judge(self, asked: Sequence[Any]) -> None:
        """Raise ConfigurationError where the judge can't grade some of these questions."""
        from pytest_instructlab_eval.suites import mt_bench

        references = {
            value.id: known.references(value)
            for value in asked
            if (known := benchmark_of(value)) is not None and known.references is not None
        }
        for judge in self.models.judges.values():
            mt_bench.check_judge(references, judge)

    def try_judges(self) -> None:
        """Raise ConfigurationError where a judge that runs already can't tell good answers from bad ones."""
        from pytest_instructlab_eval.judges.trial import try_judge

        for label, judge in self.models.judges.items():
            if self._tries_judges and self.settings.judges[label] not in self.settings.hosted:
                self.engine.call(try_judge(label, judge, self._put))

    @property
    def _tries_judges(self) -> bool:
        return self.gating.gated and not self.settings.no_canaries

    def _try_served(self, name: str, url: str) -> None:
        """The same of a judge that the run has just started, in the owner's thread."""
        from pytest_instructlab_eval.judges.trial import try_judge

        async def attempt() -> None:
            judge = await self.models.judge_at(name, url)
            try:
                await try_judge(self.settings.label(name), judge, self._put)
            finally:
                if distribution.is_controller(self.config):
                    await self.models.let_go(name)

        try:
            self.engine.call(attempt())
        except CancelledError:
            raise ConfigurationError("the run ended before its judge was tried") from None

    def serve(self, roles: Collection[str]) -> None:
        """Start what the run serves itself, if tests ask for it by these fixtures.

        Raises ConfigurationError where it can't be served.
        """
        settings = self.settings
        wanted = {*settings.evaluated} if "served_model" in roles else set()
        wanted |= {*settings.judge_model} if "judge" in roles else set()
        launches = {name: launch for name, launch in plan(settings).items() if name in wanted}
        if not launches:
            return
        check_sources(settings, launches)
        tried = self.settings.judging_models if self._tries_judges and "judge" in roles else ()
        self.owner = Owner(
            self.signs.folder,
            launches,
            self._say,
            lambda name, url: self._try_served(name, url) if name in tried else None,
        )
        for process in self.asking:
            self.owner.expect(process)
        self.owner.start(list(launches))

    def _say(self, text: str) -> None:
        """Tell the user what the run waits for, from whichever thread."""
        reporter: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and self.config.get_verbosity() >= 0:
            with uncaptured(self.config):
                self.progress.hide(self.config)
                reporter.ensure_newline()
                reporter.write_line(visible_line(f"instructlab-eval: {text}"))

    @staticmethod
    def _check_place(option: str, folder: Path) -> None:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"{option}: {folder} can't be written ({existing} is not a folder that you may "
                f"write to: {error.strerror}); name another"
            ) from None

    # --- running ---

    def begin(self, session: pytest.Session) -> None:
        """The items are known."""
        self._look_ahead = LookAhead(
            queue=distribution.worker_queue(session),
            start=self._start_ahead,
            key=lambda item: item.nodeid,
            window=self.window,
        )

    @property
    def window(self) -> int:
        """How many tests may be under way ahead of pytest; all of them where models take turns."""
        if self.settings.takes_turns:
            return sys.maxsize // 4
        return distribution.look_ahead_window(self.budget)

    def _start_ahead(self, item: pytest.Item) -> Run | None:
        if not isinstance(item, pytest.Function) or not items.can_run_ahead(item):
            return None
        if "judge" in item.fixturenames and self.judge is None:
            return None  # its fixture will skip it
        function = items.coroutine_function(item)
        assert function is not None  # noqa: S101  (can_run_ahead)
        model = items.identity(item).model
        values = items.arguments(item, lambda name: self.fixture(name, item, model))
        return self._start(function, values)

    def _start(self, function: Callable[..., Any], values: Mapping[str, Any]) -> Run:
        async def run() -> Any:
            model = values.get("served_model")
            if isinstance(model, ModelInTurn):
                await model.ready()
            return await function(**values)

        started = self.engine.start(run)
        if self.settings.hosted:
            self.turns.begin(started)
            started.done.add_done_callback(lambda _: self.turns.end(started))
        return started

    def reach(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Pytest has reached an item: have it and those after it under way."""
        if self._look_ahead is None:
            return
        if not self.settings.hosted:
            self._look_ahead.reach(item, nextitem)
            return
        self.turns.begin(item)  # so that no turn passes before all are under way
        self._look_ahead.reach(item, nextitem)
        self.turns.end(item)

    def leave(self, item: pytest.Item) -> None:
        """Pytest is done with an item; if it was never called, its run is not needed."""
        run = self._look_ahead.take(item) if self._look_ahead is not None else None
        if run is not None:
            self.engine.cancel(run)

    def call(self, item: pytest.Function) -> None:
        """The call phase of an eval test: wait for its coroutine, which may have run already."""
        run = self._look_ahead.take(item) if self._look_ahead is not None else None
        if run is None:
            function = items.coroutine_function(item)
            assert function is not None  # noqa: S101  (the caller looked)
            values = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
            run = self._start(function, values)
        try:
            run.wait(self._tick, TICK)
            items.recorder(item).raise_errors()
        except ItemError:
            raise
        except EvalError as error:
            scores = items.recorder(item).scores
            raise ItemError(describe(str(error), scores, getattr(error, "prompt", ""))) from error
        finally:
            item.stash[_DURATION] = run.duration
            self.progress.hide(self.config)
            self._replay(run.records)

    def _tick(self) -> None:
        if not distribution.is_worker(self.config):
            self.progress.show(self.config, self.models.traffic)
        elif self.signs.is_up("interrupt"):
            raise KeyboardInterrupt  # Ctrl-C reaches a worker by itself

    # --- log records ---

    def _log_handlers(self) -> list[logging.Handler]:
        """The handlers by which pytest collects the records of the item at hand."""
        plugin = self.config.pluginmanager.getplugin("logging-plugin")
        found = [getattr(plugin, name, None) for name in ("caplog_handler", "report_handler")]
        return [handler for handler in found if isinstance(handler, logging.Handler)]

    def route_records(self) -> None:
        """Keep the records of runs ahead from the item that pytest happens to be at."""
        router = RecordRouter()
        logging.getLogger().addHandler(router)
        self.config.add_cleanup(lambda: logging.getLogger().removeHandler(router))
        for handler in self._log_handlers():
            handler.addFilter(router.is_foreign)

    def _replay(self, records: Sequence[logging.LogRecord]) -> None:
        for record in list(records):
            with contextlib.suppress(Exception):  # of a record that can't be formatted, its handler tells
                if (text := record.getMessage()) != visible(text):
                    record.msg, record.args = visible(text), None
            for handler in self._log_handlers():
                if record.levelno >= handler.level:
                    handler.handle(record)

    # --- results ---

    def conclude(self, report: pytest.TestReport, item: pytest.Function, call: pytest.CallInfo[None]) -> None:
        """Put what a test found, if anything, on the report of its call, or of a setup that did not pass."""
        failure = item.stash.get(_FAILURE, call.excinfo) if report.failed else None
        scores, result = items.recorder(item).scores, self._result(item, _why_failed(failure))
        asks = "record_score" in item.fixturenames
        of_ours = failure is not None and isinstance(failure.value, EvalError)
        if result.scores or (result.error is not None and (asks or of_ours)):
            report.eval_result = result.to_plain()  # type: ignore[attr-defined]
            others = [entry for entry in item.user_properties if not entry[0].startswith("eval.")]
            item.user_properties[:] = [*others, *properties(result)]  # the teardown's report has them too
            report.user_properties = list(item.user_properties)
        elif not report.failed:
            report.eval_silent = plain(  # type: ignore[attr-defined]
                Silent(result.nodeid, result.benchmark, result.group, result.model, report.outcome)
            )
        if (
            distribution.is_worker(self.config)
            and len(adaptations := self.adaptations) > self._told_adaptations
        ):
            self._told_adaptations = len(adaptations)
            report.eval_adaptations = adaptations  # type: ignore[attr-defined]
        report.duration = item.stash.get(_DURATION, report.duration)
        if failure is not None and isinstance(failure.value, ItemError):
            report.longrepr = without_traceback(failure)
        elif report.failed and scores:
            report.sections.append(("recorded scores", describe("", scores).strip()))
        if failure is not None and _is_forgotten_await(failure.value):
            report.sections.append(("hint", "is an `await` missing? A coroutine was used as its result"))

    def _result(self, item: pytest.Function, error: str | None) -> Result:
        about = items.identity(item)
        scores = tuple(items.recorder(item).scores)
        return Result(
            benchmark=about.benchmark,
            question=about.question,
            group=about.group,
            model=about.model or next(iter(self.settings.labels)),
            judge=self.settings.judge if "judge" in item.fixturenames else None,
            scores=scores,
            error=None
            if scores
            else error,  # a failed assertion after a score is the test's, not the model's
            duration=item.stash.get(_DURATION, 0.0),
            nodeid=item.nodeid,
            content=items.content_digest(item),
            cluster=about.cluster,
        )

    @staticmethod
    def keep_failure(item: pytest.Item, failure: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember how an item's last call failed, until the item is forgotten."""
        item.stash[_FAILURE] = failure

    @staticmethod
    def forget(item: pytest.Item) -> None:
        """If the item is run again, it begins anew."""
        if _DURATION in item.stash:
            del item.stash[_DURATION]
        if _FAILURE in item.stash:
            del item.stash[_FAILURE]
        items.drop_recorder(item)

    def collect(self, report: pytest.TestReport) -> None:
        """Take in a report, from this process or from a worker."""
        record = getattr(report, "eval_result", None)
        if record is not None and report.when in ("setup", "call"):
            self.results[report.nodeid] = Result.from_plain(record)
            self.silent.pop(report.nodeid, None)
        elif silent := getattr(report, "eval_silent", None):
            self.silent[report.nodeid] = Silent(**silent)
        self.add_adaptations(getattr(report, "eval_adaptations", ()))
        if report.skipped and isinstance(report.longrepr, tuple) and NEEDS_JUDGE in report.longrepr[2]:
            self.without_judge.add(report.nodeid)

    @property
    def adaptations(self) -> list[Mapping[str, Any]]:
        """How requests were adapted to servers, in this process and in those that have told it."""
        return [*self.models.adaptations, *self._adaptations]

    def add_adaptations(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in how another process has adapted its requests."""
        self._adaptations += records

    def finished_unreported(self, session: pytest.Session) -> list[Result]:
        """What coroutines have scored that pytest will not get to, after Ctrl-C or `-x`."""
        if self._look_ahead is None:
            return []
        found = []
        by_id = {item.nodeid: item for item in session.items}
        for nodeid, run in self._look_ahead.under_way.items():
            item = by_id.get(nodeid)
            done = run.done.done() and not run.done.cancelled() and run.done.exception() is None
            if done and isinstance(item, pytest.Function) and items.recorder(item).scores:
                found.append(self._result(item, None))
        return found

    def add(self, results: Sequence[Result]) -> None:
        """Take in results that came without a report."""
        for result in results:
            self.results.setdefault(result.nodeid, result)

    def sort_results(self, nodeids: Sequence[str]) -> None:
        """Put the results in the order of the tests."""
        place = {nodeid: number for number, nodeid in enumerate(nodeids)}
        ordered = sorted(self.results.items(), key=lambda entry: place.get(entry[0], len(place)))
        self.results = dict(ordered)

    def refused(self, error: EvalError) -> pytest.UsageError:
        """What to raise where the run can't begin; its summary says why, in place of an earlier run's."""
        self.end()
        self.tell_refusal(str(error), of_another=isinstance(error, OutputInUseError))
        return pytest.UsageError(visible(str(error)))

    def tell_refusal(self, reason: str, *, of_another: bool = False) -> None:
        """Write why the run did not begin, where no reason was written yet; not for a list of its tests."""
        from pytest_instructlab_eval.session.ending import write_refusal

        lists = self.config.option.collectonly or distribution.is_worker(self.config)
        if not self._told_refusal and not lists:
            write_refusal(None if of_another else self.settings.output_dir, self.settings.candidates, reason)
        self._told_refusal = True

    def interrupt(self) -> None:
        """Ask nothing more; what is under way would only slow the end down."""
        if self._engine is not None:
            self._engine.stop()

    def close(self, timeout: float = 1.0) -> None:
        """Stop the engine in so many seconds at most; what is under way is cancelled."""
        if self._engine is not None:
            with contextlib.suppress(Exception):
                self._engine.close(timeout)
        if self.owner is not None:
            self.owner.begin_to_stop()

    def end(self) -> None:
        """Leave nothing behind: no thread, no server."""
        self.close()
        if self.owner is not None:
            self.owner.stop()
        self._lock.release()


def properties(result: Result) -> list[tuple[str, object]]:
    """The result as flat test properties, for JUnit XML, other tools and a worker's report."""
    found: list[tuple[str, object]] = [
        ("eval.benchmark", result.benchmark),
        ("eval.question", result.question),
        ("eval.group", result.group),
        ("eval.model", result.model),
        ("eval.outcome", result.outcome),
    ]
    if result.judge is not None:
        found.append(("eval.judge", result.judge))
    if result.value is not None:
        found.append(("eval.score", result.value))
    found += [(f"eval.{score.metric}", score.value) for score in result.scores if score.value is not None]
    return [(plain(name), _shown(plain(value))) for name, value in dict(found).items() if value != ""]


def _shown(value: object) -> object:
    return visible_line(value) if isinstance(value, str) else value


def _is_forgotten_await(error: BaseException) -> bool:
    """Whether a test used a coroutine as if it were its result."""
    return isinstance(error, (AttributeError, TypeError)) and "'coroutine'" in str(error)


def _why_failed(failure: pytest.ExceptionInfo[BaseException] | None) -> str | None:
    if failure is None:
        return None
    if isinstance(failure.value, EvalError):
        return str(failure.value).partition("\n")[0]
    return failure.exconly(tryshort=True)
