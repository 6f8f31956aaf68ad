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
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
    if "\0" in str(path):
        raise NotJSON("no file has such a name")
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
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
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
    `ignored` are keys that are not read as fields. `problems` are what is wrong with the fields as they were
    read; the first is told. `build` makes the record of its fields and of what was ignored, where it is more
    than these.
    """

    required: Collection[str] = ()
    ignored: Collection[str] = ()
    problems: Callable[[Mapping[str, Any]], Iterator[Misfit]] = lambda fields: iter(())
    build: Callable[[Mapping[str, Any]], object] | None = None


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
def _reader(kind: Any) -> Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    reader: Reader
    if kind in (Any, object):
        reader = _anything
    elif origin in (Union, types.UnionType):
        reader = functools.partial(_one_of, [(_types(one), _reader(one)) for one in arguments], arguments)
    elif origin is tuple:
        every = arguments[-1] is ...
        reader = (
            functools.partial(_list, _reader(arguments[0]))
            if every
            else functools.partial(_entries, arguments)
        )
    elif origin in (Mapping, dict):
        reader = functools.partial(_mapping, _reader(arguments[1]))
    elif dataclasses.is_dataclass(kind) or is_typeddict(kind):
        readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
        reader = functools.partial(_record, kind, readers)
    elif kind is float:
        reader = _number
    else:
        reader = functools.partial(_scalar, kind, _types(kind))
    return reader


def _anything(value: Any, rules: Rules) -> Any:
    return value


def _scalar(kind: Any, accepted: Collection[type], value: Any, rules: Rules) -> Any:
    chosen = get_args(kind)  # of a Literal
    return value if type(value) in accepted and (not chosen or value in chosen) else _misfit((kind,), value)


def _number(value: Any, rules: Rules) -> float:
    if type(value) is float:
        return value
    try:
        return float(value) if type(value) is int else _misfit((float,), value)
    except OverflowError:
        raise Misfit("must be a number (got one of too many digits)") from None


def _one_of(
    readers: Sequence[tuple[Collection[type], Reader]], kinds: tuple[Any, ...], value: Any, rules: Rules
) -> Any:
    for accepted, reader in readers:
        if type(value) in accepted:
            return reader(value, rules)
    return _misfit(kinds, value)


def _list(reader: Reader, value: Any, rules: Rules) -> tuple[Any, ...]:
    if type(value) is not list:
        return _misfit((tuple,), value)
    found: list[Any] = []
    try:
        for entry in value:
            found.append(reader(entry, rules))  # its length is the place of what fails
    except Misfit as misfit:
        misfit.place.insert(0, len(found))
        raise
    return tuple(found)


def _entries(kinds: tuple[Any, ...], value: Any, rules: Rules) -> tuple[Any, ...]:
    """A list of as many entries as there are kinds."""
    if type(value) is not list or len(value) != len(kinds):
        raise Problem(f"must be a list of {len(kinds)}", value)
    return tuple(_reader(kind)(entry, rules) for kind, entry in zip(kinds, value, strict=True))


def _mapping(reader: Reader, value: Any, rules: Rules) -> dict[str, Any]:
    return (
        _fields(dict.fromkeys(value, reader), value, rules)
        if type(value) is dict
        else _misfit((dict,), value)
    )


def _fields(readers: Mapping[str, Reader], value: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    found = {}
    for name, reader in readers.items():
        if name in value:
            try:
                found[name] = reader(value[name], rules)
            except Misfit as misfit:
                misfit.place.insert(0, name)
                raise
    return found


def _record(kind: Any, readers: Mapping[str, Reader], value: Any, rules: Rules) -> Any:
    if type(value) is not dict:
        return _misfit((kind,), value)
    rule = rules.get(kind, Rule())
    needed = kind.__required_keys__ if is_typeddict(kind) else rule.required
    for name in (*readers, *rule.ignored):
        if name in needed and name not in value:
            raise Misfit(f"has no {name}")
    read = {name: reader for name, reader in readers.items() if name not in rule.ignored}
    fields = _fields(read, value, rules)
    others = {name: entry for name, entry in value.items() if name not in read}
    unknown = others.keys() - set(rule.ignored)
    if unknown and not is_typeddict(kind):
        raise Misfit(f"has {_shown(min(unknown))}, which is not known here")
    for problem in rule.problems(fields | others):
        raise problem
    if rule.build is not None:
        return rule.build(fields | others)
    return fields | others if is_typeddict(kind) else kind(**fields)


NAMES: Mapping[Any, str] = {
    str: "a text", float: "a number", int: "a whole number", bool: "true or false", type(None): "null",
    tuple: "a list",
}  # fmt: skip
BUILTINS: Mapping[Any, tuple[type, ...]] = {float: (float, int), tuple: (list,)}


def _types(kind: Any) -> Collection[type]:
    """The types that JSON's reader has for a value of this kind, whatever is inside."""
    if get_origin(kind) is Literal:
        return {type(known) for known in get_args(kind)}
    kind = get_origin(kind) or kind
    return BUILTINS.get(kind, (kind,) if kind in NAMES else (dict,))


def _misfit(kinds: tuple[Any, ...], value: Any) -> NoReturn:
    raise Problem(f"must be {' or '.join(dict.fromkeys(map(_name, kinds)))}", value)


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return NAMES.get(get_origin(kind) or kind, "an object")
