"""The last steps of a run: its problems beside tests and gates, its files, its baseline and its tables."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.records.baseline_writer import save_run
from pytest_instructlab_eval.records.previous_runs import set_aside
from pytest_instructlab_eval.reports.annotations import (
    CODE_QUALITY,
    Annotation,
    code_quality,
    github_commands,
    pair_annotations,
)
from pytest_instructlab_eval.reports.history import NO_HISTORY, output_history
from pytest_instructlab_eval.reports.markdown import refusal_page, summary_page
from pytest_instructlab_eval.reports.run_folder import write_report, write_run_folder
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.terminal import terminal_lines
from pytest_instructlab_eval.session.recalled_verdict import RecalledVerdict
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.earlier_answers import write_answers
from pytest_instructlab_eval.suites.registry import benchmark_names
from pytest_instructlab_eval.suites.taxonomy_pairs import taxonomy_in_repository

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file that GitHub Actions shows with a job


class RunOutput:
    """The outputs of a run's report.

    `written` is the folder of its files, `saved` its baseline and `page` its report.html, None before they
    are written; `exported` are the folders of its exports.
    """

    def __init__(self, settings: Settings, report: RunReport) -> None:
        self.report = report
        self.written: Path | None = None
        self.saved: Path | None = None
        self.exported: list[Path] = []
        self.page: Path | None = None
        self._settings = settings

    @property
    def problems(self) -> tuple[str, ...]:
        """The sentences that fail the run."""
        return self.report.problems

    def add_problems(self, *, stopped: bool, problems: Sequence[str]) -> None:
        """Add these problems, and the reason of missing results unless the run was `stopped`."""
        incomplete = self.report.run.incomplete
        lost = [incomplete] if incomplete is not None and not stopped else []
        self.report = dataclasses.replace(self.report, problems=(*lost, *self.problems, *problems))

    def excuse(self) -> None:
        """Remove the problems of an interrupted run, since the interrupt explains them."""
        self.report = dataclasses.replace(self.report, problems=())

    def _fail(self, problem: str) -> None:
        self.report = self.report.with_problems(problem)

    @contextlib.contextmanager
    def _failing(self, option: str, path: Path) -> Iterator[None]:
        """Fail the run, where a file or folder that an option asks for cannot be written in the context."""
        try:
            yield
        except OSError as error:
            self._fail(f"{option}: {path} cannot be written ({error.strerror})")

    def save_baseline(self) -> None:
        """Write the file of --eval-save-baseline, if given and if the run is complete."""
        path = self._settings.save_baseline
        if path is None:
            return
        with self._failing("--eval-save-baseline", path):
            try:
                save_run(path, self.report.run)
                self.saved = path
            except ConfigurationError as error:
                self._fail(f"--eval-save-baseline: {error}")

    def count(self, *, status: int, failed: int, broken: int) -> None:
        """Add pytest's exit status and its number of failed tests, including gates.

        `broken` of them say nothing of the model.
        """
        tests = max(0, failed - len(self.report.failed_gates))
        self.report = dataclasses.replace(
            self.report, failed_tests=tests, broken_tests=min(broken, tests), pytest_status=status
        )

    def write(self, tell: Callable[[RunReport, Path], Iterable[str]]) -> None:
        """Write the run's files and exports, and its summary for a CI job.

        If the output folder is not writable, they go to a new temporary folder. `tell` calls the users'
        hook and returns what went wrong.
        """
        self._write_files()
        written = self.report
        if self.written is not None:
            ended = datetime.datetime.now(datetime.timezone.utc)
            for name in self._settings.export:
                from pytest_instructlab_eval.reports.exports.export import FOLDER, write_export

                folder = self.written / FOLDER / name
                with self._failing(f"--eval-export {name}", folder):
                    write_export(name, self.report, folder, ended)
                    self.exported.append(folder)
            for problem in tell(self.report, self.written):
                self._fail(problem)
        self._write_page()
        if self._settings.annotations == "gitlab" and self.written is not None:
            # An empty list where no pair got worse: its absence would be an error there.
            file = self.written / CODE_QUALITY
            with self._failing("--eval-annotations gitlab", file):
                replace_text(file, code_quality(self._annotations))
        if self.written is not None and self.report is not written:
            with contextlib.suppress(OSError):  # they have been written once
                self._write_to(self.written)
        try:
            if os.environ.get(STEP_SUMMARY):  # else the page is not made once more
                _show(summary_page(self.report))
        except OSError as error:
            self._fail(f"${STEP_SUMMARY}: the summary cannot be written to that file ({error.strerror})")

    def _write_files(self) -> None:
        report = self.report
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

    def _write_page(self) -> None:
        """Write report.html, beside the results where the user names no file."""
        path = self._settings.report_file
        if self._settings.report is None and self.written is not None:
            path = self.written / "report.html"
        if path is None:
            return
        with self._failing("--eval-report", path):
            history = NO_HISTORY if self.written is None else output_history(self.written)
            write_report(path, self.report, history)
            self.page = path

    @functools.cached_property
    def _annotations(self) -> list[Annotation]:
        """The pairs that got worse, at their places in the repository."""
        return pair_annotations(self.report, taxonomy_in_repository(self._settings))

    @property
    def commands(self) -> list[str]:
        """The lines that GitHub's runner reads from the output; none without --eval-annotations github."""
        return github_commands(self._annotations) if self._settings.annotations == "github" else []

    def _write_to(self, folder: Path) -> None:
        write_run_folder(folder, self.report, write_answers)
        self.written = folder

    def lines(self, *, verbose: bool) -> list[str]:
        """Return the lines of the report for the terminal, and the paths of the files."""
        lines = terminal_lines(self.report, verbose=verbose, sampled=benchmark_names())
        if lines and self.written is not None:
            lines.append(f"results: {self.written / 'results.json'}")
            lines += [f"export: {folder}" for folder in self.exported]
        lines += [f"baseline: {self.saved}"] if self.saved is not None else []
        return [*lines, f"report: {self.page}"] if lines and self.page is not None else lines


class RecalledOutput(RunOutput):
    """The outputs of a recorded run whose verdict is given again: its files stay as they are.

    `incomplete` is why some of its tests were not reported again, so that this run has no verdict.
    """

    def __init__(self, settings: Settings, recalled: RecalledVerdict, incomplete: str | None) -> None:
        report = recalled.report
        # What the recorded run used is not used again.
        run = dataclasses.replace(
            report.run, notes=(recalled.note, *report.run.notes), incomplete=incomplete, usage=None
        )
        verdicts = report.verdicts if incomplete is None else ()
        super().__init__(settings, dataclasses.replace(report, run=run, verdicts=verdicts))
        self.written = settings.output_dir

    def _write_to(self, folder: Path) -> None:
        """Leave the files of the recorded run."""

    def _write_page(self) -> None:
        """Leave its page."""


def write_refusal(
    folder: Path | None,
    models: Sequence[str],
    reason: str,
    *,
    keep: int | None,
    texts: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the summary of a run that could not start, so that nobody reads an earlier one as its result.

    `folder` is the output folder, None where another run uses it. The last run in it is set aside, where
    `keep` runs are kept; None leaves it, since the user's next command may name it as the baseline. The
    summary goes to the CI job too. `texts` explain the reason, each with a title.
    """
    page = refusal_page(models, reason, texts)
    with contextlib.suppress(OSError):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if keep is not None:
                set_aside(folder, keep)
            replace_text(folder / "summary.md", page)
    with contextlib.suppress(OSError):
        _show(page)


def _show(page: str) -> None:
    """Append a page to the job summary, if the CI system has one."""
    path = os.environ.get(STEP_SUMMARY)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(page)
