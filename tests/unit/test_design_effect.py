"""As how many independent questions those of passages count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.comparison import Comparison, mean_interval, paired_comparison
from pytest_instructlab_eval.stats.design_effect import independent_share
from pytest_instructlab_eval.stats.paired_answers import PairedAnswers
from pytest_instructlab_eval.stats.statistics import CONFIDENCE

STRATA = st.lists(
    st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=6), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)


def test_questions_that_are_alone_with_their_passage_count_fully() -> None:
    assert independent_share([[[1.0], [0.0], [0.0]], [[1.0]]]) == 1.0


def test_ten_passages_whose_questions_agree_count_as_ten_questions_at_most() -> None:
    """The variances differ by the factor 5 * 49 / 45, and Student's quantile of nine degrees is larger."""
    share = independent_share([[[float(number % 2)] * 5 for number in range(10)]])
    assert share == pytest.approx(45 / 49 / 5 * (2.0096 / 2.2622) ** 2, rel=1e-3)


def test_without_spread_the_passages_are_counted() -> None:
    assert independent_share([[[1.0, 1.0, 1.0], [1.0]]]) == 2 / 4


def test_a_task_of_a_single_passage_counts_as_the_others_do() -> None:
    others = [[[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]]
    assert independent_share([*others, [[1.0, 0.0, 1.0]]]) == independent_share(others)
    assert independent_share([[[1.0, 0.0, 1.0]]]) == 1 / 3


@given(STRATA, st.floats(0.5, 1 - 1e-9))
def test_the_share_is_above_0_and_at_most_1(strata: list[list[list[float]]], confidence: float) -> None:
    assert 0 < independent_share(strata, confidence) <= 1


@given(STRATA)
def test_a_higher_confidence_needs_no_fewer_questions(strata: list[list[list[float]]]) -> None:
    assert independent_share(strata, 0.99) <= independent_share(strata, 0.9) + 1e-12


# --- in intervals ---


def task(*values: float, name: str = "task", passages: str = "") -> Result:
    letters = passages or "-" * len(values)
    samples = [
        Sample(str(number), value, passage=letter.strip("-"))
        for number, (value, letter) in enumerate(zip(values, letters, strict=True))
    ]
    return Result("mmlu_branch", name, name, "tiny", scores=(Score.mean_of(samples, metric="acc"),))


def compared(ours: Result, theirs: Result) -> Comparison:
    comparison = paired_comparison([ours], [theirs])
    assert comparison is not None
    return comparison


WRONG, RIGHT = (0.0,) * 10, (1.0,) * 10
HALF = (0.0,) * 5 + (1.0,) * 5


def test_losses_within_two_passages_are_less_certain_than_independent_ones() -> None:
    """Ten of twenty answers became wrong, all of them in two of four passages."""
    before = task(*RIGHT, *RIGHT)
    apart = compared(task(*WRONG, *RIGHT), before).interval()
    together = compared(task(*WRONG, *RIGHT, passages="aaaaabbbbbcccccddddd"), before).interval()
    assert apart is not None
    assert together is not None
    assert together.low < 0 < apart.low
    assert together.high >= apart.high


def test_passages_of_one_question_each_change_nothing() -> None:
    before = task(*RIGHT)
    apart = compared(task(*HALF, passages="abcdefghij"), before)
    assert apart.interval() == PairedAnswers([5], [0], [10]).interval()


def test_where_questions_share_passages_mcnemars_test_is_not_shown() -> None:
    before = task(*RIGHT)
    assert compared(task(*HALF), before).mcnemar is not None
    assert compared(task(*HALF, passages="aabbccddee"), before).mcnemar is None


def test_the_drop_that_could_be_seen_is_larger_with_passages() -> None:
    before, after = task(*RIGHT * 4), task(*HALF * 4)
    apart = compared(after, before).detectable_drop()
    together = compared(task(*HALF * 4, passages="ab" * 10 + "cd" * 10), before).detectable_drop()
    assert apart is not None
    assert together is None or together > apart
    pairs = "".join(letter * 2 for letter in "abcdefghijklmnopqrst")
    of_two = compared(task(*HALF * 4, passages=pairs), before).detectable_drop()
    assert of_two is not None
    assert of_two > apart


def test_the_interval_of_a_mean_is_wider_with_passages() -> None:
    apart, together = (
        mean_interval([task(*HALF, passages=passages)]) for passages in ("----------", "aaaaabbbbb")
    )
    assert apart is not None
    assert together is not None
    assert together.low < apart.low < apart.high < together.high


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=12), st.data())
def test_an_interval_of_passages_holds_the_drop_and_its_p_value_agrees(
    passages: list[str], data: st.DataObject
) -> None:
    answers = st.lists(st.sampled_from([0.0, 1.0]), min_size=len(passages), max_size=len(passages))
    ours, theirs = data.draw(answers), data.draw(answers)
    comparison = compared(task(*ours, passages="".join(passages)), task(*theirs))
    interval = comparison.interval()
    assert interval is not None
    assert -1 <= interval.low <= comparison.drop <= interval.high <= 1
    assert (interval.low > 0) == (comparison.p_value(0.0) < 1 - CONFIDENCE)
