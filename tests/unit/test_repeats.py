"""Questions that are asked, and answers that are judged, more than once."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_instructlab_eval.data.answers import read_answers
from pytest_instructlab_eval.data.taxonomy import QnaPair
from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.judges import Judge, LLMJudge, Panel
from pytest_instructlab_eval.judges.separate_judging import PostponedJudge, RecordedAnswers
from pytest_instructlab_eval.models import Message
from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.scores_table import scores_table
from pytest_instructlab_eval.seeds import Seed
from pytest_instructlab_eval.stats.summary import summarise
from pytest_instructlab_eval.suites import mt_bench, mt_bench_branch
from pytest_instructlab_eval.suites.instructlab_files import write_instructlab_files
from pytest_instructlab_eval.suites.mt_bench import MTBenchQuestion

from .fakes import Chat, FakeModel


class NumberedModel(FakeModel):
    """Says which time a question is asked."""

    def __init__(self) -> None:
        super().__init__(lambda messages: f"time {repeat(self.chats[-1])}, turn {turns(messages)}")


def turns(messages: Sequence[Message]) -> int:
    return sum(message["role"] == "user" for message in messages)


def saying(*ratings: object) -> FakeModel:
    """A judge that gives these ratings in turn, again and again."""
    said = itertools.cycle(ratings)
    return FakeModel(lambda messages: f"So it is. [[{next(said)}]]", name="prometheus")


def asked(folder: Path, category: str, repeats: int) -> MTBenchQuestion:
    found = mt_bench.mt_bench_questions(folder, repeats=repeats)
    return next(question for question in found if question.category == category)


def scored(question: MTBenchQuestion, model: FakeModel, judge: Judge) -> list[Score]:
    async def run() -> list[Score]:
        answer = await mt_bench.answer_mt_bench(question, model)
        return await mt_bench.grade_mt_bench(question, answer, judge)

    return asyncio.run(run())


def repeat(chat: Chat) -> int:
    """Which time it is, from 0; -1 without a seed."""
    return chat.seed.repeat if isinstance(chat.seed, Seed) else -1


def repeats(chats: Sequence[Chat]) -> list[int]:
    return sorted(map(repeat, chats))


# --- answers ---


def test_a_sampled_question_is_asked_so_often_with_a_seed_each(mt_bench_folder: Path) -> None:
    model = NumberedModel()
    answer = asyncio.run(mt_bench.answer_mt_bench(asked(mt_bench_folder, "writing", 3), model))
    assert repeats(model.chats) == [0, 0, 1, 1, 2, 2]
    assert len({chat.seed for chat in model.chats}) == 6
    assert {chat.temperature for chat in model.chats} == {0.7}
    assert answer.turns == ("time 0, turn 1", "time 0, turn 2")
    assert [again.turns[1] for again in answer.again] == ["time 1, turn 2", "time 2, turn 2"]


def test_each_conversation_goes_on_with_its_own_answer(mt_bench_folder: Path) -> None:
    model = NumberedModel()
    asyncio.run(mt_bench.answer_mt_bench(asked(mt_bench_folder, "writing", 2), model))
    second = {repeat(chat): chat.messages[-2]["content"] for chat in model.chats if len(chat.messages) > 3}
    assert second == {0: "time 0, turn 1", 1: "time 1, turn 1"}


@pytest.mark.parametrize("category", ["math", "coding", "reasoning", "extraction"])
def test_a_question_at_temperature_0_is_asked_once(mt_bench_folder: Path, category: str) -> None:
    question = asked(mt_bench_folder, category, 3)
    model = NumberedModel()
    answer = asyncio.run(mt_bench.answer_mt_bench(question, model))
    assert (question.repeats, repeats(model.chats), answer.again) == (1, [-1, -1], ())


def test_a_pair_of_the_taxonomy_is_asked_so_often(mt_bench_folder: Path) -> None:
    pair = QnaPair("knots/qna.yaml", 1, "Which knot?", "A bowline.", context=None, line=1)
    (question,) = mt_bench_branch.mt_bench_branch_questions([pair], mt_bench_folder, repeats=3, judgments=2)
    model = NumberedModel()
    answer = asyncio.run(mt_bench_branch.answer_mt_bench_branch(question, model))
    score = asyncio.run(mt_bench_branch.grade_mt_bench_branch(question, answer, LLMJudge(saying(2, 4, 9))))
    assert (score.value, score.n, score.metric) == (5.0, 1, "rating")
    assert question.requests == 3 * (1 + 2)


def test_the_mean_of_the_answers_counts_as_one_question(mt_bench_folder: Path) -> None:
    first, second = scored(
        asked(mt_bench_folder, "writing", 2), NumberedModel(), LLMJudge(saying(2, 6, 8, 9))
    )
    assert (first.value, first.n, second.value, second.n) == (4.0, 1, 8.5, 1)
    assert first.data["answer"] == "time 0, turn 1"
    assert first.data["answers"] == ["time 0, turn 1", "time 1, turn 1"]
    assert (first.data["finish_reason"], first.data["finish_reasons"]) == ("stop", ["stop", "stop"])
    assert "reasoning" not in first.data
    assert [(entry["answer"], entry["rating"]) for entry in first.data["judgments"]] == [
        ("1", 2.0),
        ("2", 6.0),
    ]


def test_standard_errors_are_over_questions_however_often_they_are_asked() -> None:
    def result(number: int, value: float, times: int) -> Result:
        judgments = [{"answer": str(time), "rating": value, "judgment": ""} for time in range(times)]
        score = Score(value, "rating", 10.0, evidence=Evidence.from_plain({"judgments": judgments}))
        return Result("mt_bench_branch", f"q{number}", "file", "tiny", "j", scores=(score,))

    once = [result(number, value, 1) for number, value in enumerate((2.0, 5.0, 8.0))]
    often = [result(number, value, 9) for number, value in enumerate((2.0, 5.0, 8.0))]
    assert summarise(often)[0].overall == summarise(once)[0].overall
    assert summarise(often)[0].overall.n == 3


def test_a_question_of_which_one_time_failed_is_an_error(mt_bench_folder: Path) -> None:
    def answer(messages: Sequence[Message]) -> str:
        if repeat(model.chats[-1]) == 1:
            raise ModelError("the server is away")
        return "Fine."

    model = FakeModel(answer)
    first, second = scored(asked(mt_bench_folder, "writing", 2), model, LLMJudge(saying(7)))
    assert (first.outcome, first.value, second.outcome) == ("error", None, "error")
    assert first.error == "answer 2: the server is away"


# --- judgments ---


def test_a_judge_that_is_asked_once_is_asked_coldly() -> None:
    model = saying(7)
    asyncio.run(LLMJudge(model).grade("How many?", "Seven."))
    assert [(chat.temperature, chat.seed) for chat in model.chats] == [(0.0, None)]


def test_repeated_judgments_are_sampled_with_a_seed_each_and_their_mean_counts() -> None:
    model = saying(4, 7, 7)
    score = asyncio.run(LLMJudge(model, repeats=3).grade("How many?", "Seven."))
    assert [(chat.temperature, repeat(chat)) for chat in model.chats] == [(1.0, 0), (1.0, 1), (1.0, 2)]
    assert (score.value, score.n) == (6.0, 1)
    assert [entry["rating"] for entry in score.data["judgments"]] == [4.0, 7.0, 7.0]


def test_a_judgment_without_a_rating_is_asked_for_once_more_and_then_left_out_of_the_mean() -> None:
    def rate(messages: Sequence[Message]) -> str:
        return "[[8]]" if repeat(model.chats[-1]) == 0 else "Who knows?"

    model = FakeModel(rate)
    score = asyncio.run(LLMJudge(model, repeats=2).grade("How many?", "Seven."))
    assert repeats(model.chats) == [0, 1, 1]
    assert len({chat.seed for chat in model.chats}) == 3
    assert (score.value, score.outcome) == (8.0, "scored")
    none = asyncio.run(LLMJudge(FakeModel(lambda _: "Hm."), repeats=2).grade("How many?", "Seven."))
    assert (none.value, none.outcome) == (None, "unscored")


def repeated_panel(mt_bench_folder: Path) -> Result:
    """A question asked twice, each answer judged twice by each of two judges."""
    judges = {"a": LLMJudge(saying(2, 4), repeats=2), "b": LLMJudge(saying(5), repeats=2)}
    scores = scored(asked(mt_bench_folder, "writing", 2), NumberedModel(), Panel(judges))
    return Result("mt_bench", "81-writing", "writing", "tiny", "a, b", scores=tuple(scores))


def test_answers_judges_and_repeats_are_averaged_inside_the_question(mt_bench_folder: Path) -> None:
    result = repeated_panel(mt_bench_folder)
    assert [score.value for score in result.scores] == [4.0, 4.0]
    marks = [(entry["answer"], entry["judge"], entry["repeat"]) for entry in
             result.scores[0].data["judgments"]]  # fmt: skip
    assert sorted(marks) == list(itertools.product("12", "ab", "12"))


def test_the_judges_own_spread_is_in_the_table(mt_bench_folder: Path) -> None:
    (summary,) = summarise([repeated_panel(mt_bench_folder)])
    assert summary.judge_spread == pytest.approx(((2 + 0) / 2) ** 0.5)
    assert (summary.judge_spread_n, summary.agreement_n) == (8, 4)
    (row,) = [line for line in scores_table([summary]) if "judge's spread" in line]
    assert row.split() == ["judge's", "spread", "1.00", "8"]


def test_a_question_takes_as_many_requests_as_it_has_answers_and_judgments(mt_bench_folder: Path) -> None:
    writing, *_ = mt_bench.mt_bench_questions(mt_bench_folder, repeats=3, judgments=4)
    assert writing.requests == 2 * 3 * (1 + 4)


# --- InstructLab's files ---


def test_instructlab_reads_every_answer_and_one_judgment_a_turn_with_the_mean(
    mt_bench_folder: Path, tmp_path: Path
) -> None:
    write_instructlab_files(tmp_path, [repeated_panel(mt_bench_folder)])
    (answer,) = (tmp_path / "mt_bench" / "model_answer" / "tiny.jsonl").read_text().splitlines()
    assert json.loads(answer)["choices"] == [
        {"index": 0, "turns": ["time 0, turn 1", "time 0, turn 2"]},
        {"index": 1, "turns": ["time 1, turn 1", "time 1, turn 2"]},
    ]
    lines = (tmp_path / "mt_bench" / "model_judgment" / "a_single.jsonl").read_text().splitlines()
    assert [(record["turn"], record["score"]) for record in map(json.loads, lines)] == [(1, 3), (2, 3)]
    assert json.loads(lines[0])["judgment"].count("So it is.") == 4


def test_answers_of_an_earlier_run_are_judged_as_often_as_they_were_asked(
    mt_bench_folder: Path, tmp_path: Path
) -> None:
    question = asked(mt_bench_folder, "writing", 2)
    scores = scored(question, NumberedModel(), PostponedJudge("prometheus"))
    assert all(score.data["answered"] for score in scores)
    result = Result("mt_bench", "81-writing", "writing", "tiny", "prometheus", scores=tuple(scores))
    write_instructlab_files(tmp_path, [result])
    first, second = read_answers(tmp_path / "mt_bench", "tiny")["81"]
    recorded = RecordedAnswers("tiny", {question.turns[:1]: first, question.turns: second})
    answer = asyncio.run(mt_bench.answer_mt_bench(question, recorded))
    assert [given.turns[0] for given in (answer, *answer.again)] == ["time 0, turn 1", "time 1, turn 1"]
    more = asked(mt_bench_folder, "writing", 3)
    reason = asyncio.run(mt_bench.answer_mt_bench(more, recorded)).again[1].error
    assert reason is not None
    assert "tiny has no recorded answer number 3" in reason
