"""The end of a run: what fails it beside its tests, its files, its baseline and its tables."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.gates.check import fails
from pytest_instructlab_eval.records.baseline import save_run
from pytest_instructlab_eval.records.run import Silent
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.changes_table import changes_table
from pytest_instructlab_eval.reports.folder import write_run_folder
from pytest_instructlab_eval.reports.markdown import markdown
from pytest_instructlab_eval.reports.ranking_table import ranking_table
from pytest_instructlab_eval.reports.scores_table import table
from pytest_instructlab_eval.reports.verdicts import verdict_lines
from pytest_instructlab_eval.session.gating import Gating
from pytest_instructlab_eval.session.header import note_line
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.stats.changes import run_changes
from pytest_instructlab_eval.stats.ranking import rank
from pytest_instructlab_eval.stats.summary import summarise
from pytest_instructlab_eval.suites.recorded import write_answers
from pytest_instructlab_eval.suites.registry import names

__all__ = ["Ending", "write_refusal"]

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file that GitHub Actions shows with a job


class Ending:
    """What becomes of a run's results.

    `incomplete` says why tests have none, `notes` what was not asked, and `silent` are the tests that
    recorded no score.

    `problems` are sentences that fail the run, `written` is the folder of its files and `saved` its baseline,
    once they are written.
    """

    def __init__(
        self,
        settings: Settings,
        gating: Gating,
        results: Sequence[Result],
        incomplete: str | None,
        *,
        notes: Sequence[str] = (),
        silent: Sequence[Silent] = (),
    ) -> None:
        told = [*notes, *_silent_notes(silent)]
        self.run = gating.run(results, silent, incomplete=incomplete, notes=told)
        self.reports = gating.reports
        self.changes = run_changes(self.run, gating.baseline)
        self.problems: list[str] = []
        self.written: Path | None = None
        self.saved: Path | None = None
        self._settings = settings
        self._summaries = summarise(self.run.results)

    def find_problems(self, *, stopped: bool, served: Sequence[str]) -> None:
        """Note what fails the run; `served` are the problems of what it served itself."""
        if self.run.incomplete is not None and not stopped:
            self.problems.append(self.run.incomplete)
        if self._settings.stage != "answer" and self._settings.shard is None:
            self.problems += [*self.run.problems, *self._mixed_scales()]
        self.problems += served

    def _mixed_scales(self) -> list[str]:
        """Of benchmarks that have scores but no mean, as each metric has several maxima."""
        return [
            f"{summary.benchmark} has scores of several scales and so no mean; give its tests one max_score, "
            "or each scale a metric of its own"
            for summary in self._summaries
            if summary.overall.n and all(row.value is None for row in (summary.overall, *summary.metrics))
        ]

    def save_baseline(self) -> None:
        """Write --eval-save-baseline, where it is asked for; not of a run that is not whole."""
        place = self._settings.save_baseline
        if place is None:
            return
        try:
            save_run(place, self.run)
            self.saved = place
        except ConfigurationError as error:
            self.problems.append(f"--eval-save-baseline: {error}")
        except OSError as error:
            self.problems.append(f"--eval-save-baseline: {place} can't be written ({error.strerror})")

    def write(self, *, failed: int) -> None:
        """Write the run's files, and its page where a CI job shows one.

        `failed` counts the tests that failed, gates among them.
        """
        self._write_folder(failed)
        try:
            _show(self._page(failed))
        except OSError as error:
            self.problems.append(f"${STEP_SUMMARY}: the summary can't be written there ({error.strerror})")

    def _write_folder(self, failed: int) -> None:
        """Write to the output folder, or else to one in the system's folder of temporary files."""
        folder = self._settings.output_dir
        try:
            self._write_to(folder, failed)
            return
        except OSError as error:
            problem = f"the results could not be written to {folder} ({error.strerror})"
        self.problems.append(problem)
        try:
            second = Path(tempfile.mkdtemp(prefix="instructlab-eval-results-"))
            self.problems[-1] = f"{problem}; they are in {second}"
            self._write_to(second, failed)
        except OSError as error:
            self.problems[-1] = f"{problem}, nor to {tempfile.gettempdir()} ({error.strerror})"

    def _write_to(self, folder: Path, failed: int) -> None:
        page = self._page(failed)
        write_run_folder(
            folder,
            self.run,
            gates=self.reports,
            changes=self.changes,
            page=page,
            write_answers=write_answers,
        )
        self.written = folder

    @property
    def _not_gated(self) -> bool:
        """Whether the gates were not evaluated, as tests have no result."""
        return self.run.incomplete is not None and not self.reports

    def _page(self, failed: int) -> str:
        """What summary.md says."""
        gates = sum(fails(report, self._settings.inconclusive) for report in self.reports)
        not_gated = None
        if self._not_gated:
            not_gated = f"{self.run.incomplete}, so its gates were not evaluated"
        if self._settings.shard is not None:
            not_gated = "this is a part of a run, whose gates are evaluated when its parts are merged"
        return markdown(
            ", ".join(self._settings.candidates),
            problems=self.problems,
            not_gated=not_gated,
            errors=failed - gates,
            reports=self.reports,
            inconclusive=self._settings.inconclusive,
            changes=self.changes,
            summaries=self._summaries,
            unasked=self.run.notes,
            adaptations=self.run.adaptation_notes,
        )

    def lines(self, *, verbose: bool) -> list[str]:
        """The tables for the terminal; empty where there is nothing to tell."""
        settings = self._settings
        parts = [
            table(
                self._summaries,
                verbose=verbose,
                first_n=settings.first_n,
                sample=settings.sample,
                sampled=names(),
            ),
            ranking_table(rank(self.run.candidates)) if len(settings.model) > 1 else [],
            changes_table(self.changes, verbose=verbose),
            verdict_lines(self.reports),
            [note_line(note) for note in self.run.adaptation_notes],
        ]
        told = [line for part in parts if part for line in ("", *part)][1:]
        told += [note_line(note) for note in self.run.notes]
        if self._not_gated and (self.run.gates or self.run.standing_gates):
            told.append(f"gates: not evaluated, as {self.run.incomplete}")
        if told and self.written is not None:
            told.append(f"results: {self.written / 'results.json'}")
        return [*told, f"baseline: {self.saved}"] if self.saved is not None else told


def write_refusal(folder: Path | None, models: Sequence[str], reason: str) -> None:
    """Write the page of a run that could not begin, so that nobody takes an earlier one for it.

    `folder` is where the run's results would go, None where another run's are there. A CI job shows the
    page too.
    """
    page = markdown(", ".join(models), problems=[reason], errors=0, reports=(), changes=(), summaries=())
    with contextlib.suppress(OSError):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            replace_text(folder / "summary.md", page)
    with contextlib.suppress(OSError):
        _show(page)


def _silent_notes(silent: Sequence[Silent]) -> list[str]:
    """Return a sentence for each benchmark of which tests passed and recorded no score."""
    counts = Counter(test.benchmark for test in silent if test.outcome == "passed")
    return [
        f"{count:,} {'test' if count == 1 else 'tests'} of {benchmark} passed and recorded no score; call "
        f"record_score in {'it' if count == 1 else 'each of them'}"
        for benchmark, count in counts.items()
    ]


def _show(page: str) -> None:
    """Append a page to what a CI job shows, where it has such a thing."""
    shown = os.environ.get(STEP_SUMMARY)
    if shown:
        with open(shown, "a", encoding="utf-8") as file:
            file.write(page)
