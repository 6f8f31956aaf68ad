"""Mistakes in having the run serve the model."""

from __future__ import annotations

import json

from .mistake import Mistake

FILES = {"granite/config.json": json.dumps({"model_type": "llama"})}
SERVED = "pytest --eval-model=./granite $ON_MMLU --eval-serve="


def served(name: str, meant: str, options: str, gets: str, **more: str) -> Mistake:
    return Mistake(name, meant, SERVED + options, gets, files=FILES, **more)  # type: ignore[arg-type]


MISTAKES = [
    served("vLLM is not installed", "vLLM is wanted and not installed", "vllm",
           r"\S*python\S* has no vLLM: .*--eval-vllm-python"),
    served("another Python", "the Python that has vLLM is misspelt", "vllm --eval-vllm-python=/opt/vlm/bin/python",
           r"--eval-vllm-python: expected a Python that runs \(got '/opt/vlm/bin/python'\)"),
    served("a Python that is none", "a folder is given for the Python that has vLLM",
           "vllm --eval-vllm-python=granite", r"--eval-vllm-python: expected a Python that runs \(got 'granite'\)"),
    served("a port", "a port is given to vLLM", "vllm --eval-vllm-args='--port 8000'",
           r"--eval-vllm-args: expected no --port, which the run sets.*--eval-base-url"),
    served("an open quote", "a quote in vLLM's arguments is not closed", "vllm '--eval-vllm-args=--dtype \"half'",
           r"--eval-vllm-args: expected arguments as a shell takes them"),
    served("all GPUs", "all GPUs are asked for by a word", "vllm --eval-gpus=all",
           r"--eval-gpus: expected a whole number 0 or more \(got 'all'\)"),
    served("more GPUs than there are", "more GPUs are asked for than there are",
           "vllm --eval-vllm-python=/usr/bin/true --eval-gpus=99",
           r"--eval-gpus .*99 GPUs.*are visible"),
    served("never", "no server is to be started, and no URL is given", "never",
           r"--eval-serve never needs a running server; .*--eval-base-url"),
    served("an unknown way", "the way of serving is misspelt", "llama.cpp",
           r"--eval-serve: expected one of auto, never, vllm, local \(got 'llama\.cpp'\)"),
    served("a load without a time", "a time is given in minutes", "local --eval-serve-timeout=30m",
           r"--eval-serve-timeout: expected a number of seconds.*\(got '30m'\)"),
    Mistake("a judge that is no model", "the judge's folder is no model",
            "pytest $ANSWERS --eval-judge-model=./judge --eval-judge-base-url=$URL",
            r"has no model './judge'; it has: tiny", files={"judge/notes.txt": "mine\n"}),
    Mistake("arguments for a server that runs", "arguments for vLLM are given beside a server's URL",
            "pytest $MMLU -k anatomy --eval-vllm-args='--max-model-len 4096'",
            r"--eval-vllm-args .*--eval-base-url"),
]  # fmt: skip
