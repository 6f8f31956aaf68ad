"""Writes MMLU-Branch tasks with made-up questions, in the forms in which InstructLab's SDG leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

__all__ = ["TEMPLATE", "TEXT", "rows", "settings", "write_included", "write_rows", "write_task"]

TEMPLATE = "_default_mmlu_pr_template_yaml"
TEXT = (
    "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\n"
    "C. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:"
)
ELSEWHERE = "/home/trainer/generated/node_datasets_2025-01-31T10_20_30"  # where another machine wrote them
SUBJECTS = ("the tin whistle", "Brindle Bay", "the moss owl", "salt bread", "the night ferry")


def rows(count: int, *, own_text: str = "mmlubench_answer") -> list[dict[str, Any]]:
    """Questions whose right letter takes all four in turn; `own_text` is the field of its text."""
    return [_row(number, own_text) for number in range(count)]


def _row(number: int, own_text: str) -> dict[str, Any]:
    subject, answer = SUBJECTS[number % len(SUBJECTS)], (number * 7 + 1) % 4
    choices = [f"{10 + number + step} of them, seen in {subject}" for step in (0, 3, 5, 9)]
    return {
        "question": f" How many lamps does {subject} need in year {number}? ",
        "choices": choices,
        "answer": answer,
        own_text: f"{'ABCD'[answer]}) {choices[answer]}",
        "subject": "lamps",
    }


def settings(name: str, data: str, *, letters: bool = False) -> dict[str, Any]:
    """What a task's YAML says; with `letters` the letters are its choices, else their texts."""
    texts = "{{[choices[0], choices[1], choices[2], choices[3]]}}"
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "test_split": "test",
        "doc_to_text": TEXT,
        "doc_to_choice": list("ABCD") if letters else texts,
        "doc_to_target": "answer" if letters else "{{answer}}",
        "output_type": "multiple_choice",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": "true"}],
        "dataset_kwargs": {"data_files": {"test": data}},
        "tag": "mmlu_pr",
    }


def write_rows(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_task(
    folder: Path,
    name: str,
    records: Sequence[Mapping[str, Any]] | None = None,
    *,
    letters: bool = False,
    **changes: Any,
) -> Path:
    """Write a task and its rows, by default eight, with the path of another machine. Gives the YAML."""
    data = f"mmlubench_{name}.jsonl"
    write_rows(folder / data, rows(8) if records is None else records)
    path = folder / f"{name}_task.yaml"
    content = {**settings(name, f"{ELSEWHERE}/{data}", letters=letters), **changes}
    path.write_text(yaml.safe_dump(content, default_flow_style=False), encoding="utf-8")
    return path


def write_included(folder: Path, name: str, records: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Write a task of the older form, which includes what it shares with the others. Gives the YAML."""
    data = f"{name}.jsonl"
    write_rows(folder / data, rows(8, own_text="targets") if records is None else records)
    shared = settings("mmlu_pr", data, letters=True)
    del shared["tag"], shared["dataset_kwargs"]
    (folder / TEMPLATE).write_text(yaml.safe_dump(shared, sort_keys=False), encoding="utf-8")
    own = {
        "dataset_kwargs": {"data_files": {"test": f"{ELSEWHERE}/{data}"}},
        "group": "mmlu_pr",
        "include": TEMPLATE,
        "task": name,
    }
    path = folder / f"{name}_task.yaml"
    path.write_text(yaml.safe_dump(own), encoding="utf-8")
    return path
