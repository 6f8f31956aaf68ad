"""Blocking work beside the event loop, in daemon threads that an exit doesn't wait for."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
THREAD_NAME = "instructlab-eval-work"


async def in_daemon_thread(function: Callable[[], T]) -> T:
    """Return what the function returns or raises; unlike `to_thread`, Ctrl-C needn't await its end."""
    work, done = _work_of(function)
    threading.Thread(target=work, name=THREAD_NAME, daemon=True).start()
    return await done


class DaemonWorker:
    """A daemon thread that calls functions one after another, each while it holds `lock`.

    One thread does all the work: the memory that each of several threads needed once would stay allocated to
    the end of the run.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def call(self, function: Callable[[], T]) -> T:
        """Return what the function returns or raises; it is not called if nobody waits any more by then."""
        work, done = _work_of(function)
        self._waiting.put(work)
        if self._thread is None or not self._thread.is_alive():  # a forked process does not have it
            self._thread = threading.Thread(target=self._serve, name=THREAD_NAME, daemon=True)
            self._thread.start()
        return await done

    def _serve(self) -> None:
        while True:
            work = self._waiting.get()
            with self._lock:
                work()
            del work  # and what it has loaded


# To be held while lm-eval, datasets or transformers load: none is made to be imported or used in several
# threads at once.
heavy_libraries = threading.Lock()
heavy_work = DaemonWorker(heavy_libraries)


def _work_of(function: Callable[[], T]) -> tuple[Callable[[], None], asyncio.Future[T]]:
    """Return a call of the function for another thread, and the future that has its result then."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def work() -> None:
        if done.done():
            return
        result: T | None = None
        error: Exception | None = None
        try:
            result = function()
        except BaseException as raised:  # a sys.exit() must end neither this thread nor the loop
            error = raised if isinstance(raised, Exception) else RuntimeError(repr(raised))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    return work, done
