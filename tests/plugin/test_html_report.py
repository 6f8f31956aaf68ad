"""report.html: written at a run's end where the user wants it, and again by a command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport

from .conftest import Project

OWN = "def test_own(record_score):\n    record_score(1.0)\n"


def last_lines(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith(("results: ", "report: "))]


def test_the_last_line_names_the_page(project: Project) -> None:
    project.write("test_own.py", OWN)
    finished = project.evaluate("test_own.py", passed=1)
    page = project.folder / "eval_output/report.html"
    assert last_lines(finished.out)[-1] == f"report: {page}"
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    finished = project.evaluate("test_own.py", "--eval-report=none", passed=1)
    assert [line for line in last_lines(finished.out) if line.startswith("report: ")] == []
    assert not page.exists()  # it went to previous/ with its run
    project.evaluate("test_own.py", "--eval-report=pages/own.html", passed=1)
    assert (project.folder / "pages/own.html").exists()
    assert not page.exists()


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_asked(project: Project) -> None:
    project.write("test_own.py", OWN)
    finished = project.evaluate("test_own.py", "--eval-report=.", ret=4)
    assert f"--eval-report: {project.folder} is a folder; name a file" in finished.err


# --- the command ---


def saved(folder: Path, *values: float, **more: object) -> Path:
    results = [Result("own", str(n), "", "lab", scores=(Score(value),)) for n, value in enumerate(values)]
    plain = Run(tuple(results), fingerprint={"few_shots": 5}, models={"lab": "lab"})
    run = dataclasses.replace(plain, **more)  # type: ignore[arg-type]
    folder.mkdir()
    write_results(folder / "results.json", RunReport.of(run))
    return folder


def command(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["report", *map(str, arguments)])
    return done.exit_code, done.output


def test_a_finished_runs_page_is_written_beside_its_results(tmp_path: Path) -> None:
    folder = saved(tmp_path / "run", 1.0, 0.0)
    assert command(folder) == (0, f"report: {folder / 'report.html'}\n")
    assert "What changed" not in (folder / "report.html").read_text("utf-8")


def test_against_another_run_the_page_says_what_changed(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "before", 1.0, 1.0), saved(tmp_path / "after", 1.0, 0.0)
    page = tmp_path / "changes.html"
    assert command(after, "--against", before, "--out", page) == (0, f"report: {page}\n")
    text = page.read_text("utf-8")
    assert ["What changed" in text, "1 worse" in text, 'href="#own/1"' in text] == [True, True, True]


def test_why_a_run_failed_is_on_its_later_page_too(tmp_path: Path) -> None:
    folder = saved(tmp_path / "run", 1.0)
    run = read_run(folder / "results.json")
    failed = dataclasses.replace(RunReport.of(run), problems=("the server died",), failed_tests=2)
    write_results(folder / "results.json", failed)
    command(folder)
    assert "the server died; 2 tests failed" in (folder / "report.html").read_text("utf-8")


def test_a_baseline_that_is_gone_is_asked_for(tmp_path: Path) -> None:
    folder = saved(tmp_path / "run", 1.0, configuration={"baseline": str(tmp_path / "gone.json")})
    status, said = command(folder)
    assert status == 1
    assert "which cannot be read now" in said
    assert said.rstrip().endswith("give that run with --against")


def test_merge_writes_the_page_where_it_is_wanted_or_not_at_all(tmp_path: Path) -> None:
    part = saved(tmp_path / "part", 1.0, configuration={"shard": [1, 1]})
    for number, (given, page) in enumerate(
        [([], "out0/report.html"), (["--report", "page.html"], "page.html"), (["--report", "none"], None)]
    ):
        out = tmp_path / f"out{number}"
        named = [str(tmp_path / text) if text == "page.html" else text for text in given]
        done = CliRunner().invoke(main, ["merge", str(part), "--out", str(out), *named])
        assert done.exit_code == 0, done.output
        assert (f"\nreport: {tmp_path / str(page)}\n" in done.output) == (page is not None)
        assert page is None or (tmp_path / page).is_file()
        assert (out / "report.html").exists() == (number == 0)


@pytest.mark.parametrize("price", ["x", "judge=-1"])
def test_a_price_that_is_none_is_refused(tmp_path: Path, price: str) -> None:
    status, said = command(saved(tmp_path / "run", 1.0), "--price-in", price)
    assert status == 2
    assert "expected PRICE or NAME=PRICE" in said


IN_THE_WAY = """
    import pathlib

    def test_own(record_score):
        pathlib.Path("own.html").mkdir()
        record_score(1)
"""


def test_a_page_that_cannot_be_written_at_the_end_fails_the_run_in_one_sentence(project: Project) -> None:
    project.write("test_own.py", IN_THE_WAY)
    finished = project.evaluate("test_own.py", "--eval-report=own.html", ret=7, passed=1)
    assert finished.out.count("--eval-report: ") == 1
    (failure,) = finished.document["failures"]
    assert failure in finished.out
