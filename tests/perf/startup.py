"""What the installed plugin adds to a pytest run that doesn't use it, and to 14,042 trivial tests.

    python -m tests.perf.startup [--runs 20]

Each pair of runs, with the plugin and with `-p no:instructlab-eval`, is made in turn; medians are shown.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TINY = "def test_nothing():\n    pass\n"
MANY = """
import pytest

@pytest.mark.parametrize("number", range(14042))
def test_nothing(number):
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_tiny.py").write_text(TINY)
        (folder / "test_many.py").write_text(MANY)
        pairs = [
            (run(folder, "test_tiny.py", True), run(folder, "test_tiny.py", False))
            for _ in range(options.runs)
        ]
        added = statistics.median(one - other for one, other in pairs)
        without = statistics.median(other for _, other in pairs)
        print(f"one empty test: {without * 1000:.0f} ms without the plugin, {added * 1000:+.1f} ms with it")
        active = ("--eval-model", "none", "--eval-base-url", "http://127.0.0.1:9/v1")
        plain = run(folder, "test_many.py", False)
        print(f"14,042 empty tests: {plain:.1f} s without the plugin")
        print(f"  with it, inert:  {run(folder, 'test_many.py', True) / plain:.2f} times that")
        print(f"  with it, active: {run(folder, 'test_many.py', True, *active) / plain:.2f} times that")


def run(folder: Path, file: str, plugin: bool, *options: str) -> float:
    switch = () if plugin else ("-p", "no:instructlab-eval")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *switch, *options, file]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
