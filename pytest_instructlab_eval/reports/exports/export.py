"""The writing of a run in the formats of other tools, each into a folder of its own."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_instructlab_eval.reports.exports.every_eval_ever import write_records
from pytest_instructlab_eval.reports.exports.inspect_log import write_inspect_logs
from pytest_instructlab_eval.reports.exports.question_tables import write_csv, write_parquet
from pytest_instructlab_eval.reports.run_report import RunReport

FOLDER = "export"  # in the output folder
WRITERS: Mapping[str, Callable[[RunReport, Path, datetime.datetime], None]] = {
    "inspect": write_inspect_logs,
    "eee": write_records,
    "csv": write_csv,
    "parquet": write_parquet,
}


def write_export(name: str, report: RunReport, folder: Path, ended: datetime.datetime) -> None:
    """Write a run that ended at this time (UTC) into a folder; raises OSError.

    Files of the same names are replaced once all are complete; whatever else is in the folder stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as name_of_made:
        made = Path(name_of_made)
        WRITERS[name](report, made, ended)
        for path in sorted(path for path in made.rglob("*") if path.is_file()):
            target = folder / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
