"""`--eval-repeat auto`: as many answers as the drop gates need, from the spread of their ratings."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from tests.scripted_server import Body, content_text

from .conftest import Finished, Project, is_judgment

QUESTIONS = 5
QNA = "compositional_skills/knots/qna.yaml"
WORTH = re.compile(r"worth (\d+)")


def noisy(spread: float, drop: float = 0.0) -> Callable[[Body], str]:
    """Models whose answers are worth about 6, those of "tiny" less by the drop, and a judge that sees it."""

    def reply(body: Body) -> str:
        if is_judgment(body):
            found = WORTH.findall(content_text(body["messages"][-1]))
            return f"[[{found[-1]}]]"
        prompt = content_text(body["messages"][-1])
        seed = hashlib.sha256(repr((body["model"], prompt, body.get("seed"))).encode()).digest()
        worth = 6 + random.Random(seed).gauss(0, spread) - drop * (body["model"] == "tiny")
        return f"It is worth {min(10, max(1, round(worth)))}."

    return reply


@pytest.fixture
def pull_request(project: Project) -> tuple[str, ...]:
    """Options for a pull request of five pairs of one file, asked of two models."""
    folder = project.folder / "taxonomy"

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    project.write("taxonomy/README", "knots")
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "main")
    pairs = (f"  - question: question {n}?\n    answer: answer {n}\n" for n in range(QUESTIONS))
    head = "version: 2\ncreated_by: tester\ntask_description: knots\nseed_examples:\n"
    project.write(f"taxonomy/{QNA}", head + "".join(pairs))
    git("add", ".")
    git("commit", "-m", "pr")
    project.server.models = ("tiny", "base", "judge")
    return (
        "--eval-benchmark=mt_bench_branch", f"--eval-mt-bench-data={project.mt_bench}",
        "--eval-judge-model=judge", "--eval-base-model=base", "--eval-no-judge-trial",
        f"--eval-taxonomy={folder}", "--eval-branch=HEAD", "--eval-base-branch=HEAD~1",
        "--eval-repeat=auto",
    )  # fmt: skip


def counts(finished: Finished) -> dict[str, list[int]]:
    """How many answers each question has, by model."""
    by_model: dict[str, list[int]] = {}
    for record in finished.document["results"]:
        (score,) = record["scores"]
        by_model.setdefault(record["model"], []).append(len(score["metadata"].get("answers", [None])))
    return by_model


def notes(finished: Finished) -> list[str]:
    return [note for note in finished.document["notes"] if "answer" in note]


def sent(project: Project) -> Counter[bool]:
    """The number of answers and of judgments that were asked for."""
    return Counter(is_judgment(body) for body in project.server.chats)


def test_it(project: Project, pull_request: tuple[str, ...]) -> None:
    project.server.reply = noisy(1.0)
    finished = project.evaluate(*pull_request, "--eval-gate=mt_bench_branch.drop <= 1")
    print(finished.out)
    print(counts(finished), notes(finished))
    assert 0
