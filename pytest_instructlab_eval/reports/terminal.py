"""The report of a run in the terminal: its tables and lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from pytest_instructlab_eval.reports.changed_questions import moved_questions_table
from pytest_instructlab_eval.reports.changes_table import changes_table
from pytest_instructlab_eval.reports.notes import note_line
from pytest_instructlab_eval.reports.ranking_table import ranking_table
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.scores_table import scores_table
from pytest_instructlab_eval.reports.tables import paragraphs
from pytest_instructlab_eval.reports.totals import totals_lines
from pytest_instructlab_eval.reports.verdicts import verdict_lines

# The colour of a line by the word before its colon, or by its last cell; a table's head is bold.
COLOURS = {
    "failed": "red", "refused": "red", "regression": "red", "ERROR": "red", "flipped": "red",
    "inconclusive": "yellow", "note": "yellow", "warning": "yellow", "may equal the best": "yellow",
    "passed": "green", "improvement": "green", "best": "green",
}  # fmt: skip
HEADS = ("benchmark ", "change ", "ranking ", "question ", "run (UTC) ", "history: ", "totals: ")
GROUPS = 3  # changed groups of a kind that a comparison shows over all benchmarks


def line_markup(line: str) -> dict[str, bool]:
    """Return pytest's markup of a line of the report: the colour of what it tells."""
    if line.startswith(HEADS):
        return {"bold": True}
    word, cell = line.strip().partition(":")[0], line.rpartition("  ")[2]
    colour = COLOURS.get(word) or COLOURS.get(cell if cell != line else "")
    return {} if colour is None else {colour: True}


def marked_lines(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    """Yield the lines with their markup; that of a broken row or sentence holds for its indented rest."""
    markup: dict[str, bool] = {}
    for line in lines:
        if not line.startswith(" " * 4):
            markup = line_markup(line)
        yield line, markup


def terminal_lines(report: RunReport, *, verbose: bool, sampled: Collection[str]) -> list[str]:
    """Return the lines of a run's report.

    `sampled` are the benchmarks that --eval-sample and --eval-first-n apply to.
    """
    run = report.run
    lines = _blocks(
        scores_table(
            report.summaries,
            verbose=verbose,
            first_n=run.configuration.get("first_n"),
            sample=run.configuration.get("sample"),
            sampled=sampled,
        ),
        ranking_table(report.ranking),
        _changes(report, verbose=verbose),
        verdict_lines(report.verdicts),
        [note_line(note) for note in run.adaptation_notes],
    )
    lines += [note_line(note) for note in run.notes]
    if run.incomplete is not None and not report.verdicts and (run.gates or run.standing_gates):
        lines.append(f"gates not evaluated: {run.incomplete}")
    return _blocks(lines, totals_lines(run))


def comparison_lines(report: RunReport, *, verbose: bool) -> list[str]:
    """Return the lines of the changes, of the questions that moved and of the gates' verdicts: a screen.

    With `verbose` all groups and questions are there.
    """
    most = max(1, GROUPS // max(1, len(report.changes)))
    return _blocks(
        _changes(report, verbose=verbose, most=most),
        moved_questions_table(report, verbose=verbose),
        verdict_lines(report.verdicts),
    )


def _changes(report: RunReport, *, verbose: bool, most: int | None = None) -> list[str]:
    """Return the table of changes, below the sentences on which models are compared."""
    table = changes_table(report.changes, verbose=verbose, most=most)
    return paragraphs(report.identity_notes) + table if table else []


def _blocks(*blocks: Sequence[str]) -> list[str]:
    """Return the lines of all blocks, with a blank line between two blocks."""
    return [line for block in blocks if block for line in ("", *block)][1:]
