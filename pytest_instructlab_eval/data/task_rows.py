"""The questions of an MMLU-Branch task: JSONL rows as InstructLab's SDG writes them, each checked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.data.published import LETTERS, MMLURow
from pytest_instructlab_eval.data.safe_yaml import shown
from pytest_instructlab_eval.errors import DataError

__all__ = ["Rows", "check_answer", "count_rows", "read_rows"]

MOST_ROW_BYTES = 2**20
MOST_DATA_BYTES = 2**28
NUMBER = re.compile(r"\s*([0-3])(?:\.0*)?\s*")
OWN_TEXTS = ("targets", "mmlubench_answer")  # what SDG has called a row's text of the right choice
OWN_TEXT = re.compile(r"\s*([A-D])\s*(?:\)(.*)|)", re.DOTALL)


@dataclass(frozen=True)
class Rows:
    """The questions of a task; of so many of them the right choice is not the row's number but its text's."""

    questions: tuple[MMLURow, ...]
    recovered: int = 0


def read_rows(path: Path) -> Rows:
    """Return the questions of a JSONL file, with the index of the right choice.

    SDG numbers the letters that occur in a file: where no answer is A, B becomes 0. So where a row's own text
    of the right choice, such as "B) In spring", has another letter than its number, the text decides. Raises
    DataError with the file and line of the first row that is no such question, whose text contradicts itself,
    or, in a file with such numbers, that has no text.
    """
    rows = [_row(_json(line, place), place) for place, line in _lines(path)]
    recovered = sum(own is not None and own != row.answer for row, own, _ in rows)
    unknown = next((place for _, own, place in rows if own is None), None)
    if recovered and unknown is not None:
        raise DataError(
            f"{unknown}: other rows have the number of another choice than their own text says, and this row "
            "has no such text (mmlubench_answer); correct its answer and add the text"
        )
    questions = (row if own is None else replace(row, answer=own) for row, own, _ in rows)
    return Rows(tuple(questions), recovered)


def count_rows(path: Path) -> int:
    """Return how many rows a JSONL file has, which are not read; raises DataError where it can't be."""
    return sum(1 for _ in _lines(path))


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


def _row(record: Mapping[str, Any], place: str) -> tuple[MMLURow, int | None, str]:
    """The question with the choice of its number, the choice of its own text, and the place."""
    for field in ("question", "choices", "answer"):
        if field not in record:
            raise DataError(f"{place}: the row has no {field}; it must have question, choices and answer")
    question, choices, answer = record["question"], record["choices"], record["answer"]
    if not _is_text(question):
        raise DataError(f"{place}: question must be a text (got {shown(repr(question), 40)})")
    if not isinstance(choices, list) or len(choices) != len(LETTERS) or not all(map(_is_text, choices)):
        raise DataError(f"{place}: choices must be four texts (got {shown(repr(choices), 40)})")
    index = _index(answer)
    if index is None:
        raise DataError(f"{place}: answer must be 0 to 3, for A to D (got {shown(repr(answer), 40)})")
    first, second, third, fourth = choices
    row = MMLURow(question, (first, second, third, fourth), index)
    return row, _own_answer(record, row, place), place


def _index(answer: object) -> int | None:
    """The number of a choice, whether it is written as 2, 2.0 or "2"; None for anything else."""
    if isinstance(answer, str):
        found = NUMBER.fullmatch(answer)
        return None if found is None else int(found[1])
    if isinstance(answer, bool) or not isinstance(answer, (int, float)) or answer not in range(len(LETTERS)):
        return None
    return int(answer)


def _own_answer(record: Mapping[str, Any], row: MMLURow, place: str) -> int | None:
    """The choice that the row's own text of the right one names; None where it has no such text."""
    named = {
        field: found
        for field in OWN_TEXTS
        if (found := OWN_TEXT.fullmatch(str(record.get(field)))) is not None
    }
    letters = {found[1] for found in named.values()}
    if len(letters) > 1:
        said = " and ".join(f"{field} says {found[1]}" for field, found in named.items())
        raise DataError(f"{place}: {said}; correct the row")
    if not letters:
        return None
    own = LETTERS.index(letters.pop())
    if own == row.answer:
        return own
    for field, found in named.items():
        meant = [
            index for index, choice in enumerate(row.choices) if choice.strip() == (found[2] or "").strip()
        ]
        if meant and meant != [own]:
            choices = " and ".join(LETTERS[index] for index in meant)
            raise DataError(
                f"{place}: answer is {row.answer}, which is {LETTERS[row.answer]}, but {field} says "
                f"{found[1]} ({shown(repr(record[field]), 60)}), whose text is that of {choices}; "
                "correct the row"
            )
    return own


def _is_text(value: object) -> bool:
    """Whether it is a text with content that can be sent to a server: one without half a character."""
    return isinstance(value, str) and bool(value) and value.encode("utf-8", "ignore").decode() == value


def check_answer(record: Mapping[str, Any], answer: int, place: str) -> None:
    """Raise DataError where a row's own text of the right choice ("B) In spring") has another letter."""
    for field in OWN_TEXTS:
        own = OWN_TEXT.fullmatch(str(record.get(field)))
        if own is not None and own[1] != LETTERS[answer]:
            raise DataError(
                f"{place}: answer is {answer}, which is {LETTERS[answer]}, but {field} says {own[1]} "
                f"({shown(repr(record[field]), 60)}); InstructLab's SDG shifts the letters of a file where "
                "one of them is never right, so correct the answers (0 to 3 for A to D) before it is scored"
            )
