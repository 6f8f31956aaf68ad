"""--eval-annotations: the pairs that got worse, at their lines in a pull request."""

from __future__ import annotations

import json

from tests.scripted_server import Body, content_text

from .conftest import Project, is_judgment
from .test_branch import A, PullRequest

SKILL = """\
version: 2
task_description: knots
created_by: tester
seed_examples:
  - question: reef
    answer: a reef knot
  - answer: a granny knot
    context: |
      Granny ties
      knots.
    question: granny
"""
KNOWLEDGE = """\
version: 3
created_by: tester
seed_examples:
  - context: The pier is long.
    questions_and_answers:
      - question: How long?
        answer: Very.
      - question: |
          Who
          says so?
        answer: The text.
"""
K = "knowledge/piers/qna.yaml"
WORSE = ("reef", "granny", "says so")


def reply(body: Body) -> str:
    """The base model is good; the other one is as good but for three questions."""
    text = content_text(body["messages"][-1])
    if is_judgment(body):
        bad = "tiny's answer" in text and any(question in text for question in WORSE)
        return "[[2]]" if bad else "[[9]]"
    return f"{body['model']}'s answer"


def args_of(project: Project) -> tuple[str, ...]:
    """The options of a pull request of two files, in a taxonomy that is a folder of its repository."""
    project.server.models = ("tiny", "base", "judge")
    project.server.reply = reply
    args = PullRequest(project)(texts={A: SKILL, K: KNOWLEDGE})
    return (
        *args[:2], "--eval-judge-model=judge", *args[3:], "--eval-changed-only", "--eval-include-knowledge",
        "--eval-base-model=base", "--eval-gate=mt_bench_branch.drop <= 0.5", "--eval-repeat=2",
        "--eval-no-judge-trial",
    )  # fmt: skip


def test_githubs_runner_is_told_each_pair_once_however_the_run_is_shown(project: Project) -> None:
    shown = ("-n2", "--color=yes", "-qq", "--capture=fd", "--eval-annotations=github")
    finished = project.evaluate(*args_of(project), *shown)
    told = [line for line in finished.lines if "::warning" in line or "::error" in line]
    title, scores = "title=mt_bench_branch%3A this pair got worse", "9 with base, 2 of 10 with tiny"
    assert told == [
        f"::warning file={file},line={line},{title}::{scores}: flipped ({file}:{number})"
        for file, number, line in ((A, 1, 5), (A, 2, 11), (K, 2, 8))
    ]
    files = {path.name for path in (project.folder / "eval_output").iterdir()}
    assert files >= {"results.json", "report.html"}
    assert "gl-code-quality.json" not in files


def test_gitlab_gets_a_file_of_the_pairs_and_an_empty_one_where_none_got_worse(project: Project) -> None:
    args, file = args_of(project), project.folder / "eval_output/gl-code-quality.json"
    finished = project.evaluate(*args, "--eval-annotations=gitlab", passed=8)
    issues = json.loads(file.read_text("utf-8"))
    assert [(issue["location"]["path"], issue["location"]["lines"]["begin"]) for issue in issues] == [
        (A, 5), (A, 11), (K, 8)
    ]  # fmt: skip
    assert not [line for line in finished.lines if line.startswith("::")]
    project.server.reply = lambda body: "[[9]]" if is_judgment(body) else "an answer"
    project.evaluate(*args, "-o", "eval_annotations=gitlab", passed=8)
    assert json.loads(file.read_text("utf-8")) == []
    (earlier,) = (project.folder / "eval_output/previous").iterdir()
    assert json.loads((earlier / file.name).read_text("utf-8")) == issues
