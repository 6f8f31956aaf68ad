"""One run at a time writes to an output folder; a process that is gone holds nothing."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, OutputInUseError
from pytest_instructlab_eval.session.output_lock import OutputLock

pytest.importorskip("fcntl", reason="a system without locks of files")

HOLD = """
import sys
from pathlib import Path
from pytest_instructlab_eval.session.output_lock import OutputLock
OutputLock(Path(sys.argv[1])).acquire()
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_second_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    first, second = OutputLock(tmp_path), OutputLock(tmp_path)
    first.acquire()
    with pytest.raises(OutputInUseError) as refused:
        second.acquire()
    owner = f"(process {os.getpid()} on {socket.gethostname()})"
    assert f"another run writes to {tmp_path} {owner}; wait for its end" in str(refused.value)
    second.release()
    first.release()
    second.acquire()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(OutputInUseError, match=f"process {holder.pid} on "):
            OutputLock(tmp_path).acquire()
        holder.kill()
    lock = OutputLock(tmp_path)
    lock.acquire()
    lock.release()


def test_folders_that_were_made_for_the_lock_go_with_it_while_they_are_empty(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path / "a" / "b")
    lock.acquire()
    lock.release()
    assert list(tmp_path.iterdir()) == []
    lock.acquire()
    (tmp_path / "a" / "b" / "results.json").touch()
    lock.release()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "results.json"]


def test_a_lock_file_that_leads_elsewhere_is_refused_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", "utf-8")
    (tmp_path / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(ConfigurationError, match=r"cannot be locked \(.*\); name another folder"):
        OutputLock(tmp_path).acquire()
    assert (tmp_path / "mine").read_text("utf-8") == "mine"


def test_a_file_system_without_locks_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    lock = OutputLock(tmp_path)
    lock.acquire()
    lock.release()
    assert list(tmp_path.iterdir()) == []
