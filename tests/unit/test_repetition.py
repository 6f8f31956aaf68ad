"""How often `--eval-repeat auto` asks each question."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.evidence import Evidence, ModelReply
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.stats.needed_repeats import (
    MOST,
    Aim,
    AnswerSpread,
    Moments,
    decisive_distance,
    first_repeats,
    has_spread,
    needed_repeats,
)
from pytest_instructlab_eval.stats.repeated_answers import bound_without_spread, standard_errors
from pytest_instructlab_eval.suites import mt_bench
from pytest_instructlab_eval.suites.answer_aims import (
    AskedQuestion,
    EarlierAnswers,
    Purpose,
    answer_ratings,
    purposes_of,
    undecided_gates,
)
from pytest_instructlab_eval.suites.repeat_notes import repeat_notes
from pytest_instructlab_eval.suites.repetition import Repetition, when_decided
from pytest_instructlab_eval.suites.selection import asked_questions

QUESTIONS = [AskedQuestion(f"q{number}", "ab"[number % 2]) for number in range(6)]
NAMES = frozenset(question.name for question in QUESTIONS)


def score(*ratings: float | None, metric: str = "rating") -> Score:
    known = [rating for rating in ratings if rating is not None]
    value = statistics.fmean(known) if known else None
    return Score(value, metric, 10.0, answers=tuple(ratings))


def result(question: str, *ratings: float) -> Result:
    return Result("mt_bench_branch", question, "a", "tiny", scores=(score(*ratings),))


def settings(*gates: str, **more: object) -> Settings:
    options = {"model": ("tiny",), "base_model": "base", "gate": gates, "repeat": "auto", **more}
    return Settings(**options)  # type: ignore[arg-type]


def purposes(*gates: str, earlier: EarlierAnswers | None = None, **more: object) -> list[Purpose]:
    own = settings(*gates, **more)
    return purposes_of(own, "mt_bench_branch", 10, QUESTIONS, earlier or EarlierAnswers())


# --- the number that a spread needs ---


@pytest.mark.parametrize(("limit", "distance"), [
    (0.5, 0.5), (1, 1), (2, 2), (0.2, 0.2),  # from 0, which is as near as twice the limit or nearer
    (0, 1), (-0.5, 1),  # which no drop of 0 can pass
])  # fmt: skip
def test_a_drop_of_0_and_one_of_twice_the_limit_are_told_from_it(limit: float, distance: float) -> None:
    assert decisive_distance(limit, 10) == pytest.approx(distance)


def test_the_number_is_that_of_textbooks_where_the_spread_is_known() -> None:
    """With z quantiles, K = 2 (1.96 + 0.84)^2 s^2 / (Q d^2): 3.14, 12.6 and 62.8; t needs a little more."""
    sure = [AnswerSpread(1.0, 1e6)]
    assert needed_repeats(Aim(5, 1.0), sure) == 4
    assert needed_repeats(Aim(500, 0.05), sure) == 13
    assert needed_repeats(Aim(1, 0.5), sure) == 64


@given(
    st.integers(1, 40), st.sampled_from([0.2, 0.5, 1.0, 2.0]),
    st.lists(st.tuples(st.floats(0, 9), st.integers(1, 15)), min_size=1, max_size=20),
)  # fmt: skip
def test_it_is_the_smallest_that_reaches_the_distance(
    questions: int, distance: float, parts: list[tuple[float, int]]
) -> None:
    aim, spreads = Aim(questions, distance), [AnswerSpread(variance, freedom) for variance, freedom in parts]
    needed = needed_repeats(aim, spreads)
    if needed is None:
        pytest.fail("both sides are asked, so some number is enough")
    if not has_spread(spreads):
        assert aim.reach_of_equals(needed) <= distance
        return
    assert needed >= 2
    assert aim.reach(Moments.of(spreads), needed) <= distance
    assert needed == 2 or aim.reach(Moments.of(spreads), needed - 1) > distance


def test_few_questions_are_asked_more_often_at_first() -> None:
    firsts = [first_repeats(Aim(questions, 1.0)) for questions in (1, 2, 3, 5, 15, 80)]
    assert firsts == [8, 8, 6, 4, 2, 2]


def test_a_baseline_of_too_few_answers_cannot_be_made_up_for() -> None:
    few, many = ([[5.0, 7.0, 6.0]] * 5, [[5.0, 7.0, 6.0] * 20] * 5)
    sure = [AnswerSpread(1.0, 50)]

    def against(answers: Sequence[Sequence[float]]) -> int | None:
        errors = standard_errors(answers, [[0.0, 0.0]] * 5)
        assert errors is not None
        return needed_repeats(Aim(5, 0.8, sides=1, fixed=tuple(errors[:5])), sure)

    assert against(few) is None
    assert against(many) == 4


# --- what the answers decide ---


def test_each_drop_gate_of_the_benchmark_is_a_purpose() -> None:
    whole, group = purposes(
        "mt_bench_branch.drop <= 0.5", "mt_bench_branch[a].rating.drop <= 1", "mmlu.drop <= 0.1",
        "mt_bench_branch >= 5",
    )  # fmt: skip
    assert (whole.questions, whole.metric, whole.aim.questions, whole.aim.distance) == (NAMES, None, 6, 0.5)
    assert (sorted(group.questions), group.metric) == (["q0", "q2", "q4"], "rating")
    assert whole.aim.confidence == pytest.approx(1 - 0.05 / 3)


def test_a_gate_of_the_command_line_replaces_one_of_the_ini_file() -> None:
    (purpose,) = purposes("mt_bench_branch.drop <= 1", gates=("mt_bench_branch.drop <= 0.5",))
    assert (purpose.text, purpose.aim.distance) == ("mt_bench_branch.drop <= 1", 1)


def test_without_a_drop_gate_the_scores_interval_is_the_purpose() -> None:
    for found in (purposes(), purposes("mt_bench_branch.drop <= 1", base_model=None)):
        (purpose,) = found
        assert (purpose.text, purpose.questions) == ("a 95 % interval of ±0.5 around the score", NAMES)
        assert (purpose.aim.sides, purpose.aim.distance) == (1, 0.5)


def test_a_drop_from_a_baseline_is_over_the_questions_that_it_has_repeated_answers_to() -> None:
    repeated = EarlierAnswers((result("q0", 5, 7), result("q1", 6, 8), result("gone", 1, 9)), compared=True)
    more = {"base_model": None, "baseline": Path("main.json")}
    gate, rest = purposes("mt_bench_branch.drop <= 1", earlier=repeated, **more)[0], None
    assert (gate.aim.questions, gate.aim.sides, len(gate.aim.fixed)) == (2, 1, 2)
    once = EarlierAnswers((result("q0", 5, 7), result("q1", 6)), compared=True)
    (rest,) = purposes("mt_bench_branch.drop <= 1", earlier=once, **more)
    assert rest.text == "a 95 % interval of ±0.5 around the score"


def test_a_gate_on_a_drop_from_a_baseline_is_undecided_where_no_purpose_is_of_it() -> None:
    texts = ("mt_bench_branch.drop <= 1", "mt_bench_branch[b].drop <= 2", "mt_bench.drop <= 3")
    (purpose,) = purposes(texts[0])
    own = settings(*texts, base_model=None, baseline=Path("main.json"))
    assert [gate.text for gate in undecided_gates(own, "mt_bench_branch", [purpose])] == [texts[1]]
    assert undecided_gates(settings(*texts), "mt_bench_branch", []) == []


def test_the_spreads_of_a_purpose_are_those_of_its_own_questions() -> None:
    (purpose,) = purposes("mt_bench_branch.drop <= 1")
    spreads = purpose.spreads([result("q0", 5, 7), result("q1", 6), result("gone", 1, 9)])
    assert spreads == [AnswerSpread.of([5, 7])]


def test_an_answers_rating_is_the_mean_of_its_turns() -> None:
    scores = [score(4, 6, None, metric="turn_1"), score(8, 10, 2, metric="turn_2")]
    assert answer_ratings(scores, None) == [6, 8]
    assert answer_ratings(scores, "turn_2") == [8, 10, 2]
    assert answer_ratings([score(4, 6, metric="turn_1")], "rating") == [4, 6]  # a pair has one turn
    assert answer_ratings([Score(4.0, "rating", 10.0)], None) == []


# --- the decision ---


def repetition(*gates: str, earlier: EarlierAnswers | None = None, when: str = "judged") -> Repetition:
    found = purposes(*(gates or ("mt_bench_branch.drop <= 1",)), earlier=earlier)
    return Repetition(found, earlier or EarlierAnswers(), when)  # type: ignore[arg-type]


def decided(plan: Repetition, key: tuple[str, str], asked: int = 3) -> int:
    return asyncio.run(plan.decide(key, asked))


def test_each_question_is_asked_8_times_where_the_spread_of_all_needs_more_than_a_few() -> None:
    wild, calm = (1.0, 5.0, 9.0), (6.0, 6.0, 7.0)
    plan = repetition()
    for model in ("tiny", "base"):
        for name in sorted(NAMES):
            plan.add((name, model), [score(*calm)], 3)
    assert {decided(plan, (name, "tiny")) for name in NAMES} == {3}
    plan.add(("q0", "tiny"), [score(*wild)], 3)
    assert {decided(plan, (name, "tiny")) for name in NAMES} == {8}


def test_the_spread_is_looked_at_again_at_8_answers_and_16_are_the_most() -> None:
    plan = repetition()
    plan.add(("q0", "tiny"), [score(1, 9, 5)], 3)
    assert decided(plan, ("q0", "tiny"), 3) == 8
    plan.add(("q0", "tiny"), [score(1, 9, 5, 1, 9, 5, 1, 9)], 8)
    assert decided(plan, ("q0", "tiny"), 8) == MOST
    plan.add(("q0", "tiny"), [score(*[1, 9] * 8)], MOST)
    assert decided(plan, ("q0", "tiny"), MOST) == MOST


def test_an_earlier_runs_spread_counts_where_this_one_has_little() -> None:
    earlier = EarlierAnswers(tuple(result(f"old{n}", 5, 6, 5, 6, 5) for n in range(20)))
    plan = repetition(earlier=earlier)
    plan.add(("q0", "tiny"), [score(4, 8, 6)], 3)
    assert decided(plan, ("q0", "tiny")) == 3
    plan = repetition()
    plan.add(("q0", "tiny"), [score(4, 8, 6)], 3)
    assert decided(plan, ("q0", "tiny")) == 8


def test_equal_ratings_are_no_certainty() -> None:
    plan = repetition()
    for name in sorted(NAMES):
        plan.add((name, "tiny"), [score(7, 7, 7)], 3)
    assert decided(plan, ("q0", "tiny")) == 7
    alike = [[[7.0] * count] * 6 for count in (6, 7)]
    assert [bound_without_spread(side, side, 10) > 1 for side in alike] == [True, False]


def test_of_questions_without_any_rating_no_more_is_asked() -> None:
    plan = repetition()
    for name in sorted(NAMES):
        plan.add((name, "tiny"), [score(None, None, None)], 3)
    assert decided(plan, ("q0", "tiny")) == 3


def test_a_question_waits_for_those_under_way_and_for_no_later_one() -> None:
    async def run() -> list[int]:
        plan, order = repetition(), []
        for name in ("q1", "q2"):
            plan.add((name, "base"), [score(6, 7, 6)], 3)

        async def other(name: str, seconds: float, ratings: tuple[float, ...]) -> None:
            with plan.under_way((name, "tiny")):
                await asyncio.sleep(seconds)
                plan.add((name, "tiny"), [score(*ratings)], 3)
            order.append(name)

        plan.add(("q0", "tiny"), [score(6, 7, 6)], 3)
        before = asyncio.ensure_future(other("q3", 0.02, (1, 9, 5)))
        await asyncio.sleep(0)
        deciding = asyncio.ensure_future(plan.decide(("q0", "tiny"), 3))
        await asyncio.sleep(0)
        later = asyncio.ensure_future(other("q4", 30, (6, 7, 6)))
        count = await asyncio.wait_for(deciding, 20)
        assert order == ["q3"]
        await before
        later.cancel()
        return [count]

    assert asyncio.run(run())[0] > 3


def test_a_question_that_fails_keeps_none_waiting() -> None:
    async def run() -> int:
        plan = repetition()
        plan.add(("q0", "tiny"), [score(6, 7, 6)], 3)

        async def failing() -> None:
            with plan.under_way(("q1", "tiny")):
                await asyncio.sleep(0.01)
                raise RuntimeError

        failed = asyncio.ensure_future(failing())
        await asyncio.sleep(0)
        count = await asyncio.wait_for(plan.decide(("q0", "tiny"), 3), 20)
        assert isinstance(failed.exception(), RuntimeError)
        return count

    assert asyncio.run(run()) >= 3


@given(st.dictionaries(
    st.tuples(st.sampled_from(sorted(NAMES)), st.sampled_from(["tiny", "base"])),
    st.lists(st.none() | st.floats(1, 10), max_size=8), min_size=1,
))  # fmt: skip
def test_whatever_the_ratings_a_question_is_asked_from_3_to_16_times(
    graded: dict[tuple[str, str], list[float | None]],
) -> None:
    plan = repetition("mt_bench_branch.drop <= 0.5", "mt_bench_branch[a].drop <= 0")
    for key, ratings in graded.items():
        plan.add(key, [score(*ratings)], len(ratings))
    for key in graded:
        assert 3 <= decided(plan, key) <= MOST


def test_before_any_answer_is_judged_the_earlier_spread_decides_or_the_widest() -> None:
    calm = EarlierAnswers(tuple(result(f"old{n}", 5, 6, 5, 6, 5) for n in range(6)))
    assert repetition(earlier=calm, when="answered").first(("q0", "tiny")) == 4
    assert repetition(when="answered").first(("q0", "tiny")) == MOST
    assert repetition("mt_bench_branch.drop <= 2", when="answered").first(("q0", "tiny")) == 6


@pytest.mark.parametrize(("more", "when"), [
    ({}, "judged"),  # the reference judge
    ({"stage": "answer"}, "answered"), ({"stage": "judge"}, "recorded"),
    ({"judge_model": ("j",), "base_url": ("u",)}, "judged"),
    ({"judge_model": ("j",)}, "answered"),  # three models take turns on the GPUs
    ({"judge_model": ("j",), "judge_base_url": ("u",)}, "judged"),
    ({"judge_model": ("j",), "judge_gpus": 1}, "judged"),  # it stays, and the two models take turns
    ({"judge_model": ("j", "k"), "judge_gpus": 1}, "answered"),
    ({"judge_model": ("tiny",), "judge_gpus": 1}, "answered"),
    ({"judge_model": ("tiny",), "base_model": None}, "judged"),  # one model, always there
])  # fmt: skip
def test_answers_are_judged_first_where_the_judge_is_there_all_the_time(
    more: dict[str, object], when: str
) -> None:
    assert when_decided(settings(**{"judge_model": ("reference",), **more})) == when


# --- an earlier run ---


def test_the_last_runs_answers_count_where_its_judges_were_the_same(tmp_path: Path) -> None:
    document = {
        "schema_version": 1, "fingerprint": {"model": "tiny", "judge_model": ["j"]},
        "benchmarks": {"mt_bench_branch": {
            "maxima": {"rating": 10.0},
            "questions": {"q0": {"scores": {"rating": 6.0}, "answers": {"rating": [5.0, 7.0]}}},
        }},
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(document), "utf-8")

    def spreads(judge: str, **more: object) -> list[AnswerSpread]:
        own = settings(judge_model=(judge,), output_dir=tmp_path, **more)
        return EarlierAnswers.of(own, "mt_bench_branch").spreads(None)

    assert spreads("j") == [AnswerSpread(2.0, 1.0)]
    assert spreads("other") == []
    assert spreads("other", base_model=None, baseline=tmp_path / "results.json") == [AnswerSpread(2.0, 1.0)]
    (tmp_path / "results.json").write_text("{", "utf-8")
    assert spreads("j") == []


# --- what the questions say, and the notes ---


def test_a_questions_requests_are_what_is_known_now(mt_bench_folder: Path) -> None:
    (question, *_) = asked_questions(
        mt_bench.BENCHMARK,
        Settings(("tiny",), ("url",), judge_model=("j",), mt_bench_data=mt_bench_folder, repeat="auto"),
    )
    assert isinstance(question, mt_bench.MTBenchQuestion)
    assert question.auto is not None
    first = question.requests
    assert first == 2 * 5 * (1 + 1)  # turns, answers, an answer and its judgment
    plan, key = question.auto.repetition, (question.id, "tiny")
    plan.add(key, [score(1, 9, 5, metric="turn_1"), score(2, 8, 5, metric="turn_2")], 3)
    asyncio.run(plan.decide(key, 3))
    assert question.requests == 2 * 8 * 2
    plan.add((question.id, "base"), [], 3)
    assert question.requests == 2 * 6 * 2  # 5.5 of each model


def test_equal_questions_are_equal_however_often_they_are_asked(mt_bench_folder: Path) -> None:
    by_repeat = [
        asked_questions(mt_bench.BENCHMARK, Settings(("tiny",), mt_bench_data=mt_bench_folder, repeat=repeat))
        for repeat in (1, "auto")
    ]
    assert by_repeat[0] == by_repeat[1]


def answered(question: str, model: str, *ratings: float) -> Result:
    evidence = Evidence(replies=tuple(ModelReply("text") for _ in ratings))
    scores = (replace(score(*ratings), evidence=evidence),)
    return Result("mt_bench_branch", question, "a", model, scores=scores)


def test_a_run_without_auto_has_no_note() -> None:
    assert repeat_notes(replace(settings(), repeat=3), [answered("q0", "tiny", 4, 6)]) == []


def test_the_notes_of_a_shard_only_count() -> None:
    results = [answered("q0", "tiny", 1, 9), answered("q0", "base", 2, 8, 5)]
    own = settings("mt_bench_branch.drop <= 1", judge_model=("j",), base_url=("url",))
    count, few = repeat_notes(own, results)
    assert count == "mt_bench_branch: 2 to 3 answers to each of 1 question by 2 models, 6 requests more"
    assert few.startswith(
        "warning: mt_bench_branch.drop <= 1: 16 answers are too few; with 1 question and a "
    )
    assert repeat_notes(replace(own, shard=(1, 2)), results) == [count]


@given(st.lists(st.tuples(
    st.sampled_from(["mt_bench", "mt_bench_branch", "mmlu", "own"]), st.sampled_from(["q0", "q1"]),
    st.sampled_from(["tiny", "base"]), st.lists(st.floats(1, 10), max_size=5),
), max_size=6))  # fmt: skip
def test_any_results_have_notes_in_plain_sentences(parts: list[tuple[str, str, str, list[float]]]) -> None:
    results = [
        replace(answered(question, model, *ratings), benchmark=name)
        for name, question, model, ratings in parts
    ]
    for note in repeat_notes(settings("mt_bench_branch.drop <= 1", "mt_bench.turn_1.drop <= 0"), results):
        assert note.removeprefix("warning: ").startswith(("mt_bench", "a 95 % interval"))
        assert "nan" not in note
