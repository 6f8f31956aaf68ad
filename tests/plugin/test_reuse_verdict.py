"""--eval-reuse-verdict: the verdict of the finished run, given again only where nothing has changed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ..scripted_server import GENERATION, ScriptedServer, Status
from .conftest import Finished, Project

REUSE = "--eval-reuse-verdict"
IN_SPITE = "questions are asked in spite of --eval-reuse-verdict: "
GATE = "--eval-gate=mt_bench >= 1"


def questions(server: ScriptedServer) -> int:
    """How many requests were no look at a model, which asks for its five likeliest tokens."""
    return sum(
        received.path in GENERATION and received.body.get("logprobs") != 5 for received in server.requests
    )


def evaluated(project: Project, *more: str, gate: str = GATE, ret: int = 0) -> Finished:
    options = ("--eval-no-judge-trial", REUSE, "--junit-xml=junit.xml", gate)
    return project.evaluate(*project.mt_bench_only, *options, *more, ret=ret)


def test_a_verdict_is_given_again_without_a_question(project: Project) -> None:
    first = evaluated(project)
    asked = questions(project.server)
    written = (project.folder / "eval_output/results.json").read_bytes()
    for more in ((), ("-n2",)):
        again = evaluated(project, *more)
        assert questions(project.server) == asked
        assert (again.outcomes, again.gates) == (first.outcomes, first.gates)
        assert again.cases.keys() == first.cases.keys()
        again.shows("*the verdict of the run of *, given again (--eval-reuse-verdict)*no question was asked*")
    assert (project.folder / "eval_output/results.json").read_bytes() == written
    assert not (project.folder / "eval_output/previous").exists()


def test_a_red_verdict_stays_red(project: Project) -> None:
    first = evaluated(project, gate="--eval-gate=mt_bench >= 9.9", ret=1)
    asked = questions(project.server)
    again = evaluated(project, gate="--eval-gate=mt_bench >= 9.9", ret=1)
    assert questions(project.server) == asked
    assert again.gates == first.gates
    assert again.failure("mt_bench >= 9.9") == first.failure("mt_bench >= 9.9")


def edit(project: Project) -> tuple[str, ...]:
    path = project.folder / "eval_output/results.json"
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(document, indent=1), "utf-8")
    return ()


def other_weights(project: Project) -> tuple[str, ...]:
    project.server.change_model("others")
    return ()


def no_logprobs(project: Project) -> tuple[str, ...]:
    project.server.features = frozenset()
    return ()


def ini_file(project: Project) -> tuple[str, ...]:
    project.write("pytest.ini", "[pytest]\nmarkers = slow\n")
    return ()


def own_test(project: Project) -> tuple[str, ...]:
    project.write("test_own.py", "async def test_own(served_model, record_score):\n    record_score(1.0)\n")
    return ("test_own.py",)


CHANGES: dict[str, tuple[Callable[[Project], tuple[str, ...]], str]] = {
    "edited": (edit, "results.json was changed after the run"),
    "weights": (other_weights, "the model tiny is another model: its log-probabilities after 8 fixed"),
    "silent": (no_logprobs, "the model tiny may be another model (the server gives no log-probabilities)"),
    "gate": (lambda _: ("--eval-gate=mt_bench >= 2",), "its --eval-gate is not the same"),
    "option": (lambda _: ("--eval-repeat=2",), "its --eval-repeat is not the same"),
    "part": (lambda _: ("--eval-first-n=2",), "its tests and questions are not the same"),
    "ini": (ini_file, "a file of the test code, the ini file or an installed package is not the same"),
    "own": (own_test, "test_own.py::test_own is not a test of a built-in benchmark"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_on_any_doubt_the_questions_are_asked(project: Project, change: str) -> None:
    evaluated(project, "--eval-first-n=3")
    asked = questions(project.server)
    make, reason = CHANGES[change]
    finished = evaluated(project, "--eval-first-n=3", *make(project))
    finished.shows(f"*{IN_SPITE}*{reason.replace('[', '[[]')}*")
    assert questions(project.server) > asked
    assert len([*(project.folder / "eval_output/previous").iterdir()]) == 1


def test_without_the_option_nothing_is_given_again_or_recorded(project: Project) -> None:
    project.evaluate(*project.mt_bench_only, "--eval-no-judge-trial", GATE, "--eval-first-n=2")
    assert not [body for body in project.server.completions if body.get("logprobs") == 5]
    evaluated(project, "--eval-first-n=2").shows(f"*{IN_SPITE}that run was not made with {REUSE}*")


def test_a_run_with_errors_is_not_given_again(project: Project) -> None:
    project.server.fault(Status(400, "no"), times=1)
    evaluated(project, "--eval-first-n=2", ret=7)
    evaluated(project, "--eval-first-n=2").shows(f"*{IN_SPITE}tests failed in that run*")


def test_a_changed_judge_under_the_same_name_is_refused(project: Project) -> None:
    run = (*project.mt_bench_only, "--eval-no-judge-trial", "--eval-first-n=3")
    project.evaluate(*run, "--eval-save-baseline=base.json")
    same = project.evaluate(*run, "--eval-baseline=base.json")
    same.shows("*tiny is the model of the baseline, as far as its log-probabilities show*")
    project.server.change_model("others")
    refused = project.evaluate(*run, "--eval-baseline=base.json", ret=4)
    assert (
        "has another judge under the name tiny: its log-probabilities after 8 fixed prompts differ"
        in refused.err
    )
    allowed = project.evaluate(*run, "--eval-baseline=base.json", "--eval-allow-mismatch")
    allowed.shows("*tiny is another model than the baseline's tiny: its log-probabilities*")


def test_a_server_that_does_not_repeat_well_is_still_itself(project: Project) -> None:
    run = ("--eval-benchmark=mmlu", f"--eval-mmlu-data={project.mmlu}", "--eval-first-n=2")
    project.server.change_model("", noise=0.2)
    project.evaluate(*run, "--eval-save-baseline=base.json")
    project.evaluate(*run, "--eval-baseline=base.json").shows("*tiny is the model of the baseline*")


def test_a_server_without_log_probabilities_is_no_failure(project: Project) -> None:
    project.server.features = frozenset()
    finished = project.evaluate(*project.mt_bench_only, REUSE, "--eval-no-judge-trial", "--eval-first-n=2")
    identity = finished.document["identities"]["tiny"]
    assert identity["without_fingerprint"] == "the server gives no log-probabilities"
    assert identity["root"] == "tiny"
    assert "created" not in identity
