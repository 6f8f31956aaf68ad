"""Drops about these very questions: when a verdict is, what it rests on, and what it says."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates, gate_verdicts
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.records.evidence import Evidence, Judgment
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.comparison import paired_comparison
from pytest_instructlab_eval.stats.repeated_answers import (
    AnswersComparison,
    answers_interval,
    bound_without_spread,
    chance_of_separation,
    detectable_drop_of_answers,
    drop_of_answers,
    fewest_answers,
)
from pytest_instructlab_eval.stats.statistics import CONFIDENCE

RATINGS = st.lists(st.integers(1, 10).map(float), min_size=2, max_size=5)
CELLS = st.lists(st.tuples(RATINGS, RATINGS), min_size=1, max_size=6)


def pair(
    number: int, *answers: float | None, model: str = "lab", file: str = "a/qna.yaml", same: bool = False
) -> Result:
    """A result of MT-Bench-Branch, with a rating for each of its answers."""
    rated = [rating for rating in answers if rating is not None]
    value = sum(rated) / len(rated) if rated else None
    repeated = answers if len(answers) > 1 else ()
    score = Score(value, "rating", 10.0, answers=repeated, same_answers=same)
    return Result("mt_bench_branch", f"{file}:{number}", file, model, "judge", (score,), cluster=file)


def side(*questions: Sequence[float | None], model: str = "lab", same: bool = False) -> list[Result]:
    return [pair(number, *answers, model=model, same=same) for number, answers in enumerate(questions)]


def report_of(
    ours: Sequence[Result],
    theirs: Sequence[Result],
    *,
    about: GateAbout | None = None,
    by_default: bool = False,
    limit: float = 0.5,
) -> GateReport:
    name = ours[0].benchmark
    (report,) = evaluate_gates(
        [parse_gate(f"{name}.drop <= {limit}")], ours, baseline=theirs, about=about,
        about_these=[name] if by_default else (),
    )  # fmt: skip
    return report


GOOD = [(8.0, 9.0, 8.0, 9.0)] * 5
BAD = [(3.0, 2.0, 3.0, 2.0)] * 5
ONCE = [(8.5,)] * 5
BAD_ONCE = [(2.5,)] * 5


# --- the numbers ---


@given(CELLS)
def test_the_interval_is_welchs_summed_over_the_questions(
    cells: list[tuple[list[float], list[float]]],
) -> None:
    ours, theirs = zip(*cells, strict=True)
    variances = [np.var(cell, ddof=1) / len(cell) for cell in (*ours, *theirs)]
    freedoms = [len(cell) - 1 for cell in (*ours, *theirs)]
    found = answers_interval(ours, theirs)
    if max(variances) == 0 or 2 * chance_of_separation(ours, theirs) > 0.05:
        assert found is None
        return
    variance = sum(variances) / len(ours) ** 2
    freedom = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    expected = scipy.stats.t.interval(0.95, freedom, drop_of_answers(ours, theirs), math.sqrt(variance))
    assert found == pytest.approx(expected)


def test_of_one_question_it_is_welchs_t_test() -> None:
    ours, theirs = [3.0, 4.0, 3.0, 5.0], [6.0, 8.0, 7.0, 8.0]
    expected = scipy.stats.ttest_ind(theirs, ours, equal_var=False).confidence_interval(0.95)
    assert answers_interval([ours], [theirs]) == pytest.approx((expected.low, expected.high))


def test_the_more_confidence_the_wider_it_is_and_the_fewer_have_one() -> None:
    ours, theirs = [[3.0, 4.0, 3.0]] * 2, [[6.0, 8.0, 7.0]] * 2
    ends = [answers_interval(ours, theirs, confidence) for confidence in (0.9, 0.95, 0.99)]
    assert None not in ends
    lows = [interval.low for interval in ends if interval is not None]
    assert lows == sorted(lows, reverse=True)
    assert answers_interval(ours, theirs, 0.999) is None  # 2 / 20^2 is more


@pytest.mark.parametrize(("answers", "chance"), [(2, 6), (3, 20), (4, 70)])
def test_the_chance_of_a_complete_separation_is_that_of_one_dealing(answers: int, chance: int) -> None:
    cell = [1.0] * answers
    assert len([*itertools.combinations(range(2 * answers), answers)]) == chance
    assert chance_of_separation([cell], [cell]) == pytest.approx(1 / chance)
    assert chance_of_separation([cell] * 3, [cell] * 3) == pytest.approx(chance**-3)


@pytest.mark.parametrize(("questions", "needed"), [(1, 4), (2, 3), (3, 2), (80, 2)])
def test_so_many_answers_are_needed_for_an_interval(questions: int, needed: int) -> None:
    assert fewest_answers(questions) == needed
    assert fewest_answers(questions, 0.9999) >= needed


@given(st.integers(1, 8), st.integers(2, 9), st.floats(0.5, 0.999))
def test_equal_ratings_are_as_unlikely_as_said_for_a_mean_that_far_away(
    questions: int, answers: int, confidence: float
) -> None:
    cells = [[5.0] * answers] * questions
    bound = bound_without_spread(cells, cells, 10.0, confidence)
    share = bound / 20  # how often each answer has another rating, at the other end of the scale
    likely = (1 - share) ** (2 * questions * (answers - 1))
    assert likely == pytest.approx((1 - confidence) / 2)


def test_more_answers_bound_a_drop_without_spread_more_closely() -> None:
    bounds = [bound_without_spread([[5.0] * k] * 5, [[5.0] * k] * 5, 10.0) for k in (1, 2, 4, 8, 16)]
    assert bounds == sorted(bounds, reverse=True)
    assert math.isinf(bounds[0])


def test_the_detectable_drop_begins_at_the_limit() -> None:
    ours, theirs = [[3.0, 4.0, 3.0]] * 2, [[6.0, 8.0, 7.0]] * 2
    none, half = (detectable_drop_of_answers(ours, theirs, margin) for margin in (0.0, 0.5))
    assert none is not None
    assert half == pytest.approx(none + 0.5)
    assert detectable_drop_of_answers([[3.0]], [[4.0]]) is None


# --- what a verdict is about ---


@pytest.mark.parametrize("by_default", [True, False])
def test_five_pairs_of_one_file_that_became_worse_are_red(by_default: bool) -> None:
    found = report_of(side(*BAD), side(*GOOD, model="base"), by_default=by_default)
    assert (found.verdict, found.about, found.n, found.value) == ("failed", "these", 5, 6.0)
    assert (
        "got 6.00 (on these 5 questions, 4 answers each, against base); the 95 % interval (" in found.message
    )


COMBINATIONS = [
    # ours, theirs, asked for, by default; what the verdict is about, and the verdict
    (BAD, GOOD, None, True, "these", "failed"),
    (BAD, GOOD, None, False, "these", "failed"),
    (BAD, GOOD, "these", False, "these", "failed"),
    (BAD, GOOD, "like-these", True, "like-these", "inconclusive"),
    (GOOD, GOOD, None, True, "these", "passed"),
    (BAD_ONCE, GOOD, None, True, "like-these", "inconclusive"),
    (BAD, ONCE, None, True, "like-these", "inconclusive"),
    (BAD_ONCE, ONCE, None, True, "like-these", "inconclusive"),
    (ONCE, GOOD, None, True, "like-these", "passed"),  # the same scores, as before
    (BAD_ONCE, GOOD, "these", True, "these", "inconclusive"),
    (BAD, ONCE, "these", True, "these", "inconclusive"),
    (BAD_ONCE, ONCE, "these", True, "these", "inconclusive"),
    (GOOD, BAD_ONCE, "these", True, "these", "inconclusive"),  # a rise, and yet nothing is known of chance
    (GOOD, BAD, None, True, "these", "passed"),
]


@pytest.mark.parametrize(("ours", "theirs", "asked_for", "by_default", "about", "verdict"), COMBINATIONS)
def test_each_combination_of_sides_and_options(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    asked_for: GateAbout | None,
    by_default: bool,
    about: GateAbout,
    verdict: str,
) -> None:
    if ours is GOOD and theirs is GOOD:
        theirs = [(9.0, 8.0, 9.0, 8.0)] * 5
    found = report_of(
        side(*ours), side(*theirs, model="base"), about=asked_for, by_default=by_default, limit=1.0
    )
    assert (found.about, found.verdict) == (about, verdict)


def test_many_files_without_the_default_are_questions_like_these() -> None:
    ours, theirs = (
        [pair(1, *answers, model=model, file=f"{n}/qna.yaml") for n in range(8)]
        for model, answers in (("lab", (6.0, 7.0)), ("base", (7.0, 7.0)))
    )
    assert report_of(ours, theirs).about == "like-these"
    assert report_of(ours, theirs, by_default=True).about == "these"
    assert report_of(ours, theirs, about="these").about == "these"


def test_samples_of_a_task_are_always_questions_like_these() -> None:
    samples = [Sample(str(number), number % 2 * 1.0) for number in range(6)]
    task = Result("mmlu_branch", "t", "t", "lab", scores=(Score.mean_of(samples, metric="acc"),))
    for about in ("these", None):
        found = report_of([task], [dataclasses.replace(task, model="base")], about=about, by_default=True)
        assert found.about == "like-these"


def test_a_gate_that_is_on_no_drop_is_about_nothing() -> None:
    (found,) = evaluate_gates([parse_gate("mt_bench_branch >= 5")], side(*GOOD), about="these")
    assert found.about is None


def test_a_run_says_what_its_drops_are_about() -> None:
    eight = [
        [pair(1, 6.0, 7.0, model=model, file=f"{n}/qna.yaml") for n in range(8)] for model in ("lab", "base")
    ]
    run = Run(
        (*eight[0], *eight[1]), {"gate_about": None}, models={"lab": "lab", "base": "base"}, base="base",
        gates=("mt_bench_branch.drop <= 0.5",),
    )  # fmt: skip

    def about(run: Run) -> GateAbout | None:
        return next(found.about for found in gate_verdicts(run, None) if found.gate.selector.figure.compares)

    assert about(run) == "like-these"
    assert about(dataclasses.replace(run, about_these=("mt_bench_branch",))) == "these"
    asked_for = dataclasses.replace(run, configuration={"gate_about": "these"})
    assert about(asked_for) == "these"


# --- no certainty from nothing ---


def test_a_question_with_one_rated_answer_has_no_spread_and_is_named() -> None:
    ours = side((8.0, 7.0), (None, 7.0), (6.0, 8.0))
    found = report_of(ours, side((8.0, 9.0), (9.0, 9.0), (9.0, 8.0), model="base"), about="these")
    assert (found.verdict, found.interval) == ("inconclusive", None)
    assert "got fewer for 1 of 3 questions (a/qna.yaml:1); ask each question 4 times" in found.message


def test_an_unscored_answer_is_no_score() -> None:
    ours, theirs = side((8.0, None, 8.0)), side((8.0, 8.0, 8.0), model="base")
    comparison = paired_comparison(ours, theirs)
    assert comparison is not None
    assert AnswersComparison.of(comparison, ours, theirs).our_answers[0].ratings == (8.0, 8.0)


def test_judgments_of_one_answer_are_about_that_answer_alone() -> None:
    evidence = Evidence(judgments=(Judgment(8.0, "", repeat="1"), Judgment(9.0, "", repeat="2")))
    judged = [
        dataclasses.replace(result, scores=(dataclasses.replace(result.scores[0], evidence=evidence),))
        for result in side(*BAD_ONCE)
    ]
    found = report_of(judged, side(*ONCE, model="base"), about="these")
    assert found.verdict == "inconclusive"
    assert "several judgments of one answer are about this answer alone" in found.message
    assert "(--eval-repeat 4)" in found.message


@pytest.mark.parametrize(("drop", "verdict"), [(9.0, "failed"), (2.0, "inconclusive"), (-5.0, "passed")])
def test_equal_ratings_are_bounded_by_the_scale(drop: float, verdict: str) -> None:
    before, after = (10.0, 10.0 - drop) if drop > 0 else (10.0 + drop, 10.0)
    found = report_of(side(*[(after,) * 4] * 5), side(*[(before,) * 4] * 5, model="base"))
    assert (found.verdict, found.about) == (verdict, "these")
    assert "no two answers to a question are rated differently" in found.message
    assert found.interval is not None
    assert found.interval.high - found.interval.low > 2


def test_two_answers_a_side_without_spread_show_nothing_of_one_question() -> None:
    found = report_of(side((1.0, 1.0)), side((10.0, 10.0), model="base"))
    assert found.verdict == "inconclusive"


@pytest.mark.parametrize(("limit", "verdict"), [(0.5, "failed"), (2.0, "passed")])
def test_equal_texts_at_temperature_0_are_exact(limit: float, verdict: str) -> None:
    ours, theirs = side((7.0, 7.0), same=True), side((8.0, 8.0), model="base", same=True)
    found = report_of(ours, theirs, limit=limit)
    assert (found.verdict, found.interval) == (verdict, (1.0, 1.0))
    assert "the same text at temperature 0, so the drop is exact" in found.message


def test_equal_texts_that_are_rated_differently_are_not_exact() -> None:
    ours, theirs = side(*[(7.0, 3.0)] * 5, same=True), side(*[(6.0, 6.0)] * 5, model="base", same=True)
    found = report_of(ours, theirs)
    assert found.verdict == "inconclusive"
    assert "is exact" not in found.message


def test_equal_means_of_different_answers_are_not_unchanged() -> None:
    found = report_of(side(*[(1.0, 9.0)] * 5), side(*[(5.0, 5.0)] * 5, model="base"))
    assert (found.value, found.verdict) == (0.0, "inconclusive")


def test_one_question_with_two_answers_says_how_many_it_needs() -> None:
    found = report_of(side((1.0, 2.0)), side((9.0, 8.0), model="base"), about="these")
    assert found.verdict == "inconclusive"
    assert "too few answers for a 95 % interval; ask each question 4 times" in found.message


# --- turns ---


def conversation(first: Sequence[float | None], second: Sequence[float | None], model: str = "lab") -> Result:
    scores = []
    for metric, answers in (("turn_1", first), ("turn_2", second)):
        rated = [rating for rating in answers if rating is not None]
        scores.append(Score(sum(rated) / len(rated), metric, 10.0, answers=tuple(answers)))
    return Result("mt_bench", "81-writing", "writing", model, "judge", tuple(scores))


def test_the_rating_of_an_answer_is_the_mean_over_its_turns() -> None:
    ours, theirs = (
        conversation((8.0, 6.0, None), (4.0, 2.0, 1.0)),
        conversation((9.0, 9.0), (9.0, 7.0), "base"),
    )
    comparison = paired_comparison([ours], [theirs])
    assert comparison is not None
    these = AnswersComparison.of(comparison, [ours], [theirs])
    assert these.our_answers[0].ratings == (6.0, 4.0)
    assert these.their_answers[0].ratings == (9.0, 8.0)
    assert (these.n, these.drop, these.counts) == (1, 3.5, (2, 2))


def test_the_comparison_is_otherwise_that_of_the_pairs() -> None:
    ours, theirs = side(*BAD), [*side(*GOOD, model="base"), pair(9, 5.0, 5.0, model="base")]
    comparison = paired_comparison(ours, theirs)
    assert comparison is not None
    assert comparison.interval() is None  # what is kept of it is not taken over
    these = AnswersComparison.of(comparison, ours, theirs)
    assert (these.worst(2), these.only_theirs) == (comparison.worst(2), ("a/qna.yaml:9",))
    assert these.p_value(0.5) < 0.001 < these.p_value(5.9)
    assert these.answers is None
    interval = these.interval(0.9)
    assert interval is not None
    assert these.detectable_drop(0.5, CONFIDENCE) == pytest.approx(0.5 + (these.detectable_drop() or 0.0))
    assert comparison.interval() is None
