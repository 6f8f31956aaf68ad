"""results.json: everything that a run found, for other programs (docs/results.md describes it)."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.data.typed_json import Misfit, NotJSON, load, read_as, schema_version
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.schema import RULES
from pytest_instructlab_eval.records.scores import Result, plain
from pytest_instructlab_eval.stats.ranking import rank
from pytest_instructlab_eval.stats.summary import summarise
from pytest_instructlab_eval.visible import inert_json

__all__ = ["SCHEMA_VERSION", "read_results", "read_run", "replace_text", "run_of", "write_run"]

SCHEMA_VERSION = 1
HEAD = (  # of a run, beside its results
    "configuration", "fingerprint", "models", "base", "gates", "standing_gates", "left_out", "incomplete",
    "tests", "notes", "silent", "adaptations", "directory",
)  # fmt: skip


def write_run(path: Path, run: Run, *, gates: Sequence[Any] = (), changes: Sequence[Any] = ()) -> None:
    """Write the file whole or not at all; raises OSError.

    `gates` and `changes` are records of what became of the gates, and of the comparison.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "plugin_version": importlib.metadata.version("pytest-instructlab-eval"),
        **{name: getattr(run, name) for name in HEAD},
        "ranking": rank(run.candidates),
        "summaries": summarise(run.results),
        "verdicts": gates,
        "changes": changes,
    }
    head = json.dumps(plain(document), indent=1, ensure_ascii=False).removesuffix("\n}")
    # A result a line: so it is written in a third of the time.
    results = ",\n  ".join(json.dumps(result.to_plain(), ensure_ascii=False) for result in run.results)
    replace_text(path, inert_json(f'{head},\n "results": [\n  {results}\n ]\n}}\n'))


def read_run(path: Path) -> Run:
    """The run in a file; raises DataError where it isn't one, is damaged, or is of a newer schema."""
    try:
        document = load(path)
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror})") from None
    except NotJSON as error:
        raise DataError(f"{path} is not a results.json of this plugin ({error})") from None
    except Misfit as misfit:
        raise _damaged(path, misfit) from None
    return run_of(document, path)


def run_of(document: Any, path: Path) -> Run:
    """The run in what a file holds; raises DataError as `read_run`."""
    version = schema_version(document)
    if version is None:
        raise DataError(f"{path} is not a results.json of this plugin (it has no schema_version)")
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {version}, newer than the {SCHEMA_VERSION} that this version of the "
            "plugin reads; upgrade pytest-instructlab-eval"
        )
    known = {field.name: document[field.name] for field in fields(Run) if field.name in document}
    try:
        return read_as(Run, known, RULES)
    except Misfit as misfit:
        raise _damaged(path, misfit) from None


def _damaged(path: Path, misfit: Misfit) -> DataError:
    return DataError(f"{path} is damaged: {misfit}; evaluate again, or restore the file")


def read_results(path: Path) -> list[Result]:
    """The results in a file; raises DataError as `read_run`."""
    return list(read_run(path).results)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or leave the old one as it is."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
