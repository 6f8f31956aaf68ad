"""An event loop in a thread that runs coroutines ahead of the caller that waits for them.

This module does not depend on pytest or benchmarks: a `CoroutineRun` is one started coroutine, the `Engine`
is the loop that it runs in, and `LookAhead` decides which runs to start early.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import dataclasses
import functools
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
Key = TypeVar("Key")

current_run: contextvars.ContextVar[CoroutineRun | None] = contextvars.ContextVar("current_run", default=None)


class CoroutineRun:
    """One started coroutine: its outcome, its times and its log records."""

    def __init__(self) -> None:
        self.done: concurrent.futures.Future[object] = concurrent.futures.Future()
        self.records: list[logging.LogRecord] = []
        self.started = self.finished = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def duration(self) -> float:
        """The seconds from the coroutine's first step to its last."""
        return max(0.0, self.finished - self.started)

    @property
    def has_succeeded(self) -> bool:
        """True if the coroutine has ended without an exception."""
        return self.done.done() and not self.done.cancelled() and self.done.exception() is None

    def wait(self, tick: Callable[[], None], interval: float) -> object:
        """Return the coroutine's result, or raise its exception; call `tick` every `interval` seconds."""
        while True:
            try:
                return self.done.result(timeout=interval)
            except concurrent.futures.TimeoutError:
                if self.done.done():  # the coroutine itself raised a TimeoutError
                    return self.done.result()
                tick()

    async def drive(self, make: Callable[[], Awaitable[object]]) -> None:
        """Run the awaitable of `make` to its end and store its outcome."""
        current_run.set(self)
        self.started = time.perf_counter()
        try:
            result = await make()
        except BaseException as error:  # a test's sys.exit() fails the test, it must not end the loop
            self._end(error=error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._end(result=result)

    def _end(self, result: object = None, error: BaseException | None = None) -> None:
        self.finished = time.perf_counter()
        if error is None:
            self.done.set_result(result)
        elif isinstance(error, asyncio.CancelledError):
            self.done.cancel()
        else:
            self.done.set_exception(error)


class Engine:
    """An event loop in a daemon thread, which starts when it is first needed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="instructlab-eval", daemon=True)
        self._starting = threading.Lock()
        self._closers: list[Callable[[], Coroutine[object, None, None]]] = []
        self._stopping = False

    def _ensure_started(self) -> None:
        with self._starting:
            if self._thread.ident is not None:
                return
            if self._stopping:  # the loop would never run it
                raise RuntimeError("the engine was closed before it was needed")
            self._thread.start()

    def start(self, make: Callable[[], Awaitable[object]]) -> CoroutineRun:
        """Start a coroutine; `make` is called in the loop's thread."""
        run = CoroutineRun()

        def begin() -> None:
            run._task = self._loop.create_task(run.drive(make))
            run._task.add_done_callback(lambda _: run.done.cancel())  # if it never took its first step

        self._ensure_started()
        self._loop.call_soon_threadsafe(begin, context=contextvars.copy_context())
        return run

    def call(self, coroutine: Coroutine[object, None, T]) -> T:
        """Run a coroutine in the loop, wait for it, and return its result."""
        self._ensure_started()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def cancel(self, run: CoroutineRun) -> None:
        """Cancel a run that nobody will wait for."""

        def end() -> None:
            if run._task is not None:
                run._task.cancel()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(end)

    def on_close(self, closer: Callable[[], Coroutine[object, None, None]]) -> None:
        """Register a coroutine function that is called in the loop before it stops."""
        self._ensure_started()
        self._closers.append(closer)

    def stop(self, timeout: float = 1.0) -> None:
        """Cancel all runs, call the closers and stop the loop, without waiting for it."""
        with self._starting:
            if self._stopping:
                return
            self._stopping = True
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._wind_up(timeout * 0.8), self._loop)

    def close(self, timeout: float = 1.0) -> None:
        """Stop the loop and wait for it, `timeout` seconds at most."""
        self.stop(timeout)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self._loop.close()

    async def _wind_up(self, timeout: float) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        closing = [asyncio.ensure_future(closer()) for closer in self._closers]
        if tasks or closing:
            await asyncio.wait([*tasks, *closing], timeout=timeout)
        for task in (*tasks, *closing):
            if task.done() and not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not log it
        self._loop.stop()


class ItemQueue(Protocol[T]):
    """A source of the items that follow one."""

    def ahead(self, item: T, nextitem: T | None, limit: int) -> Iterator[T]:
        """Yield the next `limit` items after `item`, in order; those yielded before may be left out."""
        ...


@dataclasses.dataclass
class LookAhead(Generic[T, Key]):
    """A starter of the runs of the next `window` items before their turn.

    It starts none while the tasks that wait for their turn have `most_requests` or more, since all questions
    of a task are in memory while it runs. `start` returns the run of an item, or None where it must wait for
    its turn; `key` identifies an item, and `requests` counts those of a task, 0 for any other item.
    """

    queue: ItemQueue[T]
    start: Callable[[T], CoroutineRun | None]
    key: Callable[[T], Key]
    window: int
    requests: Callable[[T], int] = lambda _: 0
    most_requests: float = math.inf
    under_way: dict[Key, CoroutineRun] = dataclasses.field(default_factory=dict)
    _tasks: dict[Key, int] = dataclasses.field(default_factory=dict)  # the requests of those under way
    _seen: set[Key] = dataclasses.field(default_factory=set)
    _go_on: Callable[[], None] = lambda: None

    def reach(self, item: T, nextitem: T | None) -> None:
        """Start the run of `item`, which pytest has reached, and those of the following items."""
        self._begin(item)
        # `go_on` starts items in the context of this moment, not in that of the test that pytest waits for.
        self._go_on = functools.partial(contextvars.copy_context().run, self._start_behind, item, nextitem)
        self._go_on()

    def go_on(self) -> None:
        """Start more of the following items, while pytest waits for the one that it has reached."""
        self._go_on()

    def take(self, item: T) -> CoroutineRun | None:
        """Remove the run of an item whose turn has come from the window, and return it."""
        self._tasks.pop(self.key(item), None)
        return self.under_way.pop(self.key(item), None)

    def _start_behind(self, item: T, nextitem: T | None) -> None:
        reached = self.key(item)
        behind = sum(
            requests
            for key, requests in self._tasks.items()
            if key != reached and not self.under_way[key].done.done()
        )
        following = self.queue.ahead(item, nextitem, self.window)
        while behind < self.most_requests:
            later = next(following, None)
            if later is None:
                break
            behind += self._begin(later)

    def _begin(self, item: T) -> int:
        """Start the run of an item, where it was not begun before; return the requests of a task."""
        key = self.key(item)
        if key in self._seen:
            return 0
        self._seen.add(key)
        run = self.start(item)
        if run is None:
            return 0
        self.under_way[key] = run
        if requests := self.requests(item):
            self._tasks[key] = requests
        return requests


class RecordRouter(logging.Handler):
    """A log handler that stores the records of each run, to show them with the run's own item."""

    def emit(self, record: logging.LogRecord) -> None:
        """Store the record in the run that made it."""
        run = current_run.get()
        if run is not None:
            run.records.append(record)

    @staticmethod
    def is_foreign(record: logging.LogRecord) -> bool:
        """Return whether the record was made outside all runs; a filter for pytest's handlers."""
        return current_run.get() is None
