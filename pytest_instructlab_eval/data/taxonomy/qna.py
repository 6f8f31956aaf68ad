"""Reads one qna.yaml: its pairs of question and answer, each with its line; nothing in it is ever run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.data.safe_yaml import STANDARD, YamlDocument, YamlNode
from pytest_instructlab_eval.data.text_files import decode_utf8
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import escape, printable_name

MOST_BYTES = 2**20  # of one qna.yaml; the largest of InstructLab's has 38 kB
VERSIONS = {"1": 1, "2": 2, "3": 3}  # a file that names no version is of the first
KNOWLEDGE = "knowledge"  # the top-level folder of the files about documents
NULLS = {"", "~", "null", "Null", "NULL"}  # https://yaml.org/type/null.html
OF_SCALARS = {None, "!", *(STANDARD + name for name in ("str", "int", "float", "bool", "null", "timestamp"))}
OF_COLLECTIONS = {None, "!", STANDARD + "map", STANDARD + "seq"}


@dataclass(frozen=True)
class QnaPair:
    """A question and its reference answer.

    `path` is that of the file inside the taxonomy, with slashes, `number` the place in the file
    counted from 1 over all its contexts, `line` that of its question in the file.
    """

    path: str
    number: int
    question: str
    answer: str
    context: str | None
    line: int

    @property
    def content(self) -> tuple[str, str, str | None]:
        """Return the question and the expected answer, wherever the pair stands."""
        return self.question, self.answer, self.context

    @property
    def id(self) -> str:
        """Return the name of the test: no two pairs share it, and a terminal can show it."""
        return f"{printable_name(self.path)}:{self.number}"


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
        """Return whether it teaches the content of a document, and not a skill."""
        return self.path.split("/")[0] == KNOWLEDGE


def parse_qna(data: bytes, path: str, *, commit: str | None = None, blob: str | None = None) -> QnaFile:
    """Return the file that these bytes are.

    Numbers, dates and truth values are taken as they are written. Raises DataError, which begins with
    the path and line, for what isn't such a file, and for aliases, tags of its own and a key twice.
    """
    location = printable_name(path)
    if len(data) > MOST_BYTES:
        raise DataError(f"{location} is larger than {MOST_BYTES:,} bytes, the limit for a qna.yaml")
    document = YamlDocument(decode_utf8(data, location), location)
    root = document.root()
    if root is None:
        document.refuse(1, "the file is empty")
    for node in root.inside():
        allowed = OF_SCALARS if isinstance(node.value, str) else OF_COLLECTIONS
        if node.tag not in allowed:
            document.refuse(
                node.line, f"tags are not supported (got {escape(node.tag)}); write the value as plain text"
            )
    if not isinstance(root.value, dict):
        document.refuse(root.line, "expected a mapping with seed_examples")
    return QnaFile(
        path=path,
        version=_version(document, root),
        pairs=tuple(_qna_pairs(document, root, path)),
        created_by=_described(root, "created_by"),
        task_description=_described(root, "task_description"),
        domain=_described(root, "domain"),
        document_outline=_described(root, "document_outline"),
        commit=commit,
        blob=blob,
    )


# --- what the schemas say ---


def _version(document: YamlDocument, root: YamlNode) -> int:
    node = root.fields.get("version")
    if node is None:
        return 1
    if not isinstance(node.value, str) or node.value not in VERSIONS:
        named = escape(node.value) if isinstance(node.value, str) and not _is_null(node) else "no number"
        document.refuse(node.line, f"version must be 1, 2 or 3 (got {named})")
    return VERSIONS[node.value]


def _qna_pairs(document: YamlDocument, root: YamlNode, path: str) -> Iterator[QnaPair]:
    number = 0
    for example in _mappings_of(document, root, "seed_examples"):
        context = _string(document, example, "context")
        nested = "questions_and_answers" in example.fields
        for pair in _mappings_of(document, example, "questions_and_answers") if nested else (example,):
            number += 1
            question, answer = (
                _required_text(document, pair, "question"),
                _required_text(document, pair, "answer"),
            )
            yield QnaPair(path, number, question, answer, context, pair.keys["question"].line)


def _mappings_of(document: YamlDocument, parent: YamlNode, key: str) -> Sequence[YamlNode]:
    """Return the mappings in a list that must have some."""
    node = parent.fields.get(key)
    if node is None or not isinstance(node.value, list) or not node.value:
        line = (node or parent).line
        document.refuse(line, f"{key} must be a list with at least one pair of question and answer")
    for entry in node.value:
        if not isinstance(entry.value, dict):
            document.refuse(entry.line, f"an entry of {key} must be a mapping with question and answer")
    return node.value


def _required_text(document: YamlDocument, pair: YamlNode, key: str) -> str:
    text = _string(document, pair, key)
    if text is None or not text.strip():
        document.refuse(pair.fields.get(key, pair).line, f"this pair has no {key}")
    return text


def _string(document: YamlDocument, parent: YamlNode, key: str) -> str | None:
    """Return the text of a key; None where the key is missing or means nothing."""
    node = parent.fields.get(key)
    if node is None or _is_null(node):
        return None
    if not isinstance(node.value, str):
        document.refuse(node.line, f"{key} must be a text, not a list or mapping")
    return node.value


def _described(root: YamlNode, key: str) -> str | None:
    """Return a text that only describes the file, so one of another form is left out, not refused."""
    node = root.fields.get(key)
    return node.value if node is not None and isinstance(node.value, str) and not _is_null(node) else None


def _is_null(node: YamlNode) -> bool:
    return node.tag == STANDARD + "null" or (node.tag is None and node.plain and node.value in NULLS)
