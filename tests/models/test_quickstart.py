"""The quickstart's run, as the README gives it: two models in this process, and which is better."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: install the extra `local`")

ROOT = Path(__file__).parents[2]


def test_the_readmes_first_command_shows_lab_clearly_better_than_base(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"cd (\S+) && pytest (--eval-model=models/base.*?)\n```", text, re.DOTALL)
    assert found is not None
    # Without what needs judge prompts, which would be downloaded.
    line = found[2].replace("\\\n", " ").replace("--eval-benchmark mt_bench_branch", "")
    options = shlex.split(line)
    plain = ["-p", "no:cacheprovider", f"--eval-output-dir={tmp_path}"]
    run = [sys.executable, "-m", "pytest", *plain, *options]
    folder = ROOT / found[1]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    command = [sys.executable, "-m", "pytest_instructlab_eval", "best", str(tmp_path)]
    best = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert best.stdout == "models/lab\n"
    behind = re.search(r"^base .* (0\.\d+) to (0\.\d+)$", done.stdout, re.MULTILINE)
    assert behind is not None, done.stdout
    assert float(behind[1]) > 0.4  # of 1, at 95 %
