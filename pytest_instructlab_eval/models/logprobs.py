"""Reads the log-probabilities of a completion, in each form that servers give them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.escaping import escape_line

MINUS_INFINITY = (
    -9999.0
)  # vLLM and OpenAI write it for minus infinity; llama.cpp the least float, which is below
ROUNDING = 1e-3  # above 0, of half precision

Top = Mapping[str, Sequence[object]]


def parse_logprob(value: object) -> float:
    """Return a log-probability (nats) as a number; raises ModelError for what is none.

    None are NaN, infinity and what servers write for it, null, texts, booleans, and what is above 0 by more
    than rounding.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelError(f"expected a finite log-probability (got {_cut_repr(value)})")
    if not MINUS_INFINITY < value < math.inf:
        raise ModelError(f"expected a finite log-probability (got {_cut_repr(value)})")
    if value > ROUNDING:
        raise ModelError(f"expected a log-probability of at most 0 (got {_cut_repr(value)})")
    return min(float(value), 0.0)


def log_likelihood(values: Sequence[object]) -> float:
    """Return the log-probability of a text that is the text of these tokens, each with its own value.

    A tokenizer writes a text in one way, and a trained model gives that one the highest likelihood.
    """
    return max(parse_logprob(value) for value in values)


def all_log_likelihoods(names: Sequence[str], top: Top) -> list[float] | None:
    """Return the log-likelihood of each of these tokens; None where one is not there."""
    return [log_likelihood(top[name]) for name in names] if all(name in top for name in names) else None


def likeliest_tokens(completion: Mapping[str, object]) -> Top:
    """Return what a completion of one token says of the likeliest tokens: by text, the values as they came.

    Empty where the server gives no log-probabilities, or not those of one token. Raises ModelError where they
    are in an unknown form.
    """
    logprobs = _mapping(completion.get("logprobs"))
    chat_form = _list(logprobs.get("content"))
    positions = chat_form or _list(logprobs.get("top_logprobs"))
    if len(positions) != 1:
        return {}
    top = _mapping(positions[0]).get("top_logprobs") if chat_form else positions[0]
    if not isinstance(top, list):
        return {token: [value] for token, value in _mapping(top).items()}
    by_text: dict[str, list[object]] = {}
    for entry in map(_mapping, top):
        token = entry.get("token")
        if not isinstance(token, str):
            raise _unknown(entry)
        by_text.setdefault(token, []).append(entry.get("logprob"))
    return by_text


def echoed_tokens(completion: Mapping[str, object], start: int, end: int) -> list[float] | None:
    """Return the log-probabilities of the tokens of an echoed prompt from `start` to its `end`.

    None where the server did not echo so many tokens.
    """
    rows = _token_rows(completion, "tokens", "token_logprobs")
    # The one more is generated; the first has no likelihood.
    if not 0 < start < end <= len(rows) <= end + 1:
        return None
    return [parse_logprob(value) for _, value in rows[start:end]]


def echoed_text(completion: Mapping[str, object], prompt: str, choice: str) -> list[float] | None:
    """Return the log-probabilities of the tokens of the choice in an echo of the prompt and the choice.

    None where the server did not echo them, or where no token begins with the choice.
    """
    rows = _token_rows(completion, "text_offset", "tokens", "token_logprobs")
    if any(type(offset) is not int for offset, _, _ in rows):
        return None
    start, end = len(prompt), len(prompt) + len(choice)
    choice_rows = [row for row in rows if row[0] in range(start, end)]
    # The first token of a text has no likelihood.
    if not choice_rows or choice_rows[0] is rows[0] or choice_rows[0][0] != start:
        return None
    _, tokens, values = zip(*choice_rows, strict=True)
    text = "".join(map(str, tokens))
    if text != choice and "\N{REPLACEMENT CHARACTER}" not in text:  # a part of a character has no text
        return None
    return list(map(parse_logprob, values))


def _token_rows(completion: Mapping[str, object], *names: str) -> list[tuple[object, ...]]:
    """Return what these lists say of each token; nothing where they are not of one length."""
    logprobs = _mapping(completion.get("logprobs"))
    columns = [_list(logprobs.get(name)) for name in names]
    return list(zip(*columns, strict=True)) if len(set(map(len, columns))) == 1 else []


def _mapping(value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _unknown(value)
    return value


def _list(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unknown(value)
    return value


def _unknown(value: object) -> ModelError:
    return ModelError(f"the server gave log-probabilities in an unknown form: {_cut_repr(value)}")


def _cut_repr(value: object) -> str:
    text = escape_line(repr(value))
    return text if len(text) <= 100 else f"{text[:100]}…"
