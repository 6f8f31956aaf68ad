"""The passages that the questions of a task are about."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

FIELDS = ("context", "document", "content")  # what a row's passage is called, by us and by versions of SDG
FEWEST = 200  # characters of a passage that stands in the questions themselves
FEWEST_LETTERS = 10  # of a question in words
SENTENCE_END = re.compile("[.!?:;\n\u0964\u3002\uff01\uff1f]")  # in Hindi and Chinese, too


def own_passage(row: Mapping[str, object]) -> str:
    """Return the passage that a row names, empty where it names none."""
    texts = (row.get(field) for field in FIELDS)
    return next((text.strip() for text in texts if isinstance(text, str) and text.strip()), "")


def passages_of(own: Sequence[str], questions: Sequence[str]) -> tuple[str, ...]:
    """Return a digest of the passage of each question of a task; empty where no other question shares it.

    The passage is the row's own; where it names none, what its question begins with (see
    `_shared_beginnings`). Where all questions are about one passage, the task is about that passage, and they
    are independent within it: all are empty. Digests depend on the whole task, so that a question has the
    same in every sample.
    """
    named = list(own)
    unnamed = [number for number, passage in enumerate(named) if not passage]
    for number, passage in zip(
        unnamed, _shared_beginnings([questions[number] for number in unnamed]), strict=True
    ):
        named[number] = passage
    times = Counter(named)
    if len(times) == 1:
        return ("",) * len(named)
    return tuple(
        hashlib.sha256(passage.encode("utf-8", "replace")).hexdigest()[:12]
        if passage and times[passage] > 1
        else ""
        for passage in named
    )


def _shared_beginnings(questions: Sequence[str]) -> list[str]:
    """Return the passage that each question begins with, "" where no other question begins with it.

    A passage is a beginning of whole sentences or lines that questions share. It has at least 200 characters
    beyond what all questions of the task begin with, it is at least half of the shorter question, and a
    question in words follows it. So an instruction is no passage: one of all questions does not count, one
    before several passages is less than half, and one before formulas has no words after it.
    """
    beginnings = [""] * len(questions)
    order = sorted(range(len(questions)), key=questions.__getitem__)
    instruction = len(_common(min(questions), max(questions))) if len(questions) > 1 else 0
    start = 0
    for place in range(1, len(order) + 1):
        if place < len(order) and _begin_alike(
            questions[order[place - 1]], questions[order[place]], instruction
        ):
            continue
        members = [questions[i] for i in order[start:place]]
        for i in order[start:place] if len(members) > 1 else ():
            beginnings[i] = _whole_sentences(_common(members[0], members[-1]))
        start = place
    return beginnings


def _begin_alike(one: str, other: str, instruction: int) -> bool:
    """Return whether two questions begin with one passage, after an instruction of so many characters."""
    end = len(_whole_sentences(_common(one, other)))
    rests = (one[end:], other[end:])
    return (
        end - instruction >= FEWEST
        and 2 * (end - instruction) >= min(len(one), len(other)) - instruction
        and all(sum(map(str.isalpha, rest)) >= FEWEST_LETTERS for rest in rests)
    )


def _common(one: str, other: str) -> str:
    """Return the text that both begin with."""
    ends = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(ends, min(len(one), len(other)))]


def _whole_sentences(text: str) -> str:
    return text[: max((match.end() for match in SENTENCE_END.finditer(text)), default=0)]
