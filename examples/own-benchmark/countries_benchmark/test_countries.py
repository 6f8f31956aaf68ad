"""Countries: one test a country."""

import pytest

from countries_benchmark.countries import Country, score
from pytest_instructlab_eval import Model, Recorder


@pytest.mark.eval("countries")
async def test_countries(countries_question: Country, served_model: Model, record_score: Recorder) -> None:
    """Whether the model names the capital."""
    record_score(await score(countries_question, served_model))
