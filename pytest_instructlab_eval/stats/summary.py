"""Results put together: a mean a benchmark and model, its metrics and groups."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pytest_instructlab_eval.records.scores import Result, Score, cluster_before
from pytest_instructlab_eval.stats.agreement import judge_spread, judges_agreement
from pytest_instructlab_eval.stats.statistics import clustered_standard_error
from pytest_instructlab_eval.stats.values import evidence_of, group_by, results_of_metric


@dataclasses.dataclass(frozen=True)
class SummaryRow:
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


def summarise(results: Iterable[Result]) -> list[Summary]:
    """Return the summary of each benchmark and model, in the order they were first met."""
    found = []
    for (benchmark, model), part in group_by(
        results, lambda result: (result.benchmark, result.model)
    ).items():
        scores = _scores(part)
        weighted = _question_weighted(part)
        groups = group_by(part, lambda result: result.group)
        groups.pop("", None)
        metrics = dict.fromkeys(score.metric for score in scores)
        agreement, agreement_n = judges_agreement(scores)
        spread, spread_n = judge_spread(scores)
        evidence = evidence_of(scores)
        summary = Summary(
            benchmark=benchmark,
            model=model,
            judge=next(filter(None, (result.judge for result in part)), None),
            overall=_summary_row("mean" if weighted is None else "mean over tasks", part),
            question_weighted=weighted,
            metrics=_summary_rows({metric: results_of_metric(part, metric) for metric in metrics}),
            groups=_summary_rows(groups),
            agreement=agreement,
            agreement_n=agreement_n,
            judge_spread=spread,
            judge_spread_n=spread_n,
            cut_off=sum(reply.cut_off for known in evidence for reply in known.replies),
            contradictory=sum(
                bool(judgment.contradictory) for known in evidence for judgment in known.judgments
            ),
        )
        found.append(summary)
    return found


def _scores(results: Iterable[Result]) -> list[Score]:
    return [score for result in results for score in result.scores]


def _summary_rows(parts: Mapping[str, Sequence[Result]]) -> tuple[SummaryRow, ...]:
    """Return a row for each part, none where there is but one."""
    return tuple(_summary_row(label, part) for label, part in parts.items()) if len(parts) > 1 else ()


def _summary_row(label: str, results: Sequence[Result]) -> SummaryRow:
    """Return the unweighted mean over the scores, with a test's scores as one cluster."""
    scores = _scores(results)
    value, stderr = _mean_and_error(scores, _clusters(results))
    return SummaryRow(
        label=label,
        value=value,
        maximum=max((score.maximum for score in scores), default=1.0),
        stderr=stderr,
        n=sum(max((score.n for score in result.scores), default=0) for result in results),
        unscored=sum(score.unscored for score in scores),
        errors=sum(score.errors for score in scores) + sum(result.error is not None for result in results),
    )


def _clusters(results: Iterable[Result]) -> list[list[float]]:
    """Return the values of each test, together with those of the other tests of a cluster that is named.

    Tests whose marker names a cluster are one together; those of one qna.yaml are told one by one here.
    """
    clusters: dict[str, list[float]] = defaultdict(list)
    for number, result in enumerate(results):
        named = result.cluster and result.cluster != cluster_before(result.group)
        cluster = f"cluster {result.cluster}" if named else f"test {number}"
        clusters[cluster] += [score.value for score in result.scores if score.value is not None]
    return [values for values in clusters.values() if values]


def _mean_and_error(
    scores: Sequence[Score], clusters: Sequence[Sequence[float]]
) -> tuple[float | None, float | None]:
    """Return the mean of all values and its standard error; None for scores of several scales."""
    values = list(itertools.chain.from_iterable(clusters))
    if not values or len({score.maximum for score in scores}) > 1:
        return None, None
    if not any(score.n > 1 for score in scores):
        return statistics.fmean(values), clustered_standard_error(clusters)
    means = _means(scores)
    variance = variance_of_sum(means)
    return statistics.fmean(values), None if variance is None else math.sqrt(variance) / len(means)


def _question_weighted(results: Sequence[Result]) -> SummaryRow | None:
    """Return the mean over all questions, whichever test they are of; None where a test is one each."""
    scores = _scores(results)
    if not any(score.n > 1 for score in scores):
        return None
    row, means = _summary_row("mean over questions", results), _means(scores)
    n = sum(mean.n for mean in means)
    if row.value is None or not n:
        return dataclasses.replace(row, value=None, stderr=None)
    value = sum(mean.n * mean.value for mean in means) / n
    variance = variance_of_sum([mean.times_its_size for mean in means])
    return dataclasses.replace(row, value=value, stderr=None if variance is None else math.sqrt(variance) / n)


class Mean(NamedTuple):
    """A mean over `n` questions, with its standard error, None where it isn't known."""

    value: float
    stderr: float | None
    n: int

    @property
    def times_its_size(self) -> Mean:
        """The mean with the error of the sum over its questions."""
        return self._replace(stderr=None if self.stderr is None else self.stderr * self.n)


def _means(scores: Iterable[Score]) -> list[Mean]:
    return [Mean(score.value, score.stderr, score.n) for score in scores if score.value is not None]


def variance_of_sum(means: Sequence[Mean]) -> float | None:
    """Return the variance of the sum of independent means.

    One question alone, as a small sample has of a task, shows no variance. All such are taken together:
    theirs sum to m times the sample variance of the m of them, more than the true sum on the average
    (collapsed strata: Cochran, Sampling Techniques, 3rd ed., 5A.12). None where there is but one, or where
    the error of a mean over more isn't known.
    """
    known = [mean.stderr for mean in means if mean.stderr is not None]
    alone = [mean.value for mean in means if mean.stderr is None and mean.n == 1]
    if len(alone) == 1 or len(known) + len(alone) < len(means):
        return None
    between = len(alone) * statistics.variance(alone) if alone else 0.0
    return sum(error**2 for error in known) + between
