"""Tables fit the terminal, and no number in them is broken."""

from __future__ import annotations

import os
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.reports.tables import fit_table, paragraph, paragraphs

HEAD = ("benchmark", "score", "std. error", "questions", "unscored", "errors")
ROWS = (
    ("mmlu, mean over tasks", "0.2312", "0.0043", "14,042", "0", "0"),
    ("  best: high_school_statistics", "0.2568", "0.0372", "203", "0", "0"),
    ("  … 47 more with -v", "", "", "", "", ""),
    ("mt_bench", "6.63 of 10", "0.33", "80", "2", "11"),
)


def columns(width: int) -> mock._patch_dict:
    return mock.patch.dict(os.environ, COLUMNS=str(width))


def test_a_table_with_room_has_a_line_a_row() -> None:
    with columns(100):
        assert fit_table(HEAD, ROWS) == [
            "benchmark                            score  std. error  questions  unscored  errors",
            "------------------------------  ----------  ----------  ---------  --------  ------",
            "mmlu, mean over tasks               0.2312      0.0043     14,042         0       0",
            "  best: high_school_statistics      0.2568      0.0372        203         0       0",
            "  … 47 more with -v",
            "mt_bench                        6.63 of 10        0.33         80         2      11",
        ]  # fmt: skip


def test_where_it_is_narrow_the_heads_are_broken_before_anything_else() -> None:
    with columns(80):
        assert fit_table(HEAD, ROWS)[:4] == [
            "benchmark                            score     std.  questions  unscored  errors",
            "                                              error",
            "------------------------------  ----------  -------  ---------  --------  ------",
            "mmlu, mean over tasks               0.2312   0.0043     14,042         0       0",
        ]


def test_where_it_is_narrower_a_long_label_has_a_line_of_its_own() -> None:
    with columns(60):
        assert fit_table(HEAD, ROWS) == [
            "benchmark         score    std.  questions  unscored  errors",
            "                          error",
            "-----------  ----------  ------  ---------  --------  ------",
            "mmlu, mean over tasks",
            "                 0.2312  0.0043     14,042         0       0",
            "  best: high_school_statistics",
            "                 0.2568  0.0372        203         0       0",
            "  … 47 more with -v",
            "mt_bench     6.63 of 10    0.33         80         2      11",
        ]


def test_a_column_of_text_is_aligned_to_the_left() -> None:
    with columns(80):
        assert fit_table(
            ("ranking", "score", ""), [("lab", "0.9", "best"), ("base", "0.1", "no")], text=(2,)
        ) == [
            "ranking  score",
            "-------  -----  ----",
            "lab        0.9  best",
            "base       0.1  no",
        ]


def test_a_table_without_rows_is_its_head() -> None:
    assert fit_table(("a", "b"), []) == ["a  b", "-  -"]


numbers = st.sampled_from(["", "0.2312", "-0.0738 to +0.1091", "6.63 of 10", "14,042", "no score"])
labels = st.text("abc_/ …", max_size=90)


@given(st.lists(st.tuples(labels, *[numbers] * 6), max_size=6), st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal_and_no_number_is_broken(
    rows: list[tuple[str, ...]], width: int
) -> None:
    head = ("change", "before", "after", "difference", "interval", "std. error", "questions")
    with columns(width):
        lines = fit_table(head, rows)
    assert max(map(len, lines)) <= width
    shown = [word for line in lines for word in line.split() if any(map(str.isdigit, word))]
    cells = [word for row in rows for cell in row[1:] for word in cell.split()]
    assert sorted(shown) == sorted(word for word in cells if any(map(str.isdigit, word)))


@pytest.mark.parametrize("width", [60, 80])
def test_a_paragraph_is_broken_at_blanks_and_indented(width: int) -> None:
    line = f"  failed: mmlu >= 0.5: {'the score is 0.2281, below -0.5 of 14,042; ' * 5}end"
    with columns(width):
        first, *others = paragraph(line)
    assert first.startswith("  failed")
    assert all(other.startswith("    ") for other in others)
    assert max(map(len, (first, *others))) <= width
    assert " ".join(" ".join((first, *others)).split()) == line.strip()


def test_a_line_that_fits_stays_as_it_is() -> None:
    assert paragraph("  passed: mmlu >= 0.5") == ["  passed: mmlu >= 0.5"]


def test_each_of_several_texts_is_a_paragraph_and_an_empty_one_has_no_line() -> None:
    with columns(60):
        assert paragraphs(["short", "", "long " * 15]) == ["short", *paragraph("long " * 15)]
