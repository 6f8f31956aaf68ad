"""A small version of the simulations: passages, the allocation of samples, and the baseline as control."""

from __future__ import annotations

import math

import pytest

from pytest_instructlab_eval.data.mmlu_rows import MMLU_TEST_ROWS
from pytest_instructlab_eval.suites.sampling import stratum_sizes

from .passages_and_samples import Passages, kish, told

SIZES = {f"task{number}": 20 + 5 * number for number in range(12)}


def most(share: float, runs: int) -> float:
    """Return the highest share that so many runs show by chance: four standard errors above the true one."""
    return share + 4 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize("drop", [0.0, 0.05])
def test_a_gate_is_rarely_red_by_the_passages_of_its_questions(drop: float) -> None:
    """Without the passages, a fifth to a third of these runs are red or green."""
    scenario, runs = Passages(3, 4, 10, 0.4, drop), 30
    red, green, _ = scenario.errors(runs, named=True)
    assert max(red, green) <= most(0.025, runs)
    red, green, _ = scenario.errors(runs, named=False)
    assert red + green > most(0.05, runs)


@pytest.mark.parametrize(("alike", "worth"), [(False, 131), (True, 196)])
def test_200_questions_of_mmlu_tell_most_where_tasks_get_as_many(alike: bool, worth: int) -> None:
    assert round(kish(list(stratum_sizes(MMLU_TEST_ROWS, 200, alike=alike).values()))) == worth


@pytest.mark.parametrize(("correlation", "least"), [(0.7, 1.2), (0.9, 2.0)])
def test_the_baselines_answers_make_a_sample_tell_more(correlation: float, least: float) -> None:
    """In theory 1 / (1 - r^2) times as much: 2.0 and 5.3."""
    draws, populations = 15, 3
    rows = told(SIZES, 72, correlation, draws=draws, populations=populations)
    control = rows["control"]
    assert control.worth > least * rows["alike"].worth
    assert abs(control.bias) <= 4 * control.bias_error + 0.002
    assert 1 - control.coverage <= most(0.07, draws * populations)


def test_the_answers_of_another_kind_of_model_do_no_harm() -> None:
    rows = told(SIZES, 72, 0.0, draws=15, populations=3)
    assert rows["control"].worth > 0.7 * rows["alike"].worth
    assert 1 - rows["control"].coverage <= most(0.07, 45)
