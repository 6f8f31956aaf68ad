"""MT-Bench's answers and judgments by this plugin, beside a bare load generator with the same requests.

    python -m tests.perf.mt_bench --url http://127.0.0.1:8000/v1 --model NAME [--peer-python PYTHON]

The load generator sends what the plugin sent, each question's requests one after the other and
`--concurrency` questions at once, over a bare HTTP client. PYTHON is an interpreter that has
instructlab-eval, whose own MTBenchEvaluator (10 workers) is then timed too. Ours is the time of the whole
pytest process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

PEER = """
import sys, time
from instructlab.eval.mt_bench import MTBenchEvaluator
url, model, folder = sys.argv[1:]
evaluator = MTBenchEvaluator(model, model, output_dir=folder)
started = time.perf_counter()
evaluator.gen_answers(url, max_workers=10)
try:
    evaluator.judge_answers(url, max_workers=10)
except Exception as error:  # an untrained judge gives no rating at all
    print(type(error).__name__, file=sys.stderr)
print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--peer-python")
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = run_plugin(options, folder)
        print(f"this plugin, whole process    {ours:8.1f} s", flush=True)
        chats = sent(folder / "eval_output")
        started = time.perf_counter()
        count = asyncio.run(load(options, chats))
        bare = time.perf_counter() - started
        print(
            f"bare client, {count} requests     {bare:8.1f} s; throughput ratio {bare / ours:.2f}", flush=True
        )
        if options.peer_python:
            command = [options.peer_python, "-c", PEER, options.url, options.model, str(folder / "peer")]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            theirs = float(done.stdout.split()[-1])
            print(f"instructlab-eval, 10 workers  {theirs:8.1f} s; ratio {theirs / ours:.2f}")


def run_plugin(options: argparse.Namespace, folder: Path) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--eval-model", options.model,
               "--eval-base-url", options.url, "--eval-judge-model", options.model, "--eval-benchmark",
               "mt_bench", "--eval-max-concurrency", str(options.concurrency)]  # fmt: skip
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def sent(output: Path) -> list[list[dict[str, Any]]]:
    """The bodies of each question's requests, without the model's system prompt."""
    questions = []
    for result in json.loads((output / "results.json").read_text())["results"]:
        messages: list[dict[str, str]] = []
        bodies: list[dict[str, Any]] = []
        for score in result["scores"]:
            metadata = score["metadata"]
            messages.append({"role": "user", "content": metadata["question"]})
            bodies.append({"messages": list(messages), "max_tokens": 1024, "temperature": 0})
            messages.append({"role": "assistant", "content": metadata["answer"]})
        for score in result["scores"]:
            judged = [{"role": "user", "content": score["metadata"]["user_prompt"]}]
            tries = 1 if score["value"] is not None else 2
            bodies += [{"messages": judged, "max_tokens": 2048, "temperature": 0}] * tries
        questions.append(bodies)
    return questions


async def load(options: argparse.Namespace, questions: list[list[dict[str, Any]]]) -> int:
    gate = asyncio.Semaphore(options.concurrency)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def ask(bodies: list[dict[str, Any]]) -> None:
            async with gate:
                for body in bodies:
                    full = {"model": options.model, **body}
                    async with session.post(f"{options.url}/chat/completions", json=full) as reply:
                        await reply.read()

        await asyncio.gather(*(ask(bodies) for bodies in questions))
    return sum(len(bodies) for bodies in questions)


if __name__ == "__main__":
    main()
