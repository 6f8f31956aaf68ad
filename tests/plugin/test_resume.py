"""--eval-resume: a run that was ended in any way goes on, and asks only what its journal lacks."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.models.identity import PROMPTS
from pytest_instructlab_eval.records.journal_lines import write_line
from tests.resumed_benchmark import judged_and_plain
from tests.scripted_server import Drop, Hang, ScriptedServer, Status, content_text

from .conftest import MMLU_ROWS, Finished, Project, is_judgment
from .test_interrupt import MANY, SCORED, is_answered

OWN = judged_and_plain(judged=12, plain=4)
FEW = """
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(4))
    async def test_own(number, served_model, record_score):
        record_score(len((await served_model.chat(f"number {number}")).text) % 2)
    """
OWN_REQUESTS = 12 * 4 + 4
RESUME = "--eval-resume"
BOTH = ("test_own.py", "--eval-judge-model=tiny")


def journal(project: Project) -> list[Path]:
    return sorted((project.folder / "eval_output/journal").glob("*.jsonl"))


def journalled(project: Project) -> list[dict[str, Any]]:
    """The lines of finished requests that are whole."""
    lines = [line for path in journal(project) for line in path.read_text("utf-8").splitlines(keepends=True)]
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in whole if "key" in record]


def scores(finished: Finished) -> dict[str, Any]:
    kept = ("value", "metric", "n", "unscored", "errors", "samples", "explanation")
    return {
        name: [{part: score.get(part) for part in kept} for score in result["scores"]]
        for name, result in finished.results.items()
    }


def cut(project: Project, part: float) -> int:
    """Leave a part of a finished run's last file, as a kill would have; return the requests of all files."""
    *_, path = journal(project)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = round(part * len(lines))
    path.write_bytes(b"".join(lines[:kept]) + lines[kept][:-20])
    (project.folder / "eval_output/journal/finished").unlink()
    return len(journalled(project))


def asked(project: Project) -> int:
    """The requests so far, without those that look whether it is the same model."""
    return len(project.server.chats) + len(prompts(project))


def prompts(project: Project) -> list[object]:
    return [prompt for prompt in project.server.prompts if prompt not in PROMPTS]


def kill_at(project: Project, requests: int, *args: str) -> None:
    """Run until so many requests are journalled, and kill all its processes; the rest never gets a reply."""
    shutil.rmtree(project.folder / "eval_output", ignore_errors=True)
    running = project.start(*project.model, *args)
    running.until(lambda: len(journalled(project)) >= requests, f"reply {requests}")
    running.kill()
    running.until_gone()


@pytest.mark.parametrize(
    ("killed", "resumed"), [("0", "2"), ("2", "0")], ids=["workers after", "workers before"]
)
def test_a_killed_run_asks_what_the_journal_lacks_and_nothing_else(
    project: Project, killed: str, resumed: str
) -> None:
    project.write("test_own.py", OWN)
    whole = scores(project.evaluate(*BOTH))
    assert asked(project) == OWN_REQUESTS
    project.server.latency = 0.02
    kill_at(project, 20, *BOTH, "-n", killed, "--eval-max-concurrency=4")
    kept, before = len(journalled(project)), asked(project)
    assert 20 <= kept < OWN_REQUESTS
    finished = project.evaluate(*BOTH, RESUME, "-n", resumed)
    assert asked(project) - before == OWN_REQUESTS - kept
    assert scores(finished) == whole
    finished.shows(f"journal: goes on with the run of * UTC, which has replies to {kept} requests")
    finished.shows(f"note: taken from the journal: {kept} of {OWN_REQUESTS} requests, asked * UTC")
    used = finished.document["journal"]
    assert (used["reused"], used["requests"], used["left_out"]) == (kept, OWN_REQUESTS, 0)


def mt_bench(project: Project, *more: str) -> tuple[str, ...]:
    project.server.models = ("tiny", "other", "judge")
    return ("--eval-benchmark=mt_bench", f"--eval-mt-bench-data={project.mt_bench}", *more)


MANY_JUDGMENTS = (
    "--eval-judge-model=judge", "--eval-judge-model=other", "--eval-repeat=2", "--eval-judge-repeat=2",
)  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        MANY_JUDGMENTS,
        ("--eval-judge-model=judge", "--eval-model=other", "--eval-sample=5"),
        ("--eval-judge-model=judge", "--eval-stage=answer"),
    ],
    ids=["repeats and a panel", "two models and a sample", "the stage of answers"],
)
def test_mt_bench_goes_on_where_it_was(project: Project, options: tuple[str, ...]) -> None:
    args = mt_bench(project, *options)
    whole = scores(project.evaluate(*args))
    requests, kept = asked(project), cut(project, 0.6)
    finished = project.evaluate(*args, RESUME)
    assert scores(finished) == whole
    assert asked(project) - requests == requests - kept
    finished.shows(f"instructlab-eval: {requests - kept} of {requests} requests to ask (more if *")


def test_mmlu_goes_on_within_a_task(project: Project) -> None:
    args = ("--eval-benchmark=mmlu", f"--eval-mmlu-data={project.mmlu}")
    whole = scores(project.evaluate(*args))
    requests, kept = len(prompts(project)), cut(project, 0.5)
    (path,) = journal(project)
    assert path.stat().st_size / kept < 1024  # bytes a question
    finished = project.evaluate(*args, RESUME, "-n2")
    finished.shows(f"instructlab-eval: {requests - kept} of {requests} requests to ask (more if *")
    assert scores(finished) == whole
    assert len(prompts(project)) - requests == requests - kept


def test_stages_use_one_journal_and_parts_have_their_own(project: Project) -> None:
    args = mt_bench(project, "--eval-judge-model=judge")
    whole = scores(project.evaluate(*args))
    requests = asked(project)
    project.evaluate(*args, RESUME, "--eval-stage=answer")
    assert scores(project.evaluate(*args, RESUME, "--eval-stage=judge")) == whole
    assert asked(project) == requests
    project.evaluate(*args, "--eval-shard=1/2")
    requests = asked(project)
    project.evaluate(*args, "--eval-shard=1/2", RESUME)
    assert asked(project) == requests


def test_stages_on_two_machines_go_on_each(
    project: Project, make_project: Callable[[ScriptedServer], Project]
) -> None:
    args = mt_bench(project, "--eval-judge-model=judge")
    whole = scores(project.evaluate(*args))
    requests = asked(project)
    shutil.rmtree(project.folder / "eval_output")
    project.evaluate(*args, "--eval-stage=answer")
    answered = asked(project) - requests
    lost = answered - cut(project, 0.5)
    project.evaluate(*args, "--eval-stage=answer", RESUME)
    assert asked(project) == requests + answered + lost
    judging = make_project(project.server)
    shutil.copytree(project.folder / "eval_output", judging.folder / "eval_output")
    before = len(project.server.chats)
    judging.evaluate(*args, "--eval-stage=judge", RESUME)
    lost = requests - cut(judging, 0.5)
    assert scores(judging.evaluate(*args, "--eval-stage=judge", RESUME)) == whole
    there = project.server.chats[before:]
    assert len(there) == requests - answered + lost
    assert all(map(is_judgment, there))


@pytest.mark.parametrize(("split", "again"), [("test", 1), ("dev", MMLU_ROWS)])
def test_of_changed_data_only_what_is_the_same_is_reused(project: Project, split: str, again: int) -> None:
    data = project.own_mmlu()
    subjects = ("--eval-mmlu-subject=anatomy", "--eval-mmlu-subject=virology")
    args = ("--eval-benchmark=mmlu", f"--eval-mmlu-data={data}", *subjects)
    project.evaluate(*args)
    before = len(prompts(project))
    file = data / split / f"anatomy_{split}.csv"
    first, rest = file.read_text("utf-8").split("\n", 1)
    file.write_text(f"{first.replace('what is', 'how much is')}\n{rest}", "utf-8")
    project.evaluate(*args, RESUME)
    assert len(prompts(project)) - before == again


def test_another_judge_judges_the_answers_that_there_are(project: Project) -> None:
    args = mt_bench(project)
    project.evaluate(*args, "--eval-judge-model=judge")
    before = len(project.server.chats)
    project.evaluate(*args, "--eval-judge-model=other", RESUME)
    again = project.server.chats[before:]
    assert again
    assert all(is_judgment(body) and body["model"] == "other" for body in again)


def test_what_was_changed_is_asked_and_nothing_else(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.evaluate(*BOTH)
    before = len(project.server.chats)
    project.write("test_own.py", OWN.replace('"number {number}"', '"Number {number}"'))
    finished = project.evaluate(*BOTH, RESUME)
    assert [content_text(body["messages"][-1])[:6] for body in project.server.chats[before:]] == [
        "Number"
    ] * 4
    finished.shows(f"note: taken from the journal: {OWN_REQUESTS - 4} of {OWN_REQUESTS} requests*")


def test_other_weights_under_the_same_name_are_asked(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.evaluate(*BOTH)
    before = asked(project)
    project.server.root = "other weights"
    project.evaluate(*BOTH, RESUME)
    assert asked(project) == 2 * before


# --- what is never reused ---


def test_an_error_is_asked_again_and_the_run_says_what_to_type(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.server.fault(Status(400, "no"), when=lambda body: "number 2" in str(body))
    failed = project.evaluate("test_own.py", "-k", "plain", ret=7)
    failed.shows("to ask only what is missing: pytest *--eval-model=tiny* -k plain * --eval-resume")
    before = asked(project)
    finished = project.evaluate("test_own.py", "-k", "plain", RESUME, passed=4, deselected=12)
    assert asked(project) - before == 1
    assert "to ask only what is missing" not in finished.out


def test_a_refused_run_does_not_say_how_to_go_on_with_an_earlier_one(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.server.fault(Status(400, "no"), when=lambda body: "number 2" in str(body))
    project.evaluate("test_own.py", "-k", "plain", ret=7)
    refused = project.evaluate("test_own.py", "--eval-gate=other >= 0.5", ret=4)
    assert "to ask only what is missing" not in refused.out


def test_a_judgment_without_a_rating_is_asked_again(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.server.reply = lambda body: "no idea" if is_judgment(body) else "an answer"
    project.evaluate(*BOTH, ret=7)
    before = asked(project)
    project.server.reply = lambda body: "[[7]]" if is_judgment(body) else "another answer"
    finished = project.evaluate(*BOTH, RESUME)
    assert asked(project) - before == 12
    assert {score["value"] for name, score in _of(finished, "test_own[")} == {7.0}


def _of(finished: Finished, start: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, result["scores"][0]) for name, result in finished.results.items() if name.startswith(start)
    ]


# --- the folder ---


def test_a_run_that_does_not_go_on_says_so_and_keeps_the_journal(project: Project) -> None:
    project.write("test_own.py", OWN)
    args = ("test_own.py", "-k", "plain")
    first = project.evaluate(*args, RESUME, passed=4, deselected=12)
    first.shows("note: taken from the journal: 0 of 4 requests")
    cut(project, 0.5)
    (path,) = journal(project)
    anew = project.evaluate(*args, "--eval-keep-previous=0", passed=4, deselected=12)
    anew.shows(
        "journal: an unfinished run of * UTC is in *eval_output, with replies to * --eval-resume goes on*"
    )
    assert asked(project) == 8
    (moved,) = (project.folder / "eval_output/previous").glob("*/journal/*.jsonl")
    assert moved.name == path.name
    after = project.evaluate(*args, "--eval-keep-previous=0", passed=4, deselected=12)
    assert "unfinished" not in after.out
    assert not (project.folder / "eval_output/previous").exists()


def test_what_does_not_run_or_is_refused_leaves_the_journal(project: Project) -> None:
    project.write("test_own.py", OWN)
    args = ("test_own.py", "-k", "plain")
    project.evaluate(*args, passed=4, deselected=12)
    cut(project, 0.5)
    before = journal(project)
    project.evaluate(*args, "--collect-only")
    project.evaluate(*args, "--eval-plan")
    project.evaluate(*args, "--eval-gate=nothing >= 1", ret=4)
    project.evaluate(*args, "--eval-first-n=x", ret=4)
    assert journal(project) == before


def test_a_damaged_journal_is_asked_again_and_a_newer_one_is_refused(project: Project) -> None:
    project.write("test_own.py", OWN)
    args = ("test_own.py", "-k", "plain")
    whole = scores(project.evaluate(*args, passed=4, deselected=12))
    (path,) = journal(project)
    path.write_text(path.read_text("utf-8").replace("number 2", "number 9"), "utf-8")
    finished = project.evaluate(*args, RESUME, passed=4, deselected=12)
    finished.shows("note: 1 line of the journal was damaged or changed, and not used")
    assert scores(finished) == whole
    assert asked(project) == 5
    path.write_bytes(write_line({"schema": 2}))
    refused = project.evaluate(*args, RESUME, ret=4)
    assert "has schema version 2, newer than the 1" in refused.err
    project.evaluate(*args, passed=4, deselected=12)


def test_the_journal_of_another_run_beside_it_changes_nothing(project: Project) -> None:
    """Its requests are other ones: of another model, or of other questions."""
    project.write("test_own.py", FEW)
    args = ("test_own.py", "--eval-keep-previous=3")
    project.server.models = ("tiny", "other")
    project.server.reply = lambda body: "odd" if body["model"] == "other" else "even"
    project.run("--eval-model=other", f"--eval-base-url={project.server.url}", *args, passed=4)
    foreign = journal(project)[0].read_bytes()
    whole = scores(project.evaluate(*args, passed=4))
    requests, kept = asked(project), cut(project, 0.5)
    beside = journal(project)[0].with_name("2020-01-01T00-00-00-000000Z-main-1.jsonl")
    beside.write_bytes(foreign)
    finished = project.evaluate(*args, RESUME, passed=4)
    assert scores(finished) == whole
    assert asked(project) - requests == 4 - kept


# --- what ends a run ---

GONE = """
    from pytest_instructlab_eval.models import endpoint
    from pytest_instructlab_eval.session import run_models

    run_models.PATIENCE, endpoint.FIRST_PAUSE = 0.2, 0.02
    """


def test_a_server_that_is_gone_ends_the_run_which_goes_on_once_there_is_one(project: Project) -> None:
    project.write("test_own.py", FEW)
    project.write("conftest.py", GONE)
    whole = scores(project.evaluate("test_own.py", passed=4))
    shutil.rmtree(project.folder / "eval_output")
    before, away = asked(project), ["for good"]
    project.server.fault(Drop(), times=None, when=lambda body: bool(away) and "number 0" not in str(body))
    gone = lambda body: bool(away) and asked(project) > before + 1  # noqa: E731
    project.server.fault(Drop(), times=None, path="/v1/models", when=gone)
    ended = project.evaluate("test_own.py", "--eval-max-concurrency=1", ret=7)
    assert "was given up" in ended.out
    ended.shows("to ask only what is missing: pytest *--eval-model=tiny* test_own.py * --eval-resume")
    assert len(journalled(project)) == 1
    away.clear()
    before = asked(project)
    assert scores(project.evaluate("test_own.py", RESUME, passed=4)) == whole
    assert asked(project) - before == 3


FULL = """
    import errno
    import os
    from pytest_instructlab_eval.records.journal_writer import JournalWriter

    append, written = JournalWriter._append, []

    def full(self, descriptor, line):
        written.append(line)
        if len(written) > 10 and not os.path.exists("room"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, descriptor, line)

    JournalWriter._append = full
    """


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_disk_without_room_ends_the_run_with_a_sentence(project: Project, processes: str) -> None:
    project.write("test_own.py", OWN)
    project.write("conftest.py", FULL)
    ended = project.start(
        *project.model, *BOTH, "-n", processes, "--eval-max-concurrency=2", "--eval-no-judge-trial"
    ).finish()
    assert ended.ret == 2
    assert "cannot be written (No space left on device), so the run ends; make room there" in ended.out
    ended.shows("to ask only what is missing: pytest * --eval-resume")
    assert asked(project) < OWN_REQUESTS
    kept, before = len(journalled(project)), asked(project)
    assert kept >= 8
    project.write("room", "")
    project.evaluate(*BOTH, RESUME)
    assert asked(project) - before == OWN_REQUESTS - kept


def test_ctrl_c_keeps_what_was_finished_and_says_what_to_type(project: Project) -> None:
    project.write("test_own.py", MANY)
    project.server.fault(Hang(600), times=None, when=lambda body: not is_answered(body))
    running = project.start(*project.model, "test_own.py", "--eval-max-concurrency=600")
    running.until(lambda: len(list(project.folder.glob("scored-*"))) == SCORED, "the last answer")
    running.interrupt()
    ended = project.expect(running.finish(), 2)
    ended.shows("to ask only what is missing: pytest * --eval-resume")
    assert len(journalled(project)) == SCORED


DYING = """
    import os
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(30))
    async def test_own(number, served_model, record_score):
        await served_model.chat(f"number {number}")
        if number == 20 and not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), 9)
        record_score(1)
    """


def test_what_a_worker_that_died_had_finished_is_not_asked_again(project: Project) -> None:
    project.write("test_own.py", DYING)
    project.start(*project.model, "test_own.py", "-n2", "--eval-max-concurrency=64").finish()
    counts = Counter(content_text(body["messages"][-1]) for body in project.server.chats)
    known = {record["key"] for record in journalled(project)}
    assert len(counts) == 30
    assert len(known) >= 29  # the test at whose turn the worker died may have been in flight; xdist skips it
    before = asked(project)
    project.evaluate("test_own.py", RESUME, passed=30)
    assert asked(project) - before == 30 - len(known)


def test_a_journal_of_other_weights_under_the_same_name_is_refused(project: Project) -> None:
    project.write("test_own.py", FEW)
    project.evaluate("test_own.py", RESUME, passed=4)
    before = asked(project)
    again = project.evaluate("test_own.py", RESUME, passed=4)
    assert asked(project) == before
    assert "note: whether" not in again.out
    project.server.change_model("other weights")
    other = project.evaluate("test_own.py", RESUME, passed=4)
    assert asked(project) == 2 * before
    other.shows("note: the journal was not used, and all is asked anew: the model tiny is another one: *")
    project.evaluate("test_own.py", RESUME, "-n2", passed=4)
    assert asked(project) == 2 * before


def test_a_journal_whose_models_are_unknown_or_damaged_is_used_with_a_note_or_not_at_all(
    project: Project,
) -> None:
    project.write("test_own.py", FEW)
    project.evaluate("test_own.py", passed=4)  # without the option nothing is known of the weights
    before = asked(project)
    again = project.evaluate("test_own.py", RESUME, passed=4)
    assert asked(project) == before
    again.shows("note: whether tiny has the weights that the journal's replies are of is not known: *")
    models = project.folder / "eval_output/journal/models.json"
    models.write_text(models.read_text("utf-8")[:-40], "utf-8")
    damaged = project.evaluate("test_own.py", RESUME, passed=4)
    assert asked(project) == 2 * before
    damaged.shows("note: the journal was not used, and all is asked anew: *models.json is damaged: *")
