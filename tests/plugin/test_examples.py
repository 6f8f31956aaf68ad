"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.scripted_server import ScriptedServer

from .conftest import Finished, Project

EXAMPLES = Path(__file__).parents[2] / "examples"


def reply(body: dict[str, Any]) -> str:
    """A model that knows two capitals, and a judge that likes everything."""
    text = " ".join(str(message["content"]) for message in body["messages"])
    if "You grade answers" in text:
        return "Well said. Rating: [[8]]"
    return "Paris" if "France" in text else "Tokyo"


def evaluate(project: Project, name: str, *args: str, passed: int) -> Finished:
    project.server.reply = reply
    project.write(name, (EXAMPLES / name).read_text("utf-8"))
    return project.evaluate(name, *args, passed=passed)


def test_a_benchmark_of_ones_own(project: Project) -> None:
    finished = evaluate(project, "test_capitals.py", passed=4)
    assert finished.row("capitals")[0] == "0.5000"


def test_a_benchmark_with_a_judge(project: Project) -> None:
    finished = evaluate(project, "test_explanations.py", *project.judge, passed=3)
    assert finished.row("explanations")[0] == "8.00 of 10"


GATE = EXAMPLES / "taxonomy-gate"
QNA = """\
version: 2
created_by: somebody
task_description: knots
seed_examples:
  - question: Which knot makes a loop?
    answer: The bowline.
"""


def test_a_pull_request_is_judged_by_the_base_branchs_rules_and_runs_nothing_of_its_own(
    project: Project,
) -> None:
    workflow = yaml.safe_load((GATE / ".github/workflows/evaluate.yml").read_text("utf-8"))
    assert workflow[True] == {"pull_request_target": {"paths": ["**/qna.yaml"]}}  # YAML 1.1 reads `on` so
    job = workflow["jobs"]["evaluate"]
    assert job["permissions"] == {"contents": "read"}
    (evaluate_step,) = [step for step in job["steps"] if step.get("name") == "Evaluate"]
    assert not any("${{" in step.get("run", "") for step in job["steps"]), "a shell would read it"

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=repository, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(message: str) -> str:
        git("add", ".")
        git("commit", "-m", message)
        return git("rev-parse", "HEAD")

    repository = project.write("taxonomy/gate.ini", (GATE / "gate.ini").read_text("utf-8")).parent
    git("init", "-b", "main")
    project.write("taxonomy/compositional_skills/old/qna.yaml", QNA)
    base = commit("main")
    git("checkout", "-b", "stranger")
    project.write("taxonomy/compositional_skills/new/qna.yaml", QNA.replace("a loop", "a stop"))
    planted = "import pathlib\npathlib.Path('planted').write_text('run')\n"
    for name in ("conftest.py", "pytest.py", "sitecustomize.py", "setup.py"):
        project.write(f"taxonomy/{name}", planted)
    project.write("taxonomy/gate.ini", "[pytest]\n")
    head = commit("pull request")
    git("checkout", "main")

    bin_folder = project.write("bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n').parent
    (bin_folder / "python").chmod(0o755)
    shown = project.folder / "step.md"
    with ScriptedServer(models=("base", "judge")) as other:
        other.reply = lambda body: "Rating: [[3]]" if body["model"] == "judge" else "The bowline."
        env = project.environment(
            PATH=f"{bin_folder}:{os.environ['PATH']}",
            PYTEST_ADDOPTS=f"--eval-mt-bench-data={project.mt_bench} --eval-no-canaries",
            GITHUB_STEP_SUMMARY=str(shown), BASE_SHA=base, HEAD_SHA=head,
            MODEL="tiny", MODEL_URL=project.server.url, MODEL_KEY="sk-1", JUDGE_KEY="sk-2",
            BASE_MODEL="base", BASE_MODEL_URL=other.url, JUDGE="judge", JUDGE_URL=other.url,
        )  # fmt: skip
        command = ["bash", "-e", "-c", evaluate_step["run"]]
        finished = subprocess.run(
            command, cwd=repository, env=env, capture_output=True, text=True, check=False
        )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "FAILED gates::mt_bench_branch >= 5 - mt_bench_branch is 3.00" in finished.stdout
    (asked,) = project.server.chats
    assert "a stop" in str(asked), "the file that didn't change isn't asked"
    assert shown.read_text("utf-8").startswith("## ❌ failed: evaluation of `tiny`")
    assert list(repository.rglob("planted")) == []
    assert "sk-" not in finished.stdout + finished.stderr + shown.read_text("utf-8")
