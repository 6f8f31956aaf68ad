"""summary.md: the page of a run for its reviewer, on a pull request or in a CI job's summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.escaping import escape_text, markdown_block, markdown_code, markdown_text
from pytest_instructlab_eval.gates.sentences import interval_text
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.changes_table import change_cells, comparison_notes
from pytest_instructlab_eval.reports.run_report import COULD_NOT_START, RunReport
from pytest_instructlab_eval.reports.scores_table import row_cells, score_doubts
from pytest_instructlab_eval.reports.verdicts import family_note, noteworthy_reports, verdict_counts
from pytest_instructlab_eval.stats.changes import BenchmarkChanges, Kind, MeanChange
from pytest_instructlab_eval.stats.statistics import CONFIDENCE
from pytest_instructlab_eval.stats.summary import Summary

LONGEST = 60_000  # characters; GitHub accepts 65,536 in a comment
LONGEST_TEXT = 4_000  # characters of what a model was sent or said
# Limits for one table, tried in this order until the page is short enough.
ROWS = (200, 100, 50, 25, 12, 6, 3, 1)
CHANGE_HEAD = ("", "before", "after", "difference", "95 % interval", "std. error", "questions", "")
SCORE_HEAD = ("benchmark", "score", "std. error", "questions", "unscored", "errors")

VERDICTS = {
    "passed": "✅ passed", "failed": "❌ failed", "refused": "❌ refused",
    "inconclusive": "⚠️ inconclusive", "skipped": "skipped", "broken": "❌ broken",
}  # fmt: skip


@dataclass(frozen=True)
class _Table:
    """A section of the page; the `notes` stand below the table."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self, most: int) -> str:
        """Return the section with at most this many rows."""
        lines: list[str] = []
        if self.rows:
            lines = [f"### {self.title}", "", f"| {' | '.join(self.head)} |"]
            lines.append(f"|{' --- |' * len(self.head)}")
            lines += [f"| {' | '.join(row)} |" for row in self.rows[:most]]
        if len(self.rows) > most:
            lines += ["", f"… and {len(self.rows) - most:,} more, in results.json."]
        return "\n".join(lines) + "".join(f"\n\n{markdown_text(note)}." for note in self.notes)


def summary_page(report: RunReport) -> str:
    """Return the page: verdict, gates, regressions, improvements, new groups, scores.

    A page longer than `LONGEST` is cut: each table loses its last rows and says how many.
    """
    tables = list(_tables(report))
    head = f"## {VERDICTS[report.headline]}: evaluation of {markdown_code(', '.join(report.candidates))}"
    page = ""
    for rows in ROWS:
        adaptations = "\n".join(f"- {markdown_text(note)}" for note in report.run.adaptation_notes[:rows])
        sections = [head, _findings(report), *(table.text(rows) for table in tables), adaptations]
        page = escape_text("\n\n".join(section for section in sections if section) + "\n")
        if len(page) <= LONGEST:
            return page
    return page[: LONGEST - 2] + "…\n"


def refusal_page(models: Sequence[str], reason: str, texts: Sequence[tuple[str, str]] = ()) -> str:
    """Return the page of a run that could not start; below it the texts that explain it, by their titles."""
    run = Run((), models=dict(zip(models, models, strict=True)))
    page = summary_page(RunReport(run, problems=(reason,), pytest_status=COULD_NOT_START))
    for title, text in texts:
        shown = text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
        section = f"\n### {markdown_text(title)}\n\n{markdown_block(shown)}\n"
        if len(page) + len(section) <= LONGEST:
            page += section
    return page


def _findings(report: RunReport) -> str:
    """Return the counts of gates and failed tests, then the problems and notes."""
    notes = list(dict.fromkeys(_notes(report)))[: ROWS[0]]
    return "\n".join([*_run_outcomes(report), *(f"- {markdown_text(note)}" for note in notes)])


def _run_outcomes(report: RunReport) -> Iterator[str]:
    """Yield what the gates and the tests came to, in sentences."""
    if report.verdicts:
        yield f"Gates: {verdict_counts(report.verdicts)}."
    if note := family_note(report.verdicts):
        yield f"{note}."
    if any(verdict.verdict == "inconclusive" for verdict in report.failed_gates):
        yield "An inconclusive gate fails this run (`--eval-inconclusive fail`)."
    if failed := report.failed_tests:
        yield "1 test failed." if failed == 1 else f"{failed:,} tests failed."
    if report.headline == "broken":
        yield "The run says nothing of the model: see what could not be asked or measured."
    if not report.summaries:
        yield "No question was asked."


def _notes(report: RunReport) -> Iterator[str]:
    """Yield the problems and the notes of a run."""
    yield from report.problems
    if report.changes:
        yield from report.identity_notes
    yield from report.run.notes
    if report.not_gated is not None:
        yield report.not_gated


def _tables(report: RunReport) -> Iterator[_Table]:
    shown = noteworthy_reports(report.verdicts)
    several = len({verdict.model for verdict in shown} - {None}) > 1
    gates = [
        (
            VERDICTS[verdict.verdict],
            markdown_code(f"{verdict.gate} [{verdict.model}]" if several else str(verdict.gate)),
            markdown_text(verdict.message),
        )
        for verdict in shown
    ]
    yield _Table("Gates", ("verdict", "gate", "why"), gates)
    yield _Table("What got worse", CHANGE_HEAD, list(_change_rows(report.changes, "regression")))
    below = comparison_notes(report.changes)
    yield _Table("What got better", CHANGE_HEAD, list(_change_rows(report.changes, "improvement")), below)
    new = [(row[0], row[2], row[-2]) for row in _change_rows(report.changes, "new")]
    yield _Table("What is new", ("", "score", "questions"), new)
    yield _Table("Scores", SCORE_HEAD, [row for summary in report.summaries for row in _score_rows(summary)])


def _score_rows(summary: Summary) -> Iterator[Sequence[str]]:
    _, *numbers = row_cells("", summary.overall)
    yield (markdown_code(f"{summary.benchmark}, {summary.model}"), *numbers)
    if summary.controlled is not None:
        _, *numbers = row_cells("", summary.controlled)
        digits = 2 if summary.controlled.maximum > 1 else 4
        ends = interval_text(summary.controlled_interval, CONFIDENCE, digits)
        yield (f"{summary.controlled.label}: {ends}", *numbers)
    yield from ((label, "", "", f"{count:,}", "", "") for label, count in score_doubts(summary))


def _change_rows(changes: Sequence[BenchmarkChanges], kind: Kind) -> Iterator[Sequence[str]]:
    """Yield a row for each benchmark as a whole, then one for each group."""
    wholes = [(entry, f"{entry.benchmark} as a whole", entry.overall) for entry in changes]
    parts = [
        (entry, f"{entry.benchmark}: {group.label}", group) for entry in changes for group in entry.groups
    ]
    several = len({entry.model for entry in changes}) > 1
    for entry, label, change in (*wholes, *parts):
        if change.kind == kind:
            _, *numbers = change_cells("", change)
            named = f"{label} ({entry.model})" if several else label
            yield markdown_code(named), *numbers, _doubt(change)


def _doubt(change: MeanChange) -> str:
    """Return why a change may be none; empty where chance alone would hardly make it.

    A gate above it can have an interval where this has none: about the very questions of the run.
    """
    if change.certain:
        return ""
    if change.interval is None:
        return "too few for an interval about other questions like these"
    return "may be chance"
