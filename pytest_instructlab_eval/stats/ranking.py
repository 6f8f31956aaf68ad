"""The ranking of models on the same questions: the best, and those that may equal it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.comparison import paired_comparison
from pytest_instructlab_eval.stats.statistics import CONFIDENCE, Interval, interval_of_mean
from pytest_instructlab_eval.stats.summary import summarise
from pytest_instructlab_eval.stats.values import group_by, main_scores
from pytest_instructlab_eval.stats.winner_bias import selection_bias


@dataclass(frozen=True)
class Rank:
    """A model's rank: `score` and `stderr` are shares of the maximum, 0 to 1.

    `behind` is how much lower the model is than the best one, over the questions that both have a score
    for, and `interval` is the interval of that difference, of this `confidence`; None where it cannot be
    measured. `tied` says that the model may equal the best: the interval contains 0, or there is none. Of the
    best one alone, `selection_bias` is how much its score is too high on the average, an estimate.
    """

    model: str
    score: float
    stderr: float | None
    behind: float | None
    interval: Interval | None
    tied: bool
    confidence: float | None = None
    selection_bias: float | None = None


def rank_models(results: Iterable[Result]) -> list[Rank]:
    """Return the models that have a score on every benchmark, the best first; none for fewer than two.

    A model's score is the unweighted mean over the benchmarks of score / maximum. So is a difference.
    """
    every = list(results)
    parts = {
        model: group_by(part, lambda result: result.benchmark)
        for model, part in group_by(every, lambda result: result.model).items()
    }
    scores = _scores_of_all(every)
    if len(scores) < 2:
        return []
    best, *others = order = sorted(scores, key=lambda model: -scores[model][0])
    bias = selection_bias([scores[model][0] for model in order], [parts[model] for model in order])
    first = Rank(best, *scores[best], behind=0.0, interval=None, tied=False, selection_bias=bias)
    confidence = simultaneous_confidence(len(others))
    behind = (_rank_behind(model, scores[model], parts[model], parts[best], confidence) for model in others)
    return [first, *behind]


def _scores_of_all(results: Sequence[Result]) -> dict[str, tuple[float, float | None]]:
    """Return the mean over the benchmarks, with its standard error, of each model that has a score on all."""
    summaries = summarise(results)
    benchmarks = {summary.benchmark for summary in summaries}
    scores = {}
    for model, part in group_by(summaries, lambda summary: summary.model).items():
        rows = [summary.overall for summary in part]
        values = [row.value / row.maximum for row in rows if row.value is not None]
        errors = [row.stderr / row.maximum for row in rows if row.stderr is not None]
        if len(values) == len(benchmarks):
            stderr = math.hypot(*errors) / len(errors) if len(errors) == len(values) else None
            scores[model] = statistics.fmean(values), stderr
    return scores


def simultaneous_confidence(others: int) -> float:
    """Return the confidence of the intervals behind the best, so that the true best is rarely left out.

    The true best is left out only if another model leads it, by more than chance. Each of these `others`
    does so in at most (1 - CONFIDENCE) / others of runs (Bonferroni), and so one or more in 5 %. That is
    multiple comparisons with the best (Hsu, Annals of Statistics 9, 1981) without his assumption of equal
    variances. For one or two others it is CONFIDENCE, as for any other difference.
    """
    one_sided = (1 - CONFIDENCE) / max(others, 2)
    return 1 - 2 * one_sided


def unranked_reasons(results: Iterable[Result]) -> dict[str, str]:
    """Return the reason, as a predicate, for each model that is not ranked: a benchmark without a score."""
    by_pair = group_by(results, lambda result: (result.model, result.benchmark))
    models = dict.fromkeys(model for model, _ in by_pair)
    benchmarks = dict.fromkeys(benchmark for _, benchmark in by_pair)
    reasons: dict[str, str] = {}
    for model, benchmark in itertools.product(models, benchmarks):
        part = by_pair.get((model, benchmark), [])
        if all(result.value is None for result in part):
            errors = [error for result in part for error in (result.error, *(s.error for s in result.scores))]
            nothing = "no question has a score" if part else "it got no question"
            reason = next(map(escape_line, filter(None, errors)), nothing)
            reasons.setdefault(model, f"has no score on {benchmark} ({reason})")
    return reasons


def doubt_about_best(results: Iterable[Result], ranks: Sequence[Rank]) -> str | None:
    """Return the doubt whether the first of the ranking is the best, as questions of it ended in errors.

    None where it stays ahead even if each of these questions had the score 0.
    """
    best, second = ranks[:2]
    rows = [summary.overall for summary in summarise(results) if summary.model == best.model]
    least = [(row.value or 0.0) / row.maximum * row.n / (row.n + row.errors) for row in rows if row.n]
    if not any(row.errors for row in rows) or statistics.fmean(least) >= second.score:
        return None
    failed = sum(row.errors for row in rows)
    return (
        f"{best.model} is ahead of {second.model}, but perhaps only because {failed:,} of its questions "
        "ended in an error and have no score; run it again"
    )


def _rank_behind(
    model: str,
    score: tuple[float, float | None],
    own: Mapping[str, Sequence[Result]],
    best: Mapping[str, Sequence[Result]],
    confidence: float,
) -> Rank:
    """Return the rank of a model behind the best one; both have a score on all benchmarks.

    The interval of a benchmark is the one that gates use. With too few clusters for it, Student's interval
    is used; otherwise three skills of a taxonomy could never distinguish two models.
    """
    comparisons = [
        paired_comparison(main_scores(own[benchmark]), main_scores(best[benchmark])) for benchmark in best
    ]
    paired = [comparison for comparison in comparisons if comparison is not None]
    if len(paired) < len(comparisons):
        return Rank(model, *score, behind=None, interval=None, tied=True)
    behind = statistics.fmean(comparison.drop / comparison.maximum for comparison in paired)
    parts = []
    for comparison in paired:
        interval = comparison.interval(confidence) or comparison.t_interval(confidence)
        if interval is None:
            return Rank(model, *score, behind, interval=None, tied=True)
        low, high = (end / comparison.maximum for end in interval)
        parts.append((comparison.drop / comparison.maximum, Interval(low, high)))
    interval = interval_of_mean(parts)
    return Rank(model, *score, behind, interval, tied=interval.low <= 0, confidence=confidence)
