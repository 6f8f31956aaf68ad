"""SIGTERM taken for Ctrl-C: CI systems and schedulers end a run by it, and what was scored is to be kept."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import NoReturn

import pytest

__all__ = ["end_as_by_ctrl_c"]


def end_as_by_ctrl_c(config: pytest.Config, before: Callable[[], object]) -> None:
    """Until the run ends, SIGTERM does `before` and raises KeyboardInterrupt, where nobody handles it."""

    def end(number: int, frame: object) -> NoReturn:
        before()
        raise KeyboardInterrupt("SIGTERM")

    with contextlib.suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, end)
            config.add_cleanup(lambda: _leave_to_the_system(end))


def _leave_to_the_system(ours: Callable[[int, object], NoReturn]) -> None:
    if signal.getsignal(signal.SIGTERM) is ours:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
