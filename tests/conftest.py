"""For every layer. HYPOTHESIS_PROFILE says how long property tests search: quick (usual), longer, night."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Few examples in the usual run, since CI has them search for longer in a step of its own. Time limits per
# example would fail on a busy machine; what failed is printed, so nothing need be kept.
for name, examples in (("quick", 15), ("longer", 150), ("night", 50_000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# Whatever the environment says: else each run of the plugin tests would compile the plugin again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session", autouse=True)
def signals_reach_runs() -> Iterator[None]:
    """What a shell starts in the background, or with nohup, ignores signals, and so would what it starts."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, hangup)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what stays to the end: the modules, and thousands of tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Collect no garbage while a failure's source is parsed.

    Early versions of Python 3.11 end a parse within a parse with a SystemError, which would end the run. A
    finalizer that warns is one: a traceback is written for the warning, and its carets are found by parsing.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
