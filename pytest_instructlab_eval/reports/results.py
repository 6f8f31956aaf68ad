"""results.json: everything that a run found, for other programs (docs/results.md describes it)."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.options import Settings
from pytest_instructlab_eval.reports.ranking import rank
from pytest_instructlab_eval.reports.summary import summarise
from pytest_instructlab_eval.scores import Result, plain

__all__ = ["SCHEMA_VERSION", "read_results", "replace_text", "write_results"]

SCHEMA_VERSION = 1


def write_results(
    path: Path,
    results: Sequence[Result],
    settings: Settings,
    *,
    fingerprint: Mapping[str, Any] | None = None,
    gates: Sequence[Any] = (),
    changes: Sequence[Any] = (),
) -> None:
    """Write the file whole or not at all; raises OSError.

    `fingerprint` is what the scores depend on; `gates` and `changes` are records.
    """
    candidates = [result for result in results if result.model != settings.base_label]
    document = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "plugin_version": importlib.metadata.version("pytest-instructlab-eval"),
        "configuration": dataclasses.asdict(settings),
        "fingerprint": fingerprint or {},
        "models": settings.labels,
        "ranking": [dataclasses.asdict(row) for row in rank(candidates)],
        "summaries": [dataclasses.asdict(summary) for summary in summarise(results)],
        "gates": [dataclasses.asdict(report) for report in gates],
        "changes": [dataclasses.asdict(entry) for entry in changes],
        "results": [result.to_plain() for result in results],
    }
    replace_text(path, json.dumps(plain(document), indent=1, ensure_ascii=False) + "\n")


def read_results(path: Path) -> list[Result]:
    """The results in a file; raises DataError where it isn't one, or is of a newer schema."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        version = int(document["schema_version"])
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror})") from None
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        raise DataError(f"{path} is not a results.json of this plugin") from None
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {version}, newer than the {SCHEMA_VERSION} that this version of the "
            "plugin reads; upgrade pytest-instructlab-eval"
        )
    try:
        return [Result.from_plain(record) for record in document["results"]]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise DataError(
            f"{path} is damaged: its results are not as schema version {version} has them"
        ) from None


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or leave the old one as it is."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
