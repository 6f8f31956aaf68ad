"""Chat requests, and how they are changed for servers that refuse a part of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pytest_instructlab_eval.errors import ContextLengthError, ModelError
from pytest_instructlab_eval.models.protocol import Message

Body = Mapping[str, object]

NOT_UNDERSTOOD = (400, 404, 415, 422, 501)  # what servers answer to a parameter that they don't have
REFUSALS = (400, 422)
RAISES = (*REFUSALS, 500)  # the last by a chat template that raises, at llama.cpp's server among others
NO_SYSTEM = (
    r"system.{0,3} ?(role|message|prompt|instruction)|'system'|role:? ?['\"]?system|developer instruction"
    r"|roles? .{0,60}(alternate|support|allowed)|only .{0,60}roles?|messages[.\[]0\]?\.role"
)


@dataclass(frozen=True)
class RequestChange:
    """One change of a request: `name`, `text` and `changes_answers` as an `Adaptation` has them.

    `applies` says whether a request has what is changed, `refused` whether a server's error is about that.
    """

    name: str
    text: str
    applies: Callable[[Body], bool]
    refused: Callable[[ModelError], bool]
    change: Callable[[Body], Body]
    changes_answers: bool = False


def _without(name: str) -> Callable[[Body], Body]:
    return lambda body: {key: value for key, value in body.items() if key != name}


def _has(name: str) -> Callable[[Body], bool]:
    return lambda body: name in body


def _names(pattern: str, statuses: Sequence[int] = REFUSALS) -> Callable[[ModelError], bool]:
    """Return whether the server's words have the pattern and its status is one of these."""
    expression = re.compile(pattern, re.IGNORECASE)
    return lambda error: error.status in statuses and expression.search(str(error)) is not None


def _messages(body: Body) -> list[Message]:
    return cast("list[Message]", body["messages"])


def _has_system_message(body: Body) -> bool:
    roles = [message["role"] for message in _messages(body)]
    return roles[:1] == ["system"] and "user" in roles


def _merged(body: Body) -> Body:
    """Return the request with its first message, the system's, at the head of the first user's."""
    system, *rest = _messages(body)
    index = next(number for number, message in enumerate(rest) if message["role"] == "user")
    merged: Message = {"role": "user", "content": f"{system['content']}\n{rest[index]['content']}"}
    return {**body, "messages": [*rest[:index], merged, *rest[index + 1 :]]}


MERGED_SYSTEM = RequestChange(
    "merged_system_message",
    "the system message was put at the beginning of the first user message",
    _has_system_message,
    _names(NO_SYSTEM, RAISES),
    _merged,
    changes_answers=True,
)
CHANGES = (
    RequestChange(
        "max_completion_tokens",
        "the limit of an answer was sent as max_completion_tokens, since the server refuses max_tokens",
        _has("max_tokens"),
        _names(r"max_completion_tokens(?!'? is too large)"),
        lambda body: {**_without("max_tokens")(body), "max_completion_tokens": body["max_tokens"]},
    ),
    RequestChange(
        "no_temperature",
        "no temperature was sent, since the server refuses it; the server used its own",
        _has("temperature"),
        _names(r"temperature"),
        _without("temperature"),
        changes_answers=True,
    ),
    RequestChange(
        "no_seed",
        "no seed was sent, since the server refuses it; another run gets other repeated answers",
        _has("seed"),
        _names(r"\bseed\b"),
        _without("seed"),
    ),
    RequestChange(
        "no_n",
        "the number of answers (n: 1) was not sent, since the server refuses it",
        _has("n"),
        _names(r"['\"`]n['\"`]|\bbody\.n\b|\bn: "),
        _without("n"),
    ),
    MERGED_SYSTEM,
    RequestChange(
        "no_response_format",
        "no JSON schema of the answer was sent, since the server refuses it",
        _has("response_format"),
        lambda error: error.status in NOT_UNDERSTOOD,
        _without("response_format"),
    ),
)
"""In the order in which a refusal is held against them: the last one fits almost any."""


def change_request(body: Body, changes: Iterable[RequestChange]) -> Body:
    """Return the request with those of the changes that it needs."""
    for change in changes:
        if change.applies(body):
            body = change.change(body)
    return body


def fitting_change(error: ModelError, body: Body, tried: Sequence[RequestChange]) -> RequestChange | None:
    """Return the change that a refusal of the request asks for, None where none fits that wasn't tried."""
    if isinstance(error, ContextLengthError):
        return None
    for change in CHANGES:
        if change not in tried and change.applies(body) and change.refused(error):
            return change
    return None
