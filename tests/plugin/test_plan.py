"""`--eval-plan`: what a run would ask for its gates, and what they could see; `--eval-require-power`."""

from __future__ import annotations

import pytest

from .conftest import Project
from .test_branch import taxonomy  # noqa: F401  (a fixture)

DROP = "--eval-gate=mt_bench_branch.drop <= 0.5"
BASE = "--eval-base-model=base"
WARNING = (
    "warning: mt_bench_branch.drop <= 0.5 cannot decide: it has 4 questions of 2 files or groups, and a drop "
    "needs 6 that do not depend on each other, or several answers to each question on both sides "
    "(--eval-repeat)"
)


def both_models(project: Project) -> None:
    project.server.models = ("tiny", "base", *project.server.models[1:])


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_nothing_is_asked(project: Project, taxonomy: tuple[str, ...], processes: str) -> None:  # noqa: F811
    finished = project.evaluate(*taxonomy, "--eval-changed-only", BASE, DROP, "--eval-plan", processes)
    assert project.server.requests == []
    assert not (project.folder / "eval_output").exists()
    finished.shows(
        "*= instructlab-eval: plan =*",
        "gate*questions*clusters*requests*time*smallest drop",
        "mt_bench_branch.drop <= 0.5*4*2*16*-*cannot decide",
        WARNING,
        "whole run: 8 tests, 16 requests, -",
        "repeats: 1, judgments of an answer: 1",
        "nothing was asked; leave out --eval-plan to run",
    )


def test_a_gate_that_cannot_fail_is_a_warning_of_the_run(
    project: Project,
    taxonomy: tuple[str, ...],  # noqa: F811
) -> None:
    both_models(project)
    finished = project.evaluate(
        *taxonomy, "--eval-changed-only", BASE, DROP, "--eval-no-judge-trial", passed=8
    )
    assert any(line.endswith(WARNING) for line in finished.lines)
    assert WARNING in finished.document["notes"]
    assert "cannot decide" in (project.folder / "eval_output/summary.md").read_text("utf-8")


@pytest.fixture
def mmlu(project: Project) -> tuple[str, ...]:
    """Options for two models on MMLU, of which one is right a little more often."""
    both_models(project)
    return ("--eval-benchmark=mmlu", f"--eval-mmlu-data={project.mmlu}", BASE)


def test_what_the_last_run_saw_says_what_the_next_one_can_see(
    project: Project, mmlu: tuple[str, ...]
) -> None:
    gate = "--eval-gate=mmlu.drop <= 2%"
    first = project.evaluate(*mmlu, gate, "--eval-plan")
    first.shows("mmlu.drop <= 2%*171*171*342*-*-")
    verdicts = project.evaluate(*mmlu, gate).document["verdicts"]
    (verdict,) = [found for found in verdicts if "drop" in str(found["gate"])]
    project.server.requests.clear()
    again = project.evaluate(*mmlu, gate, "--eval-plan")
    assert project.server.requests == []
    cells = next(line.split() for line in again.lines if line.startswith("mmlu.drop"))
    assert float(cells[-1]) == pytest.approx(verdict["minimum_detectable_drop"], abs=1e-4)
    assert cells[-2] == "s"


def test_a_run_without_the_power_that_is_required_does_not_start(
    project: Project, mmlu: tuple[str, ...]
) -> None:
    gate, asked = "--eval-gate=mmlu.drop <= 2%", "--eval-require-power=mmlu=1%"
    unknown = project.evaluate(*mmlu, gate, asked, ret=4)
    assert "it is not known how small a drop it would see" in unknown.err
    project.evaluate(*mmlu, gate)
    project.server.requests.clear()
    refused = project.evaluate(*mmlu, gate, asked, ret=4)
    assert "--eval-require-power mmlu=1%: gate 'mmlu.drop <= 2%' needs a drop of" in refused.err
    assert project.server.requests == []
    project.evaluate(*mmlu, gate, "--eval-require-power=mmlu=0.9", "-n2")


def test_power_is_required_of_a_gate_that_the_run_has(project: Project, mmlu: tuple[str, ...]) -> None:
    refused = project.evaluate(*mmlu, "--eval-require-power=mmlu=1%", ret=4)
    assert "this run has no gate on mmlu.drop" in refused.err
    refused = project.evaluate(*mmlu, "--eval-require-power=mmlu", ret=4)
    assert "expected BENCHMARK=X, such as mmlu=0.02 or mt_bench=5% (got 'mmlu')" in refused.err


def test_a_gate_that_cannot_fail_has_not_the_power_that_is_required(
    project: Project,
    taxonomy: tuple[str, ...],  # noqa: F811
) -> None:
    asked = (*taxonomy, "--eval-changed-only", BASE, DROP, "--eval-require-power=mt_bench_branch=1")
    refused = project.evaluate(*asked, ret=4)
    assert "cannot decide: it has 4 questions of 2 files or groups" in refused.err
    assert project.server.requests == []


def test_tests_of_ones_own_are_planned(project: Project) -> None:
    project.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.eval("own", gates=["own >= 0.5", "own.n >= 3"])
        @pytest.mark.parametrize("number", range(3))
        async def test_own(number, served_model, record_score):
            record_score(1.0)
        """,
    )
    finished = project.evaluate("test_own.py", "--eval-plan")
    finished.shows("own >= 0.5*3*3*-*-*-", "own.n >= 3*3*3*-*-*-", "whole run: 3 tests, -*")
