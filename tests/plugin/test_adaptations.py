"""How requests were adapted to a server is told with the results, and decides what they compare with."""

from __future__ import annotations

import pytest

from tests.scripted_server import Body, Status

from .conftest import Project

TEST = """
    import pytest

    @pytest.mark.eval("brief")
    @pytest.mark.parametrize("number", range(6))
    async def test_brief(number, served_model, record_score):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Hi {number}"}]
        reply = await served_model.chat(messages, temperature=0.5)
        record_score(float(len(reply.text) > number))
"""
NOTE = "tiny: the system message was put at the beginning of the first user message"
FILE = "test_brief.py"


def has_system(body: Body) -> bool:
    return bool(body["messages"][0]["role"] == "system")


def refuse_system(project: Project) -> None:
    project.server.fault(Status(400, "System role not supported"), times=None, when=has_system)


@pytest.mark.parametrize("processes", ["0", "2"])
def test_it_is_told_in_the_terminal_and_in_every_file(project: Project, processes: str) -> None:
    project.write(FILE, TEST)
    refuse_system(project)
    done = project.evaluate(FILE, "-n", processes, passed=6)
    assert done.lines.count(f"note: {NOTE}") == 1
    assert f"- {NOTE}" in (project.folder / "eval_output/summary.md").read_text("utf-8")
    assert done.document["adaptations"] == [
        {
            "role": "model",
            "model": "tiny",
            "name": "merged_system_message",
            "text": NOTE.removeprefix("tiny: "),
            "changes_answers": True,
        }
    ]
    assert done.document["fingerprint"]["adaptations"] == ["model: merged_system_message"]


def test_a_drop_from_a_baseline_that_was_asked_otherwise_is_refused(project: Project) -> None:
    project.write(FILE, TEST)
    plain = project.evaluate(FILE, "--eval-save-baseline=plain.json", passed=6)
    assert "note: " not in plain.out
    refuse_system(project)
    against = (FILE, "--eval-baseline=plain.json", "--eval-gate=brief.drop <= 0.5")
    refused = project.evaluate(*against, ret=7)
    assert refused.gates == {"refused": 1, "passed": 2}
    refused.shows(
        "*requests were adapted differently ('model: merged_system_message' here, none in the baseline), "
        "which can change answers; compare runs with the same adaptations, or allow the comparison with "
        "--eval-al*"
    )
    insisted = project.evaluate(*against, "--eval-allow-mismatch", ret=0)
    assert insisted.gates == {"passed": 3}
    project.evaluate(FILE, "--eval-save-baseline=merged.json", passed=6)
    alike = project.evaluate(FILE, "--eval-baseline=merged.json", "--eval-gate=brief.drop <= 0.5")
    assert alike.gates == {"passed": 3}


def test_a_standing_gate_on_a_drop_is_refused_too(project: Project) -> None:
    project.write(FILE, TEST)
    project.evaluate(FILE, "--eval-save-baseline=plain.json", passed=6)
    project.write("pytest.ini", "[pytest]\neval_gates = brief.drop <= 0.5\n")
    option = ("--eval-merge-model-system-message", "--eval-baseline=plain.json")
    assert project.evaluate(FILE, *option, ret=7).gates == {"refused": 1, "passed": 2}


def test_parts_and_comparisons_know_it(project: Project) -> None:
    project.write(FILE, TEST)
    project.evaluate(FILE, "--eval-output-dir=plain", passed=6)
    refuse_system(project)
    for part in ("1", "2"):
        project.evaluate(
            FILE, f"--eval-shard={part}/2", f"--eval-output-dir=part{part}", passed=3, deselected=3
        )
    merged = project.script("merge", "part1", "part2", "--out", "whole")
    assert (merged.returncode, merged.stdout.count(f"note: {NOTE}")) == (0, 1)
    assert NOTE in (project.folder / "whole/summary.md").read_text("utf-8")
    compared = project.script("compare", "plain", "whole")
    assert compared.returncode == 1
    assert (
        "adaptations is ['model: merged_system_message'] here and not set in the baseline" in compared.stderr
    )
    assert project.script("compare", "whole", "whole").returncode == 0


def test_a_base_model_that_was_asked_otherwise_is_no_comparison(project: Project) -> None:
    project.write(FILE, TEST)
    project.server.models = ("tiny", "base")
    project.server.fault(
        Status(400, "System role not supported"), times=None,
        when=lambda body: has_system(body) and body["model"] == "base",
    )  # fmt: skip
    gate = "--eval-gate=brief.drop <= 0.5"
    done = project.evaluate(FILE, "--eval-base-model=base", gate, ret=7)
    assert done.gates["refused"] == 1
    assert "(none here, 'model: merged_system_message' for base)" in done.out
