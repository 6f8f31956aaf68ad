"""Blocking work beside the event loop, in daemon threads that an exit doesn't wait for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

# To be held while lm-eval, datasets or transformers load: none is made to be imported or used in several
# threads at once.
heavy_libraries = threading.Lock()

T = TypeVar("T")


async def in_daemon_thread(
    function: Callable[[], T], *, lock: contextlib.AbstractContextManager[object] | None = None
) -> T:
    """Return what the function returns or raises; unlike `asyncio.to_thread`, Ctrl-C needn't await its end.

    It holds `lock`, such as `heavy_libraries`, and isn't called where nobody waits for it any more when
    the lock is free.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def work() -> None:
        result, error = None, None
        with lock or contextlib.nullcontext():
            if done.done():
                return
            try:
                result = function()
            except Exception as raised:
                error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="instructlab-eval-work", daemon=True).start()
    return await done
