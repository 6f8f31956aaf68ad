"""The chats of benchmarks without InstructLab's files, written for a later judging run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from pytest_instructlab_eval.data.answers import answers_file, read_typed_lines
from pytest_instructlab_eval.data.file_names import file_of
from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.escaping import escape_json
from pytest_instructlab_eval.records.evidence import Chat
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.suites.registry import find_benchmark

FOLDER = "answers"

Chats = Mapping[tuple[str, str], tuple[Chat, ...]]
"""The chats of each test by its benchmark and question."""


class _ChatsLine(TypedDict):
    benchmark: str
    question: str
    chats: tuple[Chat, ...]


def write_chats(folder: Path, run: Run) -> None:
    """Write `answers/MODEL.jsonl`, a line a test, of each model of the run; raises OSError.

    Whatever an earlier run wrote of these models is replaced, also where this one has no line of them.
    """
    lines: dict[str, list[str]] = {model: [] for model in run.models if _chats_file(folder, model).exists()}
    for result in run.results:
        benchmark = find_benchmark(result.benchmark)
        if benchmark is None or benchmark.files is None:
            written = lines.setdefault(result.model, [])
            record = {
                "benchmark": result.benchmark, "question": result.question, "chats": plain_data(result.chats),
            }  # fmt: skip
            written.append(json.dumps(record, ensure_ascii=False))
    for model, written in lines.items():
        path = _chats_file(folder, model)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, escape_json("".join(f"{line}\n" for line in written)))


def read_chats(folder: Path, model: str) -> Chats:
    """Return what a model was asked; raises ConfigurationError where there is no file, and DataError."""
    chats: dict[tuple[str, str], tuple[Chat, ...]] = {}
    for _, line in read_typed_lines(answers_file(folder / FOLDER, model), _ChatsLine):
        test = line["benchmark"], line["question"]
        chats[test] = (*chats.get(test, ()), *line["chats"])  # two files may have tests of one name
    return chats


def _chats_file(folder: Path, model: str) -> Path:
    return folder / FOLDER / file_of(model, ".jsonl")
