"""Results put together: a mean a benchmark and model, its metrics and groups."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from pytest_instructlab_eval.records.scores import Result, Score, cluster_before
from pytest_instructlab_eval.stats.agreement import judge_spread, judges_agreement
from pytest_instructlab_eval.stats.statistics import clustered_standard_error

__all__ = ["Row", "Summary", "summarise"]


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
    evidence = [score.evidence for score in scores if score.evidence is not None]
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
        cut_off=sum(reply.cut_off for known in evidence for reply in known.replies),
        contradictory=sum(bool(judgment.contradictory) for known in evidence for judgment in known.judgments),
    )


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
