"""A run's report: computed once, whatever is told of it, and again from its file."""

from collections import Counter
from pathlib import Path

import pytest

from pytest_instructlab_eval.records.baseline import Baseline, read_baseline
from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.reports.markdown import summary_page
from pytest_instructlab_eval.reports.run_report import RunReport
from tests.scripted_server import ScriptedServer

from .conftest import Finished, Project

COUNTED = """
    import pytest_instructlab_eval.reports.run_report as module

    def counted(name, function):
        def call(*args, **options):
            with open("calls.txt", "a") as file:
                print(name, file=file)
            return function(*args, **options)
        return call

    for name in ("summarise", "rank_models", "run_changes", "gate_verdicts"):
        setattr(module, name, counted(name, getattr(module, name)))
"""
OWN = """
    import pytest

    @pytest.mark.eval("own", gates=["own >= 0.25"])
    @pytest.mark.parametrize("number", range(6))
    async def test_number(number, served_model, record_score):
        reply = await served_model.chat([{"role": "user", "content": f"number {number}"}])
        record_score((len(reply.text) + number) % 5 / 5)

    @pytest.mark.eval("other", gates=["other >= 0.9"])
    @pytest.mark.parametrize("number", range(6))
    def test_other(number, record_score):
        record_score(number / 10)
"""
TWO_SCALES = """
    import pytest

    @pytest.mark.eval("own", max_score=10)
    def test_ten(record_score):
        record_score(7)

    @pytest.mark.eval("own")
    def test_one(record_score):
        record_score(1)

    @pytest.mark.eval("silent")
    def test_silent(record_score):
        pass
"""


def calls(project: Project) -> Counter[str]:
    return Counter((project.folder / "calls.txt").read_text("utf-8").split())


@pytest.mark.parametrize("processes", ["0", "2"])
def test_it_is_computed_once_in_a_run(project: Project, processes: str) -> None:
    project.write("conftest.py", COUNTED)
    project.write("test_own.py", OWN)
    shown = {"GITHUB_STEP_SUMMARY": str(project.folder / "step.md")}
    saves = ("--junitxml=junit.xml", "--eval-save-baseline=main.json", "-v")
    done = project.evaluate("test_own.py", "-n", processes, *saves, ret=1, env=shown, passed=12)
    assert done.gates == {"failed": 1, "passed": 5}
    once = {"summarise": 1, "rank_models": 1, "run_changes": 1, "gate_verdicts": 1}
    assert calls(project) == once
    project.evaluate("test_own.py", "-n", processes, "-x", "--eval-gate=own >= 0.9", ret=1, passed=12)
    assert calls(project) == dict.fromkeys(once, 2)


def test_the_report_of_a_run_that_was_stopped_has_no_verdicts(project: Project) -> None:
    project.write("conftest.py", COUNTED)
    project.write("test_own.py", f"{OWN}        assert False\n")
    project.evaluate("test_own.py", "-x", "--eval-gate=own >= 1", ret=1, passed=6, failed=1)
    assert calls(project) == {"summarise": 1, "rank_models": 1, "run_changes": 1}


FAILS_LATE = """
    import pytest

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(session):
        yield
        session.testsfailed += 1  # as pytest-cov does where too little is covered
        return True
"""


def test_what_another_plugin_fails_the_run_for_after_its_gates_is_in_its_page(project: Project) -> None:
    project.write("conftest.py", FAILS_LATE)
    project.write("test_own.py", "def test_it(record_score):\n    record_score(1)\n")
    done = project.evaluate("test_own.py", ret=1, passed=1)
    head = "## ❌ failed: evaluation of `tiny`\n\nGates: 2 passed (2 default).\n1 test failed."
    assert page(done).startswith(head)


def page_of_file(done: Finished, baseline: Baseline | None = None) -> str:
    return summary_page(RunReport.of(read_run(done.folder / "eval_output/results.json"), baseline))


def page(done: Finished) -> str:
    return (done.folder / "eval_output/summary.md").read_text("utf-8")


def test_the_report_of_its_file_is_that_of_the_run(project: Project) -> None:
    project.write("test_own.py", OWN)
    with ScriptedServer(models=("base",)) as server:
        base = ("--eval-base-model=base", f"--eval-base-model-url={server.url}")
        done = project.evaluate("test_own.py", *base, "--eval-gate=own.drop <= 0.1", ret=1)
    assert page_of_file(done) == page(done)


def test_with_its_baseline_the_report_of_its_file_is_that_of_the_run(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.evaluate("test_own.py", "--eval-save-baseline=main.json", ret=1)
    project.write("test_own.py", OWN.replace("number / 10", "1 - number / 10"))
    done = project.evaluate("test_own.py", "--eval-baseline=main.json", "--eval-gate=other.drop <= 1%", ret=1)
    assert page_of_file(done, read_baseline(project.folder / "main.json")) == page(done)
    assert "### What got better" in page(done)


def test_what_fails_a_run_beside_its_tests_is_in_the_report_of_its_file(project: Project) -> None:
    project.write("test_own.py", TWO_SCALES)
    done = project.evaluate("test_own.py", "--eval-gate=own.n >= 2", ret=7, passed=3)
    assert page_of_file(done) == page(done)
    assert "own has no mean, since its scores have several scales" in page(done)
    assert "1 test of silent passed but recorded no score" in page(done)


def test_parts_fail_together_as_the_whole_does(project: Project) -> None:
    project.write("test_own.py", TWO_SCALES)
    for part in ("1", "2"):
        output = f"--eval-output-dir=part{part}"
        done = project.evaluate("test_own.py", f"--eval-shard={part}/2", output)
        folder: Path = done.folder / f"part{part}"
        part_page = summary_page(RunReport.of(read_run(folder / "results.json")))
        assert part_page == (folder / "summary.md").read_text("utf-8")
        assert "this is one part of a run" in part_page
    merged = project.script("merge", "part1", "part2")
    assert merged.returncode == 7
    assert "ERROR: own has no mean, since its scores have several scales" in merged.stdout
