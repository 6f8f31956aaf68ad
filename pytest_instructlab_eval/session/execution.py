"""The execution of eval tests: started ahead of their turn, awaited in their turn, stopped with the run."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping

import pytest

from pytest_instructlab_eval.errors import EvalError, ItemError, ModelError
from pytest_instructlab_eval.models.journalled_model import JournalledModel
from pytest_instructlab_eval.models.transcribed_model import TranscribedModel
from pytest_instructlab_eval.records.recorder import describe_failure
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.serving import RotatedModel
from pytest_instructlab_eval.session import garbage_collection, log_records
from pytest_instructlab_eval.session.distribution import worker_queue
from pytest_instructlab_eval.session.engine import CoroutineRun, LookAhead
from pytest_instructlab_eval.session.item_state import state_of
from pytest_instructlab_eval.session.items import (
    arguments_of_item,
    can_run_ahead,
    coroutine_function,
    identity_of,
    is_eval_test,
    is_ours,
    model_roles,
    questions_of_item,
    task_requests,
)
from pytest_instructlab_eval.session.outcomes import result_of
from pytest_instructlab_eval.session.pytest_internals import argument_names, parameters
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.termination import end_undisturbed
from pytest_instructlab_eval.session.xdist_internals import is_controller, is_worker

TICK = 0.5  # seconds between two updates of the progress while pytest waits for a test


class Execution:
    """The look-ahead of one process, and its hooks."""

    def __init__(self, session: EvalSession) -> None:
        self._eval = session
        self._config = session.config
        self._is_worker = is_worker(session.config)
        self._look_ahead: LookAhead[pytest.Item, str] | None = None

    # --- hooks ---

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start the look-ahead, and count the expected requests."""
        if self._config.option.collectonly:
            return
        self._look_ahead = LookAhead(
            queue=worker_queue(session),
            start=self._start_ahead,
            key=lambda item: item.nodeid,
            window=self._eval.window,
            requests=task_requests,
            most_requests=self._eval.requests_ahead,
        )
        log_records.route_log_records(self._config)
        if wanted := [item for item in session.items if model_roles([item])]:
            import aiohttp  # noqa: F401  (imported before `gc.freeze`, so that the garbage collector skips it)

            progress = self._eval.progress
            for item in wanted:
                if questions := questions_of_item(item):
                    progress.follow(questions[0][0])
                else:
                    progress.expect(None)
            trials = sum(traffic.requests for traffic in self._eval.models.traffic)  # of judges
            progress.expect(trials)
        if not is_controller(self._config):
            garbage_collection.exempt_existing_objects()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Start the next items; under xdist, stop where another worker reached the failure limit."""
        signs = self._eval.signs
        if signs.is_up("stop"):
            item.session.shouldstop = signs.why("stop") or "stopped by the controller"
            return True
        if (problem := self._eval.journal.problem) is not None:
            signs.put_up("stop", why=problem)
            item.session.shouldstop = problem
            return True
        if self._look_ahead is None or signs.is_up("careful"):
            return None
        if (recalled := self._eval.recalled_tests) is not None:
            from pytest_instructlab_eval.session.recalled_verdict import replay

            return replay(item, nextitem, recalled) or None
        if not self._eval.settings.hosted:
            self._look_ahead.reach(item, nextitem)
            return None
        self._eval.rotation.begin(item)  # so that no model is swapped before all have started
        self._look_ahead.reach(item, nextitem)
        self._eval.rotation.end(item)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Wait for an eval test's coroutine, which may have run already."""
        label = parameters(pyfuncitem).get("served_model")
        if label is not None and is_ours(pyfuncitem, "served_model"):
            # The parameter has session scope, so pytest would reuse the fixture of the model's first test.
            pyfuncitem.funcargs["served_model"] = self._eval.fixture("served_model", pyfuncitem, str(label))
        if not is_eval_test(pyfuncitem):
            return None
        run = self._take(pyfuncitem)
        if run is None:
            values = {name: pyfuncitem.funcargs[name] for name in argument_names(pyfuncitem)}
            run = self._start(pyfuncitem, values)
        recorder = state_of(pyfuncitem).recorder
        try:
            run.wait(self._tick, TICK)
            recorder.raise_errors()
        except ItemError:
            raise
        except EvalError as error:
            prompt = error.prompt if isinstance(error, ModelError) else ""
            raise ItemError(describe_failure(str(error), recorder.scores, prompt)) from error
        finally:
            state_of(pyfuncitem).duration = run.duration
            self._eval.progress.hide(self._config)
            log_records.replay_log_records(self._config, run.records)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Cancel the run of an item that was never called."""
        if (run := self._take(item)) is not None:
            self._eval.engine.cancel(run)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Stop all requests, which would only delay the end."""
        end_undisturbed(self._config)
        self._eval.engine.stop()

    def pytest_unconfigure(self) -> None:
        """Stop all threads and servers."""
        self._eval.end()
        garbage_collection.exempt_existing_objects()

    # --- runs ---

    def unreported(self, session: pytest.Session) -> list[Result]:
        """Return the results of ended runs that pytest will not report, after Ctrl-C or `-x`."""
        if self._look_ahead is None:
            return []
        by_id = {item.nodeid: item for item in session.items if isinstance(item, pytest.Function)}
        ended = [
            by_id[nodeid]
            for nodeid, run in self._look_ahead.under_way.items()
            if nodeid in by_id and run.has_succeeded
        ]
        return [result_of(item, self._eval.settings) for item in ended if state_of(item).recorder.scores]

    def _take(self, item: pytest.Item) -> CoroutineRun | None:
        return None if self._look_ahead is None else self._look_ahead.take(item)

    def _start_ahead(self, item: pytest.Item) -> CoroutineRun | None:
        """Start and return the run of an item before its turn; None where it must wait for its turn."""
        if not isinstance(item, pytest.Function) or not can_run_ahead(item):
            return None
        if self._eval.skip_reason(item) is not None:
            return None  # its fixture will skip it
        model = identity_of(item).model
        try:
            values = arguments_of_item(item, lambda name: self._eval.fixture(name, item, model))
        except EvalError:
            return None  # its fixture will say why
        return self._start(item, values)

    def _start(self, item: pytest.Function, values: Mapping[str, object]) -> CoroutineRun:
        function = coroutine_function(item)
        assert function is not None  # noqa: S101  (it is an eval test)
        given = values.get("served_model")
        model = given.model if isinstance(given, TranscribedModel) else None
        if isinstance(model, JournalledModel):
            model = model.model

        async def run() -> None:
            if isinstance(model, RotatedModel):
                await model.ready()
            await function(**values)

        started = self._eval.engine.start(run)
        if self._eval.settings.hosted:
            rotation = self._eval.rotation
            rotation.begin(started)
            started.done.add_done_callback(lambda _: rotation.end(started))
        return started

    def _tick(self) -> None:
        ending = self._eval.journal.problem is not None or self._eval.signs.is_up("stop")
        if self._look_ahead is not None and not ending and not self._eval.signs.is_up("careful"):
            # Else one slow request would hold up all others. A later test tells its error in its turn.
            with contextlib.suppress(Exception):
                self._look_ahead.go_on()
        if not self._is_worker:
            self._eval.progress.show(self._config, self._eval.models.traffic)
        elif self._eval.signs.is_up("interrupt"):
            raise KeyboardInterrupt  # unlike SIGTERM, Ctrl-C reaches a worker by itself
