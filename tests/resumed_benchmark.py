"""An own benchmark to end and go on with: equal requests, a chat that quotes them, a judge, a plain test."""

from __future__ import annotations

TESTS = """
import asyncio
import pytest
from pytest_instructlab_eval import JudgePrompt

PROMPT = JudgePrompt("You grade answers.", "[[rating]] {{question}} {{answer}}")

@pytest.mark.eval("own")
@pytest.mark.parametrize("number", range({judged}))
async def test_own(number, served_model, judge, record_score):
    equal = (served_model.chat("the same in all tests", temperature=1.0) for _ in range(2))
    first, second = await asyncio.gather(*equal)
    answer = await served_model.chat(f"question {{number}} after {{first.text}} and {{second.text}}")
    record_score(await judge.grade(f"question {{number}}", answer.text, prompt=PROMPT))

@pytest.mark.eval("plain")
@pytest.mark.parametrize("number", range({plain}))
def test_plain(number, served_model, record_score):
    record_score(len(served_model.chat(f"number {{number}}").text) % 2)
"""


def judged_and_plain(judged: int, plain: int) -> str:
    """Return the text of its module, whose tests make four requests each, and one each."""
    return TESTS.format(judged=judged, plain=plain)
