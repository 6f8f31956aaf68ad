"""The table of scores: a block of rows a benchmark and model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pytest_instructlab_eval.reports.tables import fitted
from pytest_instructlab_eval.stats.summary import Row, Summary
from pytest_instructlab_eval.visible import visible_line

__all__ = ["doubts", "row_cells", "table"]

SHOWN_GROUPS = 5  # best and worst, where not all are shown


def table(
    summaries: Sequence[Summary],
    *,
    verbose: bool = False,
    first_n: int | None = None,
    sample: int | None = None,
    sampled: Collection[str] = (),
) -> list[str]:
    """The lines of the table: a block of rows a benchmark and model.

    Of many groups the five best and worst are shown, but none of one question alone; all when `verbose`.
    `first_n` and `sample` are how many questions of each benchmark among `sampled` were chosen so, if not
    all were asked.
    """
    if not summaries:
        return []
    head = ["benchmark", "score", "std. error", "questions", "unscored", "errors"]
    rows: list[list[str]] = []
    for summary in summaries:
        chosen = _chosen(first_n, sample) if summary.benchmark in sampled else ""
        rows += _block(summary, verbose, chosen, several=len({other.model for other in summaries}) > 1)
    return fitted(head, rows)


def _chosen(first_n: int | None, sample: int | None) -> str:
    """How the questions were chosen."""
    if sample is not None:
        return f" (sample of {sample:,})"
    return f" (first {first_n}, not a sample)" if first_n is not None else ""


def _block(summary: Summary, verbose: bool, chosen: str, several: bool) -> list[list[str]]:
    label = summary.benchmark
    if several:
        label += f" {summary.model}"
    label += chosen
    weighted = summary.question_weighted
    rows = [row_cells(f"{label}, {summary.overall.label}" if weighted else label, summary.overall)]
    if weighted is not None:
        rows.append(row_cells(f"  {weighted.label}", weighted))
    rows += [row_cells(f"  {row.label.replace('_', ' ')}", row) for row in summary.metrics]
    return rows + list(_reliability_rows(summary)) + _group_rows(summary.groups, verbose)


def _reliability_rows(summary: Summary) -> Iterator[list[str]]:
    if summary.agreement_n:
        alpha = "not measurable" if summary.agreement is None else f"{summary.agreement:.2f}"
        yield ["  agreement (Krippendorff's alpha)", alpha, "", f"{summary.agreement_n:,}", "", ""]
    if summary.judge_spread is not None:
        yield ["  judge's spread", f"{summary.judge_spread:.2f}", "", f"{summary.judge_spread_n:,}", "", ""]
    for label, count in doubts(summary):
        yield [f"  {label}", "", "", f"{count:,}", "", ""]


def doubts(summary: Summary) -> Iterator[tuple[str, int]]:
    """What a reader of the scores should know of their answers and judgments, each with its count above 0."""
    if summary.cut_off:
        yield "answers cut off by the limit", summary.cut_off
    if summary.contradictory:
        yield "contradictory judgments", summary.contradictory


def _group_rows(groups: Sequence[Row], verbose: bool) -> list[list[str]]:
    if verbose or len(groups) <= 2 * SHOWN_GROUPS:
        return [row_cells(f"  {row.label}", row) for row in groups]
    scored = [row for row in groups if row.value is not None]
    unranked = [row for row in groups if row.value is None]
    ranked = sorted((row for row in scored if row.n > 1), key=lambda row: -(row.value or 0.0))
    best, worst = ranked[:SHOWN_GROUPS], ranked[SHOWN_GROUPS:][-SHOWN_GROUPS:]
    hidden = len(scored) - len(best) - len(worst)
    rows = [row_cells(f"  best: {row.label}", row) for row in best]
    if hidden > 0:
        rows.append([f"  … {hidden} more with -v", "", "", "", "", ""])
    rows += [row_cells(f"  worst: {row.label}", row) for row in worst]
    return rows + [row_cells(f"  {row.label}", row) for row in unranked]


def row_cells(label: str, row: Row) -> list[str]:
    """The label, score, standard error, and the counts of questions, unscored ones and errors."""
    digits = 2 if row.maximum > 1 else 4
    value = "no score" if row.value is None else f"{row.value:.{digits}f}"
    if row.value is not None and row.maximum != 1:
        value += f" of {row.maximum:g}"
    stderr = "" if row.stderr is None else f"{row.stderr:.{digits}f}"
    return [
        visible_line(label),
        value,
        stderr,
        f"{row.n:,}",
        f"{row.unscored:,}",
        f"{row.errors:,}",
    ]
