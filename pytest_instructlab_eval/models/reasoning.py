"""Separates a model's reasoning from its answer in a text that has both, as with `<think>…</think>`."""

from __future__ import annotations

import re

THINK_TAG = re.compile(
    r"<(?P<closes>/)?(?:seed:)?(?:think(?:ing)?|thought)(?:\s[^<>\n]{0,80})?>"
    r"|\[(?P<mistral>/)?THINK\]|\u25c1(?P<kimi>/)?think\u25b7"
    r"|<\|channel\|>analysis<\|message\|>|(?P<harmony><\|channel\|>final<\|message\|>)"
    r"|<unused94>|(?P<gemma><unused95>)",
    re.IGNORECASE,
)
"""The tags around reasoning; a group matches at its end. The first are DeepSeek's and others'."""
QUOTES = frozenset("`\"'\u2018\u201c\u00ab")


def split_judgment(text: str) -> tuple[str, str]:
    """Return the reasoning in a text and the rest of it, wherever the reasoning stands.

    Reasoning is `<think>…</think>`, what stands before a `</think>` without a `<think>`, and what follows a
    `<think>` that is never closed.
    """
    return _split(text, anywhere=True)


def split_answer(text: str) -> tuple[str, str]:
    """Return the reasoning that a text begins with and the rest, the answer.

    As `split_judgment`, but a `<think>` after the answer has begun is a part of the answer, and so is a
    `</think>` right after a quotation mark: an answer may be about these tags.
    """
    return _split(text, anywhere=False)


def _split(text: str, *, anywhere: bool) -> tuple[str, str]:
    reasoning: list[str] = []
    answer: list[str] = []
    position = 0
    begun = thinking = quoting = False  # quoting: between two tags that the answer is about
    for tag in THINK_TAG.finditer(text):
        piece, closes = text[position : tag.start()], tag.lastgroup is not None
        position = tag.end()
        if thinking:
            reasoning.append(piece)
            thinking = not closes
            continue
        begun |= bool(piece.strip())
        quoted = text[max(0, tag.start() - 1) : tag.start()] in QUOTES if closes else begun
        if not anywhere and (quoting or quoted):
            answer += (piece, tag[0])
            begun, quoting = True, not closes
        elif closes:  # the chat template has opened it: all so far was reasoning
            reasoning += (*answer, piece)
            answer, begun = [], False
        else:
            answer.append(piece)
            thinking = True
    (reasoning if thinking else answer).append(text[position:])
    if not reasoning:
        return "", text
    return "".join(reasoning).strip(), "".join(answer).strip()
