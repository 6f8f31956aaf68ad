"""2,000 tests of one 200 ms request each, with a budget of 32 (ideal: 12.5 s): whole process, and duplicates.

python -m tests.perf.engine [--processes 0 2 4] [--repeat 1]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ITEMS, LATENCY, BUDGET = 2000, 0.2, 32
# The plugins that are installed for this project's own tests; hypothesis takes most of a second a process.
ALONE = ("-p", "no:hypothesispytest", "-p", "no:asyncio", "-p", "no:anyio")
TEST = f"""
import pytest

@pytest.mark.eval("many")
@pytest.mark.parametrize("number", range({ITEMS}))
async def test_many(number, served_model, record_score):
    reply = await served_model.chat([{{"role": "user", "content": f"question {{number}}"}}])
    record_score(float(len(reply.text) > 0))
"""


@contextmanager
def server() -> Iterator[str]:
    """A scripted server in a process of its own."""
    command = [sys.executable, "-m", "tests.scripted_server", "--latency", str(LATENCY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", nargs="+", default=["0", "2", "4"])
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    print(f"ideal {ITEMS * LATENCY / BUDGET:.1f} s")
    for processes in options.processes:
        for _ in range(options.repeat):
            print(run(processes), flush=True)


def run(processes: str) -> str:
    with tempfile.TemporaryDirectory() as name, server() as url:
        Path(name, "test_many.py").write_text(TEST)
        command = [sys.executable, "-m", "pytest", *ALONE, "-q", "-n", processes, "--eval-model", "tiny",
                   "--eval-base-url", url, "--eval-max-concurrency", str(BUDGET), "test_many.py"]  # fmt: skip
        started = time.perf_counter()
        done = subprocess.run(command, cwd=name, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        assert f"{ITEMS + 2} passed" in done.stdout  # with the two default gates
        with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:
            stats = json.load(reply)
    return (
        f"-n {processes}: {seconds:5.1f} s whole process; {stats['requests']} requests, "
        f"{stats['duplicates']} duplicates, at most {stats['in_flight_peak']} in flight"
    )


if __name__ == "__main__":
    main()
