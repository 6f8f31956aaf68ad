"""The sections of summary.md below its findings: tables of gates, changes, ranking, scores and totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.escaping import markdown_code, markdown_text
from pytest_instructlab_eval.gates.sentences import interval_text, score_digits
from pytest_instructlab_eval.reports.changes_table import change_cells, comparison_notes
from pytest_instructlab_eval.reports.ranking_table import doubts_about_best, interval_head, rank_cells
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.scores_table import row_cells, score_doubts
from pytest_instructlab_eval.reports.totals import time_and_cost, totals_table
from pytest_instructlab_eval.reports.verdicts import noteworthy_reports
from pytest_instructlab_eval.reports.worse_questions import WorseQuestion, worse_questions
from pytest_instructlab_eval.stats.changes import BenchmarkChanges, Kind
from pytest_instructlab_eval.stats.statistics import CONFIDENCE
from pytest_instructlab_eval.stats.summary import Summary

FOLDED = 12  # rows above which a section is closed until its reader opens it
WORST = 10  # questions that got worse; the report has all
CHANGE_HEAD = ("", "before", "after", "difference", "95 % interval", "std. error", "questions", "")
SCORE_HEAD = ("benchmark", "score", "std. error", "questions", "unscored", "errors")

VERDICTS = {
    "passed": "✅ passed", "failed": "❌ failed", "refused": "❌ refused",
    "inconclusive": "⚠️ inconclusive", "skipped": "skipped", "broken": "❌ broken",
}  # fmt: skip


@dataclass(frozen=True)
class MarkdownSection:
    """A table with its title; the `notes` stand below it.

    One that `may_fold` is closed where it is long; a reader opens it with a click.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    may_fold: bool = True

    def text(self, most: int) -> str:
        """Return the section with at most this many rows."""
        lines = []
        if self.rows:
            lines = [f"| {' | '.join(self.head)} |", f"|{' --- |' * len(self.head)}"]
            lines += [f"| {' | '.join(row)} |" for row in self.rows[:most]]
        if len(self.rows) > most:
            lines += ["", f"… and {len(self.rows) - most:,} more, in results.json."]
        below = "".join(f"\n\n{markdown_text(note)}." for note in self.notes)
        if not lines:
            return below.lstrip()
        table = "\n".join(lines) + below
        if self.may_fold and len(self.rows) > FOLDED:
            return (
                f"<details>\n<summary><b>{self.title}</b>: {len(self.rows):,} rows</summary>\n\n{table}\n\n"
                "</details>"
            )
        return f"### {self.title}\n\n{table}"


def markdown_sections(report: RunReport) -> Iterator[MarkdownSection]:
    """Yield the sections of a run, the most important first; those without rows and notes have no text."""
    yield _gates(report)
    changes = report.changes
    yield MarkdownSection("What got worse", CHANGE_HEAD, list(_change_rows(changes, "regression")))
    yield _questions(worse_questions(report))
    below = comparison_notes(changes)
    yield MarkdownSection("What got better", CHANGE_HEAD, list(_change_rows(changes, "improvement")), below)
    new = [(row[0], row[2], row[-2]) for row in _change_rows(changes, "new")]
    yield MarkdownSection("What is new", ("", "score", "questions"), new)
    ranks = [(markdown_code(model), *cells) for model, *cells in rank_cells(report.ranking)]
    head = ("model", "score (0 to 1)", "std. error", "behind the best", interval_head(report.ranking), "")
    yield MarkdownSection("Ranking", head, ranks, doubts_about_best(report.ranking))
    yield from _score_sections(report.summaries)
    totals_head, totals = totals_table(report.run)
    cells = [(markdown_code(name), *numbers) for name, *numbers in totals]
    took = time_and_cost(report.run) if totals else ""
    notes = [f"The run took {took}"] if took else []
    yield MarkdownSection("Tokens and requests", totals_head, cells, notes)


def _gates(report: RunReport) -> MarkdownSection:
    shown = noteworthy_reports(report.verdicts)
    several = len({verdict.model for verdict in shown} - {None}) > 1
    rows = [
        (
            VERDICTS[verdict.verdict],
            markdown_code(f"{verdict.gate} [{verdict.model}]" if several else str(verdict.gate)),
            markdown_text(verdict.message),
        )
        for verdict in shown
    ]
    return MarkdownSection("Gates", ("verdict", "gate", "why"), rows, may_fold=False)


def _questions(worse: Sequence[WorseQuestion]) -> MarkdownSection:
    """Return the questions that got worse, worst first; those of a taxonomy with their lines."""
    several = len({question.model for question in worse}) > 1
    rows = [
        (
            markdown_code(f"{question.name} ({question.model})" if several else question.name),
            "" if question.origin.qna_line is None else f"line {question.origin.qna_line}",
            f"{question.before:.4g}",
            f"{question.after:.4g}",
            "flipped" if question.flipped else "",
        )
        for question in worse[:WORST]
    ]
    more = len(worse) - len(rows)
    notes = [f"{more:,} more questions got worse; the report shows them"] if more else []
    return MarkdownSection("Questions that got worse", ("question", "", "before", "after", ""), rows, notes)


def _score_sections(summaries: Sequence[Summary]) -> Iterator[MarkdownSection]:
    """Yield the scores of whole benchmarks with their answers in doubt, then the scores of their parts."""
    scores: list[Sequence[str]] = []
    parts: list[Sequence[str]] = []
    for summary in summaries:
        name = f"{summary.benchmark}, {summary.model}"
        _, *numbers = row_cells("", summary.overall)
        scores.append((markdown_code(name), *numbers))
        if summary.controlled is not None:
            _, *numbers = row_cells("", summary.controlled)
            digits = score_digits(summary.controlled.maximum)
            ends = interval_text(summary.controlled_interval, CONFIDENCE, digits)
            scores.append((f"{summary.controlled.label}: {ends}", *numbers))
        scores += [(label, "", "", f"{count:,}", "", "") for label, count in score_doubts(summary)]
        metrics = [(row.label.replace("_", " "), row) for row in summary.metrics]  # such as turns
        for label, row in [*metrics, *((row.label, row) for row in summary.groups)]:
            _, *numbers = row_cells("", row)
            parts.append((markdown_code(f"{name}: {label}"), *numbers))
    yield MarkdownSection("Scores", SCORE_HEAD, scores)
    yield MarkdownSection("Scores by turn, category or file", SCORE_HEAD, parts)


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
            # Without an interval here, a gate above can have one: about the very questions of the run.
            too_few = "too few for an interval about other questions like these"
            doubt = too_few if change.interval is None else "may be chance"
            yield markdown_code(named), *numbers, "" if change.certain else doubt
