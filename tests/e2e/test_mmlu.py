"""MMLU on a real vLLM gives what lm-eval gives on the same server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples_data import write_mmlu

from .vllm_environment import Server

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = REPOSITORY.parent / "shared" / "data" / "mmlu"
SUBJECTS = ("abstract_algebra", "anatomy", "global_facts", "us_foreign_policy")


@pytest.fixture(params=["our own questions", "the published questions"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "our own questions":
        write_mmlu(tmp_path / "mmlu", rows=12)
        return tmp_path / "mmlu"
    if not PUBLISHED.is_dir():
        pytest.skip("the published MMLU is not beside this checkout (../shared/data/mmlu)")
    return PUBLISHED


def run_plugin(vllm: Server, data: Path, folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--eval-model", vllm.name,
               "--eval-base-url", vllm.url, "--eval-mmlu-data", str(data), "--eval-output-dir",
               str(folder / "eval_output"), "-k", " or ".join(f"[{name}]" for name in SUBJECTS),
               *options]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((folder / "eval_output" / "results.json").read_text())["results"]
    return {result["question"]: result["scores"][0] for result in results}


def run_lm_eval(vllm: Server, data: Path, folder: Path, *options: str) -> dict[str, Any]:
    out = folder / "lm_eval.json"
    command = [sys.executable, "-m", "tests.lm_eval_peer", "--url", vllm.url, "--model", vllm.name,
               "--tokenizer", str(vllm.model), "--data", str(data), "--out", str(out), *options,
               *SUBJECTS]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert sorted(ours) == sorted(SUBJECTS)
    for subject, score in ours.items():
        chosen = ["ABCD".index(sample["choice"]) for sample in score["samples"]]
        assert chosen == theirs["choices"][subject], subject
        assert score["value"] == pytest.approx(theirs["acc"][subject], abs=1e-12), subject


def test_every_question_is_answered_as_by_lm_eval(vllm: Server, data: Path, tmp_path: Path) -> None:
    assert_equal(run_plugin(vllm, data, tmp_path), run_lm_eval(vllm, data, tmp_path))


def test_with_a_system_prompt_the_chat_template_is_applied_as_by_lm_eval(
    vllm: Server, tmp_path: Path
) -> None:
    write_mmlu(tmp_path / "mmlu", rows=12)
    prompt = ("--system-prompt", "You answer with a letter.")
    ours = run_plugin(vllm, tmp_path / "mmlu", tmp_path, "--eval-system-prompt", prompt[1])
    assert_equal(ours, run_lm_eval(vllm, tmp_path / "mmlu", tmp_path, *prompt))
