"""Reads the log-probabilities of a completion, in each form that servers give them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.visible import visible_line

__all__ = ["Top", "echoed_text", "echoed_tokens", "likeliest", "log_likelihood", "measured"]

MINUS_INFINITY = (
    -9999.0
)  # vLLM and OpenAI write it for minus infinity; llama.cpp the least float, which is below
ROUNDING = 1e-3  # above 0, of half precision

Top = Mapping[str, Sequence[object]]


def measured(value: object) -> float:
    """Return a log-probability (nats) as a number; raises ModelError for what is none.

    None are NaN, infinity and what servers write for it, null, texts, booleans, and what is above 0 by more
    than rounding.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelError(f"a log-probability is no finite number (got {_shown(value)})")
    if not MINUS_INFINITY < value < math.inf:
        raise ModelError(f"a log-probability is no finite number (got {_shown(value)})")
    if value > ROUNDING:
        raise ModelError(f"a log-probability is above 0 (got {_shown(value)})")
    return min(float(value), 0.0)


def log_likelihood(values: Sequence[object]) -> float:
    """Return the log-probability of a text that is the text of these tokens, each with its own value.

    A tokenizer writes a text in one way, and a trained model gives that one the highest likelihood.
    """
    return max(measured(value) for value in values)


def likeliest(completion: Mapping[str, Any]) -> Top:
    """Return what a completion of one token says of the likeliest tokens: by text, the values as they came.

    Empty where the server gives no log-probabilities, or not those of one token. Raises ModelError where they
    are in a form that is not known.
    """
    logprobs = _mapping(completion.get("logprobs"))
    chat_form = _list(logprobs.get("content"))
    positions = chat_form or _list(logprobs.get("top_logprobs"))
    if len(positions) != 1:
        return {}
    found = _mapping(positions[0]).get("top_logprobs") if chat_form else positions[0]
    if not isinstance(found, list):
        return {token: [value] for token, value in _mapping(found).items()}
    by_text: dict[str, list[object]] = {}
    for entry in map(_mapping, found):
        if not isinstance(entry.get("token"), str):
            raise _unknown(entry)
        by_text.setdefault(entry["token"], []).append(entry.get("logprob"))
    return by_text


def echoed_tokens(completion: Mapping[str, Any], start: int, end: int) -> list[float] | None:
    """Return the log-probabilities of the tokens of an echoed prompt from `start` to its `end`.

    None where the server did not echo so many tokens.
    """
    logprobs = _mapping(completion.get("logprobs"))
    tokens, values = _list(logprobs.get("tokens")), _list(logprobs.get("token_logprobs"))
    # The one more is generated; the first has no likelihood.
    if len(tokens) != len(values) or not 0 < start < end <= len(values) <= end + 1:
        return None
    return [measured(value) for value in values[start:end]]


def echoed_text(completion: Mapping[str, Any], prompt: str, choice: str) -> list[float] | None:
    """Return the log-probabilities of the tokens of the choice in an echo of the prompt and the choice.

    None where the server did not echo them, or where no token begins with the choice.
    """
    logprobs = _mapping(completion.get("logprobs"))
    offsets, tokens, values = (
        _list(logprobs.get(name)) for name in ("text_offset", "tokens", "token_logprobs")
    )
    if not len(offsets) == len(tokens) == len(values) or any(type(offset) is not int for offset in offsets):
        return None
    start, end = len(prompt), len(prompt) + len(choice)
    places = [place for place, offset in enumerate(offsets) if start <= offset < end]
    text = "".join(str(tokens[place]) for place in places)
    if not places or places[0] == 0 or offsets[places[0]] != start:
        return None
    if text != choice and "\N{REPLACEMENT CHARACTER}" not in text:  # a part of a character has no text
        return None
    return [measured(values[place]) for place in places]


def _mapping(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _unknown(value)
    return value


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unknown(value)
    return value


def _unknown(value: object) -> ModelError:
    return ModelError(f"the server gave log-probabilities in a form that is not known: {_shown(value)}")


def _shown(value: object) -> str:
    text = visible_line(repr(value))
    return text if len(text) <= 100 else f"{text[:100]}…"
