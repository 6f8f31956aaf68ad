"""The handling of signals that end a run, so that its results are kept."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
from collections.abc import Callable
from typing import NoReturn

import pytest

PROTECTED = pytest.StashKey[bool]()


def end_as_by_ctrl_c(config: pytest.Config, before: Callable[[], object]) -> None:
    """Handle SIGTERM, which CI systems and schedulers send, like Ctrl-C until the run ends.

    The handler calls `before` and raises KeyboardInterrupt. A handler of somebody else stays.
    """

    def end(number: int, frame: object) -> NoReturn:
        before()
        end_undisturbed(config)  # at once: pytest's hook for an interrupt comes later
        raise KeyboardInterrupt("SIGTERM")

    with contextlib.suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, end)
            config.add_cleanup(lambda: _leave_to_the_system(signal.SIGTERM, end))


def end_undisturbed(config: pytest.Config) -> None:
    """Protect the end of a run: ignore the next signal, exit at once on the one after it.

    A KeyboardInterrupt that comes while pytest ends would lose the results and print a traceback. A run that
    is protected already stays so, with the signals that have come.
    """
    if config.stash.get(PROTECTED, False):
        return
    config.stash[PROTECTED] = True
    later = itertools.count(1)

    def ignore_one(number: int, frame: object) -> None:
        if next(later) > 1:
            os._exit(pytest.ExitCode.INTERRUPTED)

    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            is_ours = getattr(handler, "__module__", None) == __name__
            if handler is signal.default_int_handler or is_ours:
                signal.signal(number, ignore_one)
                config.add_cleanup(functools.partial(_leave_to_the_system, number, ignore_one))


def _leave_to_the_system(number: signal.Signals, ours: Callable[[int, object], None]) -> None:
    """Restore the default handler, so that a signal while Python exits causes no traceback."""
    if signal.getsignal(number) is ours:
        signal.signal(number, signal.SIG_DFL)
