"""Reads the answers of an earlier run, of this plugin or of `instructlab-eval`, to judge them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.reports.file_names import safe_name

__all__ = ["read_answers"]


def read_answers(folder: Path, model: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """A model's answers to each question by its id: for each turn, those of each time that it was asked.

    `folder` holds `model_answer/`. Raises ConfigurationError where there is no file of the model, and
    DataError where it isn't one of answers.
    """
    path = folder / "model_answer" / f"{safe_name(model)}.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigurationError(
            f"--eval-stage judge: there are no answers of {model} in {path}; write them with "
            "--eval-stage answer"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read ({error})") from None
    return dict(
        _answer(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    )


def _answer(line: str, place: str) -> tuple[str, tuple[tuple[str, ...], ...]]:
    try:
        record: Mapping[str, Any] = json.loads(line)
        times = [choice["turns"] for choice in record["choices"]]
        if not times or not all(isinstance(turn, str) for turns in times for turn in turns):
            raise TypeError
        return str(record["question_id"]), tuple(zip(*times, strict=True))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise DataError(f"{place}: must be an answer, with question_id and choices[0].turns") from None
