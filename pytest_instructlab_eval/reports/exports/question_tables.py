"""questions.csv and questions.parquet: a row for each question of each model."""

from __future__ import annotations

import csv
import datetime
import io
import os
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.reports.question_rows import QuestionTable
from pytest_instructlab_eval.reports.run_report import RunReport

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute a text that begins so


def write_csv(report: RunReport, folder: Path, ended: datetime.datetime) -> None:
    """Write questions.csv; raises OSError.

    A text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    table = QuestionTable(report.run)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, table.columns)
    writer.writerow({name: _inert(name) for name in table.columns})  # a metric's name is a stranger's too
    for row in table.rows():
        writer.writerow({name: _inert(cell) for name, cell in row.items()})
    replace_text(folder / "questions.csv", text.getvalue())


def _inert(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\0", "\ufffd")  # Python 3.10 cannot write a null byte, and many readers end at one
    return f"'{text}" if text.startswith(FORMULA) else text


def write_parquet(report: RunReport, folder: Path, ended: datetime.datetime) -> None:
    """Write questions.parquet; raises OSError."""
    import pyarrow
    import pyarrow.parquet

    table = QuestionTable(report.run)
    numbers = {"score", "maximum", "seconds", *(f"score_{name}" for name in table.metrics)}
    whole = {"answers", "prompt_tokens", "completion_tokens"}

    def type_of(column: str) -> object:
        if column in numbers:
            return pyarrow.float64()
        if column in whole:
            return pyarrow.int64()
        return pyarrow.bool_() if column == "is_base_model" else pyarrow.string()

    schema = pyarrow.schema([(column, type_of(column)) for column in table.columns])
    path = folder / "questions.parquet"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(table.rows()), schema=schema), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
