"""Tasks that the command has made, run by the plugin."""

from __future__ import annotations

import json

from click.testing import CliRunner

from pytest_instructlab_eval.__main__ import main
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
