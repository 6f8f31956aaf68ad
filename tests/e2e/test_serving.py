"""The run starts a real vLLM itself, swaps it for another, and leaves none behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .vllm_environment import environment, python, tiny_model

VLLM_ARGS = "--dtype float32 --max-model-len 4096 --enforce-eager"


def command(model: Path, *args: str) -> list[str]:
    served = (f"--eval-vllm-python={python()}", f"--eval-vllm-args={VLLM_ARGS}", "--eval-benchmark=mt_bench")
    plain = ("-p", "no:cacheprovider", "-n", "0", "--eval-first-n=3", f"--eval-model={model}")
    return [sys.executable, "-m", "pytest", *plain, *served, *args]


def servers_below(folder: Path) -> list[str]:
    """The processes that run in a folder: what a run there has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if process.readlink() == folder:
                found.append(process.parent.name)
    return found


def wait_until_none_is_left(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while servers_below(folder):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.2)


def test_the_model_answers_then_the_judge_is_served_in_its_place(tmp_path: Path) -> None:
    model, judge = tiny_model(), tiny_model(trained=True)
    unrated = "--eval-gate=mt_bench.unscored_rate <= 100%"  # an untrained model may confuse the judge
    run = command(model, f"--eval-judge-model={judge}", unrated, "--eval-no-judge-trial")
    done = subprocess.run(
        run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.findall(r"(starting vLLM with|vLLM serves) (\S+?);? ", done.stdout)
    assert [name for _, name in told] == [model.name, model.name, judge.name, judge.name]
    assert re.search(r"^mt_bench .* of 10 ", done.stdout, re.MULTILINE)
    wait_until_none_is_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_while_the_model_loads_leaves_nothing(tmp_path: Path, number: int) -> None:
    run = command(tiny_model(trained=True), f"--eval-judge-model={tiny_model(trained=True)}")
    process = subprocess.Popen(
        run, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    log = tmp_path / "eval_output" / "serving"
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in log.glob("*.log")):
        assert time.monotonic() < deadline, "vLLM was not started"
        time.sleep(0.1)
    os.kill(process.pid, number)
    assert process.wait(60) != 0
    wait_until_none_is_left(tmp_path)


def test_a_folder_that_is_no_model_vllm_can_load_is_told_in_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    done = subprocess.run(
        command(folder, f"--eval-judge-model={folder}"), cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=600, env=environment(),
    )  # fmt: skip
    shown = done.stdout + done.stderr
    assert done.returncode == 4, shown
    assert "vLLM with broken ended with status 1" in shown
    assert "Traceback" not in shown.partition("the end of")[0]
    wait_until_none_is_left(tmp_path)
