"""The table of what got worse, what got better, and what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.reports.tables import fit_table, paragraph
from pytest_instructlab_eval.stats.changes import BenchmarkChanges, Kind, MeanChange

SHOWN: Mapping[Kind, tuple[int, str]] = {
    "regression": (10, "more regressions"),
    "improvement": (10, "more improvements"),
    "unchanged": (0, "unchanged"),
    "new": (10, "more news"),
}
"""How many groups of a kind the terminal has, where not all are shown, and what the others are called."""


def changes_table(changes: Sequence[BenchmarkChanges], *, verbose: bool = False) -> list[str]:
    """Return the lines of the table: a block a benchmark and model, its regressions first."""
    if not changes:
        return []
    head = ["change", "before", "after", "difference", "95 % interval", "std. error", "questions"]
    rows: list[list[str]] = []
    for entry in changes:
        rows.append(change_cells(escape_line(entry.title), entry.overall))
        for kind, (most, others) in SHOWN.items():
            part = entry.of(kind)
            shown = part if verbose else part[:most]
            rows += [change_cells(f"  {kind}: {escape_line(change.label)}", change) for change in shown]
            if hidden := len(part) - len(shown):
                rows.append([f"  … {hidden} {others}, with -v", *[""] * 6])
    told = [line for entry in changes for note in comparison_notes(entry) for line in paragraph(note)]
    return [*fit_table(head, rows), *told]


def change_cells(label: str, change: MeanChange) -> list[str]:
    """Return the label, before, after, difference, its interval and standard error, and the questions."""
    digits = 2 if change.maximum > 1 else 4

    def number(value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{round(value, digits) + 0.0:{sign}.{digits}f}"

    interval = ""
    if change.interval is not None:
        interval = f"{number(change.interval.low, '+')} to {number(change.interval.high, '+')}"
    return [
        label, number(change.before), number(change.after), number(change.difference, "+"), interval,
        number(change.stderr), f"{change.n:,}",
    ]  # fmt: skip


def comparison_notes(entry: BenchmarkChanges) -> list[str]:
    """Return what to know of a comparison: how small a drop it could have seen, and what it leaves out."""
    found = []
    if entry.minimum_detectable_drop is not None:
        digits = 2 if entry.overall.maximum > 1 else 4
        seen = f"this run could have seen a drop of {entry.minimum_detectable_drop:.{digits}f}"
        if entry.minimum_detectable_drop > entry.overall.maximum:
            seen = "this run is too short to see any drop for sure"
        agreement = "" if entry.correlation is None else f"; the scores correlate by {entry.correlation:.2f}"
        found.append(f"{entry.benchmark}: {seen}{agreement}")
    if entry.unpaired:
        left = "1 question" if entry.unpaired == 1 else f"{entry.unpaired:,} questions"
        found.append(f"{entry.benchmark}: left out, changed or without a score on one side: {left}")
    return found
