"""MMLU by this plugin and by lm-eval, on the same running server, one after the other.

    python -m tests.perf.mmlu --url http://127.0.0.1:8000/v1 --model NAME --tokenizer DIR --data DIR TASK...

Ours is the time of the whole pytest process; lm-eval's that of `simple_evaluate` alone, without imports
and reading of data, at a concurrency of 32.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "model", "tokenizer", "data"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--max-length", default="8192")
    parser.add_argument("tasks", nargs="*", default=["anatomy", "astronomy", "global_facts", "philosophy"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, accuracy, questions = run_plugin(options, folder)
        theirs, peer_accuracy = run_lm_eval(options, folder)
    same = all(abs(accuracy[task] - peer_accuracy[task]) < 1e-9 for task in options.tasks)
    print(f"{len(options.tasks)} tasks, {questions} questions")
    print(f"this plugin, whole process {ours:8.1f} s")
    print(f"lm-eval, simple_evaluate   {theirs:8.1f} s")
    print(f"ratio {theirs / ours:.1f}; accuracy {'equal on every task' if same else 'DIFFERENT'}")


def run_plugin(options: argparse.Namespace, folder: Path) -> tuple[float, dict[str, float], int]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--eval-model", options.model,
               "--eval-base-url", options.url, f"--eval-mmlu-data={Path(options.data).resolve()}",
               "-k", " or ".join(f"[{task}]" for task in options.tasks)]  # fmt: skip
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    results = json.loads((folder / "eval_output" / "results.json").read_text())["results"]
    accuracy = {result["question"]: result["scores"][0]["value"] for result in results}
    return seconds, accuracy, sum(result["scores"][0]["n"] for result in results)


def run_lm_eval(options: argparse.Namespace, folder: Path) -> tuple[float, dict[str, float]]:
    out = folder / "lm_eval.json"
    command = [sys.executable, "-m", "tests.lm_eval_peer", "--url", options.url, "--model", options.model,
               "--tokenizer", options.tokenizer, "--data", options.data, "--out", str(out),
               "--max-length", options.max_length, *options.tasks]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = json.loads(out.read_text())
    return float(found["seconds"]), found["acc"]


if __name__ == "__main__":
    main()
