"""A small version of the simulations: several gated drops, and the best of many checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from .multiple_verdicts import Checkpoints, Family, any_red, ranked, separate, shared


def most(share: float, runs: int) -> float:
    """Return the highest share that so many runs show by chance: three standard errors above the true one."""
    return share + 3 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize("kind", [separate, shared])
def test_of_several_gates_on_drops_rarely_any_fails_where_nothing_dropped(
    kind: Callable[[int], Family],
) -> None:
    """With each gate decided alone, one of eight fails in a fifth of runs."""
    assert any_red(kind(8), 40, lambda _: 0.0) <= most(0.025, 40)


def test_a_drop_among_several_is_still_found() -> None:
    assert any_red(separate(4), 20, lambda index: 1.5 * (index == 0)) >= 0.9


def test_no_verdict_contradicts_its_interval() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        for report in separate(6).reports(generator, lambda index: index / 4):
            assert report.interval is not None
            assert (report.interval.low > report.gate.limit) == (report.verdict == "failed")
            assert (report.interval.high <= report.gate.limit) == (report.verdict == "passed")


def test_the_true_best_of_twenty_is_rarely_left_out_and_the_luck_of_the_winner_is_known() -> None:
    """At 95 % for each of them, the best of twenty equals is left out in a fifth of runs."""
    found = ranked(Checkpoints(20, 15), 30)
    assert found.left_out <= most(0.05, 30)
    assert found.bias > 0.03
    assert found.estimate == pytest.approx(found.bias, rel=0.15)


def test_a_clear_winner_is_told_apart_and_has_no_luck() -> None:
    found = ranked(Checkpoints(10, 15, ahead=0.3), 10)
    assert (found.left_out, found.kept) == (0, 1)
    assert found.estimate < 0.001
