"""The questions that moved between two runs, in the terminal: worst first, with each side's outcome."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.reports.html.question_table import (
    FLIP,
    Finding,
    PageQuestions,
    QuestionRow,
)
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.tables import fit_table
from pytest_instructlab_eval.reports.worse_questions import ChangeCounts, changed_rows, compared_sides
from pytest_instructlab_eval.stats.changes import BenchmarkChanges

MOST = 5  # questions that got worse, shown without -v over all benchmarks


@dataclass(frozen=True)
class MovedQuestion:
    """A question whose score changed, as a share of its scale, or that lost its score (then `change` is -1).

    `before` and `after` are its outcomes in words.
    """

    benchmark: str
    name: str
    change: float
    before: str
    after: str

    @property
    def flipped(self) -> bool:
        """True if the score moved by at least half its scale."""
        return abs(self.change) >= FLIP


def moved_by_comparison(report: RunReport) -> dict[str, list[MovedQuestion]]:
    """Return the questions that moved by the title of their comparison, each with the worst first."""
    table = report.questions
    return {
        entry.title: sorted(_moved(entry, table), key=lambda question: question.change)
        for entry in report.changes
    }


def _moved(entry: BenchmarkChanges, table: PageQuestions) -> Iterator[MovedQuestion]:
    """Yield the questions of a comparison that lost their score, and those whose score changed."""
    sides = compared_sides(entry, table)
    if sides is None:
        return
    of_benchmark = (row for row in table.rows if row.name.benchmark == entry.benchmark)
    lost = [(-1.0, row) for row in of_benchmark if row.lost_its_score(*sides)]
    for change, row in [*lost, *changed_rows(entry.benchmark, sides, table.rows)]:
        after, before = (_outcome_words(row.of(side), row) for side in sides)
        yield MovedQuestion(entry.benchmark, row.name.text, change, before, after)


def _outcome_words(finding: Finding, row: QuestionRow) -> str:
    """Return the outcome of a question in words: right, wrong, a rating, or why it has none."""
    if finding.value is None:
        return finding.outcome
    if row.maximum == 1 and finding.value in (0.0, 1.0):
        return "right" if finding.value else "wrong"
    return f"{finding.value:.4g}" if row.maximum == 1 else f"{finding.value:.4g} of {row.maximum:g}"


def moved_questions_table(report: RunReport, *, verbose: bool) -> list[str]:
    """Return how many questions moved in each comparison, and the table of those that got worse.

    The flips come first. With `verbose` the table has all that moved.
    """
    moved = moved_by_comparison(report)
    lines = []
    for title, questions in moved.items():
        if questions:
            counts = ChangeCounts.of(list(map(attrgetter("change"), questions)))
            flips = f"{counts.flips_down:,} down, {counts.flips_up:,} up"
            lines.append(f"{title}: {counts.worse:,} worse, {counts.better:,} better; flipped: {flips}")
    every = sorted(itertools.chain(*moved.values()), key=attrgetter("change"))
    shown = every if verbose else [question for question in every if question.change < 0][:MOST]
    if not shown:
        return lines
    rows = [
        [
            escape_line(f"{question.benchmark}/{question.name}"), question.before, question.after,
            "flipped" if question.flipped else "",
        ]
        for question in shown
    ]  # fmt: skip
    table = fit_table(["question", "before", "after", ""], rows, text=(1, 2, 3))
    hidden = len(every) - len(shown)
    return [*lines, *table, *([f"… {hidden:,} more questions that moved, with -v"] if hidden else [])]
