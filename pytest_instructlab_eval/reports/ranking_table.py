"""The table of ranked models, the best first."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_instructlab_eval.reports.tables import fit_table
from pytest_instructlab_eval.stats.ranking import Rank


def ranking_table(ranks: Sequence[Rank]) -> list[str]:
    """Return the lines of the ranking; none without ranks."""
    if not ranks:
        return []
    best, *others = ranks
    rows = [[best.model, f"{best.score:.4f}", _share_text(best.stderr), "", "", "best"]]
    for row in others:
        between = "" if row.interval is None else f"{row.interval.low:.4f} to {row.interval.high:.4f}"
        tied = "may equal the best" if row.tied else ""
        rows.append(
            [row.model, f"{row.score:.4f}", _share_text(row.stderr), _share_text(row.behind), between, tied]
        )
    head = ["ranking", "score (0 to 1)", "std. error", "behind the best", "95 % interval", ""]
    return fit_table(head, rows, text=(5,))


def _share_text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
