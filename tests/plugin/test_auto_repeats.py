"""`--eval-repeat auto`: as many answers as the drop gates need, from the spread of their ratings."""

from __future__ import annotations

import hashlib
import random
import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from benchmarks import test_mt_bench_branch
from pytest_instructlab_eval.suites.mt_bench import TEMPERATURES
from tests.scripted_server import Body, Status, content_text

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


def span(numbers: Collection[int]) -> str:
    """The numbers in few words: "3 to 8"."""
    return " to ".join(map(str, sorted({min(numbers), max(numbers)})))


def more(finished: Finished) -> int:
    """How many requests more the note counts."""
    (count,) = re.findall(
        r"note: mt_bench\w*: .* answers? to each of .*, ([\d,]+) requests more", finished.out
    )
    return int(count.replace(",", ""))


def sent(project: Project) -> Counter[bool]:
    """The number of answers and of judgments that were asked for."""
    return Counter(is_judgment(body) for body in project.server.chats)


GATE = "--eval-gate=mt_bench_branch.drop <= 1"


# --- a pull request of five pairs ---


def test_the_noise_decides_how_many_answers_there_are(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(1.3)
    finished = project.evaluate(*pull_request, GATE)
    by_model = counts(finished)
    assert {model: len(each) for model, each in by_model.items()} == {"tiny": QUESTIONS, "base": QUESTIONS}
    every = by_model["tiny"] + by_model["base"]
    assert 3.5 < statistics.fmean(every) < 12
    assert sent(project) == {False: sum(every), True: sum(every)}
    assert more(finished) == 2 * (sum(every) - 10)
    finished.shows(
        "repeat: auto (as many answers as the drop gates need, at most 16)",
        f"note: mt_bench_branch: {span(every)} answers to each of 5 questions by 2 models, *",
    )
    assert "too few;" not in finished.out
    assert finished.document["configuration"]["repeat"] == "auto"
    assert "repeat" not in finished.document["fingerprint"]
    assert any("requests more" in note for note in finished.document["notes"])


def test_a_run_that_goes_on_asks_as_often_as_the_run_before(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(1.3)
    before = counts(project.evaluate(*pull_request, GATE, "--eval-max-concurrency=1"))
    asked = len(project.server.chats)
    for options in ((), ("-n2",)):  # all replies at once, and with others than those of the run before
        again = project.evaluate(*pull_request, GATE, "--eval-resume", *options)
        assert counts(again) == before
        assert len(project.server.chats) == asked
    other = project.evaluate(*pull_request, "--eval-gate=mt_bench_branch.drop <= 3", "--eval-resume")
    assert counts(other) != before  # they are for another gate


def test_a_wide_limit_needs_no_more_than_the_first_answers(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(0.5)
    finished = project.evaluate(*pull_request, "--eval-gate=mt_bench_branch.drop <= 3")
    assert {*counts(finished)["tiny"], *counts(finished)["base"]} == {4}
    finished.shows("note: mt_bench_branch: 4 answers to each of 5 questions by 2 models, 60 requests more")


def test_where_16_are_too_few_the_run_says_how_many_it_would_take(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(3.0)
    finished = project.evaluate(*pull_request, "--eval-gate=mt_bench_branch.drop <= 0.2")
    assert {*counts(finished)["tiny"], *counts(finished)["base"]} == {16}
    finished.shows(
        "warning: mt_bench_branch.drop <= 0.2: 16 answers are too few; with 5 questions and a spread of * it "
        "needs * answers to each; ask more questions, or take a larger limit"
    )


def test_equal_ratings_are_asked_for_until_so_many_say_enough(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(0)
    finished = project.evaluate(*pull_request, GATE)
    assert {*counts(finished)["tiny"], *counts(finished)["base"]} == {9}
    assert finished.gates == {"passed": 3}
    narrow = project.evaluate(*pull_request, "--eval-gate=mt_bench_branch.drop <= 0.1")
    assert {*counts(narrow)["tiny"], *counts(narrow)["base"]} == {16}
    narrow.shows("*: 16 answers are too few; with 5 questions and equal ratings of all answers to each it *")


def test_without_a_drop_gate_the_score_is_the_purpose(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(1.3)
    finished = project.evaluate(*pull_request)
    every = counts(finished)["tiny"] + counts(finished)["base"]
    assert 4 < statistics.fmean(every) < 12
    assert "too few;" not in finished.out


def test_several_processes_each_decide_from_their_own_questions(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(1.3)
    finished = project.evaluate(*pull_request, GATE, "-n2")
    every = counts(finished)["tiny"] + counts(finished)["base"]
    assert len(every) == 10
    assert 3 <= min(every) <= max(every) <= 16
    assert more(finished) == 2 * (sum(every) - 10)
    finished.shows(
        "repeat: auto (*", "note: mt_bench_branch: * answers to each of 5 questions by 2 models, *"
    )


def test_a_panel_rates_every_answer(project: Project, pull_request: tuple[str, ...]) -> None:
    project.server.models = ("tiny", "base", "judge", "second")
    project.server.reply = noisy(1.3)
    finished = project.evaluate(*pull_request, "--eval-judge-model=second", GATE)
    every = counts(finished)["tiny"] + counts(finished)["base"]
    assert sent(project) == {False: sum(every), True: 2 * sum(every)}
    assert more(finished) == 3 * (sum(every) - 10)
    assert {len(record["scores"][0]["answers"]) for record in finished.document["results"]} == {*every}


def test_the_spread_is_looked_at_again_after_more_answers(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    """The first four answers ask for up to 8, whose ratings then ask for as many as there can be."""
    asked: Counter[tuple[str, str]] = Counter()
    rated = noisy(0.0)

    def reply(body: Body) -> str:
        if is_judgment(body):
            return rated(body)
        question = body["model"], content_text(body["messages"][-1])
        asked[question] += 1
        count = asked[question]
        return f"It is worth {(5, 7, 5, 7)[count - 1] if count <= 4 else (1, 10)[count % 2]}."

    project.server.reply = reply
    finished = project.evaluate(*pull_request, GATE)
    assert Counter(counts(finished)["tiny"] + counts(finished)["base"])[16] >= 8


def test_no_more_is_asked_of_a_question_in_error(project: Project, pull_request: tuple[str, ...]) -> None:
    project.server.reply = noisy(1.3)
    project.server.fault(
        Status(400, "not today"), times=1,
        when=lambda body: not is_judgment(body) and body["model"] == "tiny" and "question 2" in str(body),
    )  # fmt: skip
    project.server.fault(
        Status(400, "nor today"), times=1,
        when=lambda body: is_judgment(body) and "question 3" in str(body),
    )  # fmt: skip
    finished = project.evaluate(*pull_request, GATE, ret=7, passed=8, failed=2)
    records = finished.document["results"]
    failed = [record for record in records if record["outcome"] == "error"]
    assert {len(record["chats"]) for record in failed} == {4}
    assert all(len(record["chats"]) > 4 for record in records if record not in failed)


# --- separate stages, earlier runs ---


def test_answers_that_are_judged_later_are_as_many_as_could_be_needed(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(1.3)
    answered = project.evaluate(*pull_request, GATE, "--eval-stage=answer")
    assert sent(project) == {False: 16 * 10}
    assert more(answered) == 15 * 10
    answered.shows(
        "repeat: auto (at most 16 answers, their number chosen before any is judged)",
        "note: mt_bench_branch: 16 answers to each of * before any was judged, by the spread in an earlier *",
    )
    project.server.requests.clear()
    judged = project.evaluate(*pull_request, GATE, "--eval-stage=judge")
    assert sent(project) == {True: 16 * 10}
    judged.shows(
        "repeat: auto (the answers that were recorded)", "note: mt_bench_branch: 16 answers to each *"
    )
    assert more(judged) == 15 * 10
    assert {len(record["scores"][0]["answers"]) for record in judged.document["results"]} == {16}


def test_the_spread_of_the_last_run_decides_before_any_is_judged(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(1.3)
    project.evaluate(*pull_request, GATE)
    project.server.requests.clear()
    project.evaluate(*pull_request, GATE, "--eval-stage=answer")
    (count,) = set(Counter(map(question_of, project.server.chats)).values())
    assert 4 <= count <= 9


def question_of(body: Body) -> tuple[str, str]:
    return body["model"], content_text(body["messages"][-1])


def test_a_baselines_answers_stay_and_the_candidates_make_up_for_them(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(1.0)
    alone = [option for option in pull_request if not option.startswith("--eval-base-model")]
    once = [option for option in alone if option != "--eval-repeat=auto"]
    project.evaluate(*once, "--eval-save-baseline=once.json")
    project.evaluate(*once, "--eval-repeat=12", "--eval-save-baseline=often.json")
    few = project.evaluate(*alone, GATE, "--eval-baseline=once.json")
    few.shows("warning: mt_bench_branch.drop <= 1: the baseline has no repeated answers to each of these *")
    much = project.evaluate(*alone, GATE, "--eval-baseline=often.json")
    assert "warning: mt_bench_branch" not in much.out
    assert statistics.fmean(counts(much)["tiny"]) < 16


# --- MT-Bench: two turns, and questions at temperature 0 ---


@pytest.mark.parametrize("repeats_itself", [True, False])
def test_a_question_at_temperature_0_is_asked_twice_and_more_where_the_answers_differ(
    project: Project, repeats_itself: bool
) -> None:
    reply = noisy(1.5)

    def cold(body: Body) -> str:
        if repeats_itself and not is_judgment(body) and body["temperature"] == 0:
            return "It is worth 7."
        return reply(body)

    project.server.reply = cold
    finished = project.evaluate(*project.mt_bench_only, "--eval-repeat=auto")
    times = {
        record["group"]: len(record["scores"][0]["metadata"]["answers"])
        for record in finished.document["results"]
    }
    asked_twice = {category for category, temperature in TEMPERATURES.items() if temperature == 0}
    if repeats_itself:
        assert {times[category] for category in asked_twice} == {2}
        finished.shows(
            "note: mt_bench: * at temperature 0 4 got the same answer twice, and were not asked again"
        )
    else:
        assert all(times[category] > 2 for category in asked_twice)
        assert "got the same answer" not in finished.out
    assert all(count > 2 for category, count in times.items() if category not in asked_twice)
    assert sent(project) == {False: 2 * sum(times.values()), True: 2 * sum(times.values())}
    assert more(finished) == 4 * (sum(times.values()) - len(times))


def test_the_ini_file_may_say_it(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\neval_repeat = auto\n")
    project.server.reply = noisy(1.0)
    project.evaluate(*project.mt_bench_only, passed=8).shows("repeat: auto (*", "note: mt_bench: *")


# --- gates in the marker of a copied test ---


def test_a_drop_gate_in_the_marker_decides_like_one_of_the_command_line(
    project: Project, pull_request: tuple[str, ...]
) -> None:
    project.server.reply = noisy(0.5)
    source = Path(test_mt_bench_branch.__file__).read_text("utf-8")
    marked = source.replace("max_score=10", 'max_score=10, gates=["mt_bench_branch.drop <= 3"]')
    project.write("test_copy.py", marked)
    finished = project.evaluate("test_copy.py", *pull_request[1:])
    assert {*counts(finished)["tiny"], *counts(finished)["base"]} == {4}
    assert finished.gates == {"passed": 3}
