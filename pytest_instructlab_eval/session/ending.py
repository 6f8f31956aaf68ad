"""The end of a run: what fails it beside its tests and gates, its files, its baseline and its tables."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.records.baseline import save_run
from pytest_instructlab_eval.reports.folder import write_run_folder
from pytest_instructlab_eval.reports.markdown import markdown, refusal
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.terminal import terminal
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.recorded import write_answers
from pytest_instructlab_eval.suites.registry import names

__all__ = ["Ending", "write_refusal"]

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file that GitHub Actions shows with a job


class Ending:
    """What becomes of a run's report.

    `written` is the folder of its files and `saved` its baseline, once they are written.
    """

    def __init__(self, settings: Settings, report: RunReport) -> None:
        self.report = report
        self.written: Path | None = None
        self.saved: Path | None = None
        self._settings = settings

    @property
    def problems(self) -> tuple[str, ...]:
        """What fails the run, in sentences."""
        return self.report.problems

    def add_problems(self, *, stopped: bool, found: Sequence[str]) -> None:
        """Add what was found beside the results, and why some are missing unless the run was `stopped`."""
        incomplete = self.report.run.incomplete
        lost = [incomplete] if incomplete is not None and not stopped else []
        self.report = dataclasses.replace(self.report, problems=(*lost, *self.problems, *found))

    def excuse(self) -> None:
        """Leave out what fails the run: it was interrupted, which says enough."""
        self.report = dataclasses.replace(self.report, problems=())

    def _fail(self, problem: str) -> None:
        self.report = self.report.with_problems(problem)

    def save_baseline(self) -> None:
        """Write --eval-save-baseline, where it is asked for; not of a run that is not whole."""
        place = self._settings.save_baseline
        if place is None:
            return
        try:
            save_run(place, self.report.run)
            self.saved = place
        except ConfigurationError as error:
            self._fail(f"--eval-save-baseline: {error}")
        except OSError as error:
            self._fail(f"--eval-save-baseline: {place} cannot be written ({error.strerror})")

    def write(self, *, failed: int) -> None:
        """Write the run's files, and its page where a CI job shows one.

        They go to the output folder, or else to one in the system's folder of temporary files. `failed`
        counts the tests that failed, gates among them.
        """
        tests = max(0, failed - len(self.report.failed_gates))
        self.report = report = dataclasses.replace(self.report, failed_tests=tests)
        folder = self._settings.output_dir
        try:
            self._write_to(folder)
        except OSError as error:
            problem = f"the results could not be written to {folder} ({error.strerror})"
            try:
                second = Path(tempfile.mkdtemp(prefix="instructlab-eval-results-"))
                self.report = report.with_problems(f"{problem}; they are in {second}")
                self._write_to(second)
            except OSError as also:
                self.report = report.with_problems(
                    f"{problem}, nor to {tempfile.gettempdir()} ({also.strerror})"
                )
        try:
            _show(markdown(self.report))
        except OSError as error:
            self._fail(f"${STEP_SUMMARY}: the summary cannot be written to that file ({error.strerror})")

    def _write_to(self, folder: Path) -> None:
        write_run_folder(folder, self.report, write_answers)
        self.written = folder

    def lines(self, *, verbose: bool) -> list[str]:
        """Return the tables for the terminal, and where the files are; none where nothing is to be told."""
        told = terminal(self.report, verbose=verbose, sampled=names())
        if told and self.written is not None:
            told.append(f"results: {self.written / 'results.json'}")
        return [*told, f"baseline: {self.saved}"] if self.saved is not None else told


def write_refusal(folder: Path | None, models: Sequence[str], reason: str) -> None:
    """Write the page of a run that could not begin, so that nobody takes an earlier one for it.

    `folder` is where the run's results would go, None where another run's are there. A CI job shows the
    page too.
    """
    page = refusal(models, reason)
    with contextlib.suppress(OSError):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            replace_text(folder / "summary.md", page)
    with contextlib.suppress(OSError):
        _show(page)


def _show(page: str) -> None:
    """Append a page to what a CI job shows, where it has such a thing."""
    shown = os.environ.get(STEP_SUMMARY)
    if shown:
        with open(shown, "a", encoding="utf-8") as file:
            file.write(page)
