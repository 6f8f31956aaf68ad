"""The example that gates a taxonomy's pull requests: its scripts run as GitHub and GitLab would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scripted_server import GENERATION, Body, ScriptedServer, content_text

from .conftest import Project

GATE = Path(__file__).parents[2] / "examples/taxonomy-gate"
QNA = """\
version: 2
created_by: somebody
task_description: knots
seed_examples:
  - question: Which knot makes a loop?
    answer: The bowline.
"""
NEW = "compositional_skills/new/qna.yaml"
KEYS = ("MODEL_KEY", "BASE_MODEL_KEY", "JUDGE_KEY")

ACTION = yaml.safe_load((GATE / "action.yml").read_text("utf-8"))
WORKFLOW = yaml.safe_load((GATE / ".github/workflows/evaluate.yml").read_text("utf-8"))
INPUTS, COMPONENT = yaml.safe_load_all((GATE / "templates/evaluate.yml").read_text("utf-8"))
STEPS = [
    *ACTION["runs"]["steps"],
    *(step for job in WORKFLOW["jobs"].values() for step in job["steps"]),
]


def script(name: str) -> str:
    """The script of a step of the action or the workflow."""
    (found,) = [step for step in STEPS if step.get("name") == name and "run" in step]
    return str(found["run"])


def bash(command: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As GitHub runs a step with `shell: bash`."""
    options = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
    return subprocess.run(options, cwd=folder, env=env, capture_output=True, text=True, check=False)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", ".")
    git(folder, "commit", "-m", message)
    return git(folder, "rev-parse", "HEAD")


# --- what the files say ---


def test_the_workflow_starts_for_what_a_pull_request_does_to_the_taxonomy_and_in_a_merge_queue() -> None:
    folders = ["compositional_skills/**", "foundational_skills/**", "knowledge/**"]
    assert WORKFLOW[True] == {  # YAML 1.1 reads `on` so
        "pull_request_target": {"branches": ["main"], "paths": folders},
        "merge_group": {"branches": ["main"]},
    }
    (rule,) = COMPONENT["evaluate"]["rules"]
    assert rule["changes"] == [f"{folder}/*" for folder in folders]


def test_the_keys_are_in_the_environment_of_the_one_script_that_needs_them() -> None:
    inside = [step for step in ACTION["runs"]["steps"] if "-key }}" in str(step)]
    assert [step["name"] for step in inside] == ["Evaluate"]
    jobs = WORKFLOW["jobs"]
    with_secrets = [step for job in jobs.values() for step in job["steps"] if "secrets." in str(step)]
    assert [step["uses"] for step in with_secrets] == ["./.github/actions/evaluate"]
    assert "secrets." not in str([{**job, "steps": ()} for job in jobs.values()])
    assert jobs["evaluate"]["permissions"] == {"contents": "read", "actions": "read"}
    assert jobs["tell"]["permissions"] == {"pull-requests": "write", "statuses": "write"}
    assert all(job["timeout-minutes"] <= 60 for job in jobs.values())


def test_what_strangers_choose_is_never_a_part_of_a_command_and_what_is_used_is_pinned() -> None:
    assert not any("${{" in step.get("run", "") for step in STEPS), "a shell would read it"
    assert not any("$[[" in line for line in COMPONENT["evaluate"]["script"])
    used = [step["uses"] for step in STEPS if "uses" in step and not step["uses"].startswith("./")]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used), used
    packages = ACTION["inputs"]["package"], INPUTS["spec"]["inputs"]["package"]
    assert all(re.fullmatch(r"pytest-instructlab-eval==\d+\.\d+\.\d+", one["default"]) for one in packages)


def test_the_base_branch_is_what_is_checked_out() -> None:
    (checkout,) = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    base = "${{ github.event.pull_request.base.sha || github.event.merge_group.base_sha }}"
    assert checkout["with"] == {"ref": base, "fetch-depth": 0, "persist-credentials": False}
    (evaluate,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == "Evaluate"]
    assert evaluate["env"]["BASE_SHA"] == base


# --- what they do ---


@dataclass
class Checked:
    """A pull request of a stranger, its check, and the check of the merge queue that it is then put into."""

    project: Project
    repository: Path
    env: dict[str, str]
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]
    outputs: dict[str, str]
    said: str
    chats: tuple[list[Any], list[Any]]
    keys: dict[str, str]


PYTHON = """\
#!/bin/sh
case "$2" in pip) exit 0 ;; esac
exec {python} "$@"
"""
# What is asked of GitHub: the runs that have an artifact of the name, what each is, and its files.
GH = """\
#!/bin/sh
case "$*" in
  *"/actions/artifacts?name=evaluation-7&"*) cat "$ANSWERS/runs" ;;
  *"/actions/runs/"*) cat "$ANSWERS/$(basename "$2")" ;;
  "run download "*) cp -r "$ANSWERS/files-$3" "$9" ;;
esac
"""


def make_repository(project: Project) -> tuple[Path, str, str, str]:
    """A clone of a taxonomy, whose stranger's branch has code too; the base, the head, the queue's commit."""
    origin = project.write("origin/gate.ini", (GATE / "gate.ini").read_text("utf-8")).parent
    git(origin, "init", "-b", "main")
    project.write("origin/compositional_skills/old/qna.yaml", QNA)
    base = commit(origin, "main")
    git(origin, "checkout", "-b", "stranger")
    project.write(f"origin/{NEW}", QNA.replace("a loop", "a stop"))
    planted = "import pathlib\npathlib.Path('planted').write_text('run')\n"
    for name in ("conftest.py", "pytest.py", "sitecustomize.py", "setup.py"):
        project.write(f"origin/{name}", planted)
    project.write("origin/gate.ini", "[pytest]\n")
    head = commit(origin, "pull request")
    git(origin, "update-ref", "refs/pull/7/head", head)
    git(origin, "checkout", "main")
    queue = f"gh-readonly-queue/main/pr-7-{base}"
    git(origin, "checkout", "-b", queue)
    git(origin, "merge", "--no-ff", "-m", "queue", "stranger")
    merged = git(origin, "rev-parse", "HEAD")
    git(origin, "checkout", "main")
    git(project.folder, "clone", "--single-branch", str(origin), "taxonomy")
    return project.folder / "taxonomy", base, head, merged


def reply_of_others(body: Body) -> str:
    """The base model's answer is good, and the judge sees that."""
    if body["model"] == "base":
        return "A stopper."
    return "Rating: [[9]]" if "A stopper." in content_text(body["messages"][-1]) else "Rating: [[3]]"


@pytest.fixture(scope="module")
def checked(make_project: Callable[[ScriptedServer], Project]) -> Iterator[Checked]:
    with ScriptedServer(models=("tiny-7",)) as server, ScriptedServer(models=("base", "judge")) as other:
        server.reply = lambda body: "An answer."
        other.reply = reply_of_others
        project = make_project(server)
        repository, base, head, merged = make_repository(project)
        project.write("bin/python", PYTHON.format(python=sys.executable)).chmod(0o755)
        project.write("bin/gh", GH).chmod(0o755)
        output, answers = project.folder / "output", project.folder / "answers"
        answers.mkdir()
        env = project.environment(
            PATH=f"{project.folder / 'bin'}:{os.environ['PATH']}", ANSWERS=str(answers),
            PYTEST_ADDOPTS=f"--eval-mt-bench-data={project.mt_bench} --eval-no-judge-trial",
            GITHUB_STEP_SUMMARY=str(project.folder / "step.md"), GITHUB_TOKEN="gh-secret",
            GITHUB_OUTPUT=str(output), REPOSITORY="org/taxonomy", ARTIFACT="evaluation-7",
            WORKFLOW_REF="org/taxonomy/.github/workflows/evaluate.yml@refs/heads/main",
            PULL_REQUEST="7", QUEUE_REF="", PACKAGE="x", GATES="gate.ini", BASELINE="", SAMPLE="200",
            BASE_SHA=base, HEAD_SHA=head, MODEL="tiny-{number}", MODEL_URL=server.url,
            BASE_MODEL="base", BASE_MODEL_URL=other.url, JUDGE="judge", JUDGE_URL=other.url,
            **{name: f"sk-{name}" for name in KEYS},
        )  # fmt: skip
        said = []

        def run(name: str, **more: str) -> subprocess.CompletedProcess[str]:
            found = read_outputs(output)
            given = {"NUMBER": found.get("number", ""), "REF": found.get("ref", "")}
            done = bash(script(name), repository, {**env, **given, **more})
            said.append(done.stdout + done.stderr)
            return done

        for name in ("Find the pull request", "Install", "Fetch the commits"):
            assert run(name).returncode == 0, said[-1]
        first = run("Evaluate")
        outputs, chats = read_outputs(output), [*server.chats]
        keys = {
            str(received.body["model"]): received.headers["authorization"]
            for received in (*server.requests, *other.requests)
            if received.body and received.path in GENERATION
        }
        # The run 11 was this check. A stranger's workflow made an artifact of the same name in the run 12.
        shutil.copytree(repository / "eval_output", answers / "files-11")
        (answers / "files-12").mkdir()
        (answers / "files-12/forged").touch()
        (answers / "runs").write_text("11\n12\n12\n", "utf-8")
        (answers / "11").write_text("pull_request_target .github/workflows/evaluate.yml\n", "utf-8")
        (answers / "12").write_text("pull_request .github/workflows/evaluate.yml\n", "utf-8")
        shutil.rmtree(repository / "eval_output")
        output.unlink()
        queue = {
            "PULL_REQUEST": "", "QUEUE_REF": f"refs/heads/gh-readonly-queue/main/pr-7-{base}",
            "HEAD_SHA": merged,
        }  # fmt: skip
        for name in ("Find the pull request", "Fetch the commits", "Fetch the earlier run"):
            assert run(name, **queue).returncode == 0, said[-1]
        second = run("Evaluate", **queue)
        yield Checked(
            project, repository, env, first, second, outputs, "".join(said), (chats, [*server.chats]), keys
        )


def read_outputs(path: Path) -> dict[str, str]:
    """What steps have written to $GITHUB_OUTPUT."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines)


def test_a_pull_request_is_judged_by_the_base_branchs_rules(checked: Checked) -> None:
    assert checked.first.returncode == 1, checked.first.stdout + checked.first.stderr
    assert "FAILED gates::mt_bench_branch >= 5 - expected >= 5, got 3.00" in checked.first.stdout
    shown = (checked.project.folder / "step.md").read_text("utf-8")
    assert shown.startswith("## ❌ failed: evaluation of `tiny-7`")
    assert checked.outputs == {
        "number": "7", "ref": "refs/pull/7/head", "artifact": "evaluation-7", "verdict": "failed",
        "exit-status": "1",
    }  # fmt: skip


def test_the_pairs_of_the_changed_files_are_asked_and_nothing_of_the_stranger_is_run(
    checked: Checked,
) -> None:
    chats, _ = checked.chats
    assert len(chats) == 4  # eval_repeat
    assert all("a stop" in str(asked) for asked in chats), "a file that didn't change is asked"
    assert list(checked.repository.rglob("planted")) == []


def test_each_key_goes_to_its_own_server_and_is_never_shown(checked: Checked) -> None:
    written = (checked.project.folder / "step.md").read_text("utf-8")
    assert "sk-" not in checked.said + written
    assert "gh-secret" not in checked.said + (checked.repository / ".git/config").read_text("utf-8")
    assert checked.keys == {
        "tiny-7": "Bearer sk-MODEL_KEY", "base": "Bearer sk-BASE_MODEL_KEY", "judge": "Bearer sk-JUDGE_KEY",
    }  # fmt: skip


def test_a_merge_queue_gives_the_verdict_again_and_asks_nothing(checked: Checked) -> None:
    assert checked.second.returncode == 1, checked.second.stdout + checked.second.stderr
    assert "given again (--eval-reuse-verdict)" in checked.second.stdout
    before, after = checked.chats
    assert after == before
    assert not (checked.repository / "eval_output/forged").exists()


def test_both_checks_show_the_pair_that_got_worse_at_its_line(checked: Checked) -> None:
    told = f"::warning file={NEW},line=5,title=mt_bench_branch%3A this pair got worse::9 with base, 3 of 10 "
    for check in (checked.first, checked.second):
        (command,) = [line for line in check.stdout.splitlines() if line.startswith("::")]
        assert command == f"{told}with tiny-7: flipped ({NEW}:1)"


@pytest.mark.parametrize(
    "origin",
    ["pull_request .github/workflows/evaluate.yml", "pull_request_target .github/workflows/other.yml", ""],
)
def test_an_artifact_of_another_workflow_is_not_the_earlier_run(project: Project, origin: str) -> None:
    project.write("bin/gh", GH).chmod(0o755)
    project.write("answers/runs", "12\n")
    project.write("answers/12", f"{origin}\n")
    project.write("answers/files-12/forged", "")
    env = project.environment(
        PATH=f"{project.folder / 'bin'}:{os.environ['PATH']}", ANSWERS=str(project.folder / "answers"),
        REPOSITORY="org/taxonomy", ARTIFACT="evaluation-7",
        WORKFLOW_REF="org/taxonomy/.github/workflows/evaluate.yml@refs/heads/main",
    )  # fmt: skip
    done = bash(script("Fetch the earlier run"), project.folder, env)
    assert done.returncode == 0, done.stderr
    assert not (project.folder / "eval_output").exists()


@pytest.mark.parametrize(
    ("pull_request", "queue", "number"),
    [
        ("7", "", "7"),
        ("", "refs/heads/gh-readonly-queue/main/pr-12-0a1b", "12"),
        ("", "refs/heads/gh-readonly-queue/pr-3-a/pr-12-0a1b", "12"),
        ("", "refs/heads/main", None),
        ("", "", None),
    ],
)
def test_the_number_of_the_pull_request_is_found(
    tmp_path: Path, pull_request: str, queue: str, number: str | None
) -> None:
    output = tmp_path / "output"
    env = {**os.environ, "PULL_REQUEST": pull_request, "QUEUE_REF": queue, "GITHUB_OUTPUT": str(output)}
    done = bash(script("Find the pull request"), tmp_path, env)
    assert done.returncode == (number is None)
    assert read_outputs(output).get("number") == number


def test_a_merge_request_of_gitlab_is_judged_by_the_target_branchs_rules(project: Project) -> None:
    project.server.models = ("tiny-7", "judge")
    project.server.reply = lambda body: "Rating: [[3]]" if body["model"] == "judge" else "An answer."
    _, _, head, _ = make_repository(project)
    git(project.folder, "clone", str(project.folder / "origin"), "build")
    build = project.folder / "build"
    git(build, "checkout", "--detach", head)  # what GitLab's runner does before the script
    project.write("bin/python", PYTHON.format(python=sys.executable)).chmod(0o755)
    values = {
        "package": "x", "model": "tiny-{number}", "model-url": project.server.url, "judge": "judge",
        "judge-url": project.server.url,
    }  # fmt: skip
    inputs = {name: given.get("default", "") for name, given in INPUTS["spec"]["inputs"].items()} | values
    variables = {
        name: re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda match: str(inputs[match[1]]), value)
        for name, value in COMPONENT["evaluate"]["variables"].items()
    }
    env = project.environment(
        PATH=f"{project.folder / 'bin'}:{os.environ['PATH']}",
        PYTEST_ADDOPTS=f"--eval-mt-bench-data={project.mt_bench} --eval-no-judge-trial",
        CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main", CI_MERGE_REQUEST_IID="7", CI_COMMIT_SHA=head,
        EVAL_MODEL_KEY="", EVAL_JUDGE_KEY="", **variables,
    )  # fmt: skip
    finished = bash("\n".join(COMPONENT["evaluate"]["script"]), build, env)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "FAILED gates::mt_bench_branch >= 5 - expected >= 5, got 3.00" in finished.stdout
    assert all("a stop" in str(chat) for chat in project.server.chats)
    assert list(build.rglob("planted")) == []
    paths = COMPONENT["evaluate"]["artifacts"]["reports"]
    assert json.loads((build / paths["codequality"]).read_text("utf-8")) == []
    assert (build / paths["junit"]).exists()


ARGUMENTS = """\
#!/bin/sh
for argument in "$@"; do echo "$argument"; done > arguments.txt
"""


@pytest.mark.parametrize("host", ["github", "gitlab"])
@pytest.mark.parametrize(
    ("base_model", "baseline", "compared"),
    [
        ("base", "", {"--eval-changed-only", "--eval-base-model=base"}),
        ("", "main.json", {"--eval-baseline=main.json"}),
        ("", "", {"--eval-changed-only"}),
    ],
)
def test_drops_are_measured_from_a_base_model_or_a_baseline(
    project: Project, host: str, base_model: str, baseline: str, compared: set[str]
) -> None:
    project.write("bin/python", ARGUMENTS).chmod(0o755)
    common = {
        "MODEL": "it's {number}", "MODEL_URL": "http://{number}/v1", "BASE_MODEL": base_model,
        "BASE_MODEL_URL": "", "BASELINE": baseline, "JUDGE": "judge", "JUDGE_URL": "",
        "GATES": "gate.ini", "SAMPLE": "200",
    }  # fmt: skip
    env = project.environment(
        PATH=f"{project.folder / 'bin'}:{os.environ['PATH']}", NUMBER="7", BASE_SHA="b", HEAD_SHA="h",
        GITHUB_OUTPUT=str(project.folder / "output"), CI_COMMIT_SHA="h", CI_MERGE_REQUEST_IID="7",
        **common, **{f"EVAL_{name}": value for name, value in common.items()},
    )  # fmt: skip
    command = script("Evaluate") if host == "github" else COMPONENT["evaluate"]["script"][-1]
    done = bash(command, project.folder, env)
    assert done.returncode == 0, done.stderr
    arguments = (project.folder / "arguments.txt").read_text("utf-8").splitlines()
    assert {"--eval-branch=h", f"--eval-annotations={host}", *compared} <= {*arguments}
    for option in ("--eval-changed-only", "--eval-base-model", "--eval-baseline", "--eval-base-branch"):
        wanted = any(entry.startswith(option) for entry in compared)
        wanted = wanted or (option == "--eval-base-branch" and not baseline)
        assert any(entry.split("=")[0] == option for entry in arguments) == wanted, option
    assert {"--eval-model=it's 7", "--eval-base-url=http://7/v1"} <= {*arguments}


COMMENTS = """\
#!/bin/sh
echo "$@" >> asked.txt
case "$*" in *--paginate*) cat comments.txt ;; esac
"""


@pytest.mark.parametrize(
    ("result", "verdict", "state", "description"),
    [
        ("success", "passed", "success", "passed"),
        ("success", "inconclusive", "success", "inconclusive"),
        ("failure", "failed", "failure", "failed"),
        ("failure", "", "failure", "it did not begin"),
        ("skipped", "", "failure", "it did not begin"),
    ],
)
def test_the_commit_of_the_pull_request_gets_the_status(
    project: Project, result: str, verdict: str, state: str, description: str
) -> None:
    project.write("bin/gh", COMMENTS).chmod(0o755)
    env = project.environment(
        PATH=f"{project.folder / 'bin'}:{os.environ['PATH']}", REPOSITORY="org/taxonomy", HEAD_SHA="0a1b",
        RUN="https://example.org/run/1", RESULT=result, VERDICT=verdict,
    )  # fmt: skip
    assert bash(script("Set the status"), project.folder, env).returncode == 0
    asked = (project.folder / "asked.txt").read_text("utf-8")
    assert (
        f"repos/org/taxonomy/statuses/0a1b --raw-field context=evaluation --raw-field state={state} " in asked
    )
    assert f"description={description} --raw-field target_url=https://example.org/run/1" in asked


@pytest.mark.parametrize(("earlier", "asked"), [("", "--method POST"), ("12\n34\n", "--method PATCH")])
def test_a_pull_request_has_one_comment_which_later_runs_replace(
    project: Project, earlier: str, asked: str
) -> None:
    project.write("bin/gh", COMMENTS).chmod(0o755)
    project.write("comments.txt", earlier)
    run, artifact = "https://example.org/run/1", "https://example.org/artifact/2"
    env = project.environment(
        PATH=f"{project.folder / 'bin'}:{os.environ['PATH']}", REPOSITORY="org/taxonomy", PULL_REQUEST="7",
        RUN=run,
    )  # fmt: skip
    for summary, url in ((None, ""), ("## ✅ passed\n", artifact)):
        if summary is not None:
            project.write("eval_output/summary.md", summary)
        finished = bash(script("Comment"), project.folder, {**env, "ARTIFACT_URL": url})
        assert finished.returncode == 0, finished.stderr
        marker, *rest = (project.folder / "comment.md").read_text("utf-8").splitlines()
        assert marker == "<!-- pytest-instructlab-eval -->"
        assert rest == (
            ["## ✅ passed", "", f"[Download the report]({artifact}): unpack it and open report.html."]
            if summary
            else [f"The evaluation did not begin. The [job's log]({run}) says why."]
        )
        assert asked in (project.folder / "asked.txt").read_text("utf-8").splitlines()[-1]
    if earlier:
        assert "comments/12 " in (project.folder / "asked.txt").read_text("utf-8")
