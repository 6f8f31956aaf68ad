"""Summaries of results: the means of each benchmark and model, and of its metrics and groups."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.agreement import judge_spread, judges_agreement
from pytest_instructlab_eval.stats.comparison import counterpart_results
from pytest_instructlab_eval.stats.control_variate import controlled_mean
from pytest_instructlab_eval.stats.means import means_of, variance_of_sum
from pytest_instructlab_eval.stats.statistics import Interval, clustered_standard_error
from pytest_instructlab_eval.stats.values import (
    evidence_of,
    group_by,
    has_one_scale,
    main_scores,
    results_of_metric,
)


@dataclasses.dataclass(frozen=True)
class SummaryRow:
    """One mean over `n` scored questions; `unscored` and `errors` count the others.

    `value` is None where there is no score, `stderr` where it cannot be measured; both are in the
    unit of the score, which goes up to `maximum`.
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
    """The summary of one benchmark with one model.

    `overall` is the benchmark's score as InstructLab computes it. `question_weighted` is the mean over
    questions, where a test's score is itself a mean over many. `metrics` and `groups` are empty if there is
    only one. `agreement` is Krippendorff's alpha of a panel's judges and `judge_spread` the spread of a
    judge's repeated ratings, None where unknown; `agreement_n` and `judge_spread_n` are the numbers of
    answers behind them. `cut_off` counts the answers that the token limit ended, `contradictory` the
    judgments that stated different ratings. `controlled` is the mean over tasks of a sample with the
    baseline's answers as control, and `controlled_interval` its 95 % interval; see `controlled_mean`.
    """

    benchmark: str
    model: str
    judge: str | None
    overall: SummaryRow
    question_weighted: SummaryRow | None
    metrics: tuple[SummaryRow, ...]
    groups: tuple[SummaryRow, ...]
    agreement: float | None = None
    agreement_n: int = 0
    judge_spread: float | None = None
    judge_spread_n: int = 0
    cut_off: int = 0
    contradictory: int = 0
    controlled: SummaryRow | None = None
    controlled_interval: Interval | None = None


def summarise(results: Iterable[Result], baseline: Iterable[Result] = ()) -> list[Summary]:
    """Return the summary of each benchmark and model, in the order of their first results.

    The answers of the `baseline` to all questions control the mean of a sample.
    """
    earlier = list(baseline)
    parts = group_by(results, lambda result: (result.benchmark, result.model))
    return [
        _summary(benchmark, model, part, counterpart_results(earlier, benchmark, model))
        for (benchmark, model), part in parts.items()
    ]


def _summary(benchmark: str, model: str, results: Sequence[Result], baseline: Sequence[Result]) -> Summary:
    """Return the summary of one benchmark and model."""
    scores = _scores(results)
    weighted = _question_weighted(main_scores(results))
    groups = group_by(main_scores(results), lambda result: result.group)
    groups.pop("", None)
    agreement, agreement_n = judges_agreement(scores)
    spread, spread_n = judge_spread(scores)
    evidence = evidence_of(scores)
    control, controlled = controlled_mean(results, baseline), None
    if control is not None:
        row = _summary_row("with the baseline's answers as control", results)
        controlled = dataclasses.replace(row, value=control.value, stderr=control.stderr)
    return Summary(
        benchmark=benchmark,
        model=model,
        judge=next(filter(None, (result.judge for result in results)), None),
        overall=_summary_row("mean" if weighted is None else "mean over tasks", main_scores(results)),
        question_weighted=weighted,
        metrics=_summary_rows(results_by_metric(results)),
        groups=_summary_rows(groups),
        agreement=agreement,
        agreement_n=agreement_n,
        judge_spread=spread,
        judge_spread_n=spread_n,
        cut_off=sum(reply.cut_off for entry in evidence for reply in entry.replies),
        contradictory=sum(bool(judgment.contradictory) for entry in evidence for judgment in entry.judgments),
        controlled=controlled,
        controlled_interval=None if control is None else control.interval(),
    )


def _scores(results: Iterable[Result]) -> list[Score]:
    return [score for result in results for score in result.scores]


def results_by_metric(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each metric, in the order of the first scores, with its scores alone."""
    metrics = dict.fromkeys(score.metric for score in _scores(results))
    return {metric: results_of_metric(results, metric) for metric in metrics}


def _summary_rows(parts: Mapping[str, Sequence[Result]]) -> tuple[SummaryRow, ...]:
    """Return a row for each part, none for a single part."""
    return tuple(_summary_row(label, part) for label, part in parts.items()) if len(parts) > 1 else ()


def _summary_row(label: str, results: Sequence[Result]) -> SummaryRow:
    """Return the row of the unweighted mean over the scores; the scores of a test are one cluster."""
    scores = _scores(results)
    value, stderr = _mean_and_error(results)
    return SummaryRow(
        label=label,
        value=value,
        maximum=max((score.maximum for score in scores), default=1.0),
        stderr=stderr,
        n=sum(max((score.n for score in result.scores), default=0) for result in results),
        unscored=sum(score.unscored for score in scores),
        errors=sum(score.errors for score in scores) + sum(result.error is not None for result in results),
    )


def _mean_and_error(results: Sequence[Result]) -> tuple[float | None, float | None]:
    """Return the mean of all values and its standard error; None for scores of several scales.

    The values of a test are one cluster, as are those of all tests of a cluster that a marker names. The
    tests of one qna.yaml, a cluster elsewhere, count one by one here.
    """
    by_cluster = defaultdict[object, list[float]](list)
    for number, result in enumerate(results):
        cluster = result.own_cluster or number
        by_cluster[cluster] += [score.value for score in result.scores if score.value is not None]
    clusters = list(filter(None, by_cluster.values()))
    scores, values = _scores(results), list(itertools.chain.from_iterable(clusters))
    if not values or not has_one_scale(results):
        return None, None
    if not any(score.n > 1 for score in scores):
        return statistics.fmean(values), clustered_standard_error(clusters)
    means = means_of(scores)
    variance = variance_of_sum(means, [1.0] * len(means))
    return statistics.fmean(values), math.sqrt(variance) / len(means) if variance else None


def _question_weighted(results: Sequence[Result]) -> SummaryRow | None:
    """Return the mean over the questions of all tests; None where each test is one question.

    A sample of a task stands for all questions of the task.
    """
    scores = _scores(results)
    if not any(score.n > 1 for score in scores):
        return None
    row, means = _summary_row("mean over questions", results), means_of(scores)
    n = sum(mean.size for mean in means)
    if row.value is None or not n:
        return dataclasses.replace(row, value=None, stderr=None)
    value = sum(mean.size * mean.value for mean in means) / n
    variance = variance_of_sum(means, [mean.size for mean in means])
    return dataclasses.replace(row, value=value, stderr=math.sqrt(variance) / n if variance else None)
