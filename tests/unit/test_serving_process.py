"""A server's process: nothing of it outlives what started it."""

from __future__ import annotations

import ctypes
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_instructlab_eval.serving import ServerProcess, process, process_group

SECONDS = 60  # for what takes a fraction of one
FAMILY = (
    "sleep 60 & echo begun >&3; sleep 60"  # a shell, its child in the background and one in the foreground
)
STUBBORN = (
    "trap '' TERM; sleep 60 & echo begun >&3; sleep 60; sleep 60"  # children inherit that a signal is ignored
)


class Lifeline:
    """Tells whether any process is left of a script and all that it starts: they hold a pipe open.

    The script says `echo begun >&3` when it has come so far.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def hold(self, script: str) -> list[str]:
        """A command that runs the shell script and holds the pipe."""
        return ["sh", "-c", f'exec 3> "$0"; {script}', str(self._path)]

    def wait_until_begun(self) -> None:
        assert self._read(SECONDS) == b"begun\n"

    def is_held(self) -> bool:
        return self._read(0) is None

    def wait_until_let_go(self) -> None:
        assert self._read(SECONDS) == b"", "a process is left"

    def close(self) -> None:
        os.close(self._end)

    def _read(self, seconds: float) -> bytes | None:
        """What was written, nothing where no process is left, None where nothing happens."""
        readable, _, _ = select.select([self._end], [], [], seconds)
        return os.read(self._end, 100) if readable else None


@pytest.fixture
def lifeline(tmp_path: Path) -> Iterator[Lifeline]:
    lifeline = Lifeline(tmp_path / "lifeline")
    yield lifeline
    lifeline.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts server processes, and ends them with the test."""
    started: list[ServerProcess] = []

    def start(
        command: list[str], log: Path = tmp_path / "server.log", env: dict[str, str] | None = None
    ) -> ServerProcess:
        started.append(ServerProcess(command, log, env))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run(start: Callable[..., ServerProcess], script: str, env: dict[str, str] | None = None) -> ServerProcess:
    """A server process that has ended by itself."""
    server = start(["sh", "-c", script], env=env)
    wait_until(lambda: server.status is not None)
    return server


# --- its end ---


def test_stop_ends_a_server_and_all_that_it_started(
    start: Callable[..., ServerProcess], lifeline: Lifeline
) -> None:
    server = start(lifeline.hold(FAMILY))
    lifeline.wait_until_begun()
    assert lifeline.is_held()
    assert server.status is None
    server.stop()
    assert not lifeline.is_held()
    assert server.status == 128 + signal.SIGTERM


def test_to_begin_to_stop_does_not_wait(
    start: Callable[..., ServerProcess], lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE", 0.3)
    server = start(lifeline.hold(STUBBORN))
    lifeline.wait_until_begun()
    server.begin_to_stop()
    assert lifeline.is_held()


def test_a_server_that_ignores_sigterm_is_killed_after_the_grace(
    start: Callable[..., ServerProcess], lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE", 0.3)
    server = start(lifeline.hold(STUBBORN))
    lifeline.wait_until_begun()
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun >= 0.3
    assert not lifeline.is_held()
    assert server.status == 128 + signal.SIGKILL


def test_a_server_has_time_to_end_in_order(start: Callable[..., ServerProcess], lifeline: Lifeline) -> None:
    server = start(
        lifeline.hold(
            "trap 'sleep 0.2; echo in order; exit 7' TERM; echo begun >&3; while :; do sleep 0.05; done"
        )
    )
    lifeline.wait_until_begun()
    server.stop()
    assert server.last_lines()[-1] == "in order"
    assert server.status == 7


def test_what_a_server_leaves_when_it_ends_is_ended(
    start: Callable[..., ServerProcess], lifeline: Lifeline
) -> None:
    server = start(lifeline.hold("sleep 60 & echo begun >&3; exit 3"))
    lifeline.wait_until_begun()
    lifeline.wait_until_let_go()
    wait_until(lambda: server.status is not None)
    assert server.status == 3


@pytest.fixture
def no_reaping() -> Iterator[None]:
    """Orphans come to this process, which doesn't reap them, as to a container's first process."""
    libc = ctypes.CDLL(None)
    libc.prctl(process_group.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(process_group.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone lets a process adopt orphans")
@pytest.mark.usefixtures("no_reaping")
def test_stop_does_not_wait_for_orphans_that_nobody_reaps(
    start: Callable[..., ServerProcess], lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE", 600.0)
    server = start(lifeline.hold(FAMILY))
    lifeline.wait_until_begun()
    server.stop()  # it would wait for the whole grace


def test_to_stop_what_has_ended_or_was_stopped_does_nothing(start: Callable[..., ServerProcess]) -> None:
    server = run(start, "exit 3")
    server.stop()
    server.stop()
    assert server.status == 3


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 41", 41), ("kill -9 $$", 137), ("kill -SEGV $$", 139)]
)
def test_the_status_is_a_shells(start: Callable[..., ServerProcess], script: str, status: int) -> None:
    assert run(start, script).status == status


def test_a_command_that_cannot_be_started_says_so_in_the_log(start: Callable[..., ServerProcess]) -> None:
    server = start(["/nowhere/python", "-m", "vllm"])
    wait_until(lambda: server.status is not None)
    assert server.status == 127
    assert server.last_lines() == ["/nowhere/python: No such file or directory"]


# --- the end of what started it ---

HELPER = """
import signal, sys, time
from pathlib import Path
from pytest_instructlab_eval.serving import ServerProcess, process
process.GRACE = 0.5
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = ServerProcess(sys.argv[2:], Path(sys.argv[1]))
print("started", flush=True)
while True:
    time.sleep(60)
"""


class Helper:
    """Another Python that starts a server process: the leader of a process group of its own."""

    def __init__(self, log: Path, command: list[str]) -> None:
        self.python = subprocess.Popen(
            [sys.executable, "-c", HELPER, str(log), *command],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.line() == "started\n"

    def line(self) -> str:
        assert self.python.stdout is not None
        return self.python.stdout.readline()

    def close(self) -> None:
        self.python.kill()
        self.python.wait()
        assert self.python.stdout is not None
        self.python.stdout.close()


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Callable[[list[str]], Helper]]:
    helpers: list[Helper] = []

    def start(command: list[str]) -> Helper:
        helpers.append(Helper(tmp_path / "server.log", command))
        return helpers[-1]

    yield start
    for helper in helpers:
        helper.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_the_process_that_started_it_is_killed(
    helper: Callable[[list[str]], Helper], lifeline: Lifeline, number: int
) -> None:
    started = helper(lifeline.hold(FAMILY))
    lifeline.wait_until_begun()
    started.python.send_signal(number)
    assert started.python.wait(SECONDS) == -number
    lifeline.wait_until_let_go()


def test_nothing_is_left_when_the_whole_group_that_started_it_is_killed(
    helper: Callable[[list[str]], Helper], lifeline: Lifeline
) -> None:
    started = helper(lifeline.hold(FAMILY))
    lifeline.wait_until_begun()
    os.killpg(started.python.pid, signal.SIGKILL)
    lifeline.wait_until_let_go()


def test_nothing_is_left_of_a_server_that_ignores_sigterm_either(
    helper: Callable[[list[str]], Helper], lifeline: Lifeline
) -> None:
    started = helper(lifeline.hold(STUBBORN))
    lifeline.wait_until_begun()
    started.python.kill()
    assert lifeline.is_held()
    lifeline.wait_until_let_go()


DIES_OF_SIGINT = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.write(3, b"begun\\n")
time.sleep(60)
"""


def test_ctrl_c_does_not_reach_a_server(helper: Callable[[list[str]], Helper], lifeline: Lifeline) -> None:
    started = helper(lifeline.hold(f"exec {shlex.quote(sys.executable)} -c {shlex.quote(DIES_OF_SIGINT)}"))
    lifeline.wait_until_begun()
    for _ in range(3):
        os.killpg(started.python.pid, signal.SIGINT)
        assert started.line() == "interrupted\n"
        time.sleep(0.05)
    assert lifeline.is_held()


# --- its log ---


def test_the_log_has_what_a_server_writes_to_either_stream(start: Callable[..., ServerProcess]) -> None:
    server = run(start, "echo out; echo err >&2; echo out again")
    assert server.last_lines() == ["out", "err", "out again"]
    assert server.log.read_text() == server.text() == "out\nerr\nout again\n"


def test_the_log_begins_anew_in_a_folder_that_is_made(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    log = tmp_path / "not" / "yet" / "server.log"
    for word in ("first", "second"):
        server = start(["echo", word], log)
        wait_until(lambda server=server: server.status is not None)  # type: ignore[misc]
    assert log.read_text() == "second\n"


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        ServerProcess(["echo"], tmp_path / "file" / "server.log")


def test_the_last_lines_are_as_many_as_asked_for(start: Callable[..., ServerProcess]) -> None:
    server = run(start, "seq 1 30")
    assert server.last_lines() == [str(number) for number in range(11, 31)]
    assert server.last_lines(2) == ["29", "30"]


def test_a_long_line_is_cut(start: Callable[..., ServerProcess]) -> None:
    server = run(start, "printf '%0300d\\n%0301d\\n' 0 0")
    assert server.last_lines() == ["0" * 300, "0" * 300 + "…"]


def test_a_log_that_is_no_utf_8_is_read_nonetheless(start: Callable[..., ServerProcess]) -> None:
    server = run(start, r"printf 'caf\351 \377\376\n\303\251t\303\251\n'")
    assert server.last_lines() == ["caf\ufffd \ufffd\ufffd", "été"]


def test_a_log_that_is_gone_is_empty(start: Callable[..., ServerProcess]) -> None:
    server = run(start, "echo hello")
    server.log.unlink()
    assert server.text() == ""
    assert server.last_lines() == []


# --- what it gets ---


def test_a_server_gets_the_environment_and_nothing_to_read(start: Callable[..., ServerProcess]) -> None:
    server = run(start, 'cat; echo "$COLOUR"', env={"COLOUR": "blue", "PATH": os.environ["PATH"]})
    assert server.text() == "blue\n"
