"""A gated pull request of five pairs, by real models: a worse candidate is red, one alike never is.

`python -m tests.perf.pull_requests` makes more runs and counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from .pull_request import LIMIT, Outcome, PullRequest, served

RUNS = range(1)  # a run asks real models for minutes; `tests.perf.pull_requests` makes more
ANSWERS = 4


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[Outcome]]:
    """Those of some runs of each candidate against the base model, on a real vLLM."""
    folder = tmp_path_factory.mktemp("pull_requests")
    pull_request = PullRequest(folder / "runs")
    with served(folder) as (base, candidates):
        return {
            candidate.name: [
                pull_request.evaluate(candidate, base, f"--eval-repeat={ANSWERS}", seed=seed) for seed in RUNS
            ]
            for candidate in candidates
        }


def test_a_candidate_that_answers_worse_is_red(outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    for outcome in outcomes["worse"]:
        assert outcome.base - outcome.candidate > 2 * LIMIT, outcome
        assert outcome.red, outcome
        assert outcome.answers == ANSWERS


def test_a_candidate_that_answers_alike_is_not_red(outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    for outcome in outcomes["alike"]:
        assert abs(outcome.base - outcome.candidate) < 2 * LIMIT, outcome
        assert not outcome.red, outcome
