"""What tests of benchmarks without InstructLab's files asked in chats: kept for a judging run of its own."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from pytest_instructlab_eval.data.answers import read_typed_lines
from pytest_instructlab_eval.data.file_names import existing_file, file_of
from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.records.evidence import Chat
from pytest_instructlab_eval.records.scores import Result, plain
from pytest_instructlab_eval.suites.registry import benchmark
from pytest_instructlab_eval.visible import inert_json

__all__ = ["Chats", "read_chats", "write_chats"]

FOLDER = "answers"

Chats = Mapping[tuple[str, str], tuple[Chat, ...]]
"""The chats of each test by its benchmark and question."""


class _Line(TypedDict):
    benchmark: str
    question: str
    chats: tuple[Chat, ...]


def write_chats(folder: Path, results: Iterable[Result]) -> None:
    """Write `answers/MODEL.jsonl`, a line a test; raises OSError."""
    lines: dict[str, list[str]] = defaultdict(list)
    for result in results:
        known = benchmark(result.benchmark)
        if result.chats and (known is None or known.files is None):
            record = {
                "benchmark": result.benchmark, "question": result.question, "chats": plain(result.chats),
            }  # fmt: skip
            lines[result.model].append(json.dumps(record, ensure_ascii=False))
    for model, written in lines.items():
        path = folder / FOLDER / file_of(model, ".jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, inert_json("".join(f"{line}\n" for line in written)))


def read_chats(folder: Path, model: str) -> Chats:
    """Return what a model was asked; raises ConfigurationError where there is no file, and DataError."""
    path = existing_file(folder / FOLDER, model, ".jsonl")
    if not path.exists():
        raise ConfigurationError(
            f"--eval-stage judge: there are no answers of {model} in {path}; write them with "
            "--eval-stage answer"
        )
    return {(line["benchmark"], line["question"]): line["chats"] for _, line in read_typed_lines(path, _Line)}
