"""The examples run as they stand."""

from pathlib import Path
from typing import Any

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
