"""The design effect of passages: as how many independent questions the questions of passages count."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from pytest_instructlab_eval.stats.statistics import (
    CONFIDENCE,
    ROUNDING,
    Clusters,
    clustered_standard_error,
    standard_error,
    welch_degrees_of_freedom,
)


def independent_share(strata: Sequence[Clusters], confidence: float = CONFIDENCE) -> float:
    """Return the share of the questions that count as independent, above 0 and up to 1.

    `strata` are the values of each task, by passage. The counts of right and wrong answers, multiplied by the
    share, go into the intervals of independent answers (Rao and Scott, Biometrics 48, 1992). It is

        V_independent / V_clustered * (t_independent / t_clustered)^2

    with the variances of the mean over tasks, and Student's quantiles at their degrees of freedom (Korn and
    Graubard, Survey Methodology 24, 1998): those of the clusters are one less than their effective number in
    each task (Kish, Survey Sampling, 1965), joined after Satterthwaite. It is 1 where each passage has one
    question. The tasks with two passages or more stand for all. Where they have no spread, or there are none,
    only the number of passages is certain: the share is that of passages in questions.
    """
    clusters = list(itertools.chain.from_iterable(strata))
    questions = sum(map(len, clusters))
    if len(clusters) == questions:
        return 1.0
    measured = [stratum for stratum in strata if len(stratum) > 1]
    together = [error_and_freedom(stratum) for stratum in measured]
    values = [list(itertools.chain.from_iterable(stratum)) for stratum in measured]
    apart = math.hypot(*(standard_error(stratum) or 0.0 for stratum in values))
    clustered = math.hypot(*(error for error, _ in together))
    if min(apart, clustered) <= ROUNDING:
        return len(clusters) / questions
    from scipy.special import stdtrit

    freedom = (sum(map(len, values)) - len(values), max(welch_degrees_of_freedom(together), 1.0))
    quantiles = stdtrit(freedom, (1 + max(confidence, 0.5)) / 2)  # both are 0 at 0
    return min(1.0, float(apart / clustered * quantiles[0] / quantiles[1]) ** 2)


def error_and_freedom(clusters: Clusters) -> tuple[float, float]:
    """Return the standard error of a task's mean, and its degrees of freedom after Kish."""
    sizes = [len(cluster) for cluster in clusters]
    freedom = sum(sizes) ** 2 / sum(size**2 for size in sizes) - 1
    return clustered_standard_error(clusters) or 0.0, freedom
