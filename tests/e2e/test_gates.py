"""Gates on real runs of two small models: one that passes, one that fails, one that can't be decided."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.examples_data import write_mmlu

from .vllm_environment import Server

ROWS = 4


def run(folder: Path, server: Server, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--eval-model", server.name,
               "--eval-base-url", server.url, f"--eval-mmlu-data={folder / 'mmlu'}", *args]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("processes", ["0", "2"])
def test_gates_decide_on_a_real_models_run(
    vllm: Server, judging_vllm: Server, tmp_path: Path, processes: str
) -> None:
    write_mmlu(tmp_path / "mmlu", rows=ROWS)
    saved = run(tmp_path, vllm, "--eval-save-baseline=main.json", "-n", processes)
    assert saved.returncode == 0, saved.stdout + saved.stderr

    same = run(tmp_path, vllm, "--eval-baseline=main.json", "--eval-gate=mmlu.drop <= 0.02", "-n", processes)
    assert same.returncode == 0, same.stdout + same.stderr
    assert re.search(
        r"228\s+questions\s+against\s+the\s+baseline,\s+all\s+with\s+the\s+same\s+score", same.stdout
    )

    gates = ("mmlu <= 0.6", "mmlu >= 0.9", "mmlu.drop <= 0.02")
    args = ("--eval-baseline=main.json", *(f"--eval-gate={gate}" for gate in gates), "--junitxml=junit.xml")
    other = run(tmp_path, judging_vllm, *args, "-n", processes)
    assert other.returncode == 1, other.stdout + other.stderr
    cases = {
        case.attrib["name"]: {found.attrib["name"]: found.attrib["value"] for found in case.iter("property")}
        for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")
        if case.attrib["classname"] == "gates"
    }
    assert {name: cases[name]["eval.verdict"] for name in gates} == {
        "mmlu <= 0.6": "passed",
        "mmlu >= 0.9": "failed",
        "mmlu.drop <= 0.02": "inconclusive",  # two models that guess, on so few questions
    }
    assert float(cases["mmlu.drop <= 0.02"]["eval.minimum_detectable_drop"]) > 0.02
    assert "1 inconclusive" in other.stdout.splitlines()[-1]
