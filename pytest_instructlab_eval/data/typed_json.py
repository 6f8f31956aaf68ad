"""Reads JSON files strictly: the types of records say what a file must have, and an error names the place.

A file of this plugin is kept, committed, sent around and edited. Code behind this module can trust what it
gets: texts are texts, numbers are finite, nothing is missing, and no key stands twice.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import re
import types
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Any,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pytest_instructlab_eval.data.text_files import NotUTF8Error, read_text
from pytest_instructlab_eval.escaping import escape

MOST_BYTES = 2**30  # 1 GiB: a thousand times MMLU's questions
DEEPEST = 100  # levels of lists and objects
LONGEST = 60  # characters of a value in a message
HALF_A_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # may be one of a pair
PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

T = TypeVar("T")


class NotJSONError(ValueError):
    """A file holds no JSON that could be read; the message says why."""


class MisfitError(ValueError):
    """A value is not as its type has it; the message names its place in the file and what was expected.

    `problem` goes on after the place: "must be a text (got 7)".
    """

    def __init__(self, problem: str, *location: str | int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.location = list(location)

    def __str__(self) -> str:
        steps = (
            f".{key}" if PLAIN_KEY.fullmatch(str(key)) else f"[{_value_in_message(key)}]"
            for key in self.location
        )
        return f"{''.join(steps).removeprefix('.') or 'it'} {self.problem}"


def _value_in_message(value: object) -> str:
    return escape(json.dumps(value, default=str), LONGEST)


# --- a file ---


def load_json(path: Path) -> object:
    """Return what a JSON file holds; raises DataError where it can't be read, else as `parse`."""
    try:
        return parse_json(read_text(path, MOST_BYTES))
    except NotUTF8Error as error:
        raise NotJSONError(f"it is not UTF-8 in {error.line}, {error.byte}") from None


def parse_json(text: str) -> object:
    """Return what a text in JSON says; raises NotJSON where it says nothing, and Misfit.

    Misfit is for what Python's own reader takes and no other program may: NaN, an infinite number, a key that
    an object has twice, half a character, and lists in lists without end.
    """
    try:
        document: object = json.loads(
            text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_with_keys_once
        )
    except json.JSONDecodeError as error:
        raise NotJSONError(
            f"not JSON at line {error.lineno:,}, column {error.colno:,}: {error.msg}"
        ) from None
    except MisfitError:
        raise
    except ValueError:
        raise NotJSONError("it has a number of too many digits") from None
    except RecursionError:
        raise NotJSONError(f"it is nested deeper than {DEEPEST} levels") from None
    _check_depth(document)
    if HALF_A_CHARACTER.search(text):
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise MisfitError("has a text with half a character (a lone surrogate)") from None
    return document


def _no_number(name: str) -> NoReturn:
    raise MisfitError(f"has {name}, which is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MisfitError(f"has a number that is too large, {text[:LONGEST]}")
    return number


def _with_keys_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise MisfitError(f"has the key {_value_in_message(twice)} twice in one object")
    return record


def _check_depth(document: object) -> None:
    level: list[dict[object, object] | list[object]] = [[document]]
    for _ in range(DEEPEST + 1):
        inside = itertools.chain.from_iterable(
            node.values() if isinstance(node, dict) else node for node in level
        )
        level = [child for child in inside if isinstance(child, (dict, list))]
        if not level:
            return
    raise MisfitError(f"is nested deeper than {DEEPEST} levels")


def schema_version(document: object) -> int | None:
    """Return the version of the schema that a document says it has; None where it says none."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    return version if type(version) is int and 0 < version < 10**6 else None


# --- records ---


class RecordProblem(MisfitError):
    """A fault of a record whose fields have the right types: what is `expected` of the value there."""

    def __init__(self, expected: str, value: object, *location: str | int) -> None:
        super().__init__(f"{expected} (got {_value_in_message(value)})", *location)


@dataclass(frozen=True)
class RecordRule:
    """The rules of a record beside its fields' types.

    `required` are the fields that must be there though they have a default: a file that lost one is damaged.
    `ignored` are keys that are not read as fields. `problems` are what is wrong with the fields as they were
    read; the first is told. `build` makes the record of its fields and of what was ignored, where it is more
    than these.
    """

    required: Collection[str] = ()
    ignored: Collection[str] = ()
    problems: Callable[[Mapping[str, object]], Iterator[MisfitError]] = lambda fields: iter(())
    build: Callable[[Mapping[str, object]], object] | None = None


Rules = Mapping[type, RecordRule]
NO_RULES: Rules = {}
NO_RULE = RecordRule()
Reader = Callable[[object, Rules], object]


def read_as(kind: type[T], value: object, rules: Rules = NO_RULES) -> T:
    """Return a JSON value as a dataclass, a TypedDict, or what else a type can say of JSON; raises Misfit.

    Lists are read as tuples. A dataclass has no other keys than its fields, a TypedDict may.
    """
    return cast(T, _reader(cast(Hashable, kind))(value, rules))


@functools.cache
def _reader(kind: Hashable) -> Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _OneOf(arguments, [(_types(one), _reader(one)) for one in arguments])
    if origin in (tuple, Sequence):
        any_number = origin is Sequence or arguments[-1] is ...
        return _List(_reader(arguments[0])) if any_number else _FixedList([_reader(one) for one in arguments])
    if origin in (Mapping, dict):
        return _Mapping(_reader(arguments[1]))
    if is_typeddict(kind):
        return _TypedDict(cast(type, kind), _field_readers(kind))
    if dataclasses.is_dataclass(kind):
        return _Dataclass(cast(type, kind), _field_readers(kind))
    return PLAIN_READERS.get(kind) or _Scalar(kind, _types(kind), get_args(kind))


def _field_readers(kind: object) -> dict[str, Reader]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items()}


def _anything(value: object, rules: Rules) -> object:
    return value


def _read_number(value: object, rules: Rules) -> float:
    if type(value) is float:
        return value
    try:
        return float(value) if type(value) is int else _misfit((float,), value)
    except OverflowError:
        raise MisfitError("must be a number (got one of too many digits)") from None


PLAIN_READERS: Mapping[Hashable, Reader] = {Any: _anything, object: _anything, float: _read_number}


@dataclass(frozen=True)
class _Scalar:
    """Reads a text, a number, or one of a Literal."""

    kind: Hashable
    accepted: Collection[type]
    choices: Collection[object]

    def __call__(self, value: object, rules: Rules) -> object:
        if type(value) in self.accepted and (not self.choices or value in self.choices):
            return value
        return _misfit((self.kind,), value)


@dataclass(frozen=True)
class _OneOf:
    """Reads what is of one of several kinds."""

    kinds: tuple[Hashable, ...]
    readers: Sequence[tuple[Collection[type], Reader]]

    def __call__(self, value: object, rules: Rules) -> object:
        for accepted, reader in self.readers:
            if type(value) in accepted:
                return reader(value, rules)
        return _misfit(self.kinds, value)


@dataclass(frozen=True)
class _List:
    """Reads a list of any length."""

    reader: Reader

    def __call__(self, value: object, rules: Rules) -> tuple[object, ...]:
        if not isinstance(value, list):
            return _misfit((tuple,), value)
        entries: list[object] = []
        try:
            for entry in value:
                entries.append(self.reader(entry, rules))  # its length is the place of what fails
        except MisfitError as misfit:
            misfit.location.insert(0, len(entries))
            raise
        return tuple(entries)


@dataclass(frozen=True)
class _FixedList:
    """Reads a list of as many entries as there are readers."""

    readers: Sequence[Reader]

    def __call__(self, value: object, rules: Rules) -> tuple[object, ...]:
        if not isinstance(value, list) or len(value) != len(self.readers):
            raise RecordProblem(f"must be a list of {len(self.readers)}", value)
        return tuple(reader(entry, rules) for reader, entry in zip(self.readers, value, strict=True))


@dataclass(frozen=True)
class _Mapping:
    """Reads an object of any keys."""

    reader: Reader

    def __call__(self, value: object, rules: Rules) -> dict[str, object]:
        if not isinstance(value, dict):
            return _misfit((dict,), value)
        return _fields(dict.fromkeys(value, self.reader), value, rules)


@dataclass(frozen=True)
class _TypedDict:
    """Reads an object that may have other keys too."""

    kind: type
    readers: Mapping[str, Reader]

    def __call__(self, value: object, rules: Rules) -> dict[str, object]:
        required: Collection[str] = getattr(self.kind, "__required_keys__")  # noqa: B009 - no type has it
        return _read_object([name for name in self.readers if name in required], self.readers, value, rules)


@dataclass(frozen=True)
class _Dataclass:
    """Reads an object of these keys and no others, by the rule of its kind."""

    kind: type
    readers: Mapping[str, Reader]

    def __call__(self, value: object, rules: Rules) -> object:
        rule = rules.get(self.kind, NO_RULE)
        read = {name: reader for name, reader in self.readers.items() if name not in rule.ignored}
        fields = _read_object(rule.required, read, value, rules)
        unknown = fields.keys() - self.readers.keys() - set(rule.ignored)
        if unknown:
            raise MisfitError(f"has the unknown key {_value_in_message(min(unknown))}")
        for problem in rule.problems(fields):
            raise problem
        if rule.build is not None:
            return rule.build(fields)
        return self.kind(**{name: fields[name] for name in read if name in fields})


def _read_object(
    required: Collection[str], readers: Mapping[str, Reader], value: object, rules: Rules
) -> dict[str, object]:
    """Return the fields that have a reader as they were read, and what stands beside them as it is."""
    if not isinstance(value, dict):
        return _misfit((dict,), value)
    for name in required:
        if name not in value:
            raise MisfitError(f"has no {name}")
    return value | _fields(readers, value, rules)


def _fields(readers: Mapping[str, Reader], value: Mapping[str, object], rules: Rules) -> dict[str, object]:
    fields = {}
    for name, reader in readers.items():
        if name in value:
            try:
                fields[name] = reader(value[name], rules)
            except MisfitError as misfit:
                misfit.location.insert(0, name)
                raise
    return fields


NAMES: Mapping[object, str] = {
    str: "a text", float: "a number", int: "a whole number", bool: "true or false", type(None): "null",
    tuple: "a list",
}  # fmt: skip
BUILTINS: Mapping[Hashable, tuple[type, ...]] = {float: (float, int), tuple: (list,)}


def _types(kind: Hashable) -> Collection[type]:
    """Return the types that JSON's reader has for a value of this kind, whatever is inside."""
    if get_origin(kind) is Literal:
        return {type(value) for value in get_args(kind)}
    kind = get_origin(kind) or kind
    return BUILTINS.get(kind, (kind,) if isinstance(kind, type) and kind in NAMES else (dict,))


def _misfit(kinds: tuple[Hashable, ...], value: object) -> NoReturn:
    names = (
        " or ".join(map(str, get_args(kind)))
        if get_origin(kind) is Literal
        else NAMES.get(get_origin(kind) or kind, "an object")
        for kind in kinds
    )
    raise RecordProblem(f"must be {' or '.join(dict.fromkeys(names))}", value)
