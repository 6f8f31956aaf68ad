"""Runs that are ended by `kill -9` at random moments and go on with --eval-resume: is anything lost?

    python -m tests.perf.kills [--kills 50] [--seed 0]

Four in five of the runs are one process, the others have two workers; every tenth is ended with its whole
process group, of the others only the process that was started. In turn they evaluate MMLU from a small
folder, MT-Bench with a judge and repeats, and an own benchmark. A scripted server in a process of its own
counts what it is asked. Each run that goes on must have the results of an undisturbed run, question by
question, and must ask what the journal lacks and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.records.journal_folder import journal_size
from tests.examples_data import write_mmlu, write_mt_bench
from tests.perf.runs import pytest_command, server, server_counts
from tests.resumed_benchmark import judged_and_plain

LATENCY, BUDGET = 0.05, 8
OWN = judged_and_plain(judged=60, plain=20)
JUDGED = ("--eval-judge-model=tiny",)
ARGUMENTS: Mapping[str, Sequence[str]] = {
    "MMLU": ("--eval-benchmark=mmlu", "--eval-mmlu-data=data/mmlu"),
    "MT-Bench": (
        "--eval-benchmark=mt_bench", "--eval-mt-bench-data=data/mt_bench", *JUDGED, "--eval-repeat=3",
        "--eval-judge-repeat=2", "--eval-no-judge-trial",
    ),
    "own": ("test_own.py", *JUDGED, "--eval-no-judge-trial"),
}  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """A run that was killed with so many of its requests journalled, and went on with `asked` more.

    `differences` are the questions that have another result than in an undisturbed run.
    """

    benchmark: str
    processes: int
    group: bool
    requests: int
    journalled: int
    before: int
    asked: int
    differences: int

    @property
    def lost(self) -> int:
        """The requests that were sent and whose reply the journal does not have: those in flight."""
        return self.before - self.journalled

    @property
    def asked_again(self) -> int:
        """The finished requests that were asked again."""
        return self.asked - (self.requests - self.journalled)


class Workplace:
    """A folder with data and tests, and the server that the runs in it ask."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._url = url
        write_mmlu(folder / "data/mmlu", rows=3)
        write_mt_bench(folder / "data/mt_bench")
        (folder / "test_own.py").write_text(OWN)
        (folder / "pytest.ini").write_text("[pytest]\n")
        self._undisturbed: dict[str, tuple[int, dict[str, Any]]] = {}

    @property
    def prompts(self) -> int:
        """How many prompts the server has been asked so far."""
        return server_counts(self._url)["prompts"]

    @property
    def journalled(self) -> int:
        size = journal_size(self.folder / "eval_output/journal")
        return 0 if size is None else size.journalled

    def start(self, benchmark: str, *more: str) -> subprocess.Popen[bytes]:
        command = pytest_command(self._url, f"--eval-max-concurrency={BUDGET}", *ARGUMENTS[benchmark], *more)
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)

    def finish(self, benchmark: str, *more: str) -> dict[str, Any]:
        """Run to the end, and return what each question has got."""
        status = self.start(benchmark, *more).wait()
        assert status in (0, 1), (self.folder / "log").read_text()
        document = json.loads((self.folder / "eval_output/results.json").read_text("utf-8"))
        return {result["nodeid"]: scores_of(result) for result in document["results"]}

    def undisturbed(self, benchmark: str) -> tuple[int, dict[str, Any]]:
        """Return how many requests a run makes that is left alone, and its results."""
        if benchmark not in self._undisturbed:
            self.clear()
            before = self.prompts
            results = self.finish(benchmark)
            self._undisturbed[benchmark] = self.prompts - before, results
        return self._undisturbed[benchmark]

    def clear(self) -> None:
        shutil.rmtree(self.folder / "eval_output", ignore_errors=True)

    def kill(self, benchmark: str, processes: int, *, group: bool, dice: random.Random) -> Kill:
        """Kill a run once a random part of its requests is in the journal, and go on with it."""
        requests, expected = self.undisturbed(benchmark)
        self.clear()
        wanted, pause = dice.randrange(1, requests), dice.random() * LATENCY
        workers = ("-n", str(processes))
        before = self.prompts
        process = self.start(benchmark, *workers)
        while process.poll() is None and self.journalled < wanted:
            time.sleep(0.002)
        time.sleep(pause)
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        until_gone(process.pid)
        sent, journalled = self.prompts - before, self.journalled
        middle = self.prompts
        got = self.finish(benchmark, *workers, "--eval-resume")
        unlike = sum(got.get(name) != expected.get(name) for name in {**got, **expected})
        asked = self.prompts - middle
        return Kill(benchmark, processes, group, requests, journalled, sent, asked, unlike)


def scores_of(result: Mapping[str, Any]) -> list[Any]:
    """Return all of a result but times: its scores with their samples, and what they rest on."""
    kept = ("value", "metric", "n", "unscored", "errors", "stderr", "error", "explanation", "samples")
    return [{name: score.get(name) for name in kept} for score in result["scores"]] + [result["error"]]


def until_gone(group: int) -> None:
    """Wait for the last process of a group: workers see only after a moment that nobody is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise TimeoutError("a worker outlived its run by a minute")


def table(kills: Sequence[Kill]) -> str:
    """Return a table of the kills, by benchmark and kind of run."""
    lines = [
        "| benchmark | workers | kills | requests a run | journalled at the kill | in flight at the kill, at "
        "most | finished requests asked again | questions with another result |",
        "|" + " --- |" * 8,
    ]
    for key in dict.fromkeys((kill.benchmark, kill.processes) for kill in kills):
        rows = [kill for kill in kills if (kill.benchmark, kill.processes) == key]
        groups = sum(kill.group for kill in rows)
        cells = (
            key[0],
            key[1] or "none",
            f"{len(rows)} ({groups} of a process group)" if groups else len(rows),
            rows[0].requests,
            f"{min(kill.journalled for kill in rows)} to {max(kill.journalled for kill in rows)}",
            max(kill.lost for kill in rows),
            sum(kill.asked_again for kill in rows),
            sum(kill.differences for kill in rows),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice, kills = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as name, server(LATENCY) as url:
        workplace = Workplace(Path(name), url)
        for number in range(options.kills):
            benchmark = list(ARGUMENTS)[number % len(ARGUMENTS)]
            kill = workplace.kill(benchmark, 2 if number % 5 == 4 else 0, group=number % 10 == 7, dice=dice)
            kills.append(kill)
            print(kill, flush=True)
    print(table(kills))


if __name__ == "__main__":
    main()
