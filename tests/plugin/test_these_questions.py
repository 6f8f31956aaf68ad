"""A pull request of a few pairs, whose questions are asked several times: its gate on a drop can turn red."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.scripted_server import Body, content_text

from .conftest import Finished, Project, is_judgment, properties
from .test_branch import A, PullRequest, qna

PAIRS = ("reef", "granny", "bowline", "clove", "sheet bend")
GATE = "mt_bench_branch.drop <= 0.5"

Rate = Callable[[str, random.Random], int]
"""The rating of an answer of a model ("tiny" or "base"), with chance of its own."""


@pytest.fixture
def five(project: Project) -> tuple[str, ...]:
    """Options of a pull request that changes one file, which then has five pairs."""
    project.server.models = ("tiny", "base", "judge")
    args = PullRequest(project)(texts={A: qna(*PAIRS)})
    return (
        *args[:2], "--eval-judge-model=judge", *args[3:], "--eval-changed-only", "--eval-base-model=base",
        f"--eval-gate={GATE}", "--eval-no-judge-trial", "--junitxml=junit.xml", "-o", "junit_family=xunit1",
    )  # fmt: skip


def rated(rate: Rate, seed: int = 0) -> Callable[[Body], str]:
    """A server whose models say how good they are, which the judge repeats."""

    def reply(body: Body) -> str:
        text = content_text(body["messages"][-1])
        if is_judgment(body):
            (rating,) = re.findall(r"quality (\d+)", text)
            return f"[[{rating}]]"
        chance = random.Random(f"{seed} {body['model']} {text} {body.get('seed')}")
        return f"quality {rate(body['model'], chance)}"

    return reply


def verdict_of(finished: Finished) -> Mapping[str, Any]:
    (verdict,) = (found for found in finished.document["verdicts"] if found["gate"]["text"] == GATE)
    return dict(verdict)


def worse(model: str, chance: random.Random) -> int:
    """10 before, 1 after, and now and then a point less or more."""
    return 10 - chance.randint(0, 1) if model == "base" else 1 + chance.randint(0, 1)


def much_worse(model: str, chance: random.Random) -> int:
    return 10 if model == "base" else 1


def alike(model: str, chance: random.Random) -> int:
    return 8


@pytest.mark.parametrize("rate", [worse, much_worse])
def test_five_pairs_of_one_file_that_became_worse_are_red(
    project: Project, five: tuple[str, ...], rate: Rate
) -> None:
    project.server.reply = rated(rate)
    finished = project.evaluate(*five, "--eval-repeat=4", ret=1, passed=10)
    assert finished.gates == {"failed": 1, "passed": 2}
    verdict = verdict_of(finished)
    assert (verdict["verdict"], verdict["about"], verdict["n"]) == ("failed", "these", 5)
    assert "(on these 5 questions, 4 answers each, against base)" in verdict["message"]
    assert verdict["interval"][0] > 0.5
    assert "on these 5 questions" in (project.folder / "eval_output/summary.md").read_text("utf-8")
    assert properties(finished.gate_cases[GATE])["eval.about"] == "these"
    ratings = [result["scores"][0]["answers"] for result in finished.document["results"]]
    assert {len(answers) for answers in ratings} == {4}


def test_without_repeats_it_is_inconclusive_and_says_what_to_do(
    project: Project, five: tuple[str, ...]
) -> None:
    project.server.reply = rated(much_worse)
    verdict = verdict_of(project.evaluate(*five, passed=10))
    assert (verdict["verdict"], verdict["about"]) == ("inconclusive", "like-these")
    assert (
        "too few independent questions for a 95 % interval; for a verdict about these" in verdict["message"]
    )
    assert "ask each question 4 times on both sides (--eval-repeat 4)" in verdict["message"]


def test_answers_alike_are_green(project: Project, five: tuple[str, ...]) -> None:
    project.server.reply = rated(alike)
    verdict = verdict_of(project.evaluate(*five, "--eval-repeat=4", passed=10))
    assert (verdict["verdict"], verdict["about"]) == ("passed", "these")
