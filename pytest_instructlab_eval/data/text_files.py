"""Text files: those of strangers read up to a size, or refused by file and line; ours replaced whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import printable_name

MOST_OF_DATA = 64 * 2**20  # bytes of one data file; the published ones have under 2 MiB
LINE_END = re.compile(rb"\r\n?|\n")  # as editors count lines


class NotUTF8Error(DataError):
    """What should be text is none: `line` and `byte` say where, and what stands there."""

    def __init__(self, location: str, line: str, byte: str) -> None:
        super().__init__(f"{location}, {line}: not UTF-8 ({byte}); save the file as UTF-8")
        self.line = line
        self.byte = byte


def read_text(path: Path, most_bytes: int, *, location: str | None = None) -> str:
    """Return a file's text, without a byte order mark; raises DataError as `read_bytes` and `decoded`.

    `location` is how messages name the file, its path where nothing else is given.
    """
    location = printable_name(str(path)) if location is None else location
    return decode_utf8(read_bytes(path, most_bytes, location=location), location)


def read_data_file(path: Path, content: str) -> str:
    """Return the text of a file of a benchmark's data, which should hold `content`; raises DataError."""
    try:
        return read_text(path, MOST_OF_DATA)
    except NotUTF8Error:
        raise
    except DataError as error:
        raise DataError(f"{error}; it should hold {content}") from None


def read_bytes(
    path: Path, most_bytes: int, *, location: str | None = None, kind: str = "such a file"
) -> bytes:
    """Return what a file holds; raises DataError where it is no file, can't be read or is too large."""
    with open_file(path, most_bytes, location=location, kind=kind) as file:
        return file.read()


@contextlib.contextmanager
def open_file(
    path: Path, most_bytes: int, *, location: str | None = None, kind: str = "such a file"
) -> Iterator[BinaryIO]:
    """Open a file to read its bytes; raises DataError as `read_bytes`."""
    location = printable_name(str(path)) if location is None else location
    try:
        with _opened(path) as file:
            if os.fstat(file.fileno()).st_size > most_bytes:
                raise _too_large(location, most_bytes, kind)
            yield file
    except OSError as error:
        raise DataError(f"{location} cannot be read ({error.strerror})") from None


def read_lines(
    path: Path, *, most_bytes: int, most_in_a_line: int, location: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the place, such as "a.jsonl, line 2", and the text of each line that is not blank.

    Lines end with a newline alone, as a text in JSON may have any other separator. One line is held at
    a time. Raises DataError as `read_text`, and where a line is too large.
    """
    location = printable_name(str(path)) if location is None else location
    with open_file(path, most_bytes, location=location) as file:
        number = 0
        while data := file.readline(most_in_a_line + 1):
            number += 1
            if len(data) > most_in_a_line:
                raise _too_large(f"{location}, line {number}", most_in_a_line, "a line")
            text = decode_utf8(data, location, line=number)
            if text.strip():  # a byte order mark alone is no line either
                yield f"{location}, line {number}", text.removesuffix("\n")


def decode_utf8(data: bytes, location: str, *, line: int = 1) -> str:
    """Return the text of these bytes, which begin in this line; raises DataError where they are not UTF-8."""
    try:
        text = data.decode("utf-8")  # with "utf-8-sig" an error's place would lack the mark's three bytes
        return text.removeprefix("\ufeff") if line == 1 else text
    except UnicodeDecodeError as error:
        line += len(LINE_END.findall(data, 0, error.start))
        raise NotUTF8Error(location, f"line {line}", f"byte 0x{data[error.start]:02x}") from None


def replace_text(path: Path, text: str) -> None:
    """Write a text file whole or leave the old one as it is; raises OSError."""
    replace_bytes(path, text.encode("utf-8"))


def replace_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or leave the old one as it is; raises OSError."""
    with replacing_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """Return a context with a new file, which replaces the one of this path once it has ended well.

    Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a file cannot have such a name")
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(
            errno.EINVAL, "it is not a regular file"
        )  # but a pipe, which might be waited for without end
    return path.open("rb")


def _too_large(location: str, most_bytes: int, kind: str) -> DataError:
    return DataError(f"{location} is larger than {most_bytes:,} bytes, the limit for {kind}")
