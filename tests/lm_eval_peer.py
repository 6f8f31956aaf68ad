"""Runs lm-eval's own `local-completions` on MMLU tasks of published CSV files: the peer to compare with.

    python -m tests.lm_eval_peer --url URL --model NAME --tokenizer DIR --data DIR --out FILE TASK...

FILE gets {"seconds", "acc": {task: accuracy}, "choices": {task: [index of the likeliest choice]}}.
The time is that of lm-eval's `simple_evaluate` alone: no import, no reading of data.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

LETTERS = "ABCD"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "model", "tokenizer", "data", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--max-length", type=int, default=8192)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--first-n", type=int)
    parser.add_argument("--system-prompt")
    parser.add_argument("tasks", nargs="+")
    options = parser.parse_args()
    Path(options.out).write_text(json.dumps(evaluate(options)), encoding="utf-8")


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    from lm_eval.evaluator import simple_evaluate

    arguments = {
        "base_url": f"{options.url}/completions",
        "model": options.model,
        "tokenizer": options.tokenizer,
        "tokenizer_backend": "huggingface",
        "num_concurrent": options.concurrency,
        "max_length": options.max_length,
    }
    tasks = [task(subject, Path(options.data)) for subject in options.tasks]
    started = time.perf_counter()
    found = simple_evaluate(
        model="local-completions",
        model_args=arguments,
        tasks=tasks,
        num_fewshot=5,
        batch_size=1,
        limit=options.first_n,
        log_samples=True,
        bootstrap_iters=0,
        system_instruction=options.system_prompt,
        apply_chat_template=options.system_prompt is not None,
    )
    seconds = time.perf_counter() - started
    subject = {f"mmlu_{name}": name for name in options.tasks}
    return {
        "seconds": seconds,
        "acc": {subject[name]: scores["acc,none"] for name, scores in found["results"].items()},
        "choices": {subject[name]: choices(samples) for name, samples in found["samples"].items()},
    }


def choices(samples: list[dict[str, Any]]) -> list[int]:
    """The likeliest choice of each question, in the order of the file."""
    ordered = sorted(samples, key=lambda sample: int(sample["doc_id"]))
    logprobs = [[float(response[0]) for response in sample["filtered_resps"]] for sample in ordered]
    return [max(range(len(row)), key=row.__getitem__) for row in logprobs]


def task(subject: str, data: Path) -> Any:
    """lm-eval's task over local files."""
    import datasets
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask

    folder = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
    index = lm_eval.tasks.TaskManager(include_defaults=False, include_path=str(folder)).task_index
    config = dict(index[f"mmlu_{subject}"].cfg or {})
    config.pop("tag", None)

    def rows(split: str) -> Any:
        with open(data / split / f"{subject}_{split}.csv", newline="", encoding="utf-8") as file:
            records = [
                {"question": row[0], "subject": subject, "choices": row[1:5], "answer": LETTERS.index(row[5])}
                for row in csv.reader(file)
            ]
        return datasets.Dataset.from_list(records)

    config["custom_dataset"] = lambda **_: {"test": rows("test"), "dev": rows("dev")}
    return ConfigurableTask(config=config)


if __name__ == "__main__":
    main()
