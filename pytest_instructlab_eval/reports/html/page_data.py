"""The page's data, compressed: the questions as columns, and their details in blocks that open one by one."""

from __future__ import annotations

import base64
import json
import string
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.records.samples import Outcome, Sample
from pytest_instructlab_eval.reports.html.question_details import LONGEST_NAME, Plain, details_of, visible
from pytest_instructlab_eval.reports.html.question_table import FLIP, PageQuestions, QuestionRow

OUTCOMES: tuple[Outcome, ...] = ("scored", "unscored", "error")
CUT_OFF, CONTRADICTORY = 1, 2
NO_OUTCOME = NO_CHOICE = -1
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
BLOCK = 1_000_000  # characters of a block before it is compressed: it opens in some 10 ms


@dataclass(frozen=True)
class PageData:
    """The compressed data: `index` is read when the page opens, a block of `details` when it is needed."""

    index: str
    details: tuple[str, ...]


def page_data(table: PageQuestions) -> PageData:
    """Return the data of all questions."""
    starts, blocks = [], []  # of each block the number of its first question, and the details
    start, size, block = 0, 0, list[str]()
    for number, row in enumerate(table.rows, 1):
        block.append(ENCODER.encode(details_of(row)))
        size += len(block[-1])
        if size > BLOCK or number == len(table.rows):
            starts.append(start)
            blocks.append(_packed(f"[{','.join(block)}]"))
            start, size, block = number, 0, []
    return PageData(_packed(ENCODER.encode({**_index(table), "starts": starts})), tuple(blocks))


def _index(table: PageQuestions) -> dict[str, Plain]:
    """Return the columns of all questions, with names as indexes."""
    benchmarks, benchmark = _numbered(row.name.benchmark for row in table.rows)
    groups, group = _numbered(row.group for row in table.rows)
    samples = [next(iter(row.samples), None) for row in table.rows]
    index: dict[str, Plain] = {
        "sides": [{"label": _shown_name(side.label), "role": side.role} for side in table.sides],
        "against": table.against,
        "flip": FLIP,
        "benchmarks": benchmarks,
        "groups": groups,
        "benchmark": benchmark,
        "group": group,
        "name": [_shown_name(row.name.text) for row in table.rows],
        "maximum": [row.maximum for row in table.rows],
        "findings": [_column(table.rows, side) for side in range(len(table.sides))],
    }
    if any(samples):
        index["right"] = [_choice_place(sample, "answer") for sample in samples]
    return index


def _numbered(names: Iterable[str]) -> tuple[list[str | None], list[int]]:
    """Return the names as the page shows them, each once, and of each given name the number among these."""
    numbers: dict[str, int] = {}
    column = [numbers.setdefault(name, len(numbers)) for name in names]
    return list(map(_shown_name, numbers)), column


def _shown_name(name: str) -> str | None:
    return visible(name, LONGEST_NAME)


def _column(rows: Sequence[QuestionRow], side: int) -> Plain:
    """Return one side's values, outcomes (-1 where it does not have the question) and flags."""
    column: dict[str, list[Plain]] = {"value": [], "outcome": [], "flags": [], "choice": []}
    for row in rows:
        cells: tuple[Plain, ...] = (None, NO_OUTCOME, 0, NO_CHOICE)
        if (finding := row.findings[side]) is not None:
            cells = (
                None if finding.value is None else round(finding.value, 4),
                OUTCOMES.index(finding.outcome),
                CUT_OFF * finding.cut_off + CONTRADICTORY * finding.contradictory,
                _choice_place(finding.sample, "choice"),
            )
        for values, cell in zip(column.values(), cells, strict=True):
            values.append(cell)
    return column


def _choice_place(sample: Sample | None, which: Literal["choice", "answer"]) -> int:
    """Return the place of a sample's choice or right answer, a text or a letter, among its choices.

    It is -1 for one that is not among them, and without a sample.
    """
    if sample is None:
        return NO_CHOICE
    named: str | None = getattr(sample, which)
    choices = sample.choices
    count = max(len(choices), len(sample.logprobs))
    for place, letter in enumerate(string.ascii_uppercase[:count]):
        if named == letter or named in choices[place : place + 1]:
            return place
    return NO_CHOICE


def _packed(text: str) -> str:
    """Return a text in zlib's format as base64, which has no character that HTML would read."""
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 6)).decode("ascii")
