"""The reader of results.json; `reports.results_json` writes it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from pytest_instructlab_eval.data.typed_json import (
    MisfitError,
    NotJSONError,
    load_json,
    read_as,
    schema_version,
)
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.schema import RULES, gate_problems
from pytest_instructlab_eval.records.scores import Result

SCHEMA_VERSION = 1


def read_run(path: Path, *, check_gate: Callable[[str], object] | None = None) -> Run:
    """Return the run in a file; raises DataError for any other file, a damaged one, or a newer schema.

    `check_gate` raises ConfigurationError for what is no gate: the language of gates is not known here.
    """
    try:
        document = load_json(path)
    except NotJSONError as error:
        raise DataError(f"{path} is not a results.json of this plugin ({error})") from None
    except MisfitError as misfit:
        raise _damaged(path, misfit) from None
    return run_of(document, path, check_gate=check_gate)


def written_at(path: Path) -> datetime.datetime:
    """Return when a file's run ended (UTC): what it says, else when the file was written.

    Raises DataError for a file that is no JSON.
    """
    try:
        document = load_json(path)
    except (NotJSONError, MisfitError) as error:
        raise DataError(f"{path} is not a results.json of this plugin ({error})") from None
    return ended_at(document, path)


def ended_at(document: object, path: Path) -> datetime.datetime:
    """Return when a run ended (UTC): what its document says, else when the file was written."""
    created = document.get("created") if isinstance(document, dict) else None
    try:
        time = datetime.datetime.fromisoformat(str(created))
        return time.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.timezone.utc)


def run_of(document: object, path: Path, *, check_gate: Callable[[str], object] | None = None) -> Run:
    """Return the run in a file's document; raises DataError like `read_run`."""
    version = schema_version(document)
    if version is None or not isinstance(document, dict):
        raise DataError(f"{path} is not a results.json of this plugin (it has no schema_version)")
    check_version(path, version, SCHEMA_VERSION)
    values = {field.name: document[field.name] for field in fields(Run) if field.name in document}
    try:
        run = read_as(Run, values, RULES)
        for problem in gate_problems(run, check_gate) if check_gate is not None else ():
            raise problem
        return run
    except MisfitError as misfit:
        raise _damaged(path, misfit) from None


def check_version(path: Path, version: int, newest: int) -> None:
    """Raise DataError for a file with a newer schema than the newest supported one."""
    if version > newest:
        raise DataError(
            f"{path} has schema version {version}, newer than the {newest} that this version of the plugin "
            "reads; upgrade pytest-instructlab-eval"
        )


def _damaged(path: Path, misfit: MisfitError) -> DataError:
    return DataError(f"{path} is damaged: {misfit}; evaluate again, or restore the file")


def read_results(path: Path) -> list[Result]:
    """Return the results in a file; raises DataError like `read_run`."""
    return list(read_run(path).results)
