"""How judges agree with each other, and one with itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.stats.agreement import judge_spread, judges_agreement, krippendorff_alpha

Coders = Sequence[str]

# Krippendorff 2011, section C: four observers, twelve units, numbers 1 to 5, some missing.
KRIPPENDORFF_2011 = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .",
                     "1 2 3 3 2 4 4 1 2 5 1 .")  # fmt: skip
# https://en.wikipedia.org/wiki/Krippendorff%27s_alpha#A_computational_example
THREE_CODERS = (". . . . . 3 4 1 2 1 1 3 3 . 3", "1 . 2 1 3 3 4 3 . . . . . . .",
                ". . 2 1 3 4 4 . 2 1 1 3 3 . 4")  # fmt: skip


def units(coders: Coders) -> list[list[float]]:
    columns = zip(*(coder.split() for coder in coders), strict=True)
    return [[float(mark) for mark in column if mark != "."] for column in columns]


@pytest.mark.parametrize(
    ("coders", "alpha"), [(KRIPPENDORFF_2011, 0.849), (THREE_CODERS, 0.811)], ids=["2011", "three coders"]
)
def test_alpha_is_what_was_published(coders: Coders, alpha: float) -> None:
    assert krippendorff_alpha(units(coders)) == pytest.approx(alpha, abs=0.0005)


def test_full_agreement_is_one_and_systematic_disagreement_is_below_zero() -> None:
    assert krippendorff_alpha([[1, 1], [5, 5], [9, 9]]) == 1
    alpha = krippendorff_alpha([[1, 9], [9, 1]])
    assert alpha is not None
    assert alpha < 0


@pytest.mark.parametrize(
    "ratings", [[], [[7, 7], [7, 7]], [[3], [8]]], ids=["none", "all the same", "one each"]
)
def test_where_nothing_can_be_told_there_is_no_alpha(ratings: list[list[float]]) -> None:
    assert krippendorff_alpha(ratings) is None


@given(st.lists(st.lists(st.integers(1, 10), min_size=1, max_size=4), min_size=2, max_size=8))
def test_alpha_is_that_of_the_coincidences(ratings: list[list[float]]) -> None:
    """The definition, by all pairs of values: 1 - (n - 1) of those inside units over those of all."""
    paired = [unit for unit in ratings if len(unit) > 1]
    values = [value for unit in paired for value in unit]
    n = len(values)
    inside = sum(sum((a - b) ** 2 for a in unit for b in unit) / (len(unit) - 1) for unit in paired)
    overall = sum((a - b) ** 2 for a in values for b in values)
    alpha = krippendorff_alpha(ratings)
    if not overall:
        assert alpha is None
    else:
        assert alpha == pytest.approx(1 - (n - 1) * inside / overall)


def judged(*judgments: dict[str, Any]) -> Score:
    evidence = Evidence.from_plain({"judgments": [{"judgment": "so", **entry} for entry in judgments]})
    return Score(5.0, maximum=10.0, evidence=evidence)


def test_agreement_is_over_answers_that_several_judges_rated() -> None:
    scores = [
        judged({"judge": "a", "rating": 2.0}, {"judge": "b", "rating": 3.0}),
        judged({"judge": "a", "rating": 9.0}, {"judge": "b", "rating": 8.0}),
        judged({"judge": "a", "rating": 5.0}, {"judge": "b", "rating": None}),
        Score(4.0, maximum=10.0),
    ]
    assert judges_agreement(scores) == (krippendorff_alpha([[2, 3], [9, 8]]), 2)


def test_a_judge_that_is_asked_again_counts_once_for_the_agreement() -> None:
    again = judged(
        {"judge": "a", "rating": 2.0}, {"judge": "a", "rating": 4.0}, {"judge": "b", "rating": 5.0}
    )
    other = judged({"judge": "a", "rating": 8.0}, {"judge": "b", "rating": 8.0})
    assert judges_agreement([again, other])[0] == krippendorff_alpha([[3, 5], [8, 8]])


def test_the_spread_is_inside_an_answer_and_a_judge() -> None:
    first = judged({"answer": "1", "rating": 2.0}, {"answer": "1", "rating": 4.0},
                   {"answer": "2", "rating": 9.0}, {"answer": "2", "rating": 9.0})  # fmt: skip
    spread, answers = judge_spread([first])
    assert spread == pytest.approx(((2 + 0) / 2) ** 0.5)
    assert answers == 2


def test_judgments_of_one_each_show_no_spread() -> None:
    panel = judged({"judge": "a", "rating": 2.0}, {"judge": "b", "rating": 3.0})
    assert judge_spread([panel, Score(4.0, maximum=10.0)]) == (None, 0)
