"""The messages that the page of troubleshooting explains are those of the code."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from .markdown import REFERENCE, headings
from .product import all_texts

FEWEST_LETTERS = 9  # of a heading without its ellipses: fewer would be found anywhere


def explained() -> list[str]:
    """Return the messages that the page has as headings."""
    text = (REFERENCE / "troubleshooting.md").read_text("utf-8")
    return [heading.text.strip("`") for heading in headings(text) if heading.level == 3]


def is_said(message: str, said: Iterable[str]) -> bool:
    """Return whether a text of the code has the parts of a message between its ellipses, in their order."""
    parts = [part for part in message.split("…") if part.strip()]
    pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    return any(pattern.search(text) for text in said)


each_message = pytest.mark.parametrize(
    "message", explained(), ids=lambda message: message.replace("…", "...")
)


@each_message
def test_the_code_says_it(message: str) -> None:
    assert len(re.sub(r"[\W\d]", "", message)) >= FEWEST_LETTERS
    assert is_said(message, all_texts())


@each_message
def test_a_message_that_was_rewritten_is_found(message: str) -> None:
    word = max(re.findall(r"\w+", message), key=len)
    assert not is_said(message.replace(word, word[::-1] + "x"), all_texts())


def test_each_is_explained_once_with_a_cause_and_what_to_do() -> None:
    text = (REFERENCE / "troubleshooting.md").read_text("utf-8")
    messages = explained()
    assert len(messages) == len(set(messages)) >= 20
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"\*\*Cause:\*\*.+\*\*Do:\*\*", part, re.DOTALL), part
