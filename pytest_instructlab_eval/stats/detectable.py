"""The smallest drop of ratings that a run like this one would find: by simulating such runs.

No formula holds for few or uneven clusters, nor near the top of the scale. So runs like this one are drawn:
clusters of its sizes whose paired ratings spread as its own do, with a drop added.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_instructlab_eval.stats.statistics import CONFIDENCE, FEW_CLUSTERS, ROUNDING, smallest_seen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWS = 400  # the standard error of a power of 80 % is 2 %
MANY_CLUSTERS = 200  # the spread of so many is as good as known, so that one formula replaces the draws
NEAR = 2_000  # parts of the scale: how exactly the drop is found
FITS = 60  # rounds of an iteration that converges in about ten


def detectable_drop(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    scale: tuple[float, float],
    margin: float = 0.0,
    confidence: float = CONFIDENCE,
) -> float | None:
    """Return the true drop whose `cluster_interval` lies above the margin in 80 % of runs like this one.

    `ours` and `theirs` have the paired ratings by cluster, `scale` their lowest and highest value. For each
    drop our ratings are lowered by it and kept on the scale; those at its top are first spread beyond it
    (`uncensored`). The means of clusters are drawn from a normal distribution with the variance between
    clusters and that within them over their size, both by the analysis of variance (Searle, Casella and
    McCulloch, Variance Components, 1992). None where no drop on the scale would do, and without a spread.
    """
    import numpy as np

    if len(ours) < 2:
        return None
    sizes = np.array([len(cluster) for cluster in ours], dtype=float)
    before, after = (np.fromiter(itertools.chain.from_iterable(side), dtype=float) for side in (theirs, ours))
    after = uncensored(after, scale[1])
    after += before.mean() - np.minimum(after, scale[1]).mean()

    def drops(lowered: float) -> Floats:
        return before - np.clip(after - lowered, *scale)

    variances = cluster_variances(drops(0.0), sizes)
    if not variances.any():
        return None
    ends = _standard_lower_ends(variances, sizes, confidence)
    if not np.isfinite(ends).all():
        return None

    def power(lowered: float) -> float:
        found = drops(lowered)
        error = math.sqrt(float((sizes**2 * cluster_variances(found, sizes)).sum())) / len(found)
        return float((found.mean() + error * ends > margin).mean())  # at the bottom of the scale error is 0

    width = scale[1] - scale[0]
    lowered = smallest_seen(power, margin, width + float(np.ptp(after)), width / NEAR)
    return None if lowered is None else float(drops(lowered).mean())


def uncensored(ratings: Floats, top: float) -> Floats:
    """Return the ratings, with those at the top of the scale spread beyond it.

    A model whose answers are better than the scale can say loses less than others by a drop. Ratings are
    taken for normal, and those at the top for censored: at half a step below it where all are whole numbers.
    Their mean and spread are the most likely ones (Tobin, Econometrica 26, 1958), by the EM algorithm. The
    ratings at the top become the quantiles of what lies beyond, in a random order.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    at_top = ratings >= top - ROUNDING
    below, many = ratings[~at_top], int(at_top.sum())
    if not many or not len(below) or np.ptp(below) <= ROUNDING:
        return ratings
    limit = top - 0.5 if top > 1 and np.all(ratings == np.rint(ratings)) else top
    mean, spread = float(ratings.mean()), float(ratings.std())
    for _ in range(FITS):
        distance = (limit - mean) / spread
        hazard = math.exp(-(distance**2) / 2) / math.sqrt(2 * math.pi) / max(float(ndtr(-distance)), 1e-12)
        square = mean**2 + spread**2 + spread * (limit + mean) * hazard
        square = (float((below**2).sum()) + many * square) / len(ratings)
        mean = (float(below.sum()) + many * (mean + spread * hazard)) / len(ratings)
        spread = math.sqrt(max(square - mean**2, ROUNDING))
    share = float(ndtr((mean - limit) / spread))
    beyond = mean - spread * ndtri(np.maximum(share, 1e-12) * (np.arange(many) + 0.5) / many)
    spread_out = ratings.copy()
    spread_out[at_top] = np.random.default_rng(0).permutation(beyond)
    return spread_out


def cluster_variances(drops: Floats, sizes: Floats) -> Floats:
    """Return the variance of each cluster's mean: that between clusters, and that within over its size."""
    import numpy as np

    count, total = len(sizes), len(drops)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    means = np.add.reduceat(drops, starts) / sizes
    between = float((sizes * (means - drops.mean()) ** 2).sum()) / (count - 1)
    if total == count:
        return np.full(count, between)
    within = max(float((drops**2).sum() - (sizes * means**2).sum()), 0.0) / (total - count)
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    found: Floats = max((between - within) / typical, 0.0) + within / sizes
    return found


def _standard_lower_ends(variances: Floats, sizes: Floats, confidence: float) -> Floats:
    """Return the lower ends of runs with a mean of 0 and a standard error of 1."""
    import numpy as np
    from scipy.special import ndtri

    count, generator = len(sizes), np.random.default_rng(0)
    if count > MANY_CLUSTERS:  # the mean is normal, and its error known
        found: Floats = ndtri((np.arange(DRAWS) + 0.5) / DRAWS) - ndtri((1 + confidence) / 2)
        return found
    error = math.sqrt(float((sizes**2 * variances).sum())) / float(sizes.sum())
    # The true spread may be larger than that of so few clusters: by as much as chi^2 says.
    unknown = np.sqrt((count - 1) / generator.chisquare(count - 1, (DRAWS, 1)))
    means = unknown * generator.standard_normal((DRAWS, count)) * np.sqrt(variances) / error
    return _lower_ends(means * sizes, sizes, confidence)


def _lower_ends(sums: Floats, sizes: Floats, confidence: float) -> Floats:
    """Return the lower end of `cluster_interval` of each draw, -inf where it has none.

    `sums` has a row a draw and a column a cluster, `sizes` a value a cluster.
    """
    import numpy as np
    from scipy.special import stdtrit

    count, total = len(sizes), sizes.sum()
    if count >= FEW_CLUSTERS:
        mean = sums.sum(axis=1) / total
        without = (sums - mean[:, None] * sizes) / (total - sizes)
        errors = np.sqrt((count - 1) / count * (without**2).sum(axis=1))
        ends = mean - stdtrit(total**2 / (sizes**2).sum() - 1, (1 + confidence) / 2) * errors
    else:
        rank = math.floor((1 - confidence) / 2 * 2**count)
        if rank < 1:
            return np.full(len(sums), -np.inf)
        sets = ((np.arange(1, 2**count)[:, None] >> np.arange(count)) & 1).astype(float)
        ends = np.partition((sums @ sets.T) / (sets @ sizes), rank - 1, axis=1)[:, rank - 1]
    return np.where(np.ptp(sums / sizes, axis=1) > ROUNDING, ends, -np.inf)
