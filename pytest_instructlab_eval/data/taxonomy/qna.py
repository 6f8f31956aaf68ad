"""What one qna.yaml says: its pairs of question and answer, each with its line; nothing in it is ever run."""

from __future__ import annotations

import bisect
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pytest_instructlab_eval.data.safe_yaml import shown
from pytest_instructlab_eval.errors import DataError

if TYPE_CHECKING:
    import yaml

__all__ = ["KNOWLEDGE", "MOST_BYTES", "QnaFile", "QnaPair", "parse_qna", "printable"]

MOST_BYTES = 2**20  # of one qna.yaml; the largest of InstructLab's has 38 kB
VERSIONS = {"1": 1, "2": 2, "3": 3}  # a file that names no version is of the first
KNOWLEDGE = "knowledge"  # the top-level folder of the files about documents
DEEPEST = 16  # levels of YAML; the schemas have 5

STANDARD = "tag:yaml.org,2002:"
SCALARS = {STANDARD + name for name in ("str", "int", "float", "bool", "null", "timestamp")} | {"!"}
COLLECTIONS = {STANDARD + "map", STANDARD + "seq", "!"}
NULLS = {"", "~", "null", "Null", "NULL"}  # https://yaml.org/type/null.html
SURROGATE = re.compile(r"[\ud800-\udfff]")
LINE_END = re.compile(r"\r\n?|\n")


@dataclass(frozen=True)
class QnaPair:
    """A question and its reference answer.

    `path` is that of the file inside the taxonomy, with slashes, `number` the place in the file
    counted from 1 over all its contexts, `line` where the pair starts in the file.
    """

    path: str
    number: int
    question: str
    answer: str
    context: str | None
    line: int

    @property
    def content(self) -> tuple[str, str, str | None]:
        """What is asked and expected, wherever it stands."""
        return self.question, self.answer, self.context

    @property
    def id(self) -> str:
        """What the test is called by: no two pairs share it, and a terminal can show it."""
        return f"{printable(self.path)}:{self.number}"


@dataclass(frozen=True)
class QnaFile:
    """A qna.yaml of schema version 1, 2 or 3.

    `commit` and `blob` are the Git ids of what was read, None where it is the working tree's. The
    texts that describe the file are None where it has none.
    """

    path: str
    version: int
    pairs: tuple[QnaPair, ...]
    created_by: str | None = None
    task_description: str | None = None
    domain: str | None = None
    document_outline: str | None = None
    commit: str | None = None
    blob: str | None = None

    @property
    def is_knowledge(self) -> bool:
        """Whether it teaches the content of a document, and not a skill."""
        return self.path.split("/")[0] == KNOWLEDGE


def printable(path: str) -> str:
    """A stranger's path as a terminal can show it; two paths never become the same text."""
    if path.isprintable() and "\\" not in path:
        return path
    return "".join(map(_escaped, path))


def _escaped(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode("ascii")


def parse_qna(data: bytes, path: str, *, commit: str | None = None, blob: str | None = None) -> QnaFile:
    """The file of these bytes.

    Numbers, dates and truth values are taken as they are written. Raises DataError, which begins with
    the path and line, for what isn't such a file, and for aliases, tags of its own and a key twice.
    """
    text = _Text(data, path)
    root = _tree(text)
    if not isinstance(root.value, dict):
        text.refuse(root.line, "a qna.yaml must be a mapping with seed_examples")
    return QnaFile(
        path=path,
        version=_version(text, root.fields),
        pairs=tuple(_pairs(text, root)),
        created_by=_described(root, "created_by"),
        task_description=_described(root, "task_description"),
        domain=_described(root, "domain"),
        document_outline=_described(root, "document_outline"),
        commit=commit,
        blob=blob,
    )


# --- what the schemas say ---


def _version(text: _Text, fields: Mapping[str, _Node]) -> int:
    node = fields.get("version")
    if node is None:
        return 1
    if not isinstance(node.value, str) or node.value not in VERSIONS:
        named = shown(node.value) if isinstance(node.value, str) else "no number"
        text.refuse(node.line, f"version must be 1, 2 or 3 (got {named})")
    return VERSIONS[node.value]


def _pairs(text: _Text, root: _Node) -> Iterator[QnaPair]:
    number = 0
    for example in _entries(text, root, "seed_examples"):
        context = _string(text, example, "context")
        nested = "questions_and_answers" in example.fields
        for pair in _entries(text, example, "questions_and_answers") if nested else (example,):
            number += 1
            question, answer = _asked(text, pair, "question"), _asked(text, pair, "answer")
            yield QnaPair(text.path, number, question, answer, context, pair.line)


def _entries(text: _Text, parent: _Node, key: str) -> Sequence[_Node]:
    """The mappings in a list that must have some."""
    node = parent.fields.get(key)
    if node is None or not isinstance(node.value, list) or not node.value:
        line = (node or parent).line
        text.refuse(line, f"{key} must be a list with at least one pair of question and answer")
    for entry in node.value:
        if not isinstance(entry.value, dict):
            text.refuse(entry.line, f"an entry of {key} must be a mapping with question and answer")
    return node.value


def _asked(text: _Text, pair: _Node, key: str) -> str:
    found = _string(text, pair, key)
    if found is None or not found.strip():
        text.refuse(pair.fields.get(key, pair).line, f"this pair has no {key}")
    return found


def _string(text: _Text, parent: _Node, key: str) -> str | None:
    """The text of a key; None where the key is missing or means nothing."""
    node = parent.fields.get(key)
    if node is None or node.value is None:
        return None
    if not isinstance(node.value, str):
        text.refuse(node.line, f"{key} must be a text, not a list or mapping")
    return node.value


def _described(root: _Node, key: str) -> str | None:
    """A text that only describes the file, so one of another form is left out, not refused."""
    node = root.fields.get(key)
    return node.value if node is not None and isinstance(node.value, str) else None


# --- YAML as a tree of texts ---


@dataclass(frozen=True)
class _Node:
    """A value and its line; a scalar is the text as it is written, None where that means nothing."""

    value: str | list[_Node] | dict[str, _Node] | None
    line: int

    @property
    def fields(self) -> Mapping[str, _Node]:
        """What a mapping holds; anything else holds nothing."""
        return self.value if isinstance(self.value, dict) else {}


class _Text:
    """A file's text, and where in it a character is."""

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        if len(data) > MOST_BYTES:
            raise DataError(f"{printable(path)} is larger than {MOST_BYTES:,} bytes, the most that is read")
        try:
            self.text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = len(LINE_END.findall(data[: error.start].decode("latin-1"))) + 1
            self.refuse(line, f"not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8")
        self._begins = [0, *(found.end() for found in LINE_END.finditer(self.text))]

    def line(self, index: int) -> int:
        """The line of a character as editors count it: YAML's own count takes in other separators."""
        return bisect.bisect_right(self._begins, index)

    def refuse(self, line: int, reason: str) -> NoReturn:
        raise DataError(f"{printable(self.path)}, line {line}: {reason}")


def _tree(text: _Text) -> _Node:
    """The one document of a text; raises DataError for anything but plain YAML."""
    import yaml

    control = yaml.reader.Reader.NON_PRINTABLE.search(text.text)
    if control:
        line = text.line(control.start())
        text.refuse(line, f"not YAML: the character U+{ord(control[0]):04X} is not allowed")
    # libyaml, where PyYAML was built with it, is fifty times as fast. It refuses what YAML allows (a block
    # scalar that begins with a tab), so what it refuses is read once more.
    fast = getattr(yaml, "CSafeLoader", None)
    if fast is not None:
        with contextlib.suppress(yaml.MarkedYAMLError):
            return _Builder(text, yaml.parse(text.text, Loader=fast)).document()
    try:
        return _Builder(text, yaml.parse(text.text, Loader=yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = text.line(cast(Any, mark).index) if mark else 1
        text.refuse(line, f"not YAML: {shown(error.problem or error.context)}")


class _Builder:
    """Makes nodes of the parser's events, so that nothing is built of what is refused."""

    def __init__(self, text: _Text, events: Iterator[yaml.Event]) -> None:
        self._text = text
        self._events = events

    def document(self) -> _Node:
        import yaml

        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            self._text.refuse(1, "the file is empty")
        node = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._text.refuse(self._line(after), "a second document begins; a qna.yaml is one")
        return node

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        import yaml

        line = self._line(event)
        if isinstance(event, yaml.AliasEvent):
            self._text.refuse(line, f"the alias *{shown(event.anchor, 40)} is not taken; write the value out")
        if depth > DEEPEST:
            self._text.refuse(line, f"nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.ScalarEvent):
            return _Node(self._scalar(event, line), line)
        self._check_tag(event, COLLECTIONS, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return _Node(list(self._until(yaml.SequenceEndEvent, depth)), line)
        return _Node(self._mapping(depth), line)

    def _until(self, end: type[yaml.Event], depth: int) -> Iterator[_Node]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield self._node(event, depth + 1)

    def _mapping(self, depth: int) -> dict[str, _Node]:
        import yaml

        fields: dict[str, _Node] = {}
        lines: dict[str, int] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key, line = self._key(event), self._line(event)
            if key in fields:
                self._text.refuse(line, f"{shown(key)} is there twice, first in line {lines[key]}")
            lines[key] = line
            fields[key] = self._node(next(self._events), depth + 1)
        return fields

    def _key(self, event: yaml.Event) -> str:
        import yaml

        line = self._line(event)
        if not isinstance(event, yaml.ScalarEvent):
            self._text.refuse(line, "a key must be a plain text")
        if event.value == "<<" and event.implicit[0]:
            self._text.refuse(line, "merging another mapping (<<) is not taken; write its keys out")
        self._scalar(event, line)
        return event.value

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> str | None:
        self._check_tag(event, SCALARS, line)
        value: str = event.value
        if not value.isascii() and SURROGATE.search(value):
            self._text.refuse(line, "half a character (a lone surrogate) is not text")
        nothing = event.tag is None and event.implicit[0] and value in NULLS
        return None if nothing or event.tag == STANDARD + "null" else value

    def _check_tag(self, event: Any, taken: set[str], line: int) -> None:
        if event.tag is not None and event.tag not in taken:
            self._text.refuse(line, f"the tag {shown(event.tag)} is not taken; write the value as plain text")

    def _line(self, event: yaml.Event) -> int:
        return self._text.line(cast(Any, event.start_mark).index)
