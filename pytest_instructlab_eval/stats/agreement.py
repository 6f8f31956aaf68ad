"""Measures of the reliability of judgments: between judges, and between the repeats of one judge."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.stats.values import evidence_of


def krippendorff_alpha(units: Iterable[Sequence[float]]) -> float | None:
    """Return Krippendorff's alpha for interval data: 1 for full agreement, 0 for agreement by chance.

    `units` has the ratings of each rated thing; things with one rating do not count. Alpha can be negative.
    With D(o) the mean over ratings of twice the sample variance inside their unit, and D(e)
    twice the sample variance of them all, alpha is 1 - D(o) / D(e) (Krippendorff, Computing Krippendorff's
    Alpha-Reliability, 2011, https://repository.upenn.edu/handle/20.500.14332/2089; the squared differences
    of all pairs of m values sum to twice m (m - 1) times their sample variance). None where all ratings
    are the same, since then nothing shows whether the judges can distinguish answers.
    """
    paired = [list(unit) for unit in units if len(unit) > 1]
    ratings = [rating for unit in paired for rating in unit]
    expected = statistics.variance(ratings) if ratings else 0.0
    if not expected:
        return None
    observed = sum(len(unit) * statistics.variance(unit) for unit in paired) / len(ratings)
    return 1 - observed / expected


def judges_agreement(scores: Iterable[Score]) -> tuple[float | None, int]:
    """Return the alpha of a panel's judges, and the number of answers that several judges rated.

    Several ratings of one answer by one judge count as their mean.
    """
    units = [
        [statistics.fmean(ratings) for ratings in by_judge.values()]
        for by_judge in _by_answer(scores)
        if len(by_judge) > 1
    ]
    return krippendorff_alpha(units), len(units)


def judge_spread(scores: Iterable[Score]) -> tuple[float | None, int]:
    """Return the spread of a judge's repeated ratings, in the unit of the score, and their number.

    The spread is the root of the mean over answers (and judges) of the sample variance of the ratings of one
    answer by one judge: a mean of standard deviations would be too small, by 20 % for two ratings. The number
    counts those with at least two ratings.
    """
    variances = [
        statistics.variance(ratings)
        for by_judge in _by_answer(scores)
        for ratings in by_judge.values()
        if len(ratings) > 1
    ]
    return (math.sqrt(statistics.fmean(variances)) if variances else None), len(variances)


def _by_answer(scores: Iterable[Score]) -> Iterator[Mapping[str, list[float]]]:
    """Yield the ratings of each answer, by judge."""
    for evidence in evidence_of(scores):
        answers: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for judgment in evidence.judgments:
            if judgment.rating is not None:
                answers[judgment.answer][judgment.judge].append(judgment.rating)
        yield from answers.values()
