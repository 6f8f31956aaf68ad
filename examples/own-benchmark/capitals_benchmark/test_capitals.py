"""Capitals: one test a country."""

import pytest

from capitals_benchmark.capitals import Country, score
from pytest_instructlab_eval import Model, Recorder


@pytest.mark.eval("capitals")
async def test_capitals(capitals_question: Country, served_model: Model, record_score: Recorder) -> None:
    """Whether the model names the capital."""
    record_score(await score(capitals_question, served_model))
