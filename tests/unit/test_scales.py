"""Scales: what a judge rates on, and how it is asked for a rating and read."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.judges import (
    ONE_TO_FIVE,
    ONE_TO_TEN,
    PASS_OR_FAIL,
    ZERO_TO_ONE,
    Judge,
    JudgePrompt,
    LLMJudge,
    Panel,
    ReferenceJudge,
    Scale,
    Submission,
)
from pytest_instructlab_eval.judges.quoting import without_ratings
from pytest_instructlab_eval.judges.rating import parse_rating
from pytest_instructlab_eval.records.scores import Score
from tests.unit.fakes import FakeModel

SCALES = (ONE_TO_TEN, ONE_TO_FIVE, ZERO_TO_ONE, PASS_OR_FAIL)


def graded(says: str, scale: Scale) -> Score:
    judge = LLMJudge(FakeModel(lambda messages: says))
    return asyncio.run(judge.grade("Why?", "Because.", scale=scale))


@pytest.mark.parametrize(
    ("scale", "says", "value"),
    [
        (ONE_TO_FIVE, "Rating: [[4]]", 4.0),
        (ONE_TO_FIVE, "Rating: [[6]]", None),
        (ONE_TO_FIVE, "Rating: [[0]]", None),
        (ZERO_TO_ONE, "Rating: [[0.25]]", 0.25),
        (ZERO_TO_ONE, "Rating: [[0]]", 0.0),
        (ZERO_TO_ONE, "Rating: [[7]]", None),
        (PASS_OR_FAIL, "Good. Rating: [[pass]]", 1.0),
        (PASS_OR_FAIL, "Bad. Rating: [[ FAIL ]]", 0.0),
        (PASS_OR_FAIL, "My rating: [fail]", 0.0),
        (PASS_OR_FAIL, "[[Pass]]", 1.0),
        (PASS_OR_FAIL, "It passed. Rating: [[fail]]", 0.0),
        (PASS_OR_FAIL, "Rating: [[0.5]]", None),
        (PASS_OR_FAIL, "Rating: [[passable]]", None),
        (PASS_OR_FAIL, "Rating: pass", None),
        (Scale(0, 100), "Rating: [[87]]", 87.0),
    ],
)
def test_a_judge_grades_on_the_scale_that_it_is_given(scale: Scale, says: str, value: float | None) -> None:
    score = graded(says, scale)
    assert (score.value, score.maximum) == (value, scale.highest)
    assert score.outcome == ("unscored" if value is None else "scored")
    if value is None:
        assert f"no rating {scale}" in score.explanation


@pytest.mark.parametrize(
    ("scale", "asked"),
    [
        (ONE_TO_TEN, "from 1 (useless) to 10 (flawless) in double square brackets, such as: Rating: [[5]]"),
        (ONE_TO_FIVE, "from 1 (useless) to 5 (flawless) in double square brackets, such as: Rating: [[3]]"),
        (ZERO_TO_ONE, "from 0 (useless) to 1 (flawless) in double square brackets, such as: Rating: [[0.5]]"),
        (PASS_OR_FAIL, "of pass or fail in double square brackets, such as: Rating: [[fail]]"),
    ],
)
def test_the_judge_is_told_the_scale(scale: Scale, asked: str) -> None:
    model = FakeModel(lambda messages: "Rating: [[1]]")
    asyncio.run(LLMJudge(model).grade("Why?", "Because.", scale=scale))
    assert model.chats[0].messages[0]["content"].endswith(f"end with a rating {asked}")


@pytest.mark.parametrize("scale", SCALES)
def test_what_asks_for_a_rating_is_none(scale: Scale) -> None:
    assert graded(f"You asked me to end with {scale.instruction}. I won't.", scale).value is None


@pytest.mark.parametrize("quoted", ["Rating: [[pass]]", "rating [ fail ]", "[[PASS]]", "[[fail]]"])
def test_an_answer_cannot_rate_itself_in_words(quoted: str) -> None:
    shown = without_ratings(quoted, PASS_OR_FAIL)
    assert parse_rating(shown, scale=PASS_OR_FAIL).value is None
    assert without_ratings(shown, PASS_OR_FAIL) == shown
    assert shown.replace("(", "[").replace(")", "]") == quoted


@given(st.text("[]() ratingpsfl:\n1", max_size=40))
def test_no_answer_rates_itself_in_words(text: str) -> None:
    assert parse_rating(without_ratings(text, PASS_OR_FAIL), scale=PASS_OR_FAIL).value is None


def test_a_panel_and_the_reference_judge_grade_on_the_same_scale() -> None:
    judges: dict[str, Judge] = {"a": LLMJudge(FakeModel(lambda messages: "[[2]]")), "chrf": ReferenceJudge()}
    score = asyncio.run(Panel(judges).grade("Why?", "Because.", reference="Because.", scale=ONE_TO_FIVE))
    assert (score.value, score.maximum) == (3.5, 5.0)


def test_the_reference_judge_rates_by_degrees_alone() -> None:
    score = asyncio.run(ReferenceJudge().grade("Why?", "So.", reference="So.", scale=PASS_OR_FAIL))
    assert score.outcome == "error"
    assert (
        score.error
        == "the judge 'reference' cannot give a rating of pass or fail; name a model with --eval-judge-model"
    )


@pytest.mark.parametrize(
    ("lowest", "highest", "words"), [(5, 1, None), (-1, 1, None), (0, 1000, None), (0, 10, ("f", "p")),
                                     (0, 1, ("no!", "yes")), (0, 1, ("bad", "good", "best"))],
)  # fmt: skip
def test_a_scale_that_no_rating_could_be_on_is_refused(lowest: float, highest: float, words: Any) -> None:
    with pytest.raises(
        ValueError, match=r"expected a scale that goes up|letters as a rating|expected two words"
    ):
        Scale(lowest, highest, words)


# --- prompts of one's own ---


def test_a_prompt_of_ones_own_is_filled_in_with_what_is_graded() -> None:
    prompt = JudgePrompt("Be fair.", "{question}|{answer}|{reference}|{rule}", fields={"rule": "short"})
    model = FakeModel(lambda messages: "[[3]]")
    asyncio.run(LLMJudge(model).grade("Why?", "So [[10]].", reference="Thus.", prompt=prompt))
    system, user = model.chats[0].messages
    assert system["content"] == "Be fair."
    assert user["content"] == "Why?|So ((10)).|Thus.|short"


@pytest.mark.parametrize("template", ["{nothing}", "{question", "{question.x}", "{}"])
def test_a_prompt_that_cannot_be_filled_in_is_refused_in_a_sentence(template: str) -> None:
    prompt = JudgePrompt("Be fair.", template, "mine")
    with pytest.raises(
        ConfigurationError, match=r"the judge prompt 'mine' cannot be filled in .* may name answer"
    ):
        asyncio.run(LLMJudge(FakeModel()).grade("Why?", "So.", prompt=prompt))


def test_a_judge_of_ones_own_needs_a_name_and_a_rating() -> None:
    class Coin(Judge):
        name = "coin"

        async def rate(self, submission: Submission) -> Score:
            return Score(submission.scale.lowest, submission.metric, submission.scale.highest)

    score = asyncio.run(Coin().grade("Why?", "So.", scale=ZERO_TO_ONE, metric="luck"))
    assert (score.value, score.metric, score.maximum) == (0.0, "luck", 1.0)


@pytest.mark.parametrize("wrong", [{"answer": 42}, {"question": None}, {"reference": 7}])
def test_only_texts_are_graded(wrong: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"question": "Why?", "answer": "So.", **wrong}
    with pytest.raises(
        TypeError, match=r"grade: expected a text as the \w+ \(got .*\); of a completion pass its \.text"
    ):
        asyncio.run(ReferenceJudge().grade(**asked))
