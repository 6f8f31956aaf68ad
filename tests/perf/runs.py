"""What the measurements share: a scripted server in a process of its own, and runs whose memory is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The plugins that are installed for this project's own tests; hypothesis takes most of a second a process.
ALONE = ("-p", "no:hypothesispytest", "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider")


@contextmanager
def server(latency: float) -> Iterator[str]:
    """Start a scripted server that takes so many seconds for a reply, and give its URL."""
    command = [sys.executable, "-m", "tests.scripted_server", "--latency", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def server_counts(url: str) -> dict[str, int]:
    """Return what a scripted server has counted: requests, prompts, duplicates and the most in flight."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:
        counts: dict[str, int] = json.load(reply)
    return counts


def pytest_command(url: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *ALONE, "-q", "--eval-model=tiny", f"--eval-base-url={url}",
            *arguments]  # fmt: skip


@dataclass(frozen=True)
class MeasuredRun:
    """A run that has ended: its status, its seconds, its peak of memory in MB (10^6 bytes), its output.

    `processor` are the seconds that it had of a core: on a busy machine they say more.
    """

    status: int
    seconds: float
    processor: float
    peak: float
    out: str


def measured(command: Sequence[str], folder: Path) -> MeasuredRun:
    """Run a command to its end; the peak is of its own process, not of its children."""
    log = folder / "log"
    started = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text("utf-8", "replace")
    processor = used.ru_utime + used.ru_stime
    return MeasuredRun(process.returncode, seconds, processor, used.ru_maxrss * 1024 / 1e6, text)
