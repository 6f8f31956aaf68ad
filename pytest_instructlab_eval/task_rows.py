"""The questions of an MMLU-Branch task: JSONL rows as InstructLab's SDG writes them, each checked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.data import LETTERS, MMLURow
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.safe_yaml import shown

__all__ = ["check_answer", "read_rows"]

MOST_ROW_BYTES = 2**20
MOST_DATA_BYTES = 2**28


def read_rows(path: Path) -> tuple[MMLURow, ...]:
    """The questions of a JSONL file, with the index of the right choice.

    Raises DataError with the file and line of the first row that isn't such a question, or whose own
    text names another answer.
    """
    rows = tuple(_row(_json(line, place), place) for place, line in _lines(path))
    if not rows:
        raise DataError(f"{shown(path)} has no questions")
    return rows


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_DATA_BYTES:
                raise DataError(f"{shown(path)} is larger than {MOST_DATA_BYTES:,} bytes")
            number = 0
            while line := file.readline(MOST_ROW_BYTES + 1):
                number += 1
                place = f"{shown(path)}, line {number}"
                if len(line) > MOST_ROW_BYTES:
                    raise DataError(f"{place}: larger than {MOST_ROW_BYTES:,} bytes, the most of a question")
                if line.strip():
                    yield place, line
    except OSError as error:
        raise DataError(f"{shown(path)} can't be read ({error.strerror})") from None


def _json(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode().rstrip(), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 (byte 0x{line[error.start]:02x})") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{place}: not JSON: {error.msg} (column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not usable JSON: {shown(error)}") from None
    if not isinstance(record, dict):
        raise DataError(f"{place}: not a JSON object")
    return record


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for key, value in pairs:
        if key in record:
            raise ValueError(f"{shown(key, 40)} is there twice")
        record[key] = value
    return record


def _row(record: Mapping[str, Any], place: str) -> MMLURow:
    for field in ("question", "choices", "answer"):
        if field not in record:
            raise DataError(f"{place}: the row has no {field}; it must have question, choices and answer")
    question, choices, answer = record["question"], record["choices"], record["answer"]
    if not _is_text(question):
        raise DataError(f"{place}: question must be a text (got {shown(repr(question), 40)})")
    if not isinstance(choices, list) or len(choices) != len(LETTERS) or not all(map(_is_text, choices)):
        raise DataError(f"{place}: choices must be four texts (got {shown(repr(choices), 40)})")
    if type(answer) is not int or not 0 <= answer < len(LETTERS):
        raise DataError(f"{place}: answer must be 0 to 3, for A to D (got {shown(repr(answer), 40)})")
    check_answer(record, answer, place)
    first, second, third, fourth = choices
    return MMLURow(question, (first, second, third, fourth), answer)


def _is_text(value: object) -> bool:
    """Whether it is a text with content that can be sent to a server: one without half a character."""
    return isinstance(value, str) and bool(value) and value.encode("utf-8", "ignore").decode() == value


def check_answer(record: Mapping[str, Any], answer: int, place: str) -> None:
    """Raise DataError where a row's own text of the right choice, such as "B) In spring", has another letter.

    SDG numbers the letters that occur in a file: where no answer is A, B becomes 0.
    """
    for field in ("targets", "mmlubench_answer"):
        own = re.match(r"\s*([A-D])\s*(?:\)|$)", str(record.get(field)))
        if own is not None and own[1] != LETTERS[answer]:
            raise DataError(
                f"{place}: answer is {answer}, which is {LETTERS[answer]}, but {field} says {own[1]} "
                f"({shown(repr(record[field]), 60)}); InstructLab's SDG shifts the letters of a file where "
                "one of them is never right, so correct the answers (0 to 3 for A to D) before it is scored"
            )
