"""Pytest runs forked from a process that has the libraries loaded, which would take most of a run's time.

This plugin itself is loaded by each run, and so is every other plugin of pytest.
"""

import atexit
import importlib.metadata
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = ["pytest", "aiohttp", "tabulate", "yaml", "numpy", "scipy.special", "git", "execnet"]
ROOT = Path(__file__).parents[2]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(LIBRARIES)
_one_at_a_time = threading.Lock()  # to start a process polls the others, and a status can be read but once


class ForkedPytest:
    """`python -m pytest` in a session of its own, with the methods of a `Popen` that are used here."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], out: Path, err: Path
    ) -> None:
        self._process = _context.Process(
            target=_run, args=(tuple(arguments), str(folder), dict(env), str(out), str(err))
        )
        with _one_at_a_time:
            self._process.start()
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        with _one_at_a_time:
            return self._process.exitcode

    def wait(self, timeout: float = math.inf) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("pytest", timeout)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _run(arguments: Sequence[str], folder: str, env: Mapping[str, str], out: str, err: str) -> None:
    """What the forked process does, from a new process's state to its exit status."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate((os.devnull, out, err)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["pytest", *arguments]
    sys.path[:] = [folder, *(path for path in sys.path if path and Path(path) != ROOT)]
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    _hide_from_rewriting()
    import pytest

    status = pytest.console_main()
    atexit._run_exitfuncs()
    sys.exit(status)


def _hide_from_rewriting() -> None:
    """Pytest warns of a plugin's modules that were loaded before it, unless they say that they may be."""
    for distribution in importlib.metadata.distributions():
        if any(entry.group == "pytest11" for entry in distribution.entry_points):
            for file in distribution.files or ():
                module = sys.modules.get(file.parts[0].removesuffix(".py"))
                if module is not None:
                    module.__doc__ = "PYTEST_DONT_REWRITE"
