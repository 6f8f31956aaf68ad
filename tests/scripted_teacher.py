"""A teacher for the scripted server: it asks for words of the passage and knows them when asked back."""

from __future__ import annotations

import json
import re

from tests.scripted_server import Body, content_text

__all__ = ["is_look", "teach"]


def is_look(body: Body) -> bool:
    """Whether a chat asks a question back."""
    return "\nQuestion: " in content_text(body["messages"][-1])


def teach(body: Body) -> str:
    """As many questions as are asked for, on words of the passage; at a second look the right letter."""
    prompt = content_text(body["messages"][-1])
    return _look(prompt) if is_look(body) else _questions(prompt)


def _questions(prompt: str) -> str:
    words = _words(prompt)
    count = int(re.findall(r"Write (\d+) question", prompt)[-1])
    return json.dumps({"questions": [_question(words, number) for number in range(count)]})


def _words(prompt: str) -> list[str]:
    [passage] = re.findall(r"<passage>\n(.*)\n</passage>", prompt, re.DOTALL)
    return list(dict.fromkeys(re.findall(r"\w{4,}", passage.casefold())))


def _question(words: list[str], number: int) -> dict[str, object]:
    before, word = words[number], words[number + 1]
    return {
        "question": f"Which word comes first after {before} where it is told of {words[-1]}?",
        "answer": word,
        "wrong_answers": [f"{word}{ending}" for ending in ("ough", "ette", "like")],
    }


def _look(prompt: str) -> str:
    words = _words(prompt)
    choices = re.findall(r"^([A-D])\. (.*)$", prompt, re.MULTILINE)
    return json.dumps({"answer": next((letter for letter, choice in choices if choice in words), "none")})
