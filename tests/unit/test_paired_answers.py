"""The test of right and wrong answers to the same questions: its level, its power, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy  # its parts are loaded when they are asked for
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.stats.paired_answers import PairedAnswers

QUANTILE = 1.959963984540054  # of the normal distribution, 97.5 %
UNEVEN = (3, 5, 8, 20, 60, 100)


def found_above(margin: float, losses: int, gains: int, count: int) -> bool:
    return PairedAnswers([losses], [gains], [count]).score(margin, 1.0) > QUANTILE


@pytest.mark.parametrize(
    ("changed", "margin"),
    [(0.05, 0.0), (0.05, 0.02), (0.05, 0.05), (0.1, 0.0), (0.1, 0.1), (0.2, 0.02), (0.4, 0.0), (0.4, 0.1)],
)
def test_of_60_questions_a_drop_of_exactly_the_margin_is_above_it_in_at_most_2_5_percent(
    changed: float, margin: float
) -> None:
    """Over all outcomes with their probabilities, not simulated."""
    total, losing = 0.0, (changed + margin) / 2 / changed
    for changes in range(61):
        probability = scipy.stats.binom.pmf(changes, 60, changed)
        if probability > 1e-6:
            total += probability * sum(
                scipy.stats.binom.pmf(losses, changes, losing)
                for losses in range(changes + 1)
                if found_above(margin, losses, changes - losses, 60)
            )
    assert total <= 0.025


def runs(counts: tuple[int, ...], drop: float, gains: float, number: int = 600) -> list[PairedAnswers]:
    generator = np.random.default_rng(7)
    shares = (gains + drop, gains, 1 - 2 * gains - drop)
    drawn = np.stack([generator.multinomial(count, shares, number) for count in counts], axis=1)
    return [PairedAnswers(run[:, 0].tolist(), run[:, 1].tolist(), counts) for run in drawn]


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("counts", [(20,) * 3, (2,) * 30, UNEVEN], ids=["3 of 20", "30 of 2", "uneven"])
def test_so_it_is_of_strata(counts: tuple[int, ...], margin: float) -> None:
    found = runs(counts, margin, 0.06)
    above = np.mean([run.score(margin, 1.0) > QUANTILE for run in found])
    below = np.mean([run.score(margin, -1.0) < -QUANTILE for run in found])
    assert above <= 0.025 + 3 * math.sqrt(0.025 / len(found))
    assert above + below <= 0.06


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("counts", [(60,), (20,) * 3, UNEVEN, (200,)], ids=["60", "3 of 20", "uneven", "200"])
def test_a_drop_that_could_be_seen_is_seen_in_about_80_percent(
    counts: tuple[int, ...], margin: float
) -> None:
    like = PairedAnswers([round(0.1 * n) for n in counts], [round(0.1 * n) for n in counts], counts)
    gains = sum(like.gains) / sum(counts)
    drop = like.detectable_drop(margin)
    assert drop is not None
    seen = np.mean([run.score(margin, 1.0) > QUANTILE for run in runs(counts, drop, gains)])
    assert 0.75 <= seen <= 0.86


def test_of_a_few_questions_not_even_a_drop_of_all_can_be_seen() -> None:
    assert PairedAnswers([0], [0], [3]).detectable_drop() is None


def test_at_no_drop_it_is_mcnemars_with_half_the_correction() -> None:
    run = PairedAnswers([15], [5], [100])
    statistic = (15 - 5 - 0.5) / math.sqrt(15 + 5)
    assert run.score(0.0, 1.0) == pytest.approx(statistic)
    assert run.p_value(0.0) == pytest.approx(2 * scipy.stats.norm.sf(statistic))


COUNTS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=8
)


@given(COUNTS.filter(lambda strata: all(sum(stratum) for stratum in strata)))
def test_the_interval_holds_the_drop_and_has_all_that_the_test_does_not_reject(
    strata: list[tuple[int, int, int]],
) -> None:
    run = PairedAnswers([s[0] for s in strata], [s[1] for s in strata], [sum(s) for s in strata])
    low, high = run.interval()
    assert -1 <= low <= run.drop <= high <= 1
    assert low < high
    for margin in (-0.5, -0.02, 0.0, 0.02, 0.5):
        if abs(margin - low) > 1e-9:
            assert (low > margin) == (run.p_value(margin) < 0.05)
    wider = run.interval(0.99)
    assert wider.low <= low
    assert wider.high >= high
