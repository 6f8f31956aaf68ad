"""The files of a finished run: results.json, those of its benchmarks, and the page for its reviewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.gates.check import GateReport
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.results_json import write_run
from pytest_instructlab_eval.stats.changes import Changes

__all__ = ["write_run_folder"]


def write_run_folder(
    folder: Path,
    run: Run,
    *,
    gates: Sequence[GateReport],
    changes: Sequence[Changes],
    page: str,
    write_answers: Callable[[Path, Run], None],
) -> None:
    """Write a run, what became of its gates, how it compares, and its page; raises OSError.

    `write_answers` writes what other tools read of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder / "results.json", run, gates=gates, changes=changes)
    write_answers(folder, run)
    replace_text(folder / "summary.md", page)
