"""The questions of an MMLU-Branch task: JSONL rows as InstructLab's SDG writes them, each checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_instructlab_eval.data.mmlu_rows import LETTERS, MMLURow
from pytest_instructlab_eval.data.passages import own_passage, passages_of
from pytest_instructlab_eval.data.text_files import read_lines
from pytest_instructlab_eval.data.typed_json import MisfitError, NotJSONError, parse_json
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import escape

MOST_ROW_BYTES = 2**20
MOST_DATA_BYTES = 2**28
NUMBER = re.compile(r"\s*([0-3])(?:\.0*)?\s*")
OWN_TEXTS = ("targets", "mmlubench_answer")  # what SDG has called a row's text of the right choice
OWN_TEXT = re.compile(r"\s*([A-D])\s*(?:\)(.*)|)", re.DOTALL)

CheckedRow = tuple[MMLURow, int | None, str, str]
"""A question with the choice of its number, the choice of its own text, its passage, and the row's place."""


@dataclass(frozen=True)
class TaskRows:
    """The questions of a task.

    Of `recovered` of them the right choice is not the row's number but its text's. `passages` has a digest of
    the passage that each question shares with others, else "".
    """

    questions: tuple[MMLURow, ...]
    recovered: int = 0
    passages: tuple[str, ...] = ()


def read_rows(path: Path) -> TaskRows:
    """Return the questions of a JSONL file, with the index of the right choice, and their passages.

    SDG numbers the letters that occur in a file: where no answer is A, B becomes 0. So where a row's own text
    of the right choice, such as "B) In spring", has another letter than its number, the text decides. Raises
    DataError with the file and line of the first row that is no such question, whose text contradicts itself,
    or, in a file with such numbers, that has no text.
    """
    rows = [_checked_row(line, location) for location, line in _row_lines(path)]
    recovered = sum(own is not None and own != row.answer for row, own, *_ in rows)
    if recovered:
        require_texts(rows)
    questions = tuple(row if own is None else replace(row, answer=own) for row, own, *_ in rows)
    passages = passages_of([passage for *_, passage, _ in rows], [row.question.strip() for row in questions])
    return TaskRows(questions, recovered, passages)


def require_texts(rows: Iterable[CheckedRow]) -> None:
    """Raise DataError with the place of the first row that has no text of its own of the right choice."""
    for _, own, _, location in rows:
        if own is None:
            raise DataError(
                f"{location}: in other rows the number of the right choice differs from its text, and this "
                "row has no such text (mmlubench_answer); correct its answer and add the text"
            )


def count_rows(path: Path) -> int:
    """Return how many rows a JSONL file has, which are not read; raises DataError where it can't be."""
    return sum(1 for _ in _row_lines(path))


def _row_lines(path: Path) -> Iterator[tuple[str, str]]:
    return read_lines(path, most_bytes=MOST_DATA_BYTES, most_in_a_line=MOST_ROW_BYTES, location=escape(path))


def _checked_row(line: str, location: str) -> CheckedRow:
    """Return the question of a row; raises DataError where the row has none."""
    try:
        record = parse_json(line)
    except (NotJSONError, MisfitError) as error:
        raise DataError(f"{location}: {error}") from None
    if not isinstance(record, dict):
        raise DataError(f"{location}: expected a JSON object")
    for field in ("question", "choices", "answer"):
        if field not in record:
            raise DataError(f"{location}: expected question, choices and answer (got no {field})")
    question, choices, answer = record["question"], record["choices"], record["answer"]
    if not _is_text(question):
        raise DataError(f"{location}: question must be a text (got {escape(repr(question), 40)})")
    if not isinstance(choices, list) or len(choices) != len(LETTERS) or not all(map(_is_text, choices)):
        raise DataError(f"{location}: choices must be four texts (got {escape(repr(choices), 40)})")
    index = _choice_index(answer)
    if index is None:
        raise DataError(f"{location}: answer must be 0 to 3, for A to D (got {escape(repr(answer), 40)})")
    first, second, third, fourth = choices
    row = MMLURow(question, (first, second, third, fourth), index)
    return row, _own_answer(record, row, location), own_passage(record), location


def _choice_index(answer: object) -> int | None:
    """Return the number of a choice, written as 2, 2.0 or "2"; None for anything else."""
    if isinstance(answer, str):
        match = NUMBER.fullmatch(answer)
        return None if match is None else int(match[1])
    if isinstance(answer, bool) or not isinstance(answer, (int, float)) or answer not in range(len(LETTERS)):
        return None
    return int(answer)


def _own_texts(record: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Return the letter and the words of each text that a row has of its right choice, by the text's key."""
    matches = ((field, OWN_TEXT.fullmatch(str(record.get(field)))) for field in OWN_TEXTS)
    return {field: (text[1], (text[2] or "").strip()) for field, text in matches if text is not None}


def _own_answer(record: Mapping[str, object], row: MMLURow, location: str) -> int | None:
    """Return the choice that the row's own text of the right one names; None where it has no such text."""
    texts = _own_texts(record)
    letters = {letter for letter, _ in texts.values()}
    if len(letters) > 1:
        statements = " and ".join(f"{field} says {letter}" for field, (letter, _) in texts.items())
        raise DataError(f"{location}: {statements}; correct the row")
    if not letters:
        return None
    own = LETTERS.index(letters.pop())
    if own == row.answer:
        return own
    for field, (letter, words) in texts.items():
        same = [other for other, choice in zip(LETTERS, row.choices, strict=True) if choice.strip() == words]
        if same not in ([], [letter]):
            raise DataError(
                f"{location}: answer is {row.answer}, which is {LETTERS[row.answer]}, but {field} says "
                f"{letter} ({escape(repr(record[field]), 60)}), whose text is that of {' and '.join(same)}; "
                "correct the row"
            )
    return own


def _is_text(value: object) -> bool:
    """Return whether it is a text with content that can be sent to a server: without half a character."""
    return isinstance(value, str) and bool(value) and value.encode("utf-8", "ignore").decode() == value


def check_answer(record: Mapping[str, object], answer: int, location: str) -> None:
    """Raise DataError where a row's own text of the right choice ("B) In spring") has another letter."""
    for field, (letter, _) in _own_texts(record).items():
        if letter != LETTERS[answer]:
            raise DataError(
                f"{location}: answer is {answer}, which is {LETTERS[answer]}, but {field} says {letter} "
                f"({escape(repr(record[field]), 60)}); InstructLab's SDG shifts the letters of a file where "
                "one of them is never right, so correct the answers (0 to 3 for A to D) before it is scored"
            )
