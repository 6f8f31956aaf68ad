"""Means over the questions of tasks, and the variance of their sum."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pytest_instructlab_eval.records.scores import Score


class Mean(NamedTuple):
    """A mean over the questions of a task or of a sample of it, with its standard error, None where unknown.

    `size` is the number of the task's questions. `single` says that those of the mean are one cluster.
    """

    value: float
    stderr: float | None
    size: int
    single: bool


def means_of(scores: Iterable[Score]) -> list[Mean]:
    """Return the means of the scores that have a value."""
    means = []
    for score in scores:
        if score.value is not None:
            passages = {sample.passage for sample in score.samples if sample.value is not None}
            single = score.n == 1 or (len(passages) == 1 and "" not in passages)  # as in a small sample
            means.append(Mean(score.value, score.stderr, score.sample_of or score.n, single))
    return means


def variance_of_sum(means: Sequence[Mean], weights: Sequence[float]) -> float | None:
    """Return the variance of the weighted sum of independent means.

    A mean of one question, or of several about one passage, as in a small sample of a task, shows no
    variance. All m of these means are taken together, with their sample variance times the sum of their
    squared weights, which on average exceeds the true sum (collapsed strata: Cochran, Sampling Techniques,
    3rd ed., 5A.12). None for m = 1, or where the error of another mean is unknown.
    """
    errors, singles = [], []
    for mean, weight in zip(means, weights, strict=True):
        if mean.stderr is not None:
            errors.append(weight * mean.stderr)
        elif mean.single:
            singles.append((mean.value, weight))
        else:
            return None
    if len(singles) == 1:
        return None
    known = math.fsum(error**2 for error in errors)
    if not singles:
        return known
    values, own_weights = zip(*singles, strict=True)
    return known + float(statistics.variance(values) * sum(weight**2 for weight in own_weights))
