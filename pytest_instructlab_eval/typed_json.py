"""Reads JSON files strictly: the types of records say what a file must have, and an error names the place.

A file of this plugin is kept, committed, sent around and edited. Code behind this module can trust what it
gets: texts are texts, numbers are finite, nothing is missing, and no key stands twice.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = ["Misfit", "NotJSON", "Problem", "Rule", "load", "parse", "read_as", "read_text", "schema_version"]

MOST_BYTES = 2**30  # 1 GiB: a thousand times MMLU's questions
DEEPEST = 100  # levels of lists and objects
LONGEST = 60  # characters of a value in a message
HALF_A_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # may be one of a pair
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

T = TypeVar("T")


class NotJSON(ValueError):
    """A file holds no JSON that could be read; the message says why."""


class Misfit(ValueError):
    """A value is not as its type has it; the message names its place in the file and what was expected.

    `problem` goes on after the place: "must be a text (got 7)".
    """

    def __init__(self, problem: str, *place: str | int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = list(place)

    def __str__(self) -> str:
        return f"{''.join(map(_step, self.place)).removeprefix('.') or 'it'} {self.problem}"


def _step(key: str | int) -> str:
    if isinstance(key, str) and PLAIN_KEY.fullmatch(key):
        return f".{key}"
    return f"[{_shown(key)}]"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


# --- a file ---


def load(path: Path) -> Any:
    """Return what a JSON file holds; raises OSError, NotJSON where it holds none, and Misfit.

    Misfit is for what Python's own reader takes and no other program may: NaN, an infinite number, a key that
    an object has twice, half of a character, and lists in lists without end.
    """
    return parse(read_text(path))


def read_text(path: Path) -> str:
    """Return the text of a file of ours; raises OSError, and NotJSON where it has none or is endless."""
    if path.exists() and not path.is_file():
        raise NotJSON("it is no regular file")
    if path.stat().st_size > MOST_BYTES:
        raise NotJSON(f"it is larger than {MOST_BYTES:,} bytes")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJSON(f"it is not UTF-8, at byte {error.start:,}") from None


def parse(text: str) -> Any:
    """Return what a text in JSON says; raises NotJSON and Misfit as `load`."""
    try:
        document = json.loads(
            text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_with_keys_once
        )
    except json.JSONDecodeError as error:
        raise NotJSON(f"no JSON at line {error.lineno:,}, column {error.colno:,}: {error.msg}") from None
    except Misfit:
        raise
    except ValueError:
        raise NotJSON("it has a number of too many digits") from None
    except RecursionError:
        raise NotJSON(f"it is nested deeper than {DEEPEST} levels") from None
    _check_depth(document)
    if HALF_A_CHARACTER.search(text):
        _check_characters(document)
    return document


def _no_number(name: str) -> NoReturn:
    raise Misfit(f"has {name}, which is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Misfit(f"has {text[:LONGEST]}, which is too large a number")
    return number


def _with_keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Misfit(f"has the key {_shown(twice)} twice in one object")
    return found


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise Misfit(f"is nested deeper than {DEEPEST} levels")


def _check_characters(document: Any) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Misfit("has a text with half of a character (a lone surrogate)") from None


def schema_version(document: Any) -> int | None:
    """Return the version of the schema that a document says it has; None where it says none."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    return version if type(version) is int and 0 < version < 10**6 else None


# --- records ---


class Problem(Misfit):
    """What is wrong with a record though each of its fields has its type: `expected` of the value there."""

    def __init__(self, expected: str, value: Any, *place: str | int) -> None:
        super().__init__(f"{expected} (got {_shown(value)})", *place)


@dataclass(frozen=True)
class Rule:
    """What a record must be beside its fields' types.

    `required` are the fields that must be there though they have a default: a file that lost one is damaged.
    `ignored` are keys that stand beside the fields. `problems` are what is wrong with the fields as they were
    read; the first is told.
    """

    required: Collection[str] = ()
    ignored: Collection[str] = ()
    problems: Callable[[Mapping[str, Any]], Iterator[Misfit]] = lambda fields: iter(())


Rules = Mapping[Any, Rule]
NO_RULES: Rules = {}
Reader = Callable[[Any, Rules], Any]


def read_as(kind: type[T], value: Any, rules: Rules = NO_RULES) -> T:
    """Return a JSON value as a dataclass, a TypedDict, or what else a type can say of JSON; raises Misfit.

    Lists are read as tuples. A dataclass has no other keys than its fields, a TypedDict may.
    """
    of_any_kind: Any = kind  # to a type checker, not every type is hashable
    found: T = _reader(of_any_kind)(value, rules)
    return found


@functools.cache
def _reader(kind: Hashable) -> Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return functools.partial(_one_of, arguments)
    if origin is tuple:
        return functools.partial(_list, arguments)
    if origin in (Mapping, dict):
        return functools.partial(_mapping, arguments[1])
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        return functools.partial(_record, kind, get_type_hints(kind))
    if kind is float:
        return _number
    return lambda value, rules: value if _fits(kind, value) else _misfit((kind,), value)


def _one_of(kinds: tuple[Any, ...], value: Any, rules: Rules) -> Any:
    for kind in kinds:
        if _fits(kind, value):
            return _reader(kind)(value, rules)
    return _misfit(kinds, value)


def _number(value: Any, rules: Rules) -> float:
    try:
        return float(value) if _fits(float, value) else _misfit((float,), value)
    except OverflowError:
        raise Misfit("must be a number (got one of too many digits)") from None


def _list(kinds: tuple[Any, ...], value: Any, rules: Rules) -> tuple[Any, ...]:
    if not isinstance(value, list):
        return _misfit((tuple,), value)
    if kinds[-1] is not ... and len(value) != len(kinds):
        raise Problem(f"must have {len(kinds)} entries", value)
    return tuple(
        _inner(kinds[0 if kinds[-1] is ... else place], entry, rules, place)
        for place, entry in enumerate(value)
    )


def _mapping(kind: Any, value: Any, rules: Rules) -> dict[str, Any]:
    if not isinstance(value, dict):
        return _misfit((Mapping,), value)
    return {key: _inner(kind, entry, rules, key) for key, entry in value.items()}


def _record(kind: Any, hints: Mapping[str, Any], value: Any, rules: Rules) -> Any:
    if not isinstance(value, dict):
        return _misfit((Mapping,), value)
    rule = rules.get(kind, Rule())
    needed = kind.__required_keys__ if is_typeddict(kind) else rule.required
    for name in hints:
        if name in needed and name not in value:
            raise Misfit(f"has no {name}")
    fields = {name: _inner(hints[name], value[name], rules, name) for name in hints if name in value}
    others = {name: entry for name, entry in value.items() if name not in hints and name not in rule.ignored}
    if others and not is_typeddict(kind):
        raise Misfit(f"has {_shown(next(iter(others)))}, which schema version 1 doesn't know")
    for problem in rule.problems(fields | {name: value[name] for name in rule.ignored if name in value}):
        raise problem
    return fields | others if is_typeddict(kind) else kind(**fields)


def _inner(kind: Any, value: Any, rules: Rules, place: str | int) -> Any:
    try:
        return _reader(kind)(value, rules)
    except Misfit as misfit:
        misfit.place.insert(0, place)
        raise


NAMES: Mapping[Any, str] = {
    str: "a text", float: "a number", int: "a whole number", bool: "true or false", type(None): "null",
    tuple: "a list",
}  # fmt: skip
BUILTINS: Mapping[Any, tuple[type, ...]] = {float: (float, int), tuple: (list,)}


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a type as JSON has it, whatever is inside."""
    if kind is Any:
        return True
    if get_origin(kind) is Literal:
        return any(type(value) is type(known) and value == known for known in get_args(kind))
    kind = get_origin(kind) or kind
    return type(value) in BUILTINS.get(kind, (kind,) if kind in NAMES else (dict,))


def _misfit(kinds: tuple[Any, ...], value: Any) -> NoReturn:
    raise Problem(f"must be {' or '.join(dict.fromkeys(map(_name, kinds)))}", value)


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return NAMES.get(get_origin(kind) or kind, "an object")
