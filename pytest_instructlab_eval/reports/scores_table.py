"""The table of scores: a block of rows for each benchmark and model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from operator import attrgetter

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.gates.sentences import score_digits
from pytest_instructlab_eval.reports.tables import fit_table
from pytest_instructlab_eval.stats.summary import Summary, SummaryRow

SHOWN_GROUPS = 5  # best and worst groups shown without -v


def scores_table(
    summaries: Sequence[Summary],
    *,
    verbose: bool = False,
    first_n: int | None = None,
    sample: int | None = None,
    sampled: Collection[str] = (),
) -> list[str]:
    """Return the lines of the table: a block of rows for each benchmark and model.

    Of many groups the five best and worst with more than one question are shown, or all if `verbose`.
    `first_n` and `sample` are the options; they are shown beside the benchmarks in `sampled`.
    """
    if not summaries:
        return []
    chosen = f" (first {first_n}, not a sample)" if first_n is not None else ""
    if sample is not None:
        chosen = f" (sample of {sample:,})"
    several = len({summary.model for summary in summaries}) > 1
    rows: list[list[str]] = []
    for summary in summaries:
        label = f"{summary.benchmark} {summary.model}" if several else summary.benchmark
        rows += _block(summary, label + (chosen if summary.benchmark in sampled else ""), verbose)
    return fit_table(["benchmark", "score", "std. error", "questions", "unscored", "errors"], rows)


def _block(summary: Summary, label: str, verbose: bool) -> list[list[str]]:
    rows, weighted = [row_cells(label, summary.overall)], summary.question_weighted
    if weighted is not None:
        rows = [row_cells(f"{label}, {summary.overall.label}", summary.overall)]
        rows.append(row_cells(f"  {weighted.label}", weighted))
    if summary.controlled is not None:
        rows.append(row_cells(f"  {summary.controlled.label}", summary.controlled))
    rows += [row_cells(f"  {row.label.replace('_', ' ')}", row) for row in summary.metrics]
    if summary.agreement_n:
        alpha, count = agreement_text(summary), f"{summary.agreement_n:,}"
        rows.append(["  agreement (Krippendorff's alpha)", alpha, "", count, "", ""])
    if summary.judge_spread is not None:
        spread = f"{summary.judge_spread:.2f}"
        rows.append(["  judge's spread", spread, "", f"{summary.judge_spread_n:,}", "", ""])
    rows += [[f"  {label}", "", "", f"{count:,}", "", ""] for label, count in score_doubts(summary)]
    if verbose or len(summary.groups) <= 2 * SHOWN_GROUPS:
        return rows + [row_cells(f"  {row.label}", row) for row in summary.groups]
    return rows + _best_and_worst(summary.groups)


def _best_and_worst(groups: Sequence[SummaryRow]) -> list[list[str]]:
    """Return the rows of the best and the worst groups, the number of the others, and what has no score."""
    scored = [row for row in groups if row.value is not None]
    ranked = sorted((row for row in scored if row.n > 1), key=attrgetter("value"), reverse=True)
    best, worst = ranked[:SHOWN_GROUPS], ranked[SHOWN_GROUPS:][-SHOWN_GROUPS:]
    rows = [row_cells(f"  best: {row.label}", row) for row in best]
    if hidden := len(scored) - len(best) - len(worst):
        rows.append([f"  … {hidden} more with -v", "", "", "", "", ""])
    rows += [row_cells(f"  worst: {row.label}", row) for row in worst]
    return rows + [row_cells(f"  {row.label}", row) for row in groups if row.value is None]


def agreement_text(summary: Summary) -> str:
    """Return Krippendorff's alpha of a panel's judges, which ratings that are all alike do not give."""
    return "not measurable" if summary.agreement is None else f"{summary.agreement:.2f}"


def score_doubts(summary: Summary) -> Iterator[tuple[str, int]]:
    """Yield the labels and counts of doubtful answers and judgments; none whose count is 0."""
    if summary.cut_off:
        yield "answers cut off by the limit", summary.cut_off
    if summary.contradictory:
        yield "contradictory judgments", summary.contradictory


def row_cells(label: str, row: SummaryRow) -> list[str]:
    """Return the cells of a row: label, score, standard error, questions, unscored, errors."""
    digits = score_digits(row.maximum)
    missing = "several scales" if row.n else "no score"  # scores that have no mean, or none
    value = missing if row.value is None else f"{row.value:.{digits}f}"
    if row.value is not None and row.maximum != 1:
        value += f" of {row.maximum:g}"
    stderr = "" if row.stderr is None else f"{row.stderr:.{digits}f}"
    return [
        escape_line(label),
        value,
        stderr,
        f"{row.n:,}",
        f"{row.unscored:,}",
        f"{row.errors:,}",
    ]
