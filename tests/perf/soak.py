"""Twenty minutes at full rate: do memory, handles and threads stay flat?

    python -m tests.perf.soak [--minutes 20] [--requests 20]

The tests of an own benchmark make so many requests each, to a scripted server that answers at once. Every ten
seconds a line tells how many tests have ended, and the memory (MB), handles and threads of the process. The
last line is the growth from the first quarter of the run to its end, for 1,000 tests and for 1,000 requests,
beside the bytes of results.json that they came to: what a report needs is kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.perf.runs import pytest_command, server

INTERVAL = 10.0  # seconds between two looks
TEST = """
import asyncio
import pytest

@pytest.mark.eval("own")
@pytest.mark.parametrize("number", range({tests}))
async def test_own(number, served_model, record_score):
    replies = await asyncio.gather(
        *(served_model.chat(f"question {{number}}, {{part}}", max_tokens=50) for part in range({requests}))
    )
    record_score(sum(len(reply.text) for reply in replies) % 2)
"""
COUNTING = """
import atexit

count = 0


def pytest_runtest_logfinish(nodeid, location):
    global count
    count += 1
    if count % 50 == 0:
        with open("ended", "w") as file:
            file.write(str(count))
"""


@dataclass(frozen=True)
class Look:
    """What a process has used after so many seconds and ended tests; `memory` is in MB."""

    seconds: float
    tests: int
    memory: float
    handles: int
    threads: int


def look(pid: int, folder: Path, since: float) -> Look:
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    ended = folder / "ended"
    return Look(
        time.monotonic() - since,
        int(ended.read_text() or 0) if ended.exists() else 0,
        int(fields["VmRSS"].split()[0]) * 1024 / 1e6,
        len(os.listdir(f"/proc/{pid}/fd")),
        int(fields["Threads"]),
    )


def soak(folder: Path, minutes: float, tests: int, requests: int) -> list[Look]:
    """Run for so long, end the run by SIGTERM, and return the looks at it."""
    (folder / "test_own.py").write_text(TEST.format(tests=tests, requests=requests))
    (folder / "conftest.py").write_text(COUNTING)
    looks: list[Look] = []
    with server(0.0) as url, (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            pytest_command(url, "test_own.py"), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        started = time.monotonic()
        while process.poll() is None and time.monotonic() - started < minutes * 60:
            time.sleep(INTERVAL)
            if process.poll() is None:
                looks.append(look(process.pid, folder, started))
                print(looks[-1], flush=True)
        if process.poll() is None:
            process.terminate()
        process.wait(300)
        print((folder / "log").read_text().splitlines()[-1])
    return looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--tests", type=int, default=40_000)
    parser.add_argument("--requests", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        looks = soak(folder, options.minutes, options.tests, options.requests)
        results = (folder / "eval_output/results.json").stat().st_size
    first, last = looks[len(looks) // 4], looks[-1]
    tests = (last.tests - first.tests) / 1000
    growth = last.memory - first.memory
    print(
        f"{last.tests:,} tests, {last.tests * options.requests:,} requests in {last.seconds / 60:.0f} min; "
        f"memory {first.memory:.0f} to {last.memory:.0f} MB: {growth / tests:+.2f} MB per 1,000 tests, "
        f"{growth / tests / options.requests:+.3f} MB per 1,000 requests (results.json: "
        f"{results / 1e3 / last.tests:.2f} MB and {results / 1e3 / last.tests / options.requests:.3f} MB); "
        f"handles {first.handles} to {last.handles}, threads {first.threads} to {last.threads}"
    )


if __name__ == "__main__":
    main()
