"""Tasks that the command has made, run by the plugin."""

from __future__ import annotations

import json

from click.testing import CliRunner

from pytest_instructlab_eval.__main__ import main
from tests.branch_tasks import rows, write_task
from tests.plugin.conftest import Project
from tests.scripted_teacher import teach

SENTENCES = ("Seven lamps stand along Brindle harbour.", "Fishers mend their nets there each evening.")


def test_tasks_made_of_knowledge_run_without_trust(project: Project) -> None:
    pair = {"question": "What is told?", "answer": "This."}
    content = {"seed_examples": [{"context": " ".join(SENTENCES), "questions_and_answers": [pair]}]}
    project.write("taxonomy/knowledge/lamps/qna.yaml", json.dumps(content))
    project.server.reply = teach
    made = CliRunner().invoke(
        main,
        ["tasks", "--taxonomy", str(project.folder / "taxonomy"), "--base-url", project.server.url,
         "--model", "tiny", "--out", str(project.folder / "tasks"), "--questions", "6"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    run = project.evaluate("--eval-benchmark=mmlu_branch", "--eval-tasks-dir=tasks", passed=1)
    [result] = run.document["results"]
    assert result["question"] == "knowledge_lamps"
    assert run.row("mean over questions")[2] == "6"


def test_tasks_as_sdg_leaves_them(project: Project) -> None:
    older, newer = (project.folder / f"tasks/node_datasets_2025-01-{day}T09_00_00" for day in ("14", "15"))
    write_task(older, "stale")
    write_task(newer, "whole")
    write_task(newer, "filtered", [])
    write_task(newer, "shifted", [{**row, "answer": row["answer"] - 1} for row in rows(12) if row["answer"]])
    write_task(newer, "broken", [*rows(8), {"question": "Why?", "choices": ["a"], "answer": 0}])
    args = ("--eval-benchmark=mmlu_branch", "--eval-tasks-dir=tasks")
    run = project.evaluate(*args, "-k", "not broken", passed=2, deselected=1)
    for line in (
        f"note: {newer} is read, the newest of 2 task folders",
        "note: the task filtered has no questions and is left out",
        "warning: in 9 of 9 rows of shifted the number of the right choice differs from its text; the "
        "text decides",
    ):
        assert run.lines.count(line) == 2, line
    assert {result["question"] for result in run.document["results"]} == {"shifted", "whole"}
    for processes in ("0", "1"):
        refused = project.evaluate(*args, "-n", processes, ret=4)
        assert "mmlubench_broken.jsonl, line 9: choices must be four texts" in refused.out + refused.err
