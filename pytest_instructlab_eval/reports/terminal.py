"""A run for the one who waits for it: the tables and lines of the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_instructlab_eval.reports.changes_table import changes_table
from pytest_instructlab_eval.reports.notes import note_line
from pytest_instructlab_eval.reports.ranking_table import ranking_table
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.scores_table import scores_table
from pytest_instructlab_eval.reports.verdicts import verdict_lines


def terminal_lines(report: RunReport, *, verbose: bool, sampled: Collection[str]) -> list[str]:
    """Return the lines of a run; empty where there is nothing to tell.

    `sampled` are the benchmarks of which a part is asked where a sample, or the first so many, is asked for.
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
        lines.append(f"gates: not evaluated, as {run.incomplete}")
    return lines


def comparison_lines(report: RunReport, *, verbose: bool) -> list[str]:
    """Return what changed against the baseline, and what became of the gates."""
    return _blocks(changes_table(report.changes, verbose=verbose), verdict_lines(report.verdicts))


def _blocks(*blocks: Sequence[str]) -> list[str]:
    """Return the lines of the blocks that have any, a blank one between two blocks."""
    return [line for block in blocks if block for line in ("", *block)][1:]
