"""A small version of the simulations: no more false red than allowed, and a drop that is seen as is said."""

from __future__ import annotations

import math

import pytest

from tests.statistics.drop_gates import (
    CEILING,
    UNEVEN_TASKS,
    Ratings,
    Scenario,
    above,
    answers,
    holding,
    ratings,
)
from tests.statistics.mean_intervals import ONE_LARGE, difference_coverage, mean_coverage

RUNS = 200

SMALL = [
    answers("60 questions", (60,), 0.2, 0.0),
    answers("60 questions", (60,), 0.2, 0.02),
    answers("uneven tasks", UNEVEN_TASKS, 0.2, 0.02, uneven=0.04),
    ratings("40 questions", Ratings((1,) * 40), 0.0),
    ratings("12 files", Ratings((3,) * 12), 0.5),
    ratings("8 files", Ratings((3,) * 8), 0.5),
    ratings("near 10", Ratings((1,) * 40, shared=0.2, **CEILING), 0.5),
]
IDS = [f"{scenario.name}, limit {scenario.limit}" for scenario in SMALL]


def noise(share: float, runs: int = RUNS) -> float:
    """Four standard errors of a simulated share."""
    return 4 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize("scenario", SMALL, ids=IDS)
def test_a_drop_of_just_the_limit_is_red_in_at_most_2_5_percent_and_held_by_its_interval(
    scenario: Scenario,
) -> None:
    intervals = scenario.intervals(RUNS, scenario.limit, seed=2)
    assert above(intervals, scenario.limit) <= 0.025 + noise(0.025)
    assert holding(intervals, scenario.limit) >= 0.95 - noise(0.95)


@pytest.mark.parametrize("scenario", SMALL, ids=IDS)
def test_the_drop_that_a_gate_names_is_red_in_about_80_percent(scenario: Scenario) -> None:
    smallest = scenario.smallest(10, seed=1)
    assert len(smallest) == 10
    assert min(smallest) > scenario.limit
    seen = sum(scenario.red(20, drop, seed=100 + number) for number, drop in enumerate(smallest)) / 10
    # the true power is 73 to 85 %, near the top of the scale as well
    assert 0.73 - noise(0.73) <= seen <= 0.85 + noise(0.85)


@pytest.mark.parametrize(
    "model",
    [Ratings((5,) * 15, level=10.4, spread=0.5, noise=0.7), Ratings(ONE_LARGE)],
    ids=["near the top", "one large file"],
)
def test_means_and_unpaired_differences_are_in_their_intervals(model: Ratings) -> None:
    assert mean_coverage(model, RUNS) >= 0.95 - noise(0.95)
    assert difference_coverage(model, RUNS) >= 0.95 - noise(0.95)
