"""The journal's files: what is written is found again, and what was torn, changed or foreign never is."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records import journal_writer
from pytest_instructlab_eval.records.journal import Journal
from pytest_instructlab_eval.records.journal_folder import (
    JournalledTest,
    is_finished,
    journal_files,
    journal_size,
    mark_finished,
    mark_unfinished,
    remove_journal,
    requests_of_tests,
)
from pytest_instructlab_eval.records.journal_lines import read_line, short_time, write_line
from pytest_instructlab_eval.records.run import JournalUse, ModelAdaptation

KEYS = [bytes([number]) * 32 for number in range(10)]
ADAPTED = ModelAdaptation("model", "tiny", "no_seed", "its server takes no seed", False)
OF_MODEL = {"role": "model", "model": "tiny"}
texts = st.text(st.characters(exclude_categories=()), max_size=20)
records = st.dictionaries(
    texts,
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
)


def written(folder: Path, *keys: bytes, process: str = "main", **more: object) -> Path:
    """Write a journal's file with these keys, whose records have their numbers."""
    journal = Journal(folder, process, head=lambda: {"requests": 8})
    for key in keys:
        journal.add(key, {**OF_MODEL, "number": KEYS.index(key), **more})
    journal.close()
    return journal_files(folder)[-1]


def found(folder: Path) -> dict[int, object]:
    journal = Journal(folder, "main", reuse=True)
    entries = {number: journal.find(key) for number, key in enumerate(KEYS)}
    return {number: entry[0]["number"] for number, entry in entries.items() if entry is not None}


def add_all(journal: Journal, *, times: int = 1) -> None:
    for _ in range(times):
        for number, key in enumerate(KEYS):
            journal.add(key, {"number": number})
        time.sleep(0.001)


def left_out(folder: Path) -> int:
    journal = Journal(folder, "main", reuse=True)
    for key in KEYS:
        journal.find(key)
    return journal.use.left_out


# --- a line ---


@given(records)
def test_a_line_is_read_as_it_was_written(record: dict[str, object]) -> None:
    whole = {"key": "k", **record}
    line = write_line(whole)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_line(line) == whole
    assert json.loads(line).keys() == {*whole, "sum"}


@given(records, st.data())
def test_a_changed_line_is_not_read(record: dict[str, object], data: st.DataObject) -> None:
    line = write_line({"text": "abc", **record})[:-1]
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    assert read_line(line[:place] + bytes([other]) + line[place + 1 :]) is None
    assert read_line(line[:place]) is None
    assert read_line(line[place + 1 :]) is None


@given(st.binary(max_size=200))
def test_any_other_bytes_are_no_line(data: bytes) -> None:
    assert read_line(data) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_such_number(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_line({"value": value})


# --- what is found ---


def test_a_finished_request_is_found_by_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[1], KEYS[2])
    assert found(tmp_path) == {1: 1, 2: 2}
    head, *lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert (head["schema"], head["requests"]) == (1, 8)
    assert [line["key"] for line in lines] == [KEYS[1].hex(), KEYS[2].hex()]


def test_nothing_is_found_unless_a_run_goes_on(tmp_path: Path) -> None:
    written(tmp_path, KEYS[1])
    assert Journal(tmp_path, "main").find(KEYS[1]) is None


def test_the_files_of_all_processes_are_read_and_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    written(tmp_path, KEYS[1], process="gw0")
    written(tmp_path, KEYS[2], process="gw1")
    journal = Journal(tmp_path, "gw2", reuse=True)
    journal.add(KEYS[1], {**OF_MODEL, "number": 7})
    journal.close()
    assert found(tmp_path) == {1: 7, 2: 2}


def test_what_has_no_rating_is_not_found(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "main")
    journal.add(KEYS[1], {"number": 1})
    journal.add(KEYS[2], {"number": 2})
    journal.discard(KEYS[1])
    journal.close()
    assert found(tmp_path) == {2: 2}


def test_a_number_that_json_lacks_is_asked_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "main")
    journal.add(KEYS[1], {"number": float("-inf")})
    journal.add(KEYS[2], {"number": 2})
    journal.close()
    assert found(tmp_path) == {2: 2}


def test_what_a_process_that_died_has_written_is_found_when_looked_for_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "gw1")
    journal.add(KEYS[3], {"number": 3})
    dead = written(tmp_path, KEYS[1], process="gw0")
    dead.write_bytes(dead.read_bytes() + b'{"key":"torn')
    journal.look_again()
    assert [journal.find(key) is not None for key in (KEYS[1], KEYS[3])] == [True, False]
    assert journal.use.left_out == 0
    journal.close()


def test_what_was_used_is_counted_with_its_times(tmp_path: Path) -> None:
    written(tmp_path, KEYS[1], KEYS[2])
    journal = Journal(tmp_path, "main", reuse=True)
    entry = journal.find(KEYS[1])
    assert entry is not None
    journal.count_reused(entry)
    journal.add(KEYS[3], {"number": 3})
    use = journal.use
    assert (use.reused, use.requests, use.left_out) == (1, 2, 0)
    assert use.first == use.last == entry[0]["time"]
    journal.close()


def test_the_adaptations_that_shaped_a_reply_come_with_it(tmp_path: Path) -> None:
    other = ModelAdaptation("judge", "tiny", "no_seed", "its server takes no seed", False)
    journal = Journal(tmp_path, "main")
    journal.add(KEYS[1], {**OF_MODEL, "number": 1}, [ADAPTED, other])
    journal.add(KEYS[2], {**OF_MODEL, "number": 2}, [ADAPTED, other])
    journal.close()
    assert journal_files(tmp_path)[0].read_text("utf-8").count("adaptation") == 2
    again = Journal(tmp_path, "main", reuse=True)
    assert again.adaptations == {}
    entry = again.find(KEYS[1])
    assert entry is not None
    again.count_reused(entry)
    assert list(again.adaptations.values()) == [ADAPTED]


# --- damage ---


def test_a_torn_last_line_is_not_used_and_is_no_damage(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[1], KEYS[2])
    path.write_bytes(path.read_bytes()[:-9])
    assert found(tmp_path) == {1: 1}
    assert left_out(tmp_path) == 0


def test_changed_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[1], KEYS[2], KEYS[3])
    path.write_text(path.read_text("utf-8").replace('"number":2', '"number":9'), "utf-8")
    assert found(tmp_path) == {1: 1, 3: 3}
    assert left_out(tmp_path) == 1


def test_a_line_that_changes_while_the_run_goes_on_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[1])
    journal = Journal(tmp_path, "main", reuse=True)
    path.write_text(path.read_text("utf-8").replace('"number":1', '"number":9'), "utf-8")
    assert journal.find(KEYS[1]) is None
    path.unlink()
    assert journal.find(KEYS[1]) is None
    assert journal.use.left_out == 1


@given(st.data())
def test_no_change_of_the_bytes_ever_finds_another_reply(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    path = written(folder, *KEYS[:4])
    old = path.read_bytes()
    start = data.draw(st.integers(0, len(old)))
    end = data.draw(st.integers(start, min(len(old), start + 300)))
    path.write_bytes(old[:start] + data.draw(st.binary(max_size=30)) + old[end:])
    assert all(number == value for number, value in found(folder).items())


def test_a_file_without_a_first_line_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[1])
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    assert found(tmp_path) == {}
    assert left_out(tmp_path) > 0


def test_other_files_are_not_of_the_journal(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[1])
    (tmp_path / "notes.jsonl").write_bytes(path.read_bytes())
    (tmp_path / path.name.replace("main", "dir")).mkdir()
    assert journal_files(tmp_path) == [path]


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    written(tmp_path, KEYS[1]).write_bytes(write_line({"schema": 2}))
    with pytest.raises(DataError, match=r"schema version 2, newer than the 1 .*leave out --eval-resume"):
        Journal(tmp_path, "main", reuse=True)
    with pytest.raises(DataError):
        journal_size(tmp_path)


# --- what a cheap look finds ---


@given(texts, texts, st.integers(0, 3))
def test_the_requests_of_each_test_are_counted_without_a_look_at_replies(
    tmp_path_factory: pytest.TempPathFactory, benchmark: str, question: str, count: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, "main")
    about = {**OF_MODEL, "benchmark": benchmark, "question": question}
    for key in KEYS[:count]:
        journal.add(key, {**about, "chat": {"text": '"question":"other"'}})
    journal.add(KEYS[4], {**about, "repeats": 5})  # no request
    journal.add(KEYS[5], {**about, "question": "unrated", "chat": {}})
    journal.discard(KEYS[5])
    journal.close()
    path = journal_files(folder)[0]
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines()[-1][:-9])  # torn
    expected = JournalledTest("model", "tiny", benchmark, question)
    assert requests_of_tests(folder) == ({expected: count} if count else {})
    size = journal_size(folder)
    assert size is not None
    assert size.journalled == count


def test_lines_that_were_changed_by_hand_are_no_error(tmp_path: Path) -> None:
    path = written(tmp_path, KEYS[1], benchmark="own", question="q")
    path.write_text(path.read_text("utf-8").replace('"q"', '"\\q"'), "utf-8")
    assert requests_of_tests(tmp_path) == {}


# --- the folder ---


def test_a_journal_says_how_far_its_run_came(tmp_path: Path) -> None:
    assert journal_size(tmp_path) is None
    written(tmp_path, KEYS[1], KEYS[2], process="gw0")
    written(tmp_path, KEYS[2], process="gw1")
    size = journal_size(tmp_path)
    assert size is not None
    assert str(size) == "2 of 8 requests"
    assert size.started.startswith("20")


def test_a_finished_journal_is_marked_and_removed_with_its_mark(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    written(folder, KEYS[1])
    assert not is_finished(folder)
    mark_finished(folder)
    assert is_finished(folder)
    mark_unfinished(folder)
    mark_unfinished(tmp_path / "missing")
    mark_finished(folder)
    remove_journal(folder)
    remove_journal(folder)
    assert list(tmp_path.iterdir()) == []


def test_times_are_shown_in_minutes() -> None:
    assert short_time("2026-11-27T09:12:03Z") == "2026-11-27 09:12"
    assert short_time(None) == ""
    use = JournalUse(3412, 14362, "2026-11-27T09:12:03Z", "2026-11-27T09:31:59Z", 2)
    assert use.notes == [
        "taken from the journal: 3,412 of 14,362 requests, asked 2026-11-27 09:12 to 09:31 UTC",
        "2 lines of the journal were damaged or changed, and not used",
    ]
    assert JournalUse(0, 4).notes == ["taken from the journal: 0 of 4 requests"]


def test_the_processes_of_a_run_have_read_the_same_files() -> None:
    parts = [
        JournalUse(3, 5, "2026-11-27T09:12:03Z", "2026-11-27T09:31:59Z", 2),
        JournalUse(0, 2, left_out=2),
    ]
    assert JournalUse.of_all(parts) == JournalUse(3, 7, parts[0].first, parts[0].last, 2)
    assert JournalUse.of_all([]) == JournalUse(0, 0)


# --- a disk without room ---


def test_a_full_disk_leaves_whole_lines_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, room, write = Journal(tmp_path, "main"), [400], os.write

    def write_until_full(descriptor: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = min(room[0], len(data))
        room[0] -= count
        return write(descriptor, data[:count])

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(OSError, match="No space"):
        add_all(journal)
    room[0] = 10_000  # too late: nothing is written after a gap
    with pytest.raises(OSError, match="No space"):
        journal.add(KEYS[9], {"number": 9})
    journal.close()
    assert journal.problem is not None
    assert "cannot be written (No space left on device), so the run ends" in journal.problem
    assert journal.problem.endswith("go on with --eval-resume: all that was finished is kept")
    assert found(tmp_path)
    assert 9 not in found(tmp_path)
    assert left_out(tmp_path) == 0
    assert journal_files(tmp_path)[0].read_bytes().endswith(b"\n")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("mine")
    journal = Journal(tmp_path / "journal", "main")
    with pytest.raises(OSError, match="exists"):
        journal.add(KEYS[0], {})
    assert journal.problem is not None


def test_lines_reach_the_disk_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()
    monkeypatch.setattr(journal_writer, "SYNC_INTERVAL", 0.01)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.set())
    journal = Journal(tmp_path, "main")
    journal.add(KEYS[0], {"number": 0})
    assert synced.wait(60)
    journal.close()
    journal.add(KEYS[1], {"number": 1})  # a result that nobody waits for any more
    assert found(tmp_path) == {0: 0}


def test_a_disk_that_fails_later_ends_the_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def fail(descriptor: int) -> None:
        failed.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal_writer, "SYNC_INTERVAL", 0.01)
    monkeypatch.setattr(os, "fsync", fail)
    journal = Journal(tmp_path, "main")
    journal.add(KEYS[0], {})
    assert failed.wait(60)
    with pytest.raises(OSError, match="Input/output"):
        add_all(journal, times=1000)
    journal.close()
