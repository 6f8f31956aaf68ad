"""The progress of a run with xdist: workers write their counts, and the controller shows the sum."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import cast

import pytest

from pytest_instructlab_eval.models.endpoint import Traffic
from pytest_instructlab_eval.session.progress import LIVE_INTERVAL
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.xdist_internals import (
    WorkerNode,
    call_in_loop,
    is_controller,
    worker_id,
)

WorkerCounts = tuple[int, int, int | None]
"""A worker's requests, its tokens, and the requests that it expects of the whole run (None where unknown)."""


class WorkerProgress:
    """The hook of a worker that writes its progress to a file for the controller."""

    def __init__(self, session: EvalSession) -> None:
        self._eval = session
        self._name = _file_name(worker_id(session.config))
        self._written: WorkerCounts | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Write the counts of this worker while its tests run."""
        with _called_often(self.write):
            try:
                return (yield)
            finally:
                self.write()  # the other workers may run for long

    def write(self) -> None:
        """Write the counts of this worker, if they have changed."""
        traffic = list(self._eval.models.traffic)
        counts: WorkerCounts = (
            sum(count.requests for count in traffic),
            sum(count.tokens for count in traffic),
            self._eval.progress.expected,
        )
        if counts != self._written:
            with contextlib.suppress(OSError):  # the controller has ended, and its folder is gone
                self._eval.signs.leave(self._name, counts)
            self._written = counts


class WorkersProgress:
    """The hooks of the controller that show the progress while it waits for its workers."""

    def __init__(self, session: EvalSession) -> None:
        self._eval = session
        self._config = session.config
        self._workers: list[str] = []
        self._last_report = 0.0

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerNode) -> None:
        """Remember the worker."""
        self._workers.append(node.gateway.id)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Show the progress as long as the loop runs."""
        if not is_controller(self._config):
            return (yield)
        self._eval.progress.start()
        with _called_often(call_in_loop(self._config, self.show)):
            try:
                return (yield)
            finally:
                self._eval.progress.hide(self._config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """Remove the live line, before pytest writes."""
        self._eval.progress.hide(self._config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        """Remove the live line, before pytest writes."""
        self._last_report = time.monotonic()
        self._eval.progress.hide(self._config)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_testnodedown(self) -> None:
        """Remove the live line, before xdist writes that a worker died."""
        self._eval.progress.hide(self._config)

    def show(self) -> None:
        """Show the progress of all workers, unless pytest has just written."""
        if time.monotonic() - self._last_report < LIVE_INTERVAL:
            return
        workers: list[WorkerCounts] = []
        for worker in self._workers:
            with contextlib.suppress(OSError, ValueError):  # a missing line must not end a run
                counts = self._eval.signs.read(_file_name(worker))
                if isinstance(counts, list):
                    workers.append(cast(WorkerCounts, tuple(counts)))
        own = list(self._eval.models.traffic)
        expected = [requests for _, _, requests in workers]
        if workers:
            # Each worker has collected all tests, and a question may turn out to need more requests.
            whole = None if None in expected else max(cast("list[int]", expected))
            asked = sum(count.requests for count in own)
            self._eval.progress.expect_in_all(None if whole is None else whole + asked)
        traffic = [Traffic(requests, tokens) for requests, tokens, _ in workers]
        self._eval.progress.show(self._config, [*own, *traffic])


def _file_name(worker: str) -> str:
    return f"progress-{worker}"


@contextlib.contextmanager
def _called_often(ask: Callable[[], None]) -> Iterator[None]:
    """Return a context in which a thread calls a function every half second."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(LIVE_INTERVAL):
            ask()

    thread = threading.Thread(target=tick, name="instructlab-eval-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
