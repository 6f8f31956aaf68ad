"""results.json: everything that a run found, for other programs (docs/results.md describes it)."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.reports.ranking import rank
from pytest_instructlab_eval.reports.summary import summarise
from pytest_instructlab_eval.runs import Run, Silent
from pytest_instructlab_eval.scores import Result, plain

__all__ = ["SCHEMA_VERSION", "read_results", "read_run", "replace_text", "write_run"]

SCHEMA_VERSION = 1
HEAD = (  # of a run, beside its results
    "configuration", "fingerprint", "models", "base", "gates", "standing_gates", "left_out", "incomplete",
    "tests", "notes", "silent",
)  # fmt: skip
LISTS = ("gates", "standing_gates", "tests", "notes")


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
    replace_text(path, f'{head},\n "results": [\n  {results}\n ]\n}}\n')


def read_run(path: Path) -> Run:
    """The run in a file; raises DataError where it isn't one, or is of a newer schema."""
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
        return _run(document)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise DataError(
            f"{path} is damaged: its results are not as schema version {version} has them"
        ) from None


def _run(document: Mapping[str, Any]) -> Run:
    results = tuple(Result.from_plain(record) for record in document["results"])
    head: dict[str, Any] = {name: document[name] for name in HEAD if name in document}
    silent = tuple(
        Silent(**{key: str(value) for key, value in record.items()}) for record in head.pop("silent", ())
    )
    lists = {name: tuple(map(str, head.get(name, ()))) for name in LISTS}
    return Run(results, **{**head, **lists}, silent=silent)


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
