"""The examples run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
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


KEYS = ("MODEL_KEY", "BASE_MODEL_KEY", "JUDGE_KEY")
WORKFLOW = yaml.safe_load((GATE / ".github/workflows/evaluate.yml").read_text("utf-8"))


def step(job: str, name: str) -> dict[str, Any]:
    (found,) = [step for step in WORKFLOW["jobs"][job]["steps"] if step.get("name") == name]
    return dict(found)


def bash(command: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As GitHub runs a step."""
    return subprocess.run(
        ["bash", "-e", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", ".")
    git(folder, "commit", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def test_the_workflow_starts_for_whatever_a_pull_request_does_to_the_taxonomy() -> None:
    folders = ["compositional_skills/**", "foundational_skills/**", "knowledge/**"]
    assert WORKFLOW[True] == {"pull_request_target": {"paths": folders}}  # YAML 1.1 reads `on` so


def test_the_workflow_gives_its_keys_to_the_one_step_that_needs_them() -> None:
    jobs = WORKFLOW["jobs"]
    steps = [(name, step) for name, job in jobs.items() for step in job["steps"]]
    with_secrets = [step.get("name") for _, step in steps if "secrets." in str(step)]
    assert with_secrets == ["Evaluate"]
    assert "secrets." not in str([{**job, "steps": ()} for job in jobs.values()])
    assert jobs["evaluate"]["permissions"] == {"contents": "read"}
    assert jobs["comment"]["permissions"] == {"pull-requests": "write"}
    assert all(job["timeout-minutes"] <= 60 for job in jobs.values())
    assert not any("${{" in step.get("run", "") for _, step in steps), "a shell would read it"
    actions = [step["uses"] for _, step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in actions), actions
    assert re.search(r'"pytest-instructlab-eval==\d+\.\d+\.\d+"$', step("evaluate", "Install")["run"])


def test_a_pull_request_is_judged_by_the_base_branchs_rules_and_runs_nothing_of_its_own(
    project: Project,
) -> None:
    origin = project.write("origin/gate.ini", (GATE / "gate.ini").read_text("utf-8")).parent
    git(origin, "init", "-b", "main")
    project.write("origin/compositional_skills/old/qna.yaml", QNA)
    base = commit(origin, "main")
    git(origin, "checkout", "-b", "stranger")
    project.write("origin/compositional_skills/new/qna.yaml", QNA.replace("a loop", "a stop"))
    planted = "import pathlib\npathlib.Path('planted').write_text('run')\n"
    for name in ("conftest.py", "pytest.py", "sitecustomize.py", "setup.py"):
        project.write(f"origin/{name}", planted)
    project.write("origin/gate.ini", "[pytest]\n")
    head = commit(origin, "pull request")
    git(origin, "update-ref", "refs/pull/7/head", head)
    git(origin, "checkout", "main")
    git(project.folder, "clone", "--single-branch", str(origin), "taxonomy")
    repository = project.folder / "taxonomy"

    bin_folder = project.write("bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n').parent
    (bin_folder / "python").chmod(0o755)
    shown = project.folder / "step.md"
    with ScriptedServer(models=("base", "judge")) as other:
        project.server.models = ("tiny-7",)
        other.reply = lambda body: "Rating: [[3]]" if body["model"] == "judge" else "The bowline."
        env = project.environment(
            PATH=f"{bin_folder}:{os.environ['PATH']}",
            PYTEST_ADDOPTS=f"--eval-mt-bench-data={project.mt_bench} --eval-no-judge-trial",
            GITHUB_STEP_SUMMARY=str(shown), GITHUB_TOKEN="gh-secret", PULL_REQUEST="7",
            BASE_SHA=base, HEAD_SHA=head, MODEL="tiny-{number}", MODEL_URL=project.server.url,
            BASE_MODEL="base", BASE_MODEL_URL=other.url, JUDGE="judge", JUDGE_URL=other.url,
            **{name: f"sk-{name}" for name in KEYS},
        )  # fmt: skip
        fetched = bash(step("evaluate", "Fetch the pull request's commits")["run"], repository, env)
        assert fetched.returncode == 0, fetched.stderr
        finished = bash(step("evaluate", "Evaluate")["run"], repository, env)
        keys = {
            received.body.get("model"): received.headers["authorization"]
            for received in (*project.server.requests, *other.requests)
            if received.body
        }
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "FAILED gates::mt_bench_branch >= 5 - expected >= 5, got 3.00" in finished.stdout
    assert len(project.server.chats) == 4  # eval_repeat
    assert all("a stop" in str(asked) for asked in project.server.chats), "a file that didn't change is asked"
    assert shown.read_text("utf-8").startswith("## ❌ failed: evaluation of `tiny-7`")
    assert list(repository.rglob("planted")) == []
    said = finished.stdout + finished.stderr + shown.read_text("utf-8") + fetched.stdout + fetched.stderr
    assert "sk-" not in said
    assert "gh-secret" not in said + (repository / ".git/config").read_text("utf-8")
    assert keys == {
        "tiny-7": "Bearer sk-MODEL_KEY", "base": "Bearer sk-BASE_MODEL_KEY", "judge": "Bearer sk-JUDGE_KEY",
    }  # fmt: skip


GH = """\
#!/bin/sh
echo "$@" >> asked.txt
case "$*" in *--paginate*) cat comments.txt ;; esac
"""


@pytest.mark.parametrize(("earlier", "asked"), [("", "--method POST"), ("12\n34\n", "--method PATCH")])
def test_a_pull_request_has_one_comment_which_later_runs_replace(
    project: Project, earlier: str, asked: str
) -> None:
    project.write("bin/gh", GH).chmod(0o755)
    project.write("comments.txt", earlier)
    env = project.environment(
        PATH=f"{project.folder / 'bin'}:{os.environ['PATH']}", REPOSITORY="org/taxonomy", PULL_REQUEST="7",
        RUN="https://example.org/run/1",
    )  # fmt: skip
    for summary in (None, "## ✅ passed\n"):
        if summary is not None:
            project.write("eval_output/summary.md", summary)
        finished = bash(step("comment", "Comment")["run"], project.folder, env)
        assert finished.returncode == 0, finished.stderr
        marker, *rest = (project.folder / "comment.md").read_text("utf-8").splitlines()
        assert marker == "<!-- pytest-instructlab-eval -->"
        assert rest == ([summary.strip()] if summary else [
            "The evaluation did not begin. The [job's log](https://example.org/run/1) says why."
        ])  # fmt: skip
        assert asked in (project.folder / "asked.txt").read_text("utf-8").splitlines()[-1]
    if earlier:
        assert "comments/12 " in (project.folder / "asked.txt").read_text("utf-8")
