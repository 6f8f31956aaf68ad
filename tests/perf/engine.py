"""2,000 tests of one 200 ms request each, with a budget of 32 (ideal: 12.5 s): whole process, and duplicates.

    python -m tests.perf.engine [--processes 0 2 4] [--repeat 1] [--journal PAIRS]

With --journal it makes so many pairs of runs in one process, one with its journal and one without, in turn,
and tells what the journal costs: the median of the pairs, and the range of all.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from tests.perf.runs import MeasuredRun, measured, pytest_command, server, server_counts

ITEMS, LATENCY, BUDGET = 2000, 0.2, 32
TEST = f"""
import pytest

@pytest.mark.eval("many")
@pytest.mark.parametrize("number", range({ITEMS}))
async def test_many(number, served_model, record_score):
    reply = await served_model.chat([{{"role": "user", "content": f"question {{number}}"}}])
    record_score(float(len(reply.text) > 0))
"""
NO_JOURNAL = """
from pytest_instructlab_eval.session.run_journal import RunJournal

RunJournal.wrap = lambda journal, item, role: lambda label, model: model
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", nargs="+", default=["0", "2", "4"])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--journal", type=int, metavar="PAIRS")
    options = parser.parse_args()
    if options.journal:
        compare_journal(options.journal)
        return
    print(f"ideal {ITEMS * LATENCY / BUDGET:.1f} s")
    for processes in options.processes:
        for _ in range(options.repeat):
            done, stats = run(processes)
            print(
                f"-n {processes}: {done.seconds:5.1f} s whole process; {stats['requests']} requests, "
                f"{stats['duplicates']} duplicates, at most {stats['in_flight_peak']} in flight",
                flush=True,
            )


def compare_journal(pairs: int) -> None:
    seconds, processor = [], []
    for number in range(1, pairs + 1):
        kept, _ = run("0")
        bare, _ = run("0", "-p", "no_journal")
        seconds.append(kept.seconds / bare.seconds - 1)
        processor.append(kept.processor / bare.processor - 1)
        print(
            f"pair {number}: {kept.seconds:.1f} and {bare.seconds:.1f} s, {kept.processor:.1f} and "
            f"{bare.processor:.1f} s of a core",
            flush=True,
        )
    for name, shares in (("seconds", seconds), ("seconds of a core", processor)):
        print(f"{name}: {median(shares):+.1%} with the journal ({min(shares):+.1%} to {max(shares):+.1%})")


def run(processes: str, *options: str) -> tuple[MeasuredRun, dict[str, int]]:
    with tempfile.TemporaryDirectory() as name, server(LATENCY) as url:
        folder = Path(name)
        (folder / "test_many.py").write_text(TEST)
        (folder / "no_journal.py").write_text(NO_JOURNAL)
        command = pytest_command(
            url, "-n", processes, f"--eval-max-concurrency={BUDGET}", *options, "test_many.py"
        )
        done = measured(command, folder)
        assert f"{ITEMS + 2} passed" in done.out, done.out  # with the two default gates
        return done, server_counts(url)


if __name__ == "__main__":
    main()
