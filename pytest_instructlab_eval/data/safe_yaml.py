"""YAML written by strangers, read as plain data with the line of every key; nothing in it is ever run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.errors import DataError

__all__ = ["MOST_BYTES", "Record", "Tagged", "first_tag", "parse_yaml", "read_text", "read_yaml", "shown"]

MOST_BYTES = 2**20  # of one YAML file
MOST_SHOWN = 200  # characters of a stranger's text in a message
MOST_OF_A_NUMBER = 64  # characters; Python turns very long ones into integers, but not back into text

STANDARD = "tag:yaml.org,2002:"
SCALARS = {STANDARD + name for name in ("str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class Tagged:
    """A value with a tag of its own, such as `!function os.system`; its content is dropped."""

    tag: str
    line: int


class Record(dict[Any, Any]):
    """A mapping; `lines` has the line of each key, counted from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Any, int] = {}


def read_yaml(path: Path, *, most_bytes: int = MOST_BYTES) -> Any:
    """What a file holds; see `parse_yaml`."""
    return parse_yaml(read_text(path, most_bytes), shown(path))


def parse_yaml(text: str, place: str) -> Any:
    """The one document of a text as builtins, with `Record` for mappings and `Tagged` for tagged values.

    Raises DataError, which begins with `place` and the line, for what isn't YAML, for several documents,
    deep nesting, a key twice, and for aliases, of which a few can stand for billions of values.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return _plain(node, place, set()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DataError(f"{place}{_line(mark)}: not YAML: {shown(error.problem or error.context)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DataError(f"{place}, line {line}: not YAML: a character that isn't allowed") from None
    except RecursionError:
        raise DataError(f"{place}: nested too deep to be read") from None


def first_tag(value: Any) -> Tagged | None:
    """The first value with a tag of its own inside a value that was read, if there is one."""
    if isinstance(value, Tagged):
        return value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for found in map(first_tag, inside) if found), None)


def read_text(path: Path, most_bytes: int) -> str:
    """A file's text; raises DataError where it is no file, too large or not UTF-8."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{shown(path)} is not a file")
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise DataError(f"{shown(path)} can't be read ({error.strerror})") from None
    if len(data) > most_bytes:
        raise DataError(
            f"{shown(path)} is larger than {most_bytes:,} bytes, the most that is read of such a file"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{shown(path)}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x})") from None


def shown(text: object, most: int = MOST_SHOWN) -> str:
    """A stranger's text fit for a message: cut, and escaped where a terminal would act upon it."""
    whole = str(text)
    cut = whole if len(whole) <= most else whole[:most] + "…"
    return cut if cut.isprintable() else ascii(cut)


def _plain(node: Any, place: str, seen: set[int]) -> Any:
    import yaml

    if id(node) in seen:
        raise DataError(
            f"{place}{_line(node.start_mark)}: this value is used again by an alias (*); write it out"
        )
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode) and node.tag == STANDARD + "map":
        return _record(node, place, seen)
    if isinstance(node, yaml.SequenceNode) and node.tag == STANDARD + "seq":
        return [_plain(entry, place, seen) for entry in node.value]
    if isinstance(node, yaml.ScalarNode) and node.tag in SCALARS:
        return _scalar(node, place)
    return Tagged(shown(node.tag), node.start_mark.line + 1)


def _record(node: Any, place: str, seen: set[int]) -> Record:
    import yaml

    record = Record()
    for key_node, value_node in node.value:
        where = f"{place}{_line(key_node.start_mark)}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise DataError(f"{where}: a key must be a plain text")
        # "<<" would merge another mapping into this one; here it is a key like any other.
        key = _scalar(key_node, place) if key_node.tag in SCALARS else key_node.value
        if key in record:
            raise DataError(f"{where}: {shown(key)} is there twice, first in line {record.lines[key]}")
        record.lines[key] = key_node.start_mark.line + 1
        record[key] = _plain(value_node, place, seen)
    return record


def _scalar(node: Any, place: str) -> Any:
    import yaml

    kind = node.tag.removeprefix(STANDARD)
    try:
        if kind == "str" or len(node.value) <= MOST_OF_A_NUMBER:
            return yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError, IndexError, AttributeError):  # such as the 31st of February, or `!!int x`
        pass
    raise DataError(f"{place}{_line(node.start_mark)}: {shown(node.value, 40)!r} is no {kind}")


def _line(mark: Any) -> str:
    return f", line {mark.line + 1}" if mark is not None else ""
