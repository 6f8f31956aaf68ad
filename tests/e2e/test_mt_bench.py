"""MT-Bench on a real vLLM, from the command line to InstructLab's files; one model answers and judges."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .vllm_environment import Server

QUESTIONS = [81, 82, 83, 84, 85, 86]
SCORED = 5  # at least: the answers are drawn at random, so that a rating may be missing


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("processes", ["0", "2"])
def test_mt_bench_runs_from_the_published_data(judging_vllm: Server, tmp_path: Path, processes: str) -> None:
    name, url = judging_vllm.name, judging_vllm.url
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", processes, "--eval-model",
               name, "--eval-base-url", url, "--eval-judge-model", name, "--eval-benchmark", "mt_bench",
               "--eval-first-n", str(len(QUESTIONS)), "--junit-xml", "junit.xml",
               "--eval-gate", "mt_bench.unscored_rate <= 20%", "--eval-no-judge-trial"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr

    [score] = re.findall(r"^mt_bench .* (\S+) of 10 ", done.stdout, re.MULTILINE)
    assert 1 <= float(score) <= 10

    folder = tmp_path / "eval_output" / "mt_bench"
    answers = records(folder / "model_answer" / f"{judging_vllm.name}.jsonl")
    assert [answer["question_id"] for answer in answers] == QUESTIONS
    assert all(turn for answer in answers for turn in answer["choices"][0]["turns"])
    judgments = records(folder / "model_judgment" / f"{judging_vllm.name}_single.jsonl")
    assert len(judgments) == 2 * len(QUESTIONS)
    scores = {number: [found["score"] for found in judgments if found["question_id"] == number]
              for number in QUESTIONS}  # fmt: skip
    scored = [number for number, turns in scores.items() if all(1 <= score <= 10 for score in turns)]
    assert len(scored) >= SCORED, scores

    properties = ElementTree.parse(tmp_path / "junit.xml").iterfind(".//property[@name='eval.turn_1']")
    turns = [float(found.attrib["value"]) for found in properties]
    assert len(turns) >= SCORED
    assert all(1 <= turn <= 10 for turn in turns)
