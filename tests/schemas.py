"""The published schemas of the files that a run writes, and what of a file is not as they say."""

from __future__ import annotations

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

__all__ = ["check_written", "schema", "schema_problems"]


def schema(name: str) -> dict[str, Any]:
    """The schema of "results" or "baseline"."""
    text = (resources.files("pytest_instructlab_eval.records") / f"{name}.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name), validate_formats=True)


def schema_problems(document: object) -> list[str]:
    """What in a results.json or a baseline is not as its schema has it, each with its place."""
    kind = "results" if isinstance(document, dict) and "results" in document else "baseline"
    return [
        f"/{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in _validator(kind).iter_errors(document)
    ]


def check_written(folder: Path, since: float) -> None:
    """Assert that the result files and baselines written in a folder since then are as their schema says."""
    for path in folder.rglob("*.json"):
        if path.stat().st_mtime >= since:
            document = json.loads(path.read_text("utf-8"))
            # That of another tool's format is a text.
            if isinstance(document, dict) and isinstance(document.get("schema_version"), int):
                assert schema_problems(document) == [], path
