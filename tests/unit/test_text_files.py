"""A stranger's file is read as it is, or refused in one sentence that names the file and the line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.text_files import (
    decode_utf8,
    read_bytes,
    read_lines,
    read_text,
    replace_text,
)
from pytest_instructlab_eval.errors import DataError

PLACE = "answers.jsonl"
SENTENCE = rf"{PLACE}, line (\d+): not UTF-8 \(byte 0x([0-9a-f]{{2}})\); save the file as UTF-8"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def lines(path: Path, most_bytes: int = 1000, most_in_a_line: int = 100) -> list[tuple[str, str]]:
    found = read_lines(path, most_bytes=most_bytes, most_in_a_line=most_in_a_line)
    return [(place.removeprefix(f"{path}, "), text) for place, text in found]


def lines_or_refusal(path: Path, most_bytes: int, most_in_a_line: int) -> list[tuple[str, str]] | str:
    try:
        return lines(path, most_bytes, most_in_a_line)
    except DataError as error:
        return str(error)


# --- any bytes ---

PIECES = [
    *map(str.encode, ("a", "é", "\ufeff", "\n", "\r", "\u2028", "😀")),
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\0",
]
DATA = st.binary() | st.lists(st.sampled_from(PIECES)).map(b"".join)


@given(DATA)
def test_any_bytes_are_their_text_or_refused_with_the_line_of_the_first_bad_one(data: bytes) -> None:
    try:
        assert decode_utf8(data, PLACE) == data.decode().removeprefix("\ufeff")
    except DataError as error:
        told = re.fullmatch(SENTENCE, str(error))
    else:
        return
    assert told is not None
    *good, bad = re.split(r"\r\n?|\n", data.decode("utf-8", "surrogateescape"))[: int(told[1])]
    assert not re.search("[\udc80-\udcff]", "".join(good))
    first = re.search("[\udc80-\udcff]", bad)
    assert first is not None
    assert f"{ord(first[0]) - 0xDC00:02x}" == told[2]


@given(DATA, st.integers(0, 40), st.integers(1, 40))
@example("\ufeff\na".encode(), 40, 40)
def test_the_lines_of_any_bytes_are_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, most_bytes: int, most_in_a_line: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(data)
    found = lines_or_refusal(path, most_bytes, most_in_a_line)
    if isinstance(found, str):
        assert found.startswith(str(path))
        assert re.search(r", line \d+: not UTF-8 \(byte|is larger than \d+ bytes", found)
        return
    expected = enumerate(data.removeprefix("\ufeff".encode()).split(b"\n"), start=1)
    assert [(place, text) for place, text in found] == [
        (f"line {number}", line.decode()) for number, line in expected if line.decode().strip()
    ]


# --- lines ---


def test_a_line_ends_with_a_newline_alone_and_a_blank_one_is_left_out(path: Path) -> None:
    path.write_bytes("one\u2028still one\r\n\n \nfour".encode())
    assert lines(path) == [("line 1", "one\u2028still one\r"), ("line 4", "four")]


def test_a_byte_order_mark_is_no_part_of_the_text(path: Path) -> None:
    path.write_text("a\nb", "utf-8-sig")
    assert read_text(path, 100) == "a\nb"
    assert lines(path) == [("line 1", "a"), ("line 2", "b")]


def test_a_line_that_is_too_large_is_not_read(path: Path) -> None:
    path.write_text(f"a\n{'x' * 101}\n")
    with pytest.raises(DataError, match=r"file, line 2 is larger than 100 bytes, the limit for a line"):
        lines(path)


# --- what is no such file ---


def test_a_file_that_is_too_large_is_not_read(path: Path) -> None:
    path.write_bytes(b"x" * 11)
    assert read_bytes(path, 11) == b"x" * 11
    for read in (lambda: read_bytes(path, 10), lambda: read_text(path, 10), lambda: lines(path, 10)):
        with pytest.raises(DataError, match=r"file is larger than 10 bytes, the limit for such a file"):
            read()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "No such file or directory"),
        (".", "Is a directory"),
        ("a\0b", "a file cannot have such a name"),
        ("x" * 300, "File name too long"),
    ],
    ids=["none", "folder", "null", "long"],
)
def test_what_is_no_file_is_told(tmp_path: Path, name: str, reason: str) -> None:
    for read in (lambda: read_text(tmp_path / name, 10), lambda: lines(tmp_path / name)):
        with pytest.raises(DataError, match=rf"cannot be read \({reason}\)"):
            read()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    for read in (lambda: read_text(path, 10), lambda: lines(path)):
        with pytest.raises(DataError, match=r"cannot be read \(it is not a regular file\)"):
            read()


def test_a_name_that_would_change_the_terminal_is_escaped(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\\x1b\[2J cannot be read"):
        read_text(tmp_path / "\x1b[2J", 10)


# --- replacing ---


def test_the_old_file_is_replaced(path: Path) -> None:
    path.write_text("old", encoding="utf-8")
    replace_text(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_nothing_is_left_beside_the_file(path: Path) -> None:
    replace_text(path, "new")
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        replace_text(path, "new \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_never_seen_half_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    replace = os.replace

    def look(source: Path, target: Path) -> None:
        seen.append((path.read_text(encoding="utf-8"), Path(source).read_text(encoding="utf-8")))
        replace(source, target)

    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "replace", look)
    replace_text(path, "new")
    assert seen == [("old", "new")]


def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        replace_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(path.parent.iterdir()) == [path]
