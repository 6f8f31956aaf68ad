"""The report of a run in the terminal: its tables and lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_instructlab_eval.reports.changes_table import changes_table
from pytest_instructlab_eval.reports.notes import note_line
from pytest_instructlab_eval.reports.ranking_table import ranking_table
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.scores_table import scores_table
from pytest_instructlab_eval.reports.verdicts import verdict_lines

# The colour of a line by the word before its colon; a table's head is bold.
COLOURS = {
    "failed": "red", "refused": "red", "regression": "red", "inconclusive": "yellow", "note": "yellow",
    "passed": "green", "improvement": "green",
}  # fmt: skip


def line_markup(line: str) -> dict[str, bool]:
    """Return pytest's markup of a line of the report: the colour of what it tells."""
    if line.startswith(("benchmark ", "change ", "rank ")):
        return {"bold": True}
    colour = COLOURS.get(line.strip().partition(":")[0])
    return {} if colour is None else {colour: True}


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
        changes_table(report.changes, verbose=verbose),
        verdict_lines(report.verdicts),
        [note_line(note) for note in run.adaptation_notes],
    )
    lines += [note_line(note) for note in run.notes]
    if run.incomplete is not None and not report.verdicts and (run.gates or run.standing_gates):
        lines.append(f"gates not evaluated: {run.incomplete}")
    return lines


def comparison_lines(report: RunReport, *, verbose: bool) -> list[str]:
    """Return the lines of the changes and of the gates' verdicts."""
    return _blocks(changes_table(report.changes, verbose=verbose), verdict_lines(report.verdicts))


def _blocks(*blocks: Sequence[str]) -> list[str]:
    """Return the lines of all blocks, with a blank line between two blocks."""
    return [line for block in blocks if block for line in ("", *block)][1:]
