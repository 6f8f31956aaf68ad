"""Reads InstructLab's file layout: what this plugin or `instructlab-eval` asked earlier, and what it got."""

from __future__ import annotations

import contextlib
import errno
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar

from pytest_instructlab_eval.data.file_names import existing_file
from pytest_instructlab_eval.data.text_files import decode_utf8, read_bytes, read_lines
from pytest_instructlab_eval.data.typed_json import MisfitError, NotJSONError, parse_json, read_as
from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.escaping import printable_name

QUESTIONS = "question.jsonl"
MOST_BYTES = 2**30  # of one file: a thousand times MMLU's questions

T = TypeVar("T")


@dataclass(frozen=True)
class AskedPair:
    """A pair as it is put to the model: `number` is InstructLab's id, `path` that of its `qna.yaml`.

    `line` is that of its question in the file, None where it is read back from InstructLab's files.
    """

    id: str
    path: str
    number: str
    prompt: str
    reference: str
    line: int | None = None


class _AnswerTurns(TypedDict):
    turns: tuple[str, ...]


class _AnswerLine(TypedDict):
    """A line of `model_answer/MODEL.jsonl` and `reference_answer/JUDGE.jsonl`."""

    question_id: str | int
    choices: tuple[_AnswerTurns, ...]


class _AskedLine(TypedDict):
    question_id: str | int
    turns: tuple[str, ...]


class _QuestionLine(_AskedLine, total=False):
    """A line of `question.jsonl`."""

    qna_file: str | None
    reference: tuple[str | None, ...] | None


def read_answers(folder: Path, model: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return a model's answers to each question by its id: for each turn, one for each time it was asked.

    `folder` holds `model_answer/`. Raises ConfigurationError where there is no file of the model, and
    DataError where it isn't one of answers.
    """
    answers = {}
    for location, answer in read_typed_lines(answers_file(folder / "model_answer", model), _AnswerLine):
        times = [choice["turns"] for choice in answer["choices"]]
        if len(set(map(len, times))) != 1:
            raise DataError(
                f"{location}: expected choices with the same number of turns each (got {len(times)} choices)"
            )
        answers[str(answer["question_id"])] = tuple(zip(*times, strict=True))
    return answers


def answers_file(folder: Path, model: str) -> Path:
    """Return the file of a model's answers in a folder; raises ConfigurationError where there is none."""
    path = existing_file(folder, model, ".jsonl")
    if not path.exists():
        raise ConfigurationError(
            f"--eval-stage judge: there are no answers of {model} in {path}; write them with "
            "--eval-stage answer"
        )
    return path


def asked_turns(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return each question's turns by its id as the folder's `question.jsonl` has them; empty without one."""
    path = folder / QUESTIONS
    if not path.exists():
        return {}
    return {
        str(record["question_id"]): record["turns"] for _, record in read_typed_lines(path, _QuestionLine)
    }


def read_references(folder: Path, judges: Sequence[str]) -> dict[str, list[str]]:
    """Return every reference answer of the first judge that has a file of them, by the question's id.

    `folder` holds `reference_answer/`. Raises DataError.
    """
    references: dict[str, list[str]] = defaultdict(list)
    files = [existing_file(folder / "reference_answer", judge, ".jsonl") for judge in judges]
    for path in [file for file in files if file.exists()][:1]:
        for location, line in read_typed_lines(path, _AnswerLine):
            if not line["choices"] or not line["choices"][0]["turns"]:
                raise DataError(f"{location}: expected a reference answer in choices[0].turns (got none)")
            references[str(line["question_id"])].append(line["choices"][0]["turns"][0])
    return references


def read_questions(folder: Path, judges: Sequence[str]) -> list[AskedPair]:
    """Return the questions of MT-Bench-Branch in a folder, in their order, each with its reference answer.

    A question is called by the file that it is from, and its place among the questions of that.

    A reference is looked for where InstructLab has it, in `reference_answer/JUDGE.jsonl` of the first judge
    that has one, then beside the question. Raises DataError.
    """
    references = read_references(folder, judges)
    count: Counter[str] = Counter()
    pairs = []
    for location, record in read_typed_lines(folder / QUESTIONS, _QuestionLine):
        number, file = str(record["question_id"]), record.get("qna_file") or QUESTIONS
        if len(record["turns"]) != 1:
            raise DataError(f"{location}: expected one turn (got {len(record['turns'])})")
        count[file] += 1
        answers = references.get(number, [])
        # The question's own decides where two files ask the same and share an id.
        own = next(iter(record.get("reference") or ()), None)
        reference = own if own in answers or not answers else answers[-1]
        if reference is None:
            raise DataError(
                f"{location}: question {number} has no reference answer, neither in this line nor in "
                f"reference_answer/ for {' or '.join(judges) or 'a judge'}"
            )
        pairs.append(
            AskedPair(f"{printable_name(file)}:{count[file]}", file, number, record["turns"][0], reference)
        )
    return pairs


def read_records(path: Path) -> list[dict[str, object]]:
    """Return every record of a file, whatever it has; a line that has none is left out. Raises OSError."""
    try:
        lines = read_bytes(path, MOST_BYTES).split(b"\n")
    except DataError as error:
        raise OSError(errno.EIO, str(error)) from None
    records = []
    for line in lines:
        with contextlib.suppress(DataError, NotJSONError, MisfitError):
            records.append(read_as(dict[str, object], parse_json(decode_utf8(line, str(path)))))
    return records


def read_typed_lines(path: Path, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Yield the place and the record of each line of a file of JSON; raises DataError."""
    for location, line in read_lines(path, most_bytes=MOST_BYTES, most_in_a_line=MOST_BYTES):
        try:
            yield location, read_as(kind, parse_json(line))
        except (NotJSONError, MisfitError) as error:
            raise DataError(f"{location}: {error}") from None
