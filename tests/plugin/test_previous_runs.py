"""An output folder that is used again: the last run is moved aside, and never taken for this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .conftest import Project

OWN = """
    async def test_own(served_model, record_score):
        record_score(1.0)
    """


def earlier(project: Project) -> list[Path]:
    return sorted((project.folder / "eval_output/previous").glob("*"))


def test_a_new_run_moves_the_last_one_aside(project: Project) -> None:
    project.write("test_own.py", OWN)
    first = project.evaluate("test_own.py", passed=1).document
    second = project.evaluate("test_own.py", passed=1).document
    (only,) = earlier(project)
    kept: dict[str, Any] = json.loads((only / "results.json").read_text("utf-8"))
    assert kept == first
    assert first["results"][0]["nodeid"] == second["results"][0]["nodeid"]
    project.evaluate("test_own.py", "--eval-keep-previous=0", "-n2", passed=1)
    assert earlier(project) == []


def test_what_only_shows_moves_nothing(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.evaluate("test_own.py", passed=1)
    project.evaluate("test_own.py", "--collect-only")
    project.evaluate("test_own.py", "--eval-plan")
    project.run("test_own.py", skipped=1)
    assert earlier(project) == []
    assert (project.folder / "eval_output/results.json").exists()


def test_the_baseline_may_be_the_last_run_of_the_folder(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.evaluate("test_own.py", passed=1)
    against = ("--eval-baseline=eval_output", "--eval-gate=own.drop <= 0")
    project.evaluate("test_own.py", *against, "--eval-few-shots=9", ret=4)
    finished = project.evaluate("test_own.py", *against, passed=1)
    assert finished.gates["passed"] == 3
    assert len(earlier(project)) == 1


def test_best_names_no_winner_of_the_run_before_a_refused_one(project: Project) -> None:
    project.server.models = ("tiny", "second")
    project.write("test_own.py", OWN)
    both = ("--eval-model=second", "test_own.py")
    project.evaluate(*both, passed=2)
    assert project.script("best", "eval_output").returncode == 0
    project.evaluate(*both, "--eval-gate=other >= 0", ret=4)
    refused = project.script("best", "eval_output")
    assert (refused.returncode, refused.stdout) == (1, "")
    (only,) = earlier(project)
    told = f"its last run was refused or did not end (see summary.md there); the run before it is {only}"
    assert told.replace(f"{project.folder}/", "") in refused.stderr
    assert project.script("best", str(only)).returncode == 0
