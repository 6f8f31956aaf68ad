"""Gates about these very questions hold what the statistics page says of them, in a few runs of each."""

from __future__ import annotations

import math

import pytest

from .repeated_answers import SETTINGS, Setting, agreement, failing, noisy, permutation_p_value, shares

RUNS = 200
BY_NAME = {setting.name: setting for setting in SETTINGS}


def most(share: float, runs: int = RUNS) -> float:
    """Return the largest share that so many runs of this true share give, but for three standard errors."""
    return share + 3 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize("name", ["5 x 4", "3 x 8", "5 x 2", "5 x 4, near the top", "5 x 2, little noise"])
def test_a_model_as_good_as_before_is_rarely_red_and_a_drop_at_the_limit_rarely_green(name: str) -> None:
    found = shares(BY_NAME[name].reports(0.0, RUNS))
    assert max(found["failed"], found["passed"]) <= most(0.025)


@pytest.mark.parametrize(
    ("name", "drop", "power"), [("5 x 4", 1.0, 0.81), ("5 x 4", 1.5, 0.99), ("3 x 8", 1.0, 0.9)]
)
def test_a_real_drop_is_mostly_red(name: str, drop: float, power: float) -> None:
    red = shares(BY_NAME[name].reports(drop, RUNS, seed=1))["failed"]
    assert 1 - red <= most(1 - power)


def test_the_drop_that_a_run_says_it_could_see_is_seen_in_80_percent() -> None:
    setting = BY_NAME["5 x 4, limit 0.5"]
    reports = setting.reports(0.5, RUNS)
    drops = sorted(report.minimum_detectable_drop or 0.0 for report in reports)
    red = shares(setting.reports(drops[RUNS // 2], RUNS, seed=2))["failed"]
    assert abs(red - 0.8) <= 3 * math.sqrt(0.16 / RUNS) + 0.02


@pytest.mark.parametrize("questions", [1, 2, 5])
def test_two_answers_without_spread_are_no_certainty(questions: int) -> None:
    """One answer in ten fails: many runs show no spread, though the models differ."""
    setting = Setting("rare failures", questions, 2, failing(0.1), 0.5)
    reports = setting.reports(0.5, RUNS)
    silent = [report for report in reports if "no two answers to a question" in report.message]
    assert {report.verdict for report in silent} <= {"inconclusive"}
    assert shares(reports)["failed"] <= most(0.025)


def test_the_interval_agrees_with_all_dealings_of_the_ratings() -> None:
    level = agreement(BY_NAME["5 x 4"], 0.0, 150)
    assert max(level[:2]) <= most(0.025, 150)
    *powers, apart = agreement(BY_NAME["5 x 4"], 1.0, 150)
    assert min(powers) >= 0.7
    assert apart <= 0.1


def test_all_dealings_of_one_question_are_counted() -> None:
    ((ours, theirs),) = Setting("1 x 4", 1, 4, noisy(0.0)).runs(4.0, 1, 0)
    assert permutation_p_value(ours, theirs) == 1 / 70
    assert permutation_p_value(theirs, ours) == 1.0
