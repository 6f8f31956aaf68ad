"""Models that the run serves itself, by a stand-in for vLLM that notes when it starts and ends."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripted_server import ScriptedServer

from .conftest import Finished, Project, make_gated

ROOT = Path(__file__).parents[2]

PYTHON = f"""
    #!{sys.executable}
    import os, signal, sys, time
    from pathlib import Path

    sys.path.insert(0, {str(ROOT)!r})
    here = Path(__file__).parent

    def note(text):
        with open(here / "events", "a") as file:
            file.write(text + "\\n")

    if sys.argv[1] == "-c":
        print("[true, true]")
        sys.exit()
    name = sys.argv[sys.argv.index("--served-model-name") + 1]
    port = int(sys.argv[sys.argv.index("--port") + 1])
    note(f"start {{name}} {{os.getpid()}}")
    if "--die" in sys.argv:
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 14.00 GiB")

    from tests.scripted_server import ScriptedServer

    def stop(*_):
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    if "--hang" in sys.argv:
        signal.pause()
    from tests.scripted_server import default_reply

    if "--fair" in sys.argv:  # else it would take a third of the start
        from pytest_instructlab_eval.judges.trial import TRIAL_QUESTIONS

    def fair(body):
        text = body["messages"][-1]["content"]
        known = [one for one in TRIAL_QUESTIONS if one.question in text]
        return f"[[{{9 if known[0].good in text else 2}}]]" if known else default_reply(body)

    with ScriptedServer(models=(name,), port=port, keep_requests=True) as server:
        server.reply = fair if "--fair" in sys.argv else default_reply
        try:
            while not ("--die-after-answering" in sys.argv and server.chats):
                time.sleep(0.02)
            os._exit(7)
        finally:
            note(f"end {{name}} {{len(server.chats)}}")
"""


class Hosting:
    """A project whose models are served by the stand-in."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.python = project.write("vllm/python", textwrap.dedent(PYTHON).lstrip())
        self.python.chmod(0o755)

    def arguments(self, *args: str, model: str = "tiny") -> tuple[str, ...]:
        return (f"--eval-model={model}", f"--eval-vllm-python={self.python}", *args)

    def run(self, *args: str, ret: int = 0, **outcomes: int) -> Finished:
        return self.project.expect(self.project.start(*self.arguments(*args)).finish(), ret, **outcomes)

    @property
    def events(self) -> list[str]:
        """What was started and ended, in order, with the number of chats at the end."""
        path = self.python.with_name("events")
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [line.rpartition(" ")[0] if line.startswith("start") else line for line in lines]

    def assert_gone(self) -> None:
        """No server is left, nor is one about to be."""
        path = self.python.with_name("events")
        pids = [int(line.split()[-1]) for line in path.read_text("utf-8").splitlines() if "start" in line]
        assert pids
        deadline = time.monotonic() + 60
        while any(is_alive(pid) for pid in pids):
            assert time.monotonic() < deadline, "a server was left behind"
            time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture
def hosting(make_project: Callable[[ScriptedServer], Project], server: ScriptedServer) -> Hosting:
    return Hosting(make_project(server))


def test_a_model_without_a_url_is_served_once_and_gone_afterwards(hosting: Hosting) -> None:
    data = f"--eval-mmlu-data={hosting.project.mmlu}"
    finished = hosting.run(data, "-k", "anatomy or virology")
    finished.shows(
        "instructlab-eval: tiny, served by this run*", "instructlab-eval: starting vLLM with tiny; *"
    )
    assert hosting.events == ["start tiny", "end tiny 0"]
    hosting.assert_gone()


@pytest.mark.parametrize("processes", ["0", "2"])
def test_candidate_and_judge_take_turns_all_answers_first(hosting: Hosting, processes: str) -> None:
    mt_bench = (f"--eval-mt-bench-data={hosting.project.mt_bench}", "--eval-benchmark=mt_bench")
    finished = hosting.run(*mt_bench, "--eval-judge-model=judge", "-n", processes, passed=8)
    assert hosting.events == ["start tiny", "end tiny 16", "start judge", "end judge 16"]
    assert finished.row("mt_bench")[-3:] == ["8", "0", "0"]


def test_a_judge_is_tried_when_its_turn_comes_and_before_it_judges(hosting: Hosting) -> None:
    make_gated(hosting.project)
    mt_bench = (f"--eval-mt-bench-data={hosting.project.mt_bench}", "--eval-benchmark=mt_bench")
    judge = (*mt_bench, "--eval-judge-model=judge", "-n1")
    finished = hosting.run(*judge, ret=7, failed=8)
    assert hosting.events == ["start tiny", "end tiny 16", "start judge", "end judge 6"]
    finished.shows(
        "ERROR: the judge 'judge' does not rate every good answer of its trial above *--eval-no-judge-trial"
    )
    hosting.run(*judge, "--eval-vllm-args=--fair", passed=8)
    assert hosting.events[4:] == ["start tiny", "end tiny 16", "start judge", "end judge 22"]


def test_a_judge_with_gpus_of_its_own_is_served_beside_the_model(hosting: Hosting) -> None:
    mt_bench = (f"--eval-mt-bench-data={hosting.project.mt_bench}", "--eval-benchmark=mt_bench")
    hosting.run(*mt_bench, "--eval-judge-model=judge", "--eval-judge-gpus=0", passed=8)
    assert hosting.events[:2] == ["start tiny", "start judge"]
    assert sorted(hosting.events[2:]) == ["end judge 16", "end tiny 16"]


def test_a_model_that_judges_itself_is_served_once(hosting: Hosting) -> None:
    mt_bench = (f"--eval-mt-bench-data={hosting.project.mt_bench}", "--eval-benchmark=mt_bench")
    hosting.run(*mt_bench, "--eval-judge-model=tiny", passed=8)
    assert hosting.events == ["start tiny", "end tiny 32"]


def test_several_models_are_served_in_turn_and_ranked(hosting: Hosting) -> None:
    data = f"--eval-mmlu-data={hosting.project.mmlu}"
    models = ("--eval-model=second", "--eval-model=third")
    finished = hosting.run(data, *models, "-k", "anatomy or virology", "-n2")
    assert len(finished.results) == 6
    started = [f"{what} {name}" for name in ("tiny", "second", "third") for what in ("start", "end")]
    assert [event.removesuffix(" 0") for event in hosting.events] == started
    finished.shows("ranking *behind the best*", "* best")
    winner = finished.document["ranking"][0]["model"]
    said = hosting.project.script("best", "eval_output")
    assert (said.returncode, said.stdout) == (0, f"{winner}\n")


def test_nothing_is_served_where_nothing_is_asked(hosting: Hosting) -> None:
    data = f"--eval-mmlu-data={hosting.project.mmlu}"
    hosting.run(data, "--collect-only", "-q")
    hosting.run(data, "-k", "no_such_task", ret=5)
    hosting.run(data, "-k", "no_such_task", "-n1", ret=5)
    assert hosting.events == []


def test_a_server_that_does_not_start_is_told_with_the_cause_and_its_last_lines(hosting: Hosting) -> None:
    data = f"--eval-mmlu-data={hosting.project.mmlu}"
    for processes in ("0", "1"):
        finished = hosting.run(data, "--eval-vllm-args=--die", "-n", processes, ret=4)
        shown = finished.out + finished.err
        assert "vLLM with tiny ended with status 1: there is too little free memory" in shown
        assert "Tried to allocate 14.00 GiB" in shown
        assert "Traceback" not in shown


def test_a_server_that_is_not_ready_in_time_is_told(hosting: Hosting) -> None:
    data = f"--eval-mmlu-data={hosting.project.mmlu}"
    finished = hosting.run(data, "--eval-vllm-args=--hang", "--eval-serve-timeout=1", ret=4)
    shown = finished.out + finished.err
    assert "vLLM with tiny was not ready within 1 s" in shown
    assert "--eval-serve-timeout" in shown
    hosting.assert_gone()


def test_a_server_that_ends_during_the_run_fails_it_and_what_was_scored_is_kept(hosting: Hosting) -> None:
    hosting.project.write(
        "test_own.py",
        """
        import asyncio

        async def test_first(record_score):
            record_score(1)

        async def test_last(served_model, record_score):
            await served_model.chat([{"role": "user", "content": "one"}])
            await asyncio.sleep(1)
            await served_model.chat([{"role": "user", "content": "two"}])
        """,
    )
    finished = hosting.run(
        "test_own.py", "--eval-wait=1", "--eval-vllm-args=--die-after-answering", ret=7, passed=1, failed=1
    )
    assert "the server of tiny ended during the run with status 7" in finished.out
    assert finished.row("first")[0] == "1.0000"


def test_ctrl_c_while_a_server_loads_leaves_nothing_behind(hosting: Hosting) -> None:
    data = f"--eval-mmlu-data={hosting.project.mmlu}"
    running = hosting.project.start(*hosting.arguments(data, "--eval-vllm-args=--hang"))
    running.until(lambda: bool(hosting.events), "the start")
    running.interrupt()
    hosting.project.expect(running.finish(), 2)
    hosting.assert_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_the_run_however_that_ends(hosting: Hosting, number: int) -> None:
    data = f"--eval-mmlu-data={hosting.project.mmlu}"
    running = hosting.project.start(*hosting.arguments(data, "--eval-vllm-args=--hang"))
    running.until(lambda: bool(hosting.events), "the start")
    running.process.send_signal(number)
    running.finish()
    hosting.assert_gone()


def test_answering_and_judging_can_be_runs_of_their_own(project: Project) -> None:
    answering = project.evaluate(*project.mt_bench_only, "--eval-stage=answer", "-rA")
    assert "8 answered" in answering.lines[-1]
    asked = len(project.server.chats)
    judging = project.evaluate(*project.mt_bench_only, "--eval-stage=judge", passed=8)
    assert (asked, len(project.server.chats)) == (16, 32)
    at_once = project.evaluate(*project.mt_bench_only, passed=8)
    assert judging.row("mt_bench") == at_once.row("mt_bench")


def test_judging_without_answers_names_the_file_that_is_missing(project: Project) -> None:
    finished = project.evaluate(*project.mt_bench_only, "--eval-stage=judge", ret=4)
    shown = finished.out + finished.err
    assert "there are no answers of tiny in" in shown
    assert "--eval-stage answer" in shown
