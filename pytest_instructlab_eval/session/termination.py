"""The signals that end a run: what was scored is kept, however often somebody sends them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
from collections.abc import Callable
from typing import NoReturn

import pytest


def end_as_by_ctrl_c(config: pytest.Config, before: Callable[[], object]) -> None:
    """Take SIGTERM, which CI systems and schedulers send, for Ctrl-C until the run ends.

    It does `before` and raises KeyboardInterrupt, where nobody else handles it.
    """

    def end(number: int, frame: object) -> NoReturn:
        before()
        raise KeyboardInterrupt("SIGTERM")

    with contextlib.suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, end)
            config.add_cleanup(lambda: _leave_to_the_system(signal.SIGTERM, end))


def end_undisturbed(config: pytest.Config) -> None:
    """Let an interrupted run write its results: ignore the next signal, exit at once on the one after it.

    A KeyboardInterrupt that comes while pytest ends would lose the results and print a traceback.
    """
    later = itertools.count(1)

    def ignore_one(number: int, frame: object) -> None:
        if next(later) > 1:
            os._exit(pytest.ExitCode.INTERRUPTED)

    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            found = signal.getsignal(number)
            if found is signal.default_int_handler or getattr(found, "__module__", None) == __name__:
                signal.signal(number, ignore_one)
                config.add_cleanup(functools.partial(_leave_to_the_system, number, ignore_one))


def _leave_to_the_system(number: signal.Signals, ours: Callable[[int, object], None]) -> None:
    """Have a signal from now on, such as one while Python exits, end the process without a traceback."""
    if signal.getsignal(number) is ours:
        signal.signal(number, signal.SIG_DFL)
