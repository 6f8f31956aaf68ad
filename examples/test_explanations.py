"""A benchmark of one's own with a judge: how well does the model explain?"""

import pytest

from pytest_instructlab_eval import BlockingModel, Judge, Model, Recorder

QUESTIONS = {
    "tides": ("Why are there two high tides a day?", "The moon's pull differs across the Earth."),
    "sky": ("Why is the sky blue?", None),
}


@pytest.mark.eval("explanations", max_score=10)
@pytest.mark.parametrize("name", QUESTIONS)
async def test_explanation(name: str, served_model: Model, judge: Judge, record_score: Recorder) -> None:
    question, reference = QUESTIONS[name]
    reply = await served_model.chat(question, max_tokens=512)
    record_score(await judge.grade(question, reply.text, reference=reference))


def test_model_says_something(served_model: BlockingModel) -> None:
    """A plain test function works too: the fixture's methods wait there, without `await`."""
    reply = served_model.chat("Say hello.")
    assert reply.text
