"""--eval-export and the hook `pytest_eval_run_finished`: what a run gives to other tools at its end."""

from __future__ import annotations

import csv
import json

import pytest

from .conftest import Project

OWN = """
    import pytest

    @pytest.mark.parametrize("number", [1, 2])
    async def test_own(number, served_model, record_score):
        await served_model.chat(f"number {number}")
        record_score(0.5 * number)
    """
HOOK = """
    from pathlib import Path

    def pytest_eval_run_finished(report):
        scores = [f"{score.benchmark}={score.value} of {score.n}" for score in report.scores]
        written = (report.folder / "results.json").exists()
        text = f"{report.verdict} {scores} {len(list(report.questions()))} {written}"
        with Path("hook.txt").open("a") as file:
            file.write(text + "\\n")
    """
GATE = "--eval-gate=own >= 0.7"


@pytest.fixture
def own(project: Project) -> Project:
    project.write("test_own.py", OWN)
    return project


def summary(project: Project) -> str:
    return (project.folder / "eval_output/summary.md").read_text("utf-8")


def test_a_run_is_exported_at_its_end_and_again_from_its_files(own: Project) -> None:
    exports = ("--eval-export=csv", "--eval-export=inspect", "--eval-export=eee")
    run = own.evaluate("test_own.py", GATE, *exports, "-n2", passed=2)
    folder = own.folder / "eval_output/export"
    run.shows(*(f"export: {folder / name}" for name in ("csv", "inspect", "eee")))
    with (folder / "csv/questions.csv").open(encoding="utf-8", newline="") as file:
        assert [row["score"] for row in csv.DictReader(file)] == ["0.5", "1.0"]
    (log,) = (folder / "inspect").iterdir()
    assert {path.suffix for path in (folder / "eee").rglob("*.*")} == {".json", ".jsonl"}
    done = own.script("export", "csv", "eval_output", "--out=again")
    assert (done.returncode, done.stderr) == (0, "")
    again = own.folder / "again/questions.csv"
    assert done.stdout == "export: again\n"
    assert again.read_bytes() == (folder / "csv/questions.csv").read_bytes()
    own.evaluate("test_own.py", passed=2)
    (earlier,) = (own.folder / "eval_output/previous").iterdir()
    assert (earlier / "export/inspect" / log.name).exists(), "the export of an earlier run goes with it"
    assert not folder.exists()


def test_an_export_that_cannot_be_written_fails_the_run(own: Project) -> None:
    own.write("eval_output/export", "a file, where the folder should be")
    run = own.evaluate("test_own.py", GATE, "--eval-export=csv", ret=7, passed=2)
    (problem,) = (line for line in run.lines if line.startswith("ERROR: "))
    assert "--eval-export csv: " in problem
    assert "cannot be written (Not a directory)" in problem
    assert "broken: evaluation of" in summary(own)
    assert len(run.document["results"]) == 2


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_the_hook_is_called_once_with_the_whole_run(own: Project, workers: str) -> None:
    own.write("conftest.py", HOOK)
    own.evaluate("test_own.py", GATE, workers, passed=2)
    assert (own.folder / "hook.txt").read_text() == "passed ['own=0.75 of 2'] 2 True\n"


def test_a_failing_hook_fails_the_run_and_loses_nothing(own: Project) -> None:
    own.write(
        "conftest.py", "def pytest_eval_run_finished(report):\n    raise ConnectionError('no tracker')\n"
    )
    own.write("other.py", HOOK)
    run = own.evaluate("test_own.py", GATE, "-p", "other", ret=7, passed=2)
    sentence = (
        "the hook pytest_eval_run_finished of "
        f"{own.folder / 'conftest.py'}, line 2 failed: ConnectionError: no "
        "tracker; the results were written before it"
    )
    assert f"ERROR: {sentence}" in run.lines
    assert "no tracker" in summary(own)
    assert len(run.document["results"]) == 2
    assert (own.folder / "hook.txt").read_text().startswith("passed "), (
        "the other hook is called all the same"
    )


def test_a_run_that_does_not_evaluate_calls_no_hook(own: Project) -> None:
    own.write("conftest.py", HOOK)
    own.run("test_own.py", skipped=2)
    assert not (own.folder / "hook.txt").exists()


def test_an_unknown_format_is_refused(own: Project) -> None:
    run = own.evaluate("test_own.py", "--eval-export=xml", ret=4)
    assert "--eval-export: expected one of inspect, eee, csv, parquet (got 'xml')" in run.err


def test_a_file_that_is_no_run_is_not_exported(own: Project) -> None:
    own.write("results.json", json.dumps({"schema_version": 1}))
    done = own.script("export", "inspect", "results.json")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: results.json is damaged")
    assert not (own.folder / "export").exists()
