"""A small version of the simulations: false red and power where the spread chose the answers."""

from __future__ import annotations

import math

import pytest

from .needed_answers import Case, shares


def most(share: float, runs: int) -> float:
    """Return the highest share that so many runs show by chance: three standard errors above the true one."""
    return share + 3 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize("case", [Case(1, 0.7), Case(5, 1.0, whole=True), Case(6, 0.5, wild=2)])
def test_choosing_the_answers_by_their_spread_raises_no_false_alarm(case: Case) -> None:
    assert shares(case, case.limit, 150).red <= most(0.025, 150)


@pytest.mark.parametrize("case", [Case(3, 1.0), Case(6, 0.5, wild=2)])
def test_a_drop_of_twice_the_limit_is_red_and_none_is_green_in_80_percent(case: Case) -> None:
    """In more than that, since answers are asked for in steps; of whatever questions the spread is."""
    dropped, same = shares(case, case.large, 80), shares(case, 0.0, 80)
    assert min(dropped.red, same.green) >= 0.8 - 0.1
    assert dropped.green == same.red == 0
    assert 4 < same.answers < 14
