"""A pull request of a few pairs, whose questions are asked several times: its gate on a drop can turn red."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_server import Body, Status, content_text

from .conftest import Finished, Project, is_judgment, properties
from .test_branch import A, PullRequest, qna

EXAMPLES = Path(__file__).parents[2] / "examples"
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


def noise(lowered: int, seed: int) -> Callable[[Body], str]:
    """Models whose answers vary from one to the next, the evaluated one being worse by so much."""

    def rate(model: str, chance: random.Random) -> int:
        return min(10, max(1, round(7 - lowered * (model == "tiny") + chance.gauss(0.0, 1.0))))

    return rated(rate, seed)


def test_noise_alone_is_not_red_and_a_clear_drop_is(project: Project, five: tuple[str, ...]) -> None:
    verdicts = {}
    for lowered, seed in ((0, 1), (0, 2), (3, 1), (3, 2)):
        project.server.reply = noise(lowered, seed)
        finished = project.evaluate(*five, "--eval-repeat=4", ret=int(lowered > 0), passed=10)
        verdicts[lowered, seed] = verdict_of(finished)["verdict"]
    assert "failed" not in (verdicts[0, 1], verdicts[0, 2])
    assert verdicts[3, 1] == verdicts[3, 2] == "failed"


def test_workers_keep_the_answers_and_give_the_same_verdict(project: Project, five: tuple[str, ...]) -> None:
    project.server.reply = rated(worse)
    alone = verdict_of(project.evaluate(*five, "--eval-repeat=3", ret=1, passed=10))
    project.server.reply = rated(worse)
    shared = verdict_of(project.evaluate(*five, "--eval-repeat=3", "-n", "2", ret=1, passed=10))
    assert (shared["verdict"], shared["about"], shared["n"]) == ("failed", "these", 5)
    assert shared["value"] == alone["value"]


def test_the_gates_of_the_example_can_turn_red(project: Project, five: tuple[str, ...]) -> None:
    """Whose mean is above its limit, so that only the drop speaks."""
    project.write("gate.ini", (EXAMPLES / "taxonomy-gate/gate.ini").read_text("utf-8"))
    project.server.reply = rated(lambda model, chance: worse("base", chance) - 3 * (model == "tiny"))
    args = (arg for arg in five if not arg.startswith("--eval-gate"))
    finished = project.evaluate("-c", "gate.ini", *args, ret=1, passed=10)
    assert finished.gates == {"failed": 1, "passed": 3}
    assert f"FAILED gates::{GATE} - expected <= 0.5, got " in finished.out
    assert "(on these 5 questions, 4 answers each, against base)" in finished.out


# --- against a baseline ---


@pytest.fixture
def against_main(project: Project, five: tuple[str, ...]) -> tuple[str, ...]:
    """Options of the same questions without a base model."""
    return tuple(arg for arg in five if not arg.startswith("--eval-base-model"))


def save_main(project: Project, options: tuple[str, ...], *more: str) -> None:
    project.server.reply = rated(lambda model, chance: worse("base", chance))
    plain = tuple(arg for arg in options if not arg.startswith("--eval-gate"))
    project.evaluate(*plain, *more, "--eval-save-baseline=main.json", passed=5)
    project.server.reply = rated(lambda model, chance: worse("tiny", chance), seed=1)


def test_a_baseline_with_answers_can_turn_a_pull_request_red(
    project: Project, against_main: tuple[str, ...]
) -> None:
    save_main(project, against_main, "--eval-repeat=4")
    assert '{"answers": {"rating": [' in (project.folder / "main.json").read_text("utf-8")
    args = (*against_main, "--eval-baseline=main.json")
    verdict = verdict_of(project.evaluate(*args, "--eval-repeat=4", ret=1, passed=5))
    assert (verdict["verdict"], verdict["about"]) == ("failed", "these")
    assert "on these 5 questions, 4 answers each, against the baseline" in verdict["message"]


@pytest.mark.parametrize(("saved", "asked"), [("1", "4"), ("4", "1"), ("1", "1")])
def test_where_a_side_has_single_answers_nothing_is_said_for_sure(
    project: Project, against_main: tuple[str, ...], saved: str, asked: str
) -> None:
    save_main(project, against_main, f"--eval-repeat={saved}")
    args = (*against_main, "--eval-baseline=main.json", f"--eval-repeat={asked}")
    verdict = verdict_of(project.evaluate(*args, passed=5))
    assert (verdict["verdict"], verdict["about"]) == ("inconclusive", "like-these")
    asked_for = verdict_of(project.evaluate(*args, "--eval-gate-about=these", passed=5))
    assert (asked_for["verdict"], asked_for["about"]) == ("inconclusive", "these")
    assert "got fewer for 5 of 5 questions" in asked_for["message"]


def test_unequal_numbers_of_answers_are_compared(project: Project, against_main: tuple[str, ...]) -> None:
    save_main(project, against_main, "--eval-repeat=2")
    args = (*against_main, "--eval-baseline=main.json", "--eval-repeat=4")
    verdict = verdict_of(project.evaluate(*args, ret=1, passed=5))
    assert "on these 5 questions, 2 to 4 answers each" in verdict["message"]


# --- the option ---


@pytest.fixture
def seven(project: Project) -> tuple[str, ...]:
    """Options of a pull request that adds seven files of a pair each, without a gate."""
    project.server.models = ("tiny", "base", "judge")
    args = PullRequest(project)(*(f"compositional_skills/n{number}/qna.yaml" for number in range(7)))
    return (
        *args[:2], "--eval-judge-model=judge", *args[3:], "--eval-base-model=base", "--eval-repeat=2",
        f"--eval-gate={GATE}", "--eval-no-judge-trial",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (("--eval-changed-only",), "these"),
        ((), "like-these"),
        (("--eval-gate-about=these",), "these"),
        (("--eval-changed-only", "--eval-gate-about=like-these"), "like-these"),
        (("--eval-changed-only", "-o", "eval_gate_about=like-these"), "like-these"),
    ],
    ids=str,
)
def test_seven_files_are_about_these_questions_where_only_the_changed_ones_are_asked(
    project: Project, seven: tuple[str, ...], options: tuple[str, ...], about: str
) -> None:
    project.server.reply = rated(worse)
    finished = project.evaluate(*seven, *options, ret=1)
    verdict = verdict_of(finished)
    assert (verdict["verdict"], verdict["about"]) == ("failed", about)
    assert ("on these 7 questions" in verdict["message"]) == (about == "these")
    # The commands for finished runs say the same.
    document = finished.document
    assert document["about_these"] == (["mt_bench_branch"] if "--eval-changed-only" in options else [])


def test_an_unknown_subject_of_gates_is_refused(project: Project, seven: tuple[str, ...]) -> None:
    finished = project.evaluate(*seven, "--eval-gate-about=all", ret=4)
    assert "these, like-these" in finished.out + finished.err


def test_finished_runs_are_compared_about_what_the_run_was_about(
    project: Project, against_main: tuple[str, ...]
) -> None:
    save_main(project, against_main, "--eval-repeat=4")
    plain = tuple(arg for arg in against_main if not arg.startswith("--eval-gate"))
    project.evaluate(*plain, "--eval-repeat=4", passed=5)
    compare = ("compare", "main.json", "eval_output", "--gate", GATE)
    red = project.script(*compare)
    assert red.returncode == 1
    assert "on these 5 questions, 4 answers each" in red.stdout
    other = project.script(*compare, "--gate-about", "like-these")
    assert (other.returncode, "inconclusive" in other.stdout) == (0, True)


def test_parts_of_a_run_are_merged_about_these_questions(project: Project, five: tuple[str, ...]) -> None:
    project.server.reply = rated(worse)
    for part in ("1", "2"):
        project.evaluate(*five, "--eval-repeat=4", f"--eval-shard={part}/2", f"--eval-output-dir=part{part}")
    merged = project.script("merge", "part1", "part2", "--out", "eval_output")
    assert merged.returncode == 1
    assert "on these 5 questions, 4 answers each, against base" in merged.stdout


# --- what could not be had ---


def test_an_answer_that_cannot_be_had_is_an_error_and_no_score(
    project: Project, five: tuple[str, ...]
) -> None:
    def of_the_reef(body: Body) -> bool:
        text = content_text(body["messages"][-1])
        return not is_judgment(body) and body["model"] == "tiny" and "reef" in text

    project.server.fault(Status(400, "not today"), times=None, when=of_the_reef)
    project.server.reply = rated(worse)
    finished = project.evaluate(*five, "--eval-repeat=4", ret=1)
    verdict = verdict_of(finished)
    assert (verdict["verdict"], verdict["n"], verdict["unpaired"]) == ("failed", 4, [f"{A}:1"])
    assert finished.gates["failed"] == 2  # that on errors too


@pytest.mark.parametrize(("unscored", "verdict"), [(1, "failed"), (3, "inconclusive")])
def test_an_unscored_answer_is_left_out(
    project: Project, five: tuple[str, ...], unscored: int, verdict: str
) -> None:
    """Where fewer than two answers to a question are rated its spread is unknown, which is said."""
    refused: dict[str, int] = {}

    def reply(body: Body) -> str:
        text = content_text(body["messages"][-1])
        if not is_judgment(body):
            seed = body.get("seed") if body["model"] == "tiny" and "reef" in text else None
            return f"quality {10 if body['model'] == 'base' else 1 + len(text) % 2} {seed}"
        (rating, seed) = re.findall(r"quality (\d+) (\w+)", text)[0]
        if seed != "None" and refused.setdefault(seed, len(refused)) < unscored:
            return "I will not rate this."
        return f"[[{rating}]]"

    project.server.reply = reply
    finished = project.evaluate(*five, "--eval-repeat=4", ret=int(verdict == "failed"))
    found = verdict_of(finished)
    assert (found["verdict"], found["about"]) == (verdict, "these")
    assert ("got fewer for 1 of 5 questions" in found["message"]) == (verdict == "inconclusive")
    (ratings,) = (
        result["scores"][0]["answers"]
        for result in finished.document["results"]
        if (result["question"], result["model"]) == (f"{A}:1", "tiny")
    )
    assert (ratings.count(None), 0 in ratings) == (unscored, False)
