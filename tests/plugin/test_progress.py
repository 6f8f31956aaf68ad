"""While pytest waits for a slow answer, it is told how far the run is."""

import os
import pty
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.scripted_server import Body, Until

from .conftest import Project
from .screen import Screen

SLOW = """
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(30))
    async def test_number(number, served_model, record_score):
        await served_model.chat([{"role": "user", "content": f"number {number}."}])
        record_score(1)
"""
OFTEN = """
    from pytest_instructlab_eval.session import progress

    progress.LOG_INTERVAL = 0.1
"""
COLUMNS = 100


def about(text: str) -> Callable[[Body], bool]:
    return lambda body: text in str(body)


def test_a_log_gets_a_line_now_and_then_unless_it_is_a_quiet_one(project: Project) -> None:
    project.write("conftest.py", OFTEN)
    project.write("test_own.py", SLOW)
    running = [
        project.start(*project.model, "test_own.py", *quiet)
        for quiet in ((), ("-q", "--eval-output-dir=quiet"))
    ]
    until_told = Until(lambda: "29 requests" in running[0].out)
    project.server.fault(until_told, times=2, when=about("number 7."))
    finished, quiet = (project.expect(run.finish(), 0, passed=30) for run in running)
    told = [line for line in finished.lines if line.startswith("instructlab-eval: ") and "requests" in line]
    assert re.fullmatch(r"instructlab-eval: 29 requests; [\d.]+ requests/s, [\d,]+ tokens/s", told[-1])
    finished.shows("test_own.py .......", "instructlab-eval: 29 requests; *", "*...* [[]100%[]]")
    assert "requests/s" not in quiet.out


def test_with_two_workers_a_log_has_the_sum_of_both(project: Project) -> None:
    project.write("conftest.py", OFTEN)
    project.write("test_own.py", SLOW)
    running = project.start(*project.model, "-n2", "test_own.py")
    told = "\ninstructlab-eval: 29 requests; "
    project.server.fault(Until(lambda: told in running.out), when=about("number 7."))
    finished = project.expect(running.finish(), 0, passed=30)
    assert told in finished.out  # and else the answer would have come late


@pytest.mark.parametrize("verbosity", [[], ["-v"], ["-n2"]], ids=["dots", "verbose", "workers"])
def test_a_terminal_has_a_live_line_that_leaves_no_trace(project: Project, verbosity: list[str]) -> None:
    project.write("test_own.py", SLOW)
    seen = bytearray()
    for count, number in enumerate((7, 19), start=1):
        until_shown = Until(lambda count=count: seen.count(b"requests/s") >= count)  # type: ignore[misc]
        project.server.fault(until_shown, when=about(f"number {number}."))
    options = ("test_own.py", "--eval-max-concurrency=8", *verbosity)
    written = on_a_terminal(project, seen, *project.model, *options)
    assert re.search(r"\d+ requests; [\d.]+ requests/s, [\d,]+ tokens/s", written)
    screen = Screen(COLUMNS)
    screen.write(written)
    text = "\n".join(screen.lines)
    assert "requests/s" not in text
    if verbosity == ["-n2"]:
        assert re.search(rf"^{re.escape('.' * 32)} +\[100%\]$", text, re.MULTILINE)  # gates too
    elif verbosity:
        shown = [line for line in screen.lines if line.startswith("test_own.py::")]
        assert [line.split()[:3] for line in shown] == [
            [f"test_own.py::test_number[{number}]", "PASSED", "1.00"] for number in range(30)
        ]
    else:
        assert re.search(rf"^test_own\.py {re.escape('.' * 30)} +\[100%\]$", text, re.MULTILINE)
    assert re.search(r"^own +1\.0000 +30 +0 +0$", text, re.MULTILINE)
    assert re.search(r"^=+ 32 passed in .*=+$", text, re.MULTILINE)  # with the two default gates


def on_a_terminal(project: Project, seen: bytearray, *args: str) -> str:
    """What a run writes to a terminal; `seen` has what it wrote so far."""
    controller, terminal = pty.openpty()
    env = project.environment(COLUMNS=str(COLUMNS), TERM="xterm")
    with subprocess.Popen(
        project.command(*args),
        cwd=project.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        while chunk := read(controller):
            seen += chunk
    os.close(controller)
    assert process.returncode == 0, seen.decode()
    return seen.decode().replace("\r\n", "\n\r")


def read(controller: int) -> bytes:
    try:
        return os.read(controller, 4096)
    except OSError:  # Linux, when the other end is closed
        return b""
