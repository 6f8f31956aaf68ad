"""The table of what got worse, what got better, and what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.gates.sentences import detectable_drop_text, question_count, score_digits
from pytest_instructlab_eval.reports.tables import fit_table, paragraphs
from pytest_instructlab_eval.stats.changes import BenchmarkChanges, Kind, MeanChange

SHOWN: Mapping[Kind, tuple[int, str]] = {
    "regression": (10, "more regressions"),
    "improvement": (10, "more improvements"),
    "unchanged": (0, "unchanged"),
    "new": (10, "more new groups"),
}
"""How many groups of a kind the terminal shows without -v, and the name of the hidden ones."""


def changes_table(
    changes: Sequence[BenchmarkChanges], *, verbose: bool = False, most: int | None = None
) -> list[str]:
    """Return the lines of the table: a block for each benchmark and model, the worst first.

    Without `verbose` at most so many groups of each kind are shown, by default as many as `SHOWN` says.
    """
    if not changes:
        return []
    head = ["change", "before", "after", "difference", "95 % interval", "std. error", "questions"]
    rows: list[list[str]] = []
    several = len(set(map(attrgetter("model"), changes))) > 1
    for entry in sorted(changes, key=lambda entry: entry.overall.relative_difference):
        of = f" ({entry.model})" if several and entry.model == entry.against else ""
        rows.append(change_cells(escape_line(f"{entry.title}{of}"), entry.overall))
        for kind, (usual, others) in SHOWN.items():
            groups = entry.of(kind)
            shown = groups if verbose else groups[: usual if most is None else min(most, usual)]
            rows += [change_cells(f"  {kind}: {escape_line(change.label)}", change) for change in shown]
            if hidden := len(groups) - len(shown):
                rows.append([f"  … {hidden} {others}, with -v", *[""] * 6])
    return [*fit_table(head, rows), *paragraphs(comparison_notes(changes))]


def change_cells(label: str, change: MeanChange) -> list[str]:
    """Return the cells of a row: label, before, after, difference, interval, standard error, questions."""
    digits = score_digits(change.maximum)

    def number(value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{round(value, digits) + 0.0:{sign}.{digits}f}"

    interval = ""
    if change.interval is not None:
        interval = f"{number(change.interval.low, '+')} to {number(change.interval.high, '+')}"
    return [
        label, number(change.before), number(change.after), number(change.difference, "+"), interval,
        number(change.stderr), f"{change.n:,}",
    ]  # fmt: skip


def comparison_notes(changes: Sequence[BenchmarkChanges]) -> list[str]:
    """Return the notes below comparisons: the smallest detectable drop, and what is not compared.

    Each names its benchmark, and its model where there are several.
    """
    sentences = []
    several = len(set(map(attrgetter("model"), changes))) > 1
    for entry in changes:
        name = f"{entry.benchmark} ({entry.model})" if several else entry.benchmark
        if entry.minimum_detectable_drop is not None:
            digits = score_digits(entry.overall.maximum)
            power = detectable_drop_text(entry.minimum_detectable_drop, digits)
            correlation = (
                "" if entry.correlation is None else f"; the scores correlate by {entry.correlation:.2f}"
            )
            sentences.append(f"{name}: {power}{correlation}")
        if entry.unpaired:
            count = question_count(entry.unpaired)
            sentences.append(f"{name}: {count} not compared (changed, or no score on one side)")
    return sentences
