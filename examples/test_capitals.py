"""A benchmark of one's own: does the model know the capitals?"""

import pytest

from pytest_instructlab_eval import Model, Recorder

CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Kenya": "Nairobi", "Peru": "Lima"}


@pytest.mark.eval("capitals")
@pytest.mark.parametrize("country", CAPITALS)
async def test_capital(country: str, served_model: Model, record_score: Recorder) -> None:
    question = f"What is the capital of {country}? Answer with its name."
    reply = await served_model.chat(question)
    # A wrong answer is a passed test with a low score; a gate says how low is too low.
    record_score(float(CAPITALS[country] in reply.text), explanation=reply.text)
