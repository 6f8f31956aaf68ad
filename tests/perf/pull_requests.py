"""Runs of a gate at a pull request of five pairs, by real models on a real vLLM.

    python -m tests.perf.pull_requests [--runs 20] [--options="--eval-repeat=auto"]

The base model is SmolLM2-135M-Instruct. One candidate is the same model with noise in its weights, with which
it answers worse by 2 of 10 or a little more. The other has next to none, and answers as well, by other seeds.
A table says how often each was red, inconclusive and green.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import tempfile
from collections import Counter
from pathlib import Path
from statistics import mean

from tests.e2e.pull_request import GATE, Outcome, PullRequest, served

NOISE_OF = {"worse": 0.12, "alike": 0.01}  # in the candidates' weights
HEADER = (
    "| candidate | runs | red | inconclusive | green | base's mean | candidate's mean | fewest answers |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--options", default="--eval-repeat=auto", help="of pytest, in one text")
    parser.add_argument("--candidate", choices=NOISE_OF, nargs="+", default=list(NOISE_OF))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pull_request = PullRequest(folder / "runs")
        outcomes: dict[str, list[Outcome]] = {name: [] for name in options.candidate}
        noise = {name: NOISE_OF[name] for name in options.candidate}
        with served(folder, noise) as (base, candidates):
            for seed, candidate in itertools.product(range(options.runs), candidates):
                outcome = pull_request.evaluate(candidate, base, *shlex.split(options.options), seed=seed)
                outcomes[candidate.name].append(outcome)
                print(candidate.name, outcome, flush=True)
    rows = [row(name, some) for name, some in outcomes.items()]
    print("\n".join([f"{GATE}, {options.options}", HEADER, *rows]))


def row(title: str, outcomes: list[Outcome]) -> str:
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    red, green = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("red", "green"))
    means = (mean(getattr(outcome, name) for outcome in outcomes) for name in ("base", "candidate"))
    answers = " to ".join(map(str, sorted({outcome.answers for outcome in outcomes})))
    cells = (title, len(outcomes), red, verdicts["inconclusive"], green, *(f"{value:.2f}" for value in means))
    return "| " + " | ".join(map(str, (*cells, answers))) + " |"


if __name__ == "__main__":
    main()
