"""Mistakes in gates."""

from __future__ import annotations

from tests.plugin.conftest import Project

from .baselines import OWN
from .mistake import Mistake

MARKED = """\
import pytest

@pytest.mark.eval("capitals", gates=["{gate}"])
async def test_capital(served_model, record_score):
    record_score(1.0)
"""


def model_and_gate(project: Project) -> None:
    """An ini file with all that a run needs."""
    url = project.server.url
    project.write(
        "pytest.ini", f"[pytest]\neval_model = tiny\neval_base_url = {url}\neval_gates = own >= 0.9\n"
    )


def gate(name: str, meant: str, text: str, gets: str) -> Mistake:
    """A gate of the command line on a run of MMLU."""
    return Mistake(name, meant, f"pytest $MMLU --eval-gate='{text}'", gets)


MISTAKES = [
    gate("an equals sign", "a gate has =", "mmlu = 0.5",
         r"--eval-gate: gate 'mmlu = 0\.5': column 6: expected one of >=, >, <=, < \(got '='\)"),
    gate("no limit", "a gate has no limit", "mmlu >=",
         r"--eval-gate: gate 'mmlu >=': column 8: expected a number such as 0\.5 or 50%"),
    gate("a colon", "a gate has a colon", "mmlu: 0.5",
         r"--eval-gate: gate 'mmlu: 0\.5': column 5: expected"),
    gate("two in one", "two gates are given in one option", "mmlu >= 0.5, mt_bench >= 5",
         r"--eval-gate: gate 'mmlu >= 0\.5, mt_bench >= 5': column 12: expected the end"),
    gate("a decimal comma", "a limit has a decimal comma", "mmlu >= 0,5",
         r"--eval-gate: gate 'mmlu >= 0,5': column 10: expected the end"),
    gate("a word", "a limit is a word", "mmlu >= good",
         r"--eval-gate: gate 'mmlu >= good': column 9: expected a number"),
    gate("an unknown benchmark", "a gate's benchmark is misspelt", "mmul >= 0.5",
         r"gate 'mmul >= 0\.5': there is no benchmark 'mmul'.*did you mean mmlu"),
    gate("an unknown group", "a gate's task is misspelt", "mmlu[anatomi] >= 0.5",
         r"gate 'mmlu\[anatomi\] >= 0\.5': .*'anatomi'.*anatomy"),
    gate("an unknown metric", "a gate's metric is misspelt", "mmlu.accuracy >= 0.5",
         r"gate 'mmlu\.accuracy >= 0\.5': .*'accuracy'.*acc"),
    gate("an unknown figure", "a gate's figure is misspelt", "mmlu.error_rates <= 0",
         r"gate 'mmlu\.error_rates <= 0': .*error_rate"),
    gate("50 for 50%", "a limit is given in percent without the sign", "mmlu >= 50",
         r"gate 'mmlu >= 50': .*(0 to 1|50%|0\.5)"),
    gate("off the scale of a share", "a share is off its scale", "mmlu.error_rate <= 5",
         r"gate 'mmlu\.error_rate <= 5': expected a limit from 0 to 1 \(got 5;"),
    gate("a drop from below", "a gate on a drop has >=", "mmlu.drop >= 1%",
         r"--eval-gate: gate 'mmlu\.drop >= 1%': column 11: expected <="),
    gate("a drop without a baseline", "a gate on a drop has nothing to compare with", "mmlu.drop <= 1%",
         r"gate 'mmlu\.drop <= 1%': .*--eval-baseline"),
    Mistake("a benchmark that is not run", "a gate is on a benchmark that is not run",
            "pytest $MMLU --eval-gate='mt_bench >= 5'",
            r"gate 'mt_bench >= 5': .*mt_bench"),
    Mistake("with -k", "a gate is on a part of a benchmark", "pytest $MMLU -k anatomy --eval-gate='mmlu >= 0.5'",
            r"skipped: mmlu >= 0\.5: 56 questions of mmlu were deselected; run all", status=0, asks=True),
    Mistake("with -k that selects nothing", "a gate, and -k selects nothing",
            "pytest $MMLU -k anatmoy --eval-gate='mmlu >= 0.5'",
            r"gate 'mmlu >= 0\.5': none of its tests is selected; leave out the gate"),
    Mistake("lost by a space", "gates are in the ini file, and a folder that exists stands after an option and a space",
            "pytest --eval-output-dir ../results", r"failed: own >= 0\.9: expected >= 0\.9, got 0\.5", status=1, asks=True,
            files={"test_own.py": OWN, "../results/notes.txt": "mine\n"}, given=model_and_gate),
    Mistake("without a model", "a gate and no model", "pytest --eval-gate='mmlu >= 0.5'",
            r"--eval-gate needs a model to evaluate; name one with --eval-model"),
    Mistake("in the ini file", "a gate of the ini file is misspelt", "pytest $MMLU",
            r"eval_gates in pytest\.ini: gate 'mmlu => 0\.5': column 6: expected one of >=",
            files={"pytest.ini": "[pytest]\neval_gates =\n    mmlu => 0.5\n"}),
    Mistake("in a marker", "a gate of a marker is misspelt", "pytest $MODEL test_capitals.py",
            r"gate 'capitals = 1': column 10: expected one of >=",
            files={"test_capitals.py": MARKED.format(gate="capitals = 1")}),
    Mistake("in a marker on another benchmark", "a marker has a gate on another benchmark",
            "pytest $MODEL test_capitals.py",
            r"gate 'capital >= 1': the marker of capitals cannot gate capital; move the gate to eval_gates",
            files={"test_capitals.py": MARKED.format(gate="capital >= 1")}),
    Mistake("the ini name for the option", "the ini file's name is typed as an option",
            "pytest $MMLU --eval-gates='mmlu >= 0.5'",
            r"--eval-gates.*did you mean --eval-gate\b"),
]  # fmt: skip
