"""The table of ranked models, the best first."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_instructlab_eval.reports.tables import fitted
from pytest_instructlab_eval.stats.ranking import Rank

__all__ = ["ranking_table"]


def ranking_table(ranks: Sequence[Rank]) -> list[str]:
    """Return the lines of the ranking; none without ranks."""
    if not ranks:
        return []
    best, *others = ranks
    rows = [[best.model, f"{best.score:.4f}", _number(best.stderr), "", "", "best"]]
    for row in others:
        between = "" if row.interval is None else f"{row.interval.low:.4f} to {row.interval.high:.4f}"
        tied = "may equal the best" if row.tied else ""
        rows.append([row.model, f"{row.score:.4f}", _number(row.stderr), _number(row.behind), between, tied])
    head = ["ranking", "score (0 to 1)", "std. error", "behind the best", "95 % interval", ""]
    return fitted(head, rows, text=(5,))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
