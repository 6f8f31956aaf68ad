"""For every layer. HYPOTHESIS_PROFILE says how long property tests search: quick (as usual), minute, long."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quick", deadline=None)
settings.register_profile("minute", deadline=None, max_examples=1_000)
settings.register_profile(
    "long", deadline=None, max_examples=50_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session", autouse=True)
def signals_reach_runs() -> Iterator[None]:
    """What a shell starts in the background, or with nohup, ignores signals, and so would what it starts."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, hangup)
