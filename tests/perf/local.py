"""MMLU by a model in the same process, and by lm-eval's `hf` on the same weights, one after the other.

    python -m tests.perf.local [--shape small] [--mmlu-data DIR] [TASK...]

The weights are random ones of the shape, made on the spot: `tiny` and `small` run anywhere, `granite-7b`
needs a GPU of 24 GB. Without data, made-up questions are asked. Each time is that of asking alone: rendering
prompts, tokenizing and computing, without imports, reading weights, and reading data on lm-eval's side.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.models.local import LocalModel
from pytest_instructlab_eval.suites import mmlu
from tests.examples_data import write_mmlu


@dataclass(frozen=True)
class Shape:
    """Of a Llama; `vocabulary` None is that of the tokenizer."""

    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int | None = None
    dtype: str = "float32"


SHAPES = {
    "tiny": Shape(width=64, inner=64, layers=2, heads=2),
    "small": Shape(width=256, inner=688, layers=6, heads=8),
    "granite-7b": Shape(4096, inner=11008, layers=32, heads=32, vocabulary=32008, dtype="bfloat16"),
}
TASKS = ("anatomy", "astronomy", "global_facts", "philosophy")
ROWS = 100  # made-up questions a task
Logprobs = dict[str, list[list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--mmlu-data", type=Path)
    parser.add_argument("--batch-size", default="16", help="lm-eval's: a number or auto")
    parser.add_argument("tasks", nargs="*", default=TASKS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name, "model"), options.mmlu_data or Path(name, "mmlu")
        if options.mmlu_data is None:
            write_mmlu(data, rows=ROWS)
        make(folder, SHAPES[options.shape])
        ours, our_acc, our_logprobs = asyncio.run(run_ours(folder, data, options.tasks))
        theirs, acc, logprobs = run_lm_eval(folder, data, options.tasks, options.batch_size)
    questions = sum(map(len, logprobs.values()))
    same = all(abs(our_acc[task] - acc[task]) < 1e-9 for task in options.tasks)
    print(f"{options.shape}, {len(options.tasks)} tasks, {questions} questions")
    print(f"LocalModel   {ours:8.1f} s  {questions / ours:8.1f} questions/s")
    print(f"lm-eval's hf {theirs:8.1f} s  {questions / theirs:8.1f} questions/s")
    print(f"ratio {theirs / ours:.1f}; accuracy {'equal on every task' if same else f'{our_acc}, not {acc}'}")
    print(f"greatest difference of a log-likelihood {difference(our_logprobs, logprobs):.1e}")


def make(folder: Path, shape: Shape) -> None:
    import torch
    import transformers

    from tests.e2e.make_model import make_tokenizer

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary or len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.1,  # likelihoods that differ
        dtype=shape.dtype,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, shape.dtype))
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    torch.cuda.empty_cache()


async def run_ours(
    folder: Path, data: Path, names: Sequence[str]
) -> tuple[float, dict[str, float], Logprobs]:
    tasks = [task for task in mmlu.mmlu_tasks(data=data) if task.subject in names]
    for library in ("lm_eval.tasks", "datasets"):
        importlib.import_module(library)
    model = LocalModel(str(folder))
    await model.load()
    started = time.perf_counter()
    scores = await asyncio.gather(*(mmlu.score_mmlu(task, model) for task in tasks))
    seconds = time.perf_counter() - started
    await model.close()
    found = {task.subject: score for task, score in zip(tasks, scores, strict=True)}
    accuracy = {name: score.value or 0.0 for name, score in found.items()}
    logprobs = {name: [list(sample.logprobs) for sample in score.samples] for name, score in found.items()}
    return seconds, accuracy, logprobs


def run_lm_eval(
    folder: Path, data: Path, names: Sequence[str], batch_size: str
) -> tuple[float, dict[str, float], Logprobs]:
    import torch
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    from tests.lm_eval_peer import task

    tasks = [task(name, data) for name in names]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = HFLM(pretrained=str(folder), batch_size=batch_size, device=device)
    started = time.perf_counter()
    found = simple_evaluate(model=model, tasks=tasks, num_fewshot=5, log_samples=True, bootstrap_iters=0)
    seconds = time.perf_counter() - started
    accuracy = {name: found["results"][f"mmlu_{name}"]["acc,none"] for name in names}
    return seconds, accuracy, {name: logprobs_of(found["samples"][f"mmlu_{name}"]) for name in names}


def logprobs_of(samples: Sequence[dict[str, Any]]) -> list[list[float]]:
    ordered = sorted(samples, key=lambda sample: int(sample["doc_id"]))
    return [[float(response[0]) for response in sample["filtered_resps"]] for sample in ordered]


def difference(ours: Logprobs, theirs: Logprobs) -> float:
    pairs = (
        (one, other)
        for name in theirs
        for our_row, row in zip(ours[name], theirs[name], strict=True)
        for one, other in zip(our_row, row, strict=True)
    )
    return max(abs(one - other) for one, other in pairs)


if __name__ == "__main__":
    main()
