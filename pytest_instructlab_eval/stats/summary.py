"""Results put together: a mean a benchmark and model, its metrics and groups, and the table of them."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from pytest_instructlab_eval.records.scores import Result, Score, cluster_before
from pytest_instructlab_eval.reports.tables import fitted
from pytest_instructlab_eval.stats.agreement import judge_spread, judges_agreement
from pytest_instructlab_eval.stats.statistics import clustered_standard_error
from pytest_instructlab_eval.visible import visible_line

__all__ = ["Row", "Summary", "doubts", "row_cells", "summarise", "table"]

SHOWN_GROUPS = 5  # best and worst, where not all are shown


@dataclasses.dataclass(frozen=True)
class Row:
    """One mean: `n` is how many scored questions it is over, `unscored` and `errors` count the rest.

    `value` is None where nothing was scored, `stderr` where it can't be measured; both are in the
    unit of the score, which ends at `maximum`.
    """

    label: str
    value: float | None
    maximum: float
    stderr: float | None
    n: int
    unscored: int
    errors: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """One benchmark with one model.

    `overall` is the benchmark's score as InstructLab has it. `question_weighted` stands beside it
    where a test's score is itself a mean over many questions. `metrics` and `groups` are empty
    where there is but one. `agreement` is how the judges of a panel agree (Krippendorff's alpha) and
    `judge_spread` how a judge that was asked again disagrees with itself, None where that isn't known;
    `agreement_n` and `judge_spread_n` are how many answers they are over. `cut_off` counts the answers that
    the token limit ended, `contradictory` the judgments that stated different ratings.
    """

    benchmark: str
    model: str
    judge: str | None
    overall: Row
    question_weighted: Row | None
    metrics: tuple[Row, ...]
    groups: tuple[Row, ...]
    agreement: float | None = None
    agreement_n: int = 0
    judge_spread: float | None = None
    judge_spread_n: int = 0
    cut_off: int = 0
    contradictory: int = 0


def summarise(results: Iterable[Result]) -> list[Summary]:
    """The summary of each benchmark and model, in the order they were first met."""
    sets: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        sets[result.benchmark, result.model].append(result)
    return [_summary(benchmark, model, found) for (benchmark, model), found in sets.items()]


def _summary(benchmark: str, model: str, results: Sequence[Result]) -> Summary:
    scores = [score for result in results for score in result.scores]
    over_many = any(score.n > 1 for score in scores)
    metrics = list(dict.fromkeys(score.metric for score in scores))
    groups = list(dict.fromkeys(result.group for result in results if result.group))
    judges = [result.judge for result in results if result.judge]
    agreement, agreement_n = judges_agreement(scores)
    spread, spread_n = judge_spread(scores)
    return Summary(
        benchmark=benchmark,
        model=model,
        judge=judges[0] if judges else None,
        overall=_row("mean over tasks" if over_many else "mean", results),
        question_weighted=_question_weighted(scores, results) if over_many else None,
        metrics=tuple(_metric_row(metric, results) for metric in metrics) if len(metrics) > 1 else (),
        groups=tuple(_row(group, [result for result in results if result.group == group]) for group in groups)
        if len(groups) > 1
        else (),
        agreement=agreement,
        agreement_n=agreement_n,
        judge_spread=spread,
        judge_spread_n=spread_n,
        cut_off=sum(map(_cut_off, scores)),
        contradictory=sum(map(_contradictory, scores)),
    )


def _cut_off(score: Score) -> int:
    """How many of the answers behind a score were cut off."""
    metadata = score.metadata
    reasons = metadata.get("finish_reasons") or [metadata.get("finish_reason")]
    answers = metadata.get("answers") or [metadata.get("answer")]
    return sum(
        reason == "length" and answer is not None for reason, answer in zip(reasons, answers, strict=False)
    )


def _contradictory(score: Score) -> int:
    """How many of the judgments behind a score contradict themselves."""
    judgments = score.metadata.get("judgments") or [score.metadata]
    return sum("contradictory_ratings" in judgment for judgment in judgments)


def _metric_row(metric: str, results: Sequence[Result]) -> Row:
    return _row(metric, results, lambda score: score.metric == metric)


def _row(label: str, results: Sequence[Result], keep: Callable[[Score], bool] = lambda _: True) -> Row:
    """The unweighted mean over the scores that are kept, with a test's scores as one cluster.

    Tests whose marker names a cluster are one together; those of one qna.yaml are told one by one here.
    """
    tests = [[score for score in result.scores if keep(score)] for result in results]
    scores = [score for test in tests for score in test]
    clusters: dict[str, list[float]] = defaultdict(list)
    for number, (result, test) in enumerate(zip(results, tests, strict=True)):
        named = result.cluster and result.cluster != cluster_before(result.group)
        cluster = f"cluster {result.cluster}" if named else f"test {number}"
        clusters[cluster] += [score.value for score in test if score.value is not None]
    values = list(clusters.values())
    flat = [value for cluster in values for value in cluster]
    maxima = {score.maximum for score in scores}
    comparable = bool(flat) and len(maxima) == 1
    stderr = None
    if comparable and any(score.n > 1 for score in scores):
        stderr = _standard_error_of_means(scores)
    elif comparable:
        stderr = clustered_standard_error([cluster for cluster in values if cluster])
    return Row(
        label=label,
        value=statistics.fmean(flat) if comparable else None,
        maximum=max(maxima, default=1.0),
        stderr=stderr,
        n=sum(max((score.n for score in test), default=0) for test in tests),
        unscored=sum(score.unscored for score in scores),
        errors=sum(score.errors for score in scores) + sum(result.error is not None for result in results),
    )


def _question_weighted(scores: Sequence[Score], results: Sequence[Result]) -> Row:
    kept = [score for score in scores if score.value is not None]
    n = sum(score.n for score in kept)
    value = sum(score.n * (score.value or 0.0) for score in kept) / n if n else None
    variance = variance_of_sum([(score.value, score.stderr, score.n) for score in kept], by_size=True)
    stderr = math.sqrt(variance) / n if n and variance is not None else None
    row = _row("mean over questions", results)
    if row.value is None:
        value = stderr = None
    return dataclasses.replace(row, value=value, stderr=stderr)


def _standard_error_of_means(scores: Sequence[Score]) -> float | None:
    """Of an unweighted mean of independent means: the root of their summed variances, over their number."""
    means = [(score.value, score.stderr, score.n) for score in scores if score.value is not None]
    variance = variance_of_sum(means)
    return math.sqrt(variance) / len(means) if means and variance is not None else None


def variance_of_sum(
    means: Sequence[tuple[float | None, float | None, int]], *, by_size: bool = False
) -> float | None:
    """The variance of the sum of independent means, each with its standard error and its size, its weight.

    One question alone, as a small sample has of a task, shows no variance. All such are taken together:
    theirs sum to m times the sample variance of the m of them, more than the true sum on the average
    (collapsed strata: Cochran, Sampling Techniques, 3rd ed., 5A.12). None where there is but one, or where
    the error of a mean over more isn't known.
    """
    known = [error * (size if by_size else 1) for _, error, size in means if error is not None]
    alone = [value for value, error, size in means if error is None and size == 1 and value is not None]
    if len(alone) == 1 or len(known) + len(alone) < len(means):
        return None
    between = len(alone) * statistics.variance(alone) if alone else 0.0
    return sum(error**2 for error in known) + between


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
