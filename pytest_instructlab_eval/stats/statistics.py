"""Intervals and p values of means and differences of means over a limited number of questions.

Three rules hold throughout. A value that cannot be measured is None, never 0. Questions that depend on each
other (the turns of a conversation, the pairs of one qna file) count as one *cluster*. Verdict and interval
never contradict each other, since the interval decides the verdict.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    pass

CONFIDENCE = 0.95
POWER = 0.8
FEW_CLUSTERS = 10  # with fewer, the t interval of clustered means is too narrow when clusters are unequal

ROUNDING = 1e-9  # values that are closer count as equal

Clusters = Sequence[Sequence[float]]


class Interval(NamedTuple):
    """A confidence interval, in the unit of its estimate."""

    low: float
    high: float


# --- one mean ---


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean of independent values: s / sqrt(n), s with n - 1.

    Equation 1 of https://arxiv.org/abs/2411.00640. None for fewer than two values.
    """
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def clustered_standard_error(clusters: Clusters) -> float | None:
    """Return the standard error of the mean of all values, which are independent only between clusters.

    sqrt(G / (G - 1) * sum over clusters of (sum of its deviations)^2) / N for G clusters of N values
    in all: the clustered estimate of https://arxiv.org/abs/2411.00640 (section 2.2) with the usual
    correction for few clusters; for clusters of one value, the sample standard error. None where there
    are fewer than two clusters, and where all have the same mean: equal scores do not show how far others
    would be.
    """
    count = sum(len(cluster) for cluster in clusters)
    if not have_different_means(clusters):
        return None
    mean = sum(value for cluster in clusters for value in cluster) / count
    squares = sum(sum(value - mean for value in cluster) ** 2 for cluster in clusters)
    return math.sqrt(len(clusters) / (len(clusters) - 1) * squares) / count


def jackknife_error(clusters: Clusters) -> float | None:
    """Return the standard error of the mean of all values, from the means without one cluster each.

    sqrt((G - 1) / G * sum of squared differences of these means from the mean of all) for G clusters. It is
    `clustered_standard_error` for clusters of one size, and does not fall short where one is much larger
    than others (MacKinnon, Nielsen and Webb, Journal of Applied Econometrics 38, 2023). 0 where all clusters
    have the same mean, None for fewer than two.
    """
    if len(clusters) < 2:
        return None
    total, sums = sum(map(len, clusters)), [math.fsum(cluster) for cluster in clusters]
    mean = math.fsum(sums) / total
    without = [
        (own - mean * len(cluster)) / (total - len(cluster))
        for own, cluster in zip(sums, clusters, strict=True)
    ]
    return math.sqrt((len(clusters) - 1) / len(clusters) * math.fsum(part**2 for part in without))


def t_interval(
    mean: float, stderr: float, degrees_of_freedom: float, confidence: float = CONFIDENCE
) -> Interval:
    """Return mean ± t * stderr, t the quantile of Student's distribution (Student, Biometrika 6, 1908)."""
    half = t_quantile((1 + confidence) / 2, degrees_of_freedom) * stderr
    return Interval(mean - half, mean + half)


def cluster_interval(clusters: Clusters, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of the mean of all values, which are independent only between clusters.

    From ten clusters on, the t interval of `jackknife_error` (Cameron and Miller, Journal of Human
    Resources 50, 2015, section VI.D); its degrees of freedom are one less than the effective
    number of clusters, (sum n)^2 / sum n^2 for n values in each (Kish, Survey Sampling, 1965), which is
    G where all are of one size.

    With fewer than ten, the wild cluster bootstrap with Rademacher weights (Cameron, Gelbach and
    Miller, Review of Economics and Statistics 90, 2008), with all 2^G of its draws instead of random
    ones. Inverted, it is Hartigan's typical values (JASA 64, 1969): of the means of all 2^G - 1 sets of
    clusters, the k-th from either end, k = floor((1 - confidence) / 2 * 2^G). It holds its level for any
    clusters with symmetric errors. None where k is 0 (fewer than six clusters at 95 %), and where
    all clusters have the same mean.
    """
    count = len(clusters)
    if count >= FEW_CLUSTERS:
        return cluster_t_interval(clusters, confidence)
    rank = math.floor((1 - confidence) / 2 * 2**count)
    if rank < 1 or not have_different_means(clusters):
        return None
    import numpy as np

    sets = (np.arange(1, 2**count)[:, None] >> np.arange(count)) & 1
    sums = sets @ np.array([math.fsum(cluster) for cluster in clusters])
    means = np.sort(sums / (sets @ np.array([len(cluster) for cluster in clusters])))
    return Interval(float(means[rank - 1]), float(means[-rank]))


def fewest_clusters(confidence: float = CONFIDENCE) -> int:
    """Return how many clusters `cluster_interval` needs: six at 95 %, and never more than ten."""
    return next(
        count
        for count in itertools.count(2)
        if count >= FEW_CLUSTERS or math.floor((1 - confidence) / 2 * 2**count) >= 1
    )


def cluster_t_interval(clusters: Clusters, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the t interval of `cluster_interval`, for any number of clusters.

    It is exact only for clusters of one size with normal errors. None for fewer than two clusters, and
    where all have the same mean.
    """
    stderr = jackknife_error(clusters)
    if stderr is None or not have_different_means(clusters):
        return None
    mean = statistics.fmean(value for cluster in clusters for value in cluster)
    return t_interval(mean, stderr, degrees_of_freedom(clusters), confidence)


def bounded_interval(clusters: Clusters, maximum: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of the mean of scores from 0 to the maximum, independent only between clusters.

    It is Wilson's for the share p of the maximum, at the effective number of questions p (1 - p) / error^2
    (Korn and Graubard, Survey Methodology 24, 1998), with `jackknife_error` and Student's quantile instead
    of the normal one. So it stays on the scale, and reaches further to the side that has more room, as it
    must near the top: few clusters of ratings of 9.7 of 10 are in the t interval in 92 % of runs.

    Where all clusters have the same mean, others would differ in at most a share q of clusters, at the
    confidence: 1 - (1 - confidence)^(1 / G) for none of G, their effective number (Clopper and Pearson,
    Biometrika 26, 1934). They could be anywhere on the scale. None for fewer than six clusters at 95 %, and
    for scores off the scale.
    """
    count = len(clusters)
    mean = statistics.fmean(value for cluster in clusters for value in cluster)
    if 2 ** (1 - count) > 1 - confidence or not 0 <= mean <= maximum:
        return None
    stderr, freedom, share = jackknife_error(clusters), degrees_of_freedom(clusters), mean / maximum
    if not have_different_means(clusters) or not stderr or not 0 < share < 1:
        others = 1 - (1 - confidence) ** (1 / (freedom + 1))
        return Interval(mean * (1 - others), mean + others * (maximum - mean))
    effective = share * (1 - share) / (stderr / maximum) ** 2
    low, high = _score_interval(share, effective, t_quantile((1 + confidence) / 2, freedom))
    return Interval(low * maximum, high * maximum)


def even_interval(clusters: Clusters, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval where all clusters have the same mean, so that there is no spread to measure.

    It is `cluster_interval` with two more clusters, one without the effect and one with twice the effect:
    the idea of the two successes and two failures that Agresti and Coull add to a proportion (The American
    Statistician 52, 1998). None for so few clusters that even this could be chance: all of G on one side
    have a probability of 2^(1 - G) (fewer than six at 95 %).
    """
    mean = math.fsum(clusters[0]) / len(clusters[0])
    if 2 ** (1 - len(clusters)) > 1 - confidence:
        return None
    if abs(mean) <= ROUNDING:
        return Interval(0.0, 0.0)
    size = round(statistics.fmean(len(cluster) for cluster in clusters))
    even = [[mean] * len(cluster) for cluster in clusters]
    return cluster_interval([*even, [0.0] * size, [2 * mean] * size], confidence)


def interval_of_mean(parts: Sequence[tuple[float, Interval]]) -> Interval:
    """Return the interval of the mean of independent estimates, given with their intervals.

    The distances of their ends are added up like standard deviations: the "method of variance estimates
    recovery" (Zou and Donner, Statistics in Medicine 27, 2008). One estimate keeps its interval.
    """
    mean = statistics.fmean(value for value, _ in parts)
    below = math.hypot(*(value - interval.low for value, interval in parts)) / len(parts)
    above = math.hypot(*(interval.high - value for value, interval in parts)) / len(parts)
    return Interval(mean - below, mean + above)


def stratum_error(clusters: Clusters) -> float | None:
    """Return `clustered_standard_error` of one of several strata: 0 where its clusters have the same mean.

    Beside other strata, equal scores in one are no reason to know nothing. None for fewer than two clusters.
    """
    return clustered_standard_error(clusters) or 0.0 if len(clusters) > 1 else None


def total_error(errors: Sequence[tuple[float, float]] | None) -> float | None:
    """Return the standard error of a sum of independent means, each with its error and degrees of freedom.

    None where one is not known, and where there is no more than rounding.
    """
    total = math.hypot(*(error for error, _ in errors or ()))
    return total if errors and total > ROUNDING else None


def welch_degrees_of_freedom(errors: Sequence[tuple[float, float]]) -> float:
    """Return those of a sum of independent means, each with standard error e and degrees of freedom d.

    (sum e^2)^2 / sum (e^4 / d) (Satterthwaite, Biometrics Bulletin 2, 1946; Welch, Biometrika 34, 1947).
    Infinite where no error is more than rounding.
    """
    parts = [(error**2, freedom) for error, freedom in errors if error > ROUNDING]
    if not parts:
        return math.inf
    return sum(square for square, _ in parts) ** 2 / sum(square**2 / freedom for square, freedom in parts)


def have_different_means(clusters: Clusters) -> bool:
    """Return whether the clusters have different means, apart from rounding."""
    means = [math.fsum(cluster) / len(cluster) for cluster in clusters]
    return len(means) > 1 and max(means) - min(means) > ROUNDING


def degrees_of_freedom(clusters: Clusters) -> float:
    """Return one less than the effective number of clusters: (sum n)^2 / sum n^2.

    n is the size of each (Kish, Survey Sampling, 1965).
    """
    sizes = [len(cluster) for cluster in clusters]
    return sum(sizes) ** 2 / sum(size**2 for size in sizes) - 1


# --- right or wrong ---


def wilson_interval(successes: float, count: float, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of a proportion p of n, good for small n and at 0 and 1.

    (p + z^2/2n ± z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n) (Wilson, JASA 22, 1927; recommended by
    Brown, Cai and DasGupta, Statistical Science 16, 2001). Counts may be fractions, as effective ones are.
    """
    return _score_interval(successes / count, count, z_quantile((1 + confidence) / 2))


def _score_interval(share: float, count: float, quantile: float) -> Interval:
    square = quantile**2
    half = math.sqrt(square * (share * (1 - share) / count + square / (4 * count**2)))
    centre, scale = share + square / (2 * count), 1 + square / count
    return Interval(
        (centre - half) / scale if share > 0 else 0.0, (centre + half) / scale if share < 1 else 1.0
    )


def stratified_wilson_interval(
    successes: Sequence[float], counts: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of the unweighted mean p of the proportions of strata (MMLU's tasks).

    Wilson's at the effective number of questions (Korn and Graubard, Survey Methodology 24, 1998): the
    smaller of (sum w)^2 / sum w^2 over questions, each of weight w = 1 / (T * count) (Kish, Survey
    Sampling, 1965), and p (1 - p) / variance, the variance from the T strata. The first prevents certainty
    from strata of only a few questions, whose variance is hardly known. For one stratum it is Wilson's
    interval; it always has a width.
    """
    import numpy as np

    number = np.asarray(counts, dtype=float)
    shares = np.asarray(successes, dtype=float) / number
    mean = float(shares.mean())
    effective = len(shares) ** 2 / float((1 / number).sum())
    variance = float((shares * (1 - shares) / number).sum()) / len(shares) ** 2
    if variance:
        effective = min(effective, mean * (1 - mean) / variance)
    return wilson_interval(mean * effective, effective, confidence)


# --- two models on the same questions ---


def correlation(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return Pearson's correlation of the two models' scores, question by question.

    The higher it is, the more pairing helps: the variance of the difference is
    var(ours) + var(theirs) - 2 cov (https://arxiv.org/abs/2411.00640, section 4.2). None for fewer than
    three questions, and where one side's scores are all equal.
    """
    if len(ours) < 3 or any(max(side) - min(side) <= ROUNDING for side in (ours, theirs)):
        return None
    return statistics.correlation(ours, theirs)


def margin_verdict(interval: Interval, margin: float) -> Literal["passed", "failed", "inconclusive"]:
    """Return the verdict on a drop: passed if its interval ends at or below the margin, failed if above it.

    Non-inferiority by confidence interval, as in Piaggio et al., JAMA 308 (2012), figure 1. At 95 % a
    true drop of exactly the margin fails in 2.5 % of runs.
    """
    if interval.high <= margin:
        return "passed"
    return "failed" if interval.low > margin else "inconclusive"


def p_value(interval_of: Callable[[float], Interval | None], margin: float) -> float:
    """Return the two-sided p value of a drop of the margin against a larger drop, by inverting an interval.

    1 minus the largest confidence at which the interval still lies above the margin; 1 where none does,
    and never below 1e-9. For paired answers of one stratum at margin 0 it is McNemar's.
    """

    def above(level: float) -> bool:
        interval = interval_of(1 - level)
        return interval is not None and interval.low > margin

    low, high = -9.0, 0.0  # decimal logarithms of the level
    if not above(1 - 1e-9):
        return 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if above(10**middle) else (middle, high)
    return float(10**high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted for K tests: max over j <= i of (K - j + 1) * p_j for the i-th smallest.

    No adjusted value is above 1. This limits the probability of any false alarm among K gates (Holm,
    Scandinavian Journal of Statistics 6, 1979).
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


# --- the smallest detectable effect ---


def minimum_detectable_effect(stderr: float, degrees_of_freedom: float = math.inf) -> float:
    """Return the true effect that a test at 95 % detects in 80 % of runs: (t_0.975 + t_0.8) * stderr.

    Bloom, Evaluation Review 19 (1995); for evaluations, https://arxiv.org/abs/2411.00640, section 5.
    """
    quantiles = t_quantile((1 + CONFIDENCE) / 2, degrees_of_freedom) + t_quantile(POWER, degrees_of_freedom)
    return float(quantiles * stderr)


def smallest_seen(power: Callable[[float], float], low: float, high: float, near: float) -> float | None:
    """Return the smallest drop that is found in 80 % of runs, to within `near`; None where `high` is not.

    `power` gives the share of runs that find a drop.
    """
    if power(high) < POWER:
        return None
    while high - low > near:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def z_quantile(probability: float) -> float:
    """Return the quantile of the normal distribution."""
    return statistics.NormalDist().inv_cdf(probability)  # every run needs it, and scipy takes 0.2 s to import


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Return the quantile of Student's distribution; the normal one's for endless degrees of freedom."""
    from scipy.special import stdtrit

    if math.isinf(degrees_of_freedom):
        return z_quantile(probability)
    return float(stdtrit(degrees_of_freedom, probability))
