"""A journal's folder: its files, whether its run is finished, and what it holds, by a cheap look."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.journal_lines import (
    MOST_IN_A_LINE,
    SCHEMA,
    read_line,
    short_time,
)

FOLDER = "journal"
FILE = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{6}Z-[0-9a-z]+-\d+\.jsonl")
KEY_FIRST = b'{"key":"'
UNRATED = b',"unrated":true,"sum"'
TEXT = rb'"(?:[^"\\]|\\.)*"'
TESTED = re.compile(rb'"role":%b,"model":%b,"benchmark":%b,"question":%b' % ((TEXT,) * 4))
MODELS = "models.json"
FINISHED = "finished"  # a file that says that nothing is left to ask


@dataclass(frozen=True)
class JournalSize:
    """What a journal holds.

    `started` is when its run began ("2026-11-27 09:12", in UTC), `journalled` the number of its requests, and
    `expected` the number that the run was about to make, None where that is not known.
    """

    started: str
    journalled: int
    expected: int | None

    def __str__(self) -> str:
        is_known = self.expected is not None and self.journalled <= self.expected
        of_all = f" of {self.expected:,}" if is_known else ""
        return f"{self.journalled:,}{of_all} requests"


class JournalledTest(NamedTuple):
    """Who was asked, a `role` and its label, by which test."""

    role: str
    model: str
    benchmark: str
    question: str


def journal_files(folder: Path) -> list[Path]:
    """Return the files of a journal, the oldest first; other files in its folder are not among them."""
    with contextlib.suppress(OSError, ValueError):  # a null byte in the folder's name
        files = [path for path in folder.iterdir() if FILE.fullmatch(path.name) and path.is_file()]
        return sorted(files, key=lambda path: path.name)
    return []


def read_head(path: Path) -> dict[str, object] | None:
    """Return the first line of a journal's file; None where that is damaged, or cannot be read.

    Raises DataError where a newer version of the plugin wrote the file.
    """
    try:
        with path.open("rb") as file:
            head = read_line(file.readline(MOST_IN_A_LINE))
    except OSError:
        return None
    schema = None if head is None else head.get("schema")
    if not isinstance(schema, int) or schema < 1:
        return None
    if schema > SCHEMA:
        raise DataError(
            f"{path} has schema version {schema}, newer than the {SCHEMA} that this version of the plugin "
            "reads; upgrade pytest-instructlab-eval, or leave out --eval-resume"
        )
    return head


def is_finished(folder: Path) -> bool:
    """Return whether the run of a journal has had a reply to every request."""
    return (folder / FINISHED).exists()


def mark_finished(folder: Path) -> None:
    """Note that the run of a journal has had a reply to every request; raises OSError."""
    (folder / FINISHED).touch()


def mark_unfinished(folder: Path) -> None:
    """Note that a run goes on with a journal; raises OSError."""
    (folder / FINISHED).unlink(missing_ok=True)


def remove_journal(folder: Path) -> None:
    """Remove a journal; files in its folder that this plugin did not write stay. Raises OSError."""
    for path in (*journal_files(folder), folder / FINISHED, folder / MODELS):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty, or not there
        folder.rmdir()


def last_written(folder: Path) -> float:
    """Return when a journal was last written to, in seconds since the epoch; raises OSError."""
    return max(os.stat(path).st_mtime for path in journal_files(folder))


def journal_size(folder: Path) -> JournalSize | None:
    """Return what a journal holds, without a look at its replies; None where there is none.

    Raises DataError as `read_head`.
    """
    heads = journal_heads(folder)
    if not heads:
        return None
    expected = [count for head in heads if isinstance(count := head.get("requests"), int)]
    journalled = sum(_requests_of_tests(folder).values())
    started = min(short_time(head.get("started")) for head in heads)
    return JournalSize(started, journalled, max(expected) if len(expected) == len(heads) else None)


def journal_heads(folder: Path) -> list[dict[str, object]]:
    """Return the first lines of a journal's files that can be read; raises DataError as `read_head`."""
    return [head for path in journal_files(folder) if (head := read_head(path)) is not None]


def requests_of_tests(folder: Path) -> Counter[JournalledTest]:
    """Return how many requests a journal has of each test, by a cheap look."""
    counts: Counter[JournalledTest] = Counter()
    for tested, count in _requests_of_tests(folder).items():
        with contextlib.suppress(ValueError, TypeError):  # changed by hand, which the replies' reader tells
            counts[JournalledTest(**json.loads(b"{" + tested + b"}"))] += count
    return counts


def _requests_of_tests(folder: Path) -> Counter[bytes]:
    """Return the number of requests by the part of their lines that says who was asked by which test.

    They are found by where a line has what; no line is read as JSON.
    """
    tests: dict[int, bytes] = {}  # by the hash of the key, which needs less memory
    texts: dict[bytes, bytes] = {}  # each once in memory
    for path in journal_files(folder):
        with contextlib.suppress(OSError), path.open("rb") as file:
            for line in file:
                if line.startswith(KEY_FIRST) and line.endswith(b"\n"):  # or else it is torn
                    key = hash(line[len(KEY_FIRST) :][:64])
                    if UNRATED in line[-60:]:
                        tests.pop(key, None)
                    elif b',"repeats":' not in line[-60:]:
                        match = TESTED.search(line)
                        text = b"" if match is None else match[0]
                        tests[key] = texts.setdefault(text, text)
    return Counter(tests.values())
