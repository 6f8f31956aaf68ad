"""The earlier runs of an output folder, which a new run moves to its folder `previous`."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import re
from pathlib import Path

from pytest_instructlab_eval.errors import DataError

FOLDER = "previous"
RESULTS = "results.json"
FILES = (RESULTS, "summary.md", "report.html")
TIME = "%Y-%m-%dT%H-%M-%SZ"  # without colons, which Windows and artifacts of CI systems do not allow
NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z(-[0-9]{3})?")


def set_aside(folder: Path, keep: int) -> None:
    """Move the results and the pages of the last run to `previous/TIME/`, and keep so many such runs.

    TIME is when the results were written, in UTC. Nothing else in the folder is touched. Raises OSError.
    """
    results = folder / RESULTS
    if not results.is_file():
        return
    written = datetime.datetime.fromtimestamp(results.stat().st_mtime, datetime.timezone.utc)
    target = _new_folder(folder / FOLDER, written.strftime(TIME))
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / name, target / name)
    for old in previous_runs(folder)[keep:]:
        _remove(old)
    with contextlib.suppress(OSError):  # not empty
        (folder / FOLDER).rmdir()


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
    runs = previous_runs(folder)
    if runs and not os.path.exists(folder / RESULTS):
        raise DataError(
            f"{folder} has no {RESULTS}, since its last run was refused or did not end (see summary.md "
            f"there); the run before it is {runs[0]}"
        )
    return path / RESULTS if path.is_dir() else path


def _new_folder(parent: Path, name: str) -> Path:
    """Make and return a folder of this name, with a number after it where there is one already."""
    for number in itertools.count():
        path = parent / (f"{name}-{number:03}" if number else name)
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError  # the loop has no end


def _remove(run: Path) -> None:
    """Remove an earlier run; files in it that this plugin did not write stay."""
    for name in FILES:
        (run / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty
        run.rmdir()
