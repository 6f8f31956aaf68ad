"""The ranking of models on the same questions: the best, and those that may equal it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.comparison import Comparison, paired_comparison
from pytest_instructlab_eval.stats.statistics import Interval, interval_of_mean
from pytest_instructlab_eval.stats.summary import SummaryRow, summarise
from pytest_instructlab_eval.stats.values import group_by, main_scores


@dataclass(frozen=True)
class Rank:
    """A model's rank: `score` and `stderr` are shares of the maximum, 0 to 1.

    `behind` is how much lower the model is than the best one, over the questions that both have a score
    for, and `interval` is the 95 % interval of that difference; None where it cannot be measured. `tied`
    says that the model may equal the best: the interval contains 0, or there is none.
    """

    model: str
    score: float
    stderr: float | None
    behind: float | None
    interval: Interval | None
    tied: bool


def rank_models(results: Iterable[Result]) -> list[Rank]:
    """Return the models that have a score on every benchmark, the best first; none for fewer than two.

    A model's score is the unweighted mean over the benchmarks of score / maximum. So is a difference.
    """
    by_model = group_by(results, lambda result: result.model)
    summaries = summarise(itertools.chain.from_iterable(by_model.values()))
    benchmarks = {summary.benchmark for summary in summaries}
    scored = [summary for summary in summaries if summary.overall.value is not None]
    scores = {
        model: _mean_score([summary.overall for summary in part])
        for model, part in group_by(scored, lambda summary: summary.model).items()
        if len(part) == len(benchmarks)
    }
    if len(scores) < 2:
        return []
    best, *others = sorted(scores, key=lambda model: -scores[model][0])
    first = Rank(best, *scores[best], behind=0.0, interval=None, tied=False)
    return [first, *(_rank_behind(model, scores[model], by_model[model], by_model[best]) for model in others)]


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


def _mean_score(rows: Sequence[SummaryRow]) -> tuple[float, float | None]:
    """Return the mean score over a model's benchmarks, and its standard error."""
    errors = [row.stderr / row.maximum for row in rows if row.stderr is not None]
    stderr = math.hypot(*errors) / len(rows) if len(errors) == len(rows) else None
    return statistics.fmean((row.value or 0.0) / row.maximum for row in rows), stderr


def _rank_behind(
    model: str, score: tuple[float, float | None], own: Iterable[Result], best: Iterable[Result]
) -> Rank:
    """Return the rank of a model behind the best one; both have a score on all benchmarks."""
    ours, theirs = (group_by(side, lambda result: result.benchmark) for side in (own, best))
    comparisons = [
        paired_comparison(main_scores(ours[benchmark]), main_scores(theirs[benchmark]))
        for benchmark in theirs
    ]
    paired = [comparison for comparison in comparisons if comparison is not None]
    if len(paired) < len(comparisons):
        return Rank(model, *score, behind=None, interval=None, tied=True)
    behind = statistics.fmean(comparison.drop / comparison.maximum for comparison in paired)
    interval = _interval(paired)
    return Rank(model, *score, behind, interval, tied=interval is None or interval.low <= 0)


def _interval(paired: Sequence[Comparison]) -> Interval | None:
    """Return the interval of the mean over the benchmarks; None where one of them has no interval.

    The interval of a benchmark is the one that gates use. With too few clusters for it, Student's interval
    is used; otherwise three skills of a taxonomy could never distinguish two models.
    """
    parts = []
    for comparison in paired:
        interval, maximum = comparison.interval() or comparison.t_interval(), comparison.maximum
        if interval is None:
            return None
        parts.append((comparison.drop / maximum, Interval(interval.low / maximum, interval.high / maximum)))
    return interval_of_mean(parts)
