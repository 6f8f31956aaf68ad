"""Judges that can tell a plainly good answer from a plainly bad one, and judges that can't."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, JudgeTrialError, ModelError
from pytest_instructlab_eval.judges import Judge, LLMJudge, ReferenceJudge
from pytest_instructlab_eval.judges.trial import TRIAL_QUESTIONS, try_judge
from pytest_instructlab_eval.models import Message
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.suites import mt_bench
from pytest_instructlab_eval.suites.mt_bench import MTBenchQuestion, prompt_of_first_turn

from .fakes import FakeModel


def fair(messages: Sequence[Message]) -> str:
    text = messages[-1]["content"]
    return "[[9]]" if any(trial.good in text for trial in TRIAL_QUESTIONS) else "[[2]]"


def try_out(model: FakeModel, like: MTBenchQuestion | None = None) -> None:
    asyncio.run(try_judge("prometheus", LLMJudge(model), prompt_of_first_turn(like) if like else None))


@pytest.fixture
def question(mt_bench_folder: Path) -> MTBenchQuestion:
    return mt_bench.mt_bench_questions(mt_bench_folder)[0]


def test_a_fair_judge_is_asked_six_times_and_passes() -> None:
    model = FakeModel(fair)
    try_out(model)
    assert len(model.chats) == 6


def test_the_reference_judge_passes(question: MTBenchQuestion) -> None:
    asyncio.run(try_judge("reference", ReferenceJudge()))
    asyncio.run(try_judge("reference", ReferenceJudge(), prompt_of_first_turn(question)))


def test_a_judge_is_tried_by_the_prompt_of_the_run(question: MTBenchQuestion) -> None:
    model = FakeModel(fair, name="prometheus")
    try_out(model, question)
    for chat, trial in zip(model.chats[::2], TRIAL_QUESTIONS, strict=True):
        (message,) = chat.messages  # the system prompt is merged, as for the questions of the run
        assert message["content"].startswith(question.judge_prompts[0].system)
        assert trial.question in message["content"]


@pytest.mark.parametrize(
    ("ratings", "shown"),
    [
        (
            (7, 7, 7, 7, 7, 7),
            "good: 7, 7, 7; bad: 7, 7, 7), so its ratings can decide nothing; for example, it rated the bad "
            "answer 'Purple is my favourite colour.' 7 and wrote 'Well. [[7]]'; name another judge",
        ),
        (
            (9, 1, 8, 2, 4, 4),
            "good: 9, 8, 4; bad: 1, 2, 4), so its ratings can decide nothing; for example, it rated the bad "
            "answer 'No.' 4 and wrote 'Well. [[4]]'; name another judge",
        ),
        ((1, 9, 1, 9, 1, 9), "good: 1, 1, 1; bad: 9, 9, 9"),
    ],
    ids=["generous", "one too low", "upside down"],
)
def test_a_judge_that_ranks_otherwise_is_refused_with_its_ratings(
    ratings: tuple[int, ...], shown: str
) -> None:
    said = iter(ratings)
    with pytest.raises(ConfigurationError) as caught:
        try_out(FakeModel(lambda _: f"Well. [[{next(said)}]]"))
    message = str(caught.value)
    assert shown in message
    assert message.startswith("the judge 'prometheus' does not rate every good answer of its trial above")
    assert "--eval-no-judge-trial" in message


def test_a_judge_that_gives_no_rating_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="good: no rating, no rating, no rating"):
        try_out(FakeModel(lambda _: "I would rather not say."))


def test_a_judge_that_cannot_be_asked_is_refused_with_the_reason() -> None:
    def away(messages: object) -> str:
        raise ModelError("the server is away")

    with pytest.raises(
        ConfigurationError, match=r"could not rate the answers of its trial: .*the server is away"
    ):
        try_out(FakeModel(away))


def test_the_trial_has_six_different_answers() -> None:
    texts = itertools.chain.from_iterable(dataclasses.astuple(trial)[2:] for trial in TRIAL_QUESTIONS)
    assert len(set(texts)) == 6


def test_a_judge_that_gives_no_rating_is_quoted() -> None:
    with pytest.raises(ConfigurationError, match=r"of a rating it wrote 'I would rather not say\.'; name"):
        try_out(FakeModel(lambda _: "I would\nrather not say."))
    with pytest.raises(ConfigurationError, match=r"it wrote 'aaa+…; name"):
        try_out(FakeModel(lambda _: "a" * 10_000))


def test_a_failed_trial_has_what_the_judge_was_sent_and_what_it_said() -> None:
    with pytest.raises(JudgeTrialError) as caught:
        try_out(FakeModel(lambda _: "Well. [[7]]"))
    texts = caught.value.texts
    assert len(texts) == 12
    assert texts[0][0] == "What the judge was sent for the good answer 1"
    assert all(part in texts[0][1] for part in (TRIAL_QUESTIONS[0].question, TRIAL_QUESTIONS[0].good))
    assert texts[3] == ("What it said of the bad answer 1 (rating 7)", "Well. [[7]]")


def test_a_judge_whose_ratings_have_no_text_is_refused_without_a_quote() -> None:
    async def unexplained(judge: Judge, question: str, reference: str, answer: str) -> Score:
        return Score(None if answer == TRIAL_QUESTIONS[0].good else 3.0, maximum=10)

    with pytest.raises(JudgeTrialError, match=r"it rated the bad answer 'Purple .*' 3; name") as caught:
        asyncio.run(try_judge("own", LLMJudge(FakeModel(fair)), unexplained))
    assert caught.value.texts == ()
