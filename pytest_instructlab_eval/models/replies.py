"""Reads the replies of OpenAI-compatible servers: errors in their many forms, lists of models, counts."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

STATUS_WORDS = {
    "rate_limit": 429,
    "too_many_requests": 429,
    "overloaded": 503,
    "service_unavailable": 503,
    "internal_server_error": 500,
    "server_error": 500,
}
"""The status that an error's word stands for, by the beginning of the word."""
MESSAGES = ("error", "message", "detail", "msg", "errors", "error_description", "title")
CODES = ("code", "type")
CONTENTS = ("choices", "data", "models", "tokens", "prompt", "count")
TOO_LONG = re.compile(
    r"context.?(length|size|window|limit)|maximum (context|model|input) length|input length limit"
    r"|inputs?`? tokens? \+ .?max_new_tokens|`?inputs?`? must have less than|max_seq_len"
    r"|prompt is too long|input is too long|too many (input |prompt )?tokens|reduce the length"
    r"|(input|prompt) token count .{0,20}exceeds|exceeds? (the )?(max|maximum) (number of )?(session|input)",
    re.IGNORECASE,
)  # fmt: skip


Kind = Literal["connection", "timeout", "size", "certificate", "tls", "reply"]


@dataclass(frozen=True)
class HttpReply:
    """A server's reply; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """Return the status as the reason of a failure."""
        return f"it answers {self.status}"


@dataclass(frozen=True)
class Failure:
    """A missing reply: `reason` is for people, and quotes nothing of the request."""

    kind: Kind
    reason: str


def as_object(value: object) -> dict[str, object]:
    """Return an object of JSON; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Return a list of JSON; an empty one for any other value."""
    return value if isinstance(value, list) else []


def first_of(value: object) -> object:
    """Return the first entry of a list of JSON; None where there is none, or no list."""
    return value[0] if isinstance(value, list) and value else None


def server_message(body: object, depth: int = 5) -> str:
    """Return what the server says in its error, in whichever form its kind has.

    OpenAI's `{"error": {"message": …}}`, FastAPI's `{"detail": [{"loc": […], "msg": …}]}`, a bare text.
    """
    if isinstance(body, str):
        return body
    if depth and isinstance(body, list):
        return "; ".join(filter(None, (server_message(part, depth - 1) for part in body[:5])))
    if depth and isinstance(body, dict):
        return _message_of(body, depth - 1)
    return "" if body is None else str(body)[:500]


def _message_of(body: Mapping[str, object], depth: int) -> str:
    """Return the message of a server's error, with the name of the field that it is about."""
    name = next((name for name in MESSAGES if body.get(name) and body[name] is not True), None)
    if name is None:
        return json.dumps(body)[:500]
    message = server_message(body[name], depth)
    field = body.get("loc", body.get("param"))
    field = ".".join(map(str, field[:9])) if isinstance(field, list) else field
    is_named = not field or re.search(rf"\b{re.escape(str(field)[:100])}\b", message)
    return message if is_named else f"{field}: {message}"


def error_in(reply: object) -> object:
    """Return the error that a success holds, as gateways send it; None where there is none."""
    whole = as_object(first_of(reply) if isinstance(reply, list) else reply)
    has_message = any(
        whole.get(name) for name in MESSAGES if name != "message" or isinstance(whole.get(name), str)
    )
    if whole.get("error") or (has_message and not any(map(whole.get, CONTENTS))):
        return whole
    choice = as_object(first_of(whole.get("choices")))
    return choice if choice.get("error") else None


def status_in(error: object) -> int | None:
    """Return the HTTP status that such an error has in its words, or in those that it holds."""
    if not isinstance(error, dict):
        return None
    for name in ("code", "status", "status_code", "type"):
        text = str(error.get(name))[:100].lower()
        if text.isdecimal() and 400 <= int(text) <= 599:
            return int(text)
        for word, status in STATUS_WORDS.items():
            if text.startswith(word):
                return status
    return status_in(error.get("error"))


def is_too_long(error: object) -> bool:
    """Return whether a server's error says that the prompt does not fit its model's context."""
    holders = (as_object(error), as_object(as_object(error).get("error")))
    codes = [str(holder[name])[:100] for holder in holders for name in CODES if name in holder]
    return any(map(TOO_LONG.search, (server_message(error)[:5000], *codes)))


def model_cards(reply: object) -> dict[str, Mapping[str, object]] | None:
    """Return what a list of models says of each, by name; the list is bare at some servers.

    None where it is no such list.
    """
    listed = reply.get("data", 0) if isinstance(reply, dict) else reply
    if isinstance(reply, dict) and listed in (None, []):  # null is Ollama without a model
        return {}
    named = ((card.get("id"), card) for card in map(as_object, as_list(listed)))
    return {name: card for name, card in named if isinstance(name, str)} or None


def retry_after(headers: Mapping[str, str], longest: float) -> float | None:
    """Return the seconds that the server asks to wait for; None where it asks for more than `longest`."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            text = headers.get("retry-after", "")
            if "," in text or ":" in text:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
            else:
                seconds = float(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if 0 <= seconds <= longest else None


def token_count(reply: Mapping[str, object], name: str) -> int:
    """Return a number of tokens in a reply's `usage`; 0 where it isn't told, or is no number."""
    value = as_object(reply.get("usage")).get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 10**12:
        return 0
    return int(value)
