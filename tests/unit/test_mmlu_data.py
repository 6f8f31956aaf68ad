"""MMLU's published CSV files: what is read, and where a bad one is said to be bad."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data import text_files
from pytest_instructlab_eval.data.mmlu_rows import LETTERS, MMLURow, read_mmlu
from pytest_instructlab_eval.errors import DataError

GOOD = "What floats?,a stone,a cork,a nail,a coin,B\n"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "test" / "knots_test.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes) -> tuple[MMLURow, ...]:
    write(folder, content)
    return read_mmlu(folder, "test", "knots")


def test_a_row_is_a_question_four_choices_and_the_place_of_the_right_one(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == (MMLURow("What floats?", ("a stone", "a cork", "a nail", "a coin"), 1),)


@pytest.mark.parametrize(("letter", "answer"), [("A", 0), ("D", 3), (" C ", 2)])
def test_the_letter_is_the_place_of_the_right_choice(tmp_path: Path, letter: str, answer: int) -> None:
    assert read(tmp_path, f"Q,a,b,c,d,{letter}\n")[0].answer == answer


@pytest.mark.parametrize(
    "content",
    [GOOD * 3, GOOD.replace("\n", "\r\n") * 3, (GOOD * 3).rstrip("\n"), f"\n{GOOD}\n\n{GOOD}{GOOD}\n"],
    ids=["line feeds", "carriage returns too", "no end of the last line", "blank lines"],
)
def test_line_ends_do_not_matter(tmp_path: Path, content: str) -> None:
    assert len(read(tmp_path, content)) == 3


def test_a_byte_order_mark_is_no_part_of_the_question(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())[0].question == "What floats?"


@pytest.mark.parametrize(
    "inside", ["\n", "\r\n", "\n\n", "\u2028", "\u2029", "\x85", "\x0b", "\x0c"], ids=ascii
)
def test_a_line_break_inside_a_field_does_not_shift_the_rows(tmp_path: Path, inside: str) -> None:
    rows = read(tmp_path, f'"One{inside}two",a,b,c,d,A\n{GOOD}')
    assert [row.question for row in rows] == [f"One{inside}two", "What floats?"]


@pytest.mark.parametrize("inside", ["\u2028", "\x85", "\x0c"], ids=ascii)
def test_an_unquoted_line_separator_does_not_shift_the_rows(tmp_path: Path, inside: str) -> None:
    rows = read(tmp_path, f"One{inside}two,a,b,c,d,A\n{GOOD}")
    assert [row.question for row in rows] == [f"One{inside}two", "What floats?"]


FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=10)
ROWS = st.lists(
    st.tuples(FIELD, FIELD, FIELD, FIELD, FIELD, st.sampled_from(LETTERS)), min_size=1, max_size=5
)


@given(rows=ROWS)
def test_whatever_rows_a_csv_writer_wrote_are_read_back(
    rows: list[tuple[str, str, str, str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    found = read(tmp_path_factory.getbasetemp(), text.getvalue())
    assert [(row.question, *row.choices, LETTERS[row.answer]) for row in found] == rows


@given(content=st.binary(max_size=60) | st.text('",AB\r\n x', max_size=60).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_refused_with_its_name(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        rows, message = read(tmp_path_factory.getbasetemp(), content), ""
    except DataError as error:
        rows, message = (), str(error)
    assert rows or "knots_test.csv" in message


# --- what is wrong, and where ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{GOOD}Q,a,b,c,A\n", "line 2: expected 6 columns, question,A,B,C,D,answer (got 5)"),
        (f"{GOOD}Q,a,b,c,d,e,A\n", "line 2: expected 6 columns, question,A,B,C,D,answer (got 7)"),
        (f"{GOOD}   \n", "line 2: expected 6 columns, question,A,B,C,D,answer (got 1)"),
        (f"{GOOD}{GOOD}Q,a,b,c,d,E\n", "line 3: expected the answer A, B, C or D (got 'E')"),
        ("Q,a,b,c,d,AB\n", "line 1: expected the answer A, B, C or D (got 'AB')"),
        ("Q,a,b,c,d,\n", "line 1: expected the answer A, B, C or D (got '')"),
        ("Q,a,b,c,d,a\n", "line 1: expected the answer A, B, C or D (got 'a')"),
        ("Q,a,b,c,d,1\n", "line 1: expected the answer A, B, C or D (got '1')"),
        (f'{GOOD}"Q"x,a,b,c,d,A\n', "line 2: not CSV: "),
        (GOOD.encode() + b"caf\xe9,a,b,c,d,A\n", "line 2: not UTF-8 (byte 0xe9)"),
        (b"\xffQ,a,b,c,d,A\n", "line 1: not UTF-8 (byte 0xff)"),
    ],
)
def test_a_bad_row_is_told_with_its_file_and_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'test' / 'knots_test.csv'}, {message}")


def test_lines_inside_a_field_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 4: expected the answer"):
        read(tmp_path, f'"One\ntwo\nthree",a,b,c,d,A\n{GOOD}'.replace(",B\n", ",X\n"))


def test_a_quote_that_never_ends_is_told_with_the_file_and_the_line_where_it_begins(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"knots_test\.csv, line 2: not CSV"):
        read(tmp_path, f'{GOOD}"Q,a,b,c,d,A\n{GOOD}{GOOD}{GOOD}')


def test_an_empty_file_has_no_questions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"knots_test\.csv has no questions"):
        read(tmp_path, "")


def test_a_missing_file_is_told_with_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"dev/knots_dev\.csv cannot be read \(No such file or directory\); it should hold "
        r"MMLU's dev questions on knots"
    ):  # fmt: skip
        read_mmlu(tmp_path, "dev", "knots")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "test" / "knots_test.csv").mkdir(parents=True)
    with pytest.raises(DataError, match=r"knots_test\.csv cannot be read \(Is a directory\)"):
        read_mmlu(tmp_path, "test", "knots")


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MOST_OF_DATA", 10)
    with pytest.raises(DataError, match=r"knots_test\.csv is larger than 10 bytes"):
        read(tmp_path, GOOD)


def test_a_field_that_is_far_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: not CSV: field larger than"):
        read(tmp_path, f'"{"x" * 140_000}",a,b,c,d,A\n')
