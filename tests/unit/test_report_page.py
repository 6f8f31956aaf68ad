"""report.html without a browser: it can be written of any run, and says what the run's verdict is."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.parsers import parse_price
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.html.page import html_page
from pytest_instructlab_eval.reports.run_report import RunReport


def headline(*results: Result, **more: object) -> str:
    models = {result.model: result.model for result in results} or {"lab": "lab"}
    page = html_page(RunReport.of(Run(results, models=models, **more)))  # type: ignore[arg-type]
    found = re.search(r'<h1 id="headline">(.*?)</h1>', page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def test_a_run_without_a_score_is_never_said_to_have_passed() -> None:
    said = headline(Result("own", "a", "", "lab", error="no"))
    assert said.startswith(
        "no question of own has a score: no; 1 test failed; own.error_rate <= 0 failed: expected"
    )


def test_a_run_without_results_says_so() -> None:
    assert headline() == "No question was asked."


def test_a_run_that_passed_says_so() -> None:
    passed = Result("own", "a", "", "lab", scores=(Score(1.0),))
    assert headline(passed) == "No gate failed: 2 passed (2 default)."


@given(text=st.text(max_size=40), value=st.none() | st.floats(0, 1))
def test_any_text_and_any_score_make_a_page(text: str, value: float | None) -> None:
    score = Score(value, f"m {text}", explanation=text)
    assert headline(Result(f"b {text}", f"q {text}", text, f"m {text}", scores=(score,)))


@pytest.mark.parametrize("text", ["0", "0.5", "my-judge=2.5", "a=b=3"])
def test_a_price_is_read(text: str) -> None:
    assert parse_price(text) == text


@pytest.mark.parametrize("text", ["", "x", "judge=", "-1", "inf", "nan"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected PRICE or NAME=PRICE, such as"):
        parse_price(text)
