"""Generated replies of servers: any bytes, and true replies of which a part is changed."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

from hypothesis import strategies as st

from tests.raw_server import chat, http

# --- any response ---

STATUSES = st.sampled_from(
    ["200 OK", "200 ", "400 Bad", "404 No", "429 Slow", "500 Oh", "503 Busy", "302 Go"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = ("choices", "message", "content", "finish_reason", "usage", "error", "data", "id", "role", "refusal")


def replaced(document: object, path: list[str], value: object) -> object:
    """The document with a value at a path of names, as far as it has one."""
    if not path or not isinstance(document, dict | list) or not document:
        return value
    if isinstance(document, list):
        return [replaced(document[0], path, value), *document[1:]]
    return {**document, path[0]: replaced(document.get(path[0]), path[1:], value)}


MUTANTS = st.builds(replaced, st.just(chat("Hello.")), st.lists(st.sampled_from(KEYS), max_size=4), JSON)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | MUTANTS.map(lambda value: json.dumps(value).encode())
)
HEADERS = st.lists(
    st.sampled_from(
        ["location: /x", "location: http://[", "retry-after: x", "retry-after: -1", "content-encoding: gzip",
         "transfer-encoding: chunked", "content-length: 3", "x: \x00", "content-type: x", ": x", "\xff: y"]
    ), max_size=2,
).map(lambda lines: "".join(f"{line}\r\n" for line in lines))  # fmt: skip
RESPONSES = st.binary(max_size=60) | st.builds(
    lambda body, status, headers: http(body, status=status, headers=headers), BODIES, STATUSES, HEADERS
)


# --- a true reply with one part changed ---

JUNK: tuple[Any, ...] = (
    None, True, False, "", "x", "-1.2", [], {}, [[-1.0]], {"logprob": -1.0}, 0.5, 1e300, math.nan, math.inf,
    -math.inf, -9999.0, -3.4028234663852886e38, 10**400,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of a reply but its root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in ((*path, key), *places(inner, (*path, key)))]


def mutated(chance: random.Random, reply: dict[str, Any]) -> Any:
    """The reply with one part changed or gone, or something else; no token becomes another token."""
    if chance.random() < 0.1:
        return chance.choice([{}, {"choices": None}, {"choices": {}}, {"tokens": "x"}, {"error": "no"}])
    changed = copy.deepcopy(reply)
    place = chance.choice(places(changed))
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    if place[-1] == "index" and chance.random() < 0.5:
        parent["index"] = chance.randint(-1, 4)
    elif chance.random() < 0.5:
        parent[place[-1]] = chance.choice(JUNK)
    else:
        del parent[place[-1]]
    return changed
