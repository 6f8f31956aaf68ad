"""The earlier runs of an output folder, which a new run moves to its folder `previous`."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import re
import shutil
from pathlib import Path

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.journal_folder import FOLDER as JOURNAL
from pytest_instructlab_eval.records.journal_folder import (
    is_finished,
    journal_files,
    last_written,
    remove_journal,
)

FOLDER = "previous"
RESULTS = "results.json"
FILES = (RESULTS, "summary.md", "report.html", "gl-code-quality.json")
EXPORTS = "export"  # the folder of the run in the formats of other tools
TIME = "%Y-%m-%dT%H-%M-%SZ"  # without colons, which Windows and artifacts of CI systems do not allow
NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z(-[0-9]{3})?")


def set_aside(folder: Path, keep: int, *, journal: bool = False) -> None:
    """Move the results, pages and exports of the last run to `previous/TIME/`, and keep so many such runs.

    With `journal`, its journal goes with them. That of a run that did not end stays until the next run, even
    if no run is to be kept. TIME is when the results or the journal were last written to, in UTC. Nothing
    else in the folder is touched. Raises OSError.
    """
    results, requests = folder / RESULTS, folder / JOURNAL
    journal = journal and bool(journal_files(requests))
    if results.is_file():
        written = results.stat().st_mtime
    elif journal:
        written = last_written(requests)
    else:
        return
    needed = journal and not is_finished(requests)
    time = datetime.datetime.fromtimestamp(written, datetime.timezone.utc)
    target = _new_folder(folder / FOLDER, time.strftime(TIME))
    for name in (*FILES, EXPORTS, JOURNAL) if journal else (*FILES, EXPORTS):
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / name, target / name)
    for old in previous_runs(folder)[keep:]:
        if not (needed and old == target):
            remove_run(old)
    with contextlib.suppress(OSError):  # not empty
        (folder / FOLDER).rmdir()


def remove_run(folder: Path) -> None:
    """Remove an earlier run; files in its folder that this plugin did not write stay. Raises OSError."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / EXPORTS, ignore_errors=True)
    remove_journal(folder / JOURNAL)
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()


def _new_folder(parent: Path, name: str) -> Path:
    """Make and return a folder of this name, with a number after it where there is one already."""
    for number in itertools.count():
        path = parent / (f"{name}-{number:03}" if number else name)
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    return path


def previous_runs(folder: Path) -> list[Path]:
    """Return the folders of the earlier runs, the newest first."""
    with contextlib.suppress(OSError, ValueError):  # a null byte in the folder's name
        runs = [path for path in (folder / FOLDER).iterdir() if NAME.fullmatch(path.name) and path.is_dir()]
        return sorted(runs, key=lambda path: path.name, reverse=True)
    return []


def last_results(folder: Path) -> Path:
    """Return the results.json of the folder's last run, or of the run before where that one has none."""
    candidates = [path / RESULTS for path in (folder, *previous_runs(folder))]
    return next((path for path in candidates if path.is_file()), candidates[0])


def results_path(path: Path) -> Path:
    """Return the results.json of a folder, and any other path as it is.

    Raises DataError where the folder's last run has no results but an earlier one has.
    """
    folder = path.parent if path.name == RESULTS else path
    runs = [run for run in previous_runs(folder) if (run / RESULTS).is_file()]
    if runs and not os.path.exists(folder / RESULTS):
        raise DataError(
            f"{folder} has no {RESULTS}, since its last run was refused or did not end (see summary.md "
            f"there); the run before it is {runs[0]}"
        )
    return path / RESULTS if path.is_dir() else path
