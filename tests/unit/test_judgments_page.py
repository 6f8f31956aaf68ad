"""docs/explanations/judgments.md: its table says what InstructLab and this package read in a judgment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_instructlab_eval.judges.rating import parse_rating

PAGE = Path(__file__).parents[2] / "docs" / "explanations" / "judgments.md"
ROW = re.compile(
    r"^\| `(?P<judgment>.+)`(?P<cut> \(cut off\))? \| (?P<theirs>\S+) \| (?P<ours>\S+) \|$", re.MULTILINE
)
ROWS = [row.groupdict() for row in ROW.finditer(PAGE.read_text("utf-8"))]


def first_number(judgment: str) -> float | None:
    """What instructlab-eval 0.6.0 reads: the first number in double brackets, else in single ones."""
    for opening, closing in ((r"\[\[", r"\]\]"), (r"\[", r"\]")):
        if found := re.search(rf"{opening}([0-9]+\.?[0-9]*){closing}", judgment):
            return float(found[1])
    return None


def number(text: str) -> float | None:
    return None if text == "none" else float(text)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["judgment"])
def test_each_row_is_true(row: dict[str, str]) -> None:
    assert first_number(row["judgment"]) == number(row["theirs"])
    found = parse_rating(row["judgment"], finish_reason="length" if row["cut"] else "stop")
    assert found.value == number(row["ours"]) != number(row["theirs"])


def test_the_table_has_rows() -> None:
    assert len(ROWS) == 20
