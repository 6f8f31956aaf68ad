"""The plan of gates: how long a run may take, and what its gates could see."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.family import family_confidence
from pytest_instructlab_eval.gates.gate_plan import (
    Answering,
    EarlierRun,
    GatePlan,
    plan_gates,
    planned_requests,
    planned_seconds,
)
from pytest_instructlab_eval.parsers import parse_power
from pytest_instructlab_eval.records.run import PlannedTest
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.plan_table import UNKNOWN, drop_text, plan_lines
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.repeated_answers import answers_interval
from pytest_instructlab_eval.stats.statistics import FEW_CLUSTERS, cluster_interval, fewest_clusters

TEST = PlannedTest("own", "q", "", "", None, 2, is_task=False, is_judged=False, is_repeated=False)
DROP = parse_gate("own.drop <= 0.1")


def timed(name: str, seconds: float) -> Result:
    return Result("own", name, "", "m", scores=(Score(1.0),), duration=seconds)


def test_a_question_takes_as_long_as_before_and_a_new_one_as_long_as_the_mean() -> None:
    tests = [TEST._replace(question=name) for name in ("a", "b", "new")]
    earlier = [timed("a", 1.0), timed("b", 5.0)]
    assert planned_seconds(tests, earlier, in_flight=1) == 1 + 5 + 3
    assert planned_seconds(tests, earlier, in_flight=100) == 5
    assert planned_seconds([TEST._replace(benchmark="other")], earlier, in_flight=1) is None
    assert planned_seconds([], earlier, in_flight=1) is None


def test_requests_are_unknown_where_those_of_one_test_are() -> None:
    assert planned_requests([TEST, TEST]) == 4
    assert planned_requests([TEST, TEST._replace(requests=None)]) is None


def answers(model: str, task: str, right: int, of: int) -> Result:
    samples = [Sample(str(number), float(number < right)) for number in range(of)]
    return Result("own", task, task, model, scores=(Score.mean_of(samples, metric="acc"),))


def test_more_questions_see_a_smaller_drop() -> None:
    """Four times as many questions see half as much above the limit."""
    earlier = EarlierRun([answers("m", "t", 60, 100)], [answers("m", "t", 70, 100)])
    few = TEST._replace(question="t", group="t", requests=100, is_task=True)
    (plan,) = plan_gates([DROP], [few], earlier, in_flight=1)
    assert plan.questions == plan.clusters == 100
    assert plan.smallest_drop is not None
    assert not plan.is_estimated
    (larger,) = plan_gates([DROP], [few._replace(requests=400)], earlier, in_flight=1)
    assert larger.is_estimated
    assert larger.smallest_drop == pytest.approx(0.1 + (plan.smallest_drop - 0.1) / 2)


def judged(count: int, *, clusters: int) -> list[PlannedTest]:
    return [
        TEST._replace(
            question=f"q{number}", cluster=f"c{number % clusters}" if clusters else "", is_judged=True
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "clusters", "can"),
    [(5, 0, False), (6, 0, True), (5, 1, False), (6, 1, True), (30, 2, False), (30, 5, False), (30, 6, True)],
)
def test_a_drop_of_ratings_needs_six_clusters(count: int, clusters: int, can: bool) -> None:
    (plan,) = plan_gates([DROP], judged(count, clusters=clusters), EarlierRun(), in_flight=1)
    assert (plan.cannot_fail == "") is can


@pytest.mark.parametrize(("drops", "fewest"), [(1, 6), (2, 7), (3, 7), (4, 8), (13, 10), (57, 10)])
def test_the_more_drops_are_decided_together_the_more_clusters_each_needs(drops: int, fewest: int) -> None:
    gates = [dataclasses.replace(DROP, limit=number / 100) for number in range(drops)]
    for count in (fewest - 1, fewest):
        plans = plan_gates(gates, judged(count, clusters=0), EarlierRun(), in_flight=1)
        assert {plan.cannot_fail == "" for plan in plans} == {count == fewest}
    (plan, *_) = plan_gates(gates, judged(5, clusters=0), EarlierRun(), in_flight=1)
    assert f"needs {fewest} that do not depend on each other" in plan.cannot_fail
    assert (f"a drop (one of {drops}, which are decided together)" in plan.cannot_fail) is (drops > 1)


@pytest.mark.parametrize(
    ("models", "can"), [(("m",), True), (("m", "base"), True), (("m", "n", "base"), False)]
)
def test_a_drop_of_each_candidate_counts_and_none_of_the_base_model(
    models: tuple[str, ...], can: bool
) -> None:
    tests = [test._replace(model=model) for model in models for test in judged(6, clusters=0)]
    (plan,) = plan_gates([DROP], tests, EarlierRun(), in_flight=1, base_model="base")
    assert (plan.cannot_fail == "") is can


@pytest.mark.parametrize("drops", range(1, 30))
def test_the_plan_needs_as_many_clusters_as_the_interval(drops: int) -> None:
    confidence = family_confidence(drops)
    fewest = fewest_clusters(confidence)
    clusters = [[float(number)] for number in range(fewest)]
    assert cluster_interval(clusters, confidence) is not None
    assert cluster_interval(clusters[1:], confidence) is None or fewest - 1 >= FEW_CLUSTERS


def test_a_gate_on_a_mean_can_always_decide() -> None:
    (plan,) = plan_gates([parse_gate("own >= 0.5")], judged(1, clusters=0), EarlierRun(), in_flight=1)
    assert (plan.cannot_fail, plan.smallest_drop) == ("", None)


def test_a_gate_without_a_test_has_no_plan() -> None:
    assert plan_gates([parse_gate("other >= 0.5")], [TEST], EarlierRun(), in_flight=1) == []


def test_of_several_drop_gates_each_sees_less() -> None:
    earlier = EarlierRun([answers("m", "t", 60, 100)], [answers("m", "t", 70, 100)])
    task = TEST._replace(question="t", group="t", requests=100, is_task=True)
    (alone,) = plan_gates([DROP], [task], earlier, in_flight=1)
    both = plan_gates([DROP, dataclasses.replace(DROP, limit=0.2)], [task], earlier, in_flight=1)
    assert alone.smallest_drop is not None
    assert both[0].smallest_drop is not None
    assert both[0].smallest_drop > alone.smallest_drop


@pytest.mark.parametrize("text", ["mmlu=0.02", "mmlu=2%", " a b = .5 ", "x=1"])
def test_a_power_is_a_benchmark_and_a_drop(text: str) -> None:
    assert parse_power(text).count("=") == 1


@given(st.text(max_size=12).filter(lambda text: "=" not in text))
def test_any_other_text_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected BENCHMARK=X, such as mmlu=0.02 or mt_bench=5%"):
        parse_power(text)


@pytest.mark.parametrize("text", ["mmlu=0", "mmlu=-1", "mmlu=1e400", "=1", "mmlu=%", "mmlu=1=2", "mmlu=nan"])
def test_a_drop_is_a_number_above_0(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected BENCHMARK=X"):
        parse_power(text)


@pytest.mark.parametrize(
    ("answering", "can"),
    [
        (Answering(4, on_both_sides=True), True),
        (Answering(None, on_both_sides=True), True),
        (Answering(1, on_both_sides=True), False),
        (Answering(4, on_both_sides=False), False),
        (Answering(4, on_both_sides=True, about="like-these"), False),
    ],
)
def test_a_drop_about_these_questions_needs_several_answers_on_both_sides(
    answering: Answering, can: bool
) -> None:
    tests = [test._replace(is_repeated=True) for test in judged(5, clusters=1)]
    (plan,) = plan_gates([DROP], tests, EarlierRun(), in_flight=1, answering=answering)
    assert (plan.cannot_fail == "") is can


@pytest.mark.parametrize(
    ("questions", "repeats", "drops", "needed"),
    [
        (1, 2, 1, 4),
        (1, 3, 1, 4),
        (2, 2, 1, 3),
        (3, 2, 1, None),
        (1, 4, 1, None),
        (1, 4, 2, 5),
        (2, 3, 3, None),
    ],
)
def test_few_questions_need_more_answers(
    questions: int, repeats: int, drops: int, needed: int | None
) -> None:
    """As the interval does: even a complete separation of fewer answers could be chance."""
    tests = [test._replace(is_repeated=True) for test in judged(questions, clusters=1)]
    gates = [dataclasses.replace(DROP, limit=number / 100) for number in range(drops)]
    answering = Answering(repeats, on_both_sides=True)
    (plan, *_) = plan_gates(gates, tests, EarlierRun(), in_flight=1, answering=answering)
    expected = f"{repeats} answers each, and a drop"
    assert (plan.cannot_fail == "") is (needed is None)
    assert needed is None or expected in plan.cannot_fail
    assert needed is None or plan.cannot_fail.endswith(f"answers to each (--eval-repeat {needed})")
    ours, theirs = ([[float(number + more) for number in range(repeats)]] * questions for more in (0, 20))
    assert (answers_interval(ours, theirs, family_confidence(drops)) is None) is (needed is not None)


def test_repeats_are_no_help_to_tests_that_are_not_repeated() -> None:
    answering = Answering(4, on_both_sides=True)
    (plan,) = plan_gates([DROP], judged(5, clusters=1), EarlierRun(), in_flight=1, answering=answering)
    assert plan.cannot_fail


def rated(model: str, question: str, *ratings: float) -> Result:
    score = Score(sum(ratings) / len(ratings), maximum=10.0, answers=ratings if len(ratings) > 1 else ())
    return Result("own", question, "", model, scores=(score,))


@pytest.mark.parametrize("about", [None, "these"])
def test_single_answers_of_an_earlier_run_do_not_say_what_several_would_see(about: GateAbout | None) -> None:
    tests = [test._replace(is_repeated=True) for test in judged(5, clusters=1)]
    names = [test.question for test in tests]
    once = EarlierRun([rated("m", name, 5.0) for name in names], [rated("m", name, 6.0) for name in names])
    answering = Answering(4, on_both_sides=True, about=about)
    (plan,) = plan_gates([DROP], tests, once, in_flight=1, answering=answering)
    assert (plan.cannot_fail, plan.smallest_drop) == ("", None)
    often = EarlierRun(
        [rated("m", name, 4.0, 5.0, 6.0, 5.0) for name in names],
        [rated("m", name, 5.0, 6.0, 7.0, 6.0) for name in names],
    )
    (plan,) = plan_gates([DROP], tests, often, in_flight=1, answering=answering)
    assert plan.smallest_drop is not None


@pytest.mark.parametrize(("is_estimated", "said"), [(True, True), (False, False)])
def test_the_plan_says_what_about_means_where_it_says_about(is_estimated: bool, said: bool) -> None:
    plan = GatePlan(DROP, 10, 10, 20, None, smallest_drop=0.2, is_estimated=is_estimated)
    text = " ".join(plan_lines([plan]))
    assert "The smallest drop is what would fail the gate in 80 % of runs." in text
    assert ("about 0.2000" in text) == said
    assert ('With "about" it is an estimate, since the earlier run asked other questions' in text) == said


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"smallest_drop": 0.04119}, "0.0412"),
        ({"smallest_drop": 1.234}, "1.23"),
        ({"smallest_drop": 0.2, "is_estimated": True}, "about 0.2000"),
        ({"cannot_fail": "too few questions"}, "cannot decide"),
        ({}, UNKNOWN),
    ],
)
def test_the_smallest_drop_in_words(plan: dict[str, Any], text: str) -> None:
    assert drop_text(GatePlan(DROP, 10, 10, 20, None, **plan)) == text
