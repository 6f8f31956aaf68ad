"""YAML of strangers, read as a tree of texts or as plain data, with lines; nothing in it is ever run."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from pytest_instructlab_eval.data.text_files import read_text
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import escape

if TYPE_CHECKING:
    import yaml

MOST_BYTES = 2**20  # of one YAML file
MOST_OF_A_NUMBER = 64  # characters; Python turns very long ones into integers, but not back into text
DEEPEST = 16  # levels; a qna.yaml has 5

STANDARD = "tag:yaml.org,2002:"
SCALARS = {STANDARD + name for name in ("str", "int", "float", "bool", "null", "timestamp")}
TAGS: Mapping[type, Collection[str]] = {dict: {STANDARD + "map"}, list: {STANDARD + "seq"}, str: SCALARS}
SURROGATE = re.compile(r"[\ud800-\udfff]")
LINE_END = re.compile(r"\r\n?|\n")


# --- as it is written ---


@dataclass(frozen=True)
class YamlNode:
    """A value and its line, counted from 1; a scalar is the text as it is written.

    `tag` is one that its author gave it, such as `!function`. What a `plain` scalar means depends on its
    text: it has neither quotes nor a tag that says more than "!". `keys` are a mapping's, by their text.
    """

    value: str | list[YamlNode] | dict[str, YamlNode]
    line: int
    tag: str | None = None
    plain: bool = False
    keys: Mapping[str, YamlNode] = field(default_factory=dict)

    @property
    def fields(self) -> Mapping[str, YamlNode]:
        """Return the entries of a mapping; of anything else none."""
        return self.value if isinstance(self.value, dict) else {}

    def inside(self) -> Iterator[YamlNode]:
        """Yield the value itself and each one in it, keys too."""
        yield self
        entries = self.value if isinstance(self.value, list) else (*self.keys.values(), *self.fields.values())
        for entry in entries:
            yield from entry.inside()


class YamlDocument:
    """A text that should be YAML; `location` is how messages name it."""

    def __init__(self, text: str, location: str) -> None:
        self.text = text
        self.location = location
        self._begins = [0, *(line_end.end() for line_end in LINE_END.finditer(text))]

    def line(self, index: int) -> int:
        """Return the line of a character as editors count it: YAML's own count takes in other separators."""
        return bisect.bisect_right(self._begins, index)

    def refuse(self, line: int, reason: str) -> NoReturn:
        """Raise DataError that names the place, the line and what is wrong there."""
        raise DataError(f"{self.location}, line {line}: {reason}")

    def refuse_twice(self, key: YamlNode, first: int) -> NoReturn:
        """Raise DataError for a key that was there before, in the line `first`."""
        self.refuse(
            key.line, f"{escape(key.value)} is there twice, first in line {first}; remove one of them"
        )

    def root(self) -> YamlNode | None:
        """Return what the text says, None where it says nothing.

        Raises DataError for what isn't YAML, for several documents, deep nesting, a key twice, half a
        character, and for aliases, of which a few can stand for billions of values.
        """
        import yaml

        control = yaml.reader.Reader.NON_PRINTABLE.search(self.text)
        if control:
            character = f"U+{ord(control[0]):04X}"
            self.refuse(self.line(control.start()), f"not YAML: the character {character} is not allowed")
        # libyaml, where PyYAML was built with it, is fifty times as fast. It refuses what YAML allows (a
        # block scalar that begins with a tab), so what it refuses is read once more.
        fast = getattr(yaml, "CSafeLoader", None)
        if fast is not None:
            with contextlib.suppress(yaml.MarkedYAMLError):
                return _NodeBuilder(self, yaml.parse(self.text, Loader=fast)).root()
        try:
            return _NodeBuilder(self, yaml.parse(self.text, Loader=yaml.SafeLoader)).root()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = self.line(mark.index) if mark else 1
            self.refuse(line, f"not YAML: {escape(error.problem or error.context)}")


class _NodeBuilder:
    """Makes nodes of the parser's events, so that nothing is built of what is refused."""

    def __init__(self, document: YamlDocument, events: Iterator[yaml.Event]) -> None:
        self._document = document
        self._events = events

    def root(self) -> YamlNode | None:
        import yaml

        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        node = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._document.refuse(self._line(after), "expected one YAML document (got a second one here)")
        return node

    def _node(self, event: yaml.Event, depth: int) -> YamlNode:
        import yaml

        line = self._line(event)
        if isinstance(event, yaml.AliasEvent):
            anchor = escape(event.anchor, 40)
            self._document.refuse(line, f"aliases are not supported (got *{anchor}); write the value out")
        if depth > DEEPEST:
            self._document.refuse(line, f"expected at most {DEEPEST} levels of nesting")
        if isinstance(event, yaml.ScalarEvent):
            if not event.value.isascii() and SURROGATE.search(event.value):
                self._document.refuse(line, "half a character (a lone surrogate) is not text")
            return YamlNode(event.value, line, event.tag, event.implicit[0])
        if isinstance(event, yaml.SequenceStartEvent):
            entries = [self._node(entry, depth + 1) for entry in self._until(yaml.SequenceEndEvent)]
            return YamlNode(entries, line, event.tag)
        keys, fields = self._mapping(depth)
        return YamlNode(fields, line, cast("yaml.MappingStartEvent", event).tag, keys=keys)

    def _mapping(self, depth: int) -> tuple[dict[str, YamlNode], dict[str, YamlNode]]:
        import yaml

        keys: dict[str, YamlNode] = {}
        fields: dict[str, YamlNode] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key.value, str):
                self._document.refuse(key.line, "expected a text as a key (got a list or mapping)")
            if key.value == "<<" and key.plain:
                self._document.refuse(
                    key.line, "merging another mapping (<<) is not supported; write its keys out"
                )
            if key.value in keys:
                self._document.refuse_twice(key, keys[key.value].line)
            keys[key.value] = key
            fields[key.value] = self._node(next(self._events), depth + 1)
        return keys, fields

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        """Yield the event that begins each entry; what is inside the entry must be taken before the next."""
        return itertools.takewhile(lambda event: not isinstance(event, end), self._events)

    def _line(self, event: yaml.Event) -> int:
        return self._document.line(event.start_mark.index if event.start_mark else 0)


# --- as plain data ---


@dataclass(frozen=True)
class TaggedValue:
    """A value with a tag of its own, such as `!function os.system`; its content is dropped."""

    tag: str
    line: int


class YamlMapping(dict[object, object]):
    """A mapping; `lines` has the line of each key, counted from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[object, int] = {}


def read_yaml(path: Path, *, most_bytes: int = MOST_BYTES) -> object:
    """Return what a file holds; see `parse_yaml`."""
    location = escape(path)
    return parse_yaml(read_text(path, most_bytes, location=location), location)


def parse_yaml(text: str, location: str) -> object:
    """Return what a text says as builtins, with `YamlMapping` and `TaggedValue` where one is needed.

    Raises DataError as `YamlDocument.root`, and for what is none of its kind, such as the 31st of February.
    """
    document = YamlDocument(text, location)
    root = document.root()
    return None if root is None else _plain(root, document)


def first_tag(value: object) -> TaggedValue | None:
    """Return the first value with a tag of its own inside a value that was read, if there is one."""
    if isinstance(value, TaggedValue):
        return value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((tagged for tagged in map(first_tag, inside) if tagged), None)


def _plain(node: YamlNode, document: YamlDocument) -> object:
    tag = _tag(node)
    if tag not in TAGS[type(node.value)]:
        return TaggedValue(escape(tag), node.line)
    if isinstance(node.value, str):
        return _scalar(node, document)
    if isinstance(node.value, list):
        return [_plain(entry, document) for entry in node.value]
    record = YamlMapping()
    for text, entry in node.value.items():
        key = node.keys[text]
        name = _scalar(key, document) if _tag(key) in SCALARS else text
        if name in record:  # 1 and 0x1 are two texts and one number
            document.refuse_twice(key, record.lines[name])
        record.lines[name] = key.line
        record[name] = _plain(entry, document)
    return record


def _scalar(node: YamlNode, document: YamlDocument) -> object:
    import yaml

    tag, text = _tag(node), str(node.value)
    try:
        if tag == STANDARD + "str" or len(text) <= MOST_OF_A_NUMBER:
            value: object = yaml.constructor.SafeConstructor().construct_object(yaml.ScalarNode(tag, text))
            return value
    except (ValueError, KeyError, IndexError, AttributeError):  # such as the 31st of February, or `!!int x`
        pass
    document.refuse(node.line, f"expected a valid {tag.removeprefix(STANDARD)} (got {escape(text, 40)!r})")


def _tag(node: YamlNode) -> str:
    """Return what a value is: the tag that it has, or what YAML takes it for."""
    import yaml

    if node.tag is not None and node.tag != "!":
        return node.tag
    if isinstance(node.value, str):
        resolve = yaml.resolver.Resolver().resolve
        return str(resolve(yaml.ScalarNode, node.value, (node.plain, False)))  # type: ignore[no-untyped-call]
    return STANDARD + ("map" if isinstance(node.value, dict) else "seq")
