"""The output folder of a finished run: results.json, the benchmarks' files, and summary.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.history import NO_HISTORY, RunHistory
from pytest_instructlab_eval.reports.markdown import summary_page
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport


def write_run_folder(folder: Path, report: RunReport, write_answers: Callable[[Path, Run], None]) -> None:
    """Write a run's results, answers and summary; raises OSError.

    `write_answers` writes the benchmarks' files, in InstructLab's layout.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder / "results.json", report)
    write_answers(folder, report.run)
    replace_text(folder / "summary.md", summary_page(report))


def write_report(path: Path, report: RunReport, history: RunHistory = NO_HISTORY) -> None:
    """Write the page of a run, report.html, with the history of its scores; raises OSError."""
    from pytest_instructlab_eval.reports.html.page import html_page

    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, html_page(report, history))
