"""A gated pull request of five pairs, by real models: a worse candidate is never green, one alike never red.

`python -m tests.perf.pull_requests` makes more runs and counts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import smollm2
from .pull_request import ALIKE, LIMIT, WORSE, Outcome, PullRequest, server
from .vllm_environment import Server

RUNS = range(2)
ANSWERS = 4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """SmolLM2 on a real vLLM."""
    with server(smollm2.folder(), "smollm2", tmp_path_factory.mktemp("base") / "server.log") as running:
        yield running


def outcomes(base: Server, folder: Path, noise: float) -> list[Outcome]:
    """Of runs of a candidate with so much noise in its weights."""
    pull_request = PullRequest(folder / "runs")
    model = smollm2.variant(folder / "model", noise)
    with server(model, "candidate", folder / "server.log") as candidate:
        return [
            pull_request.evaluate(candidate, base, f"--eval-repeat={ANSWERS}", seed=seed) for seed in RUNS
        ]


def test_a_candidate_that_answers_worse_is_not_green(base: Server, tmp_path: Path) -> None:
    for outcome in outcomes(base, tmp_path, WORSE):
        assert outcome.base - outcome.candidate > LIMIT, outcome
        assert not outcome.green, outcome
        assert outcome.answers == ANSWERS


def test_a_candidate_that_answers_alike_is_not_red(base: Server, tmp_path: Path) -> None:
    for outcome in outcomes(base, tmp_path, ALIKE):
        assert abs(outcome.base - outcome.candidate) < 2 * LIMIT, outcome
        assert not outcome.red, outcome
