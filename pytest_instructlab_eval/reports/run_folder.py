"""The files of a finished run: results.json, those of its benchmarks, and the page for its reviewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.markdown import summary_page
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport


def write_run_folder(folder: Path, report: RunReport, write_answers: Callable[[Path, Run], None]) -> None:
    """Write a run's results, its answers and its page; raises OSError.

    `write_answers` writes what other tools read of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder / "results.json", report)
    write_answers(folder, report.run)
    replace_text(folder / "summary.md", summary_page(report))
