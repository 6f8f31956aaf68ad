"""The smallest drop of ratings that a run like this one would find: by resampling its clusters.

No formula holds for few or uneven clusters, nor near an end of the scale. So runs like this one are drawn
from it: its clusters of paired ratings, chosen anew, with a drop added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_instructlab_eval.stats.statistics import CONFIDENCE, FEW_CLUSTERS, POWER, ROUNDING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWS = 400  # the standard error of a power of 80 % is 2 %
STEPS = 14  # of a bisection over the scale: finer than a thousandth of it


def detectable_drop(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    scale: tuple[float, float],
    margin: float = 0.0,
    confidence: float = CONFIDENCE,
) -> float | None:
    """Return the true drop whose `cluster_interval` lies above the margin in 80 % of runs like this one.

    `ours` and `theirs` have the paired ratings by cluster, `scale` their lowest and highest value. Of each
    drop the ratings are lowered by it and kept on the scale, and clusters are drawn with replacement. The
    spread of each draw is scaled by sqrt((G - 1) / chi^2), G clusters and chi^2 with G - 1 degrees of
    freedom: how far the spread of so few may be from the true one. None where no drop on the scale would do.
    """
    import numpy as np

    count = len(ours)
    if count < 2:
        return None
    generator = np.random.default_rng(0)
    chosen = generator.integers(0, count, (DRAWS, count))
    spread = np.sqrt((count - 1) / generator.chisquare(count - 1, DRAWS))[:, None]
    sizes = np.array([len(cluster) for cluster in ours], dtype=float)
    cluster_of = np.repeat(np.arange(count), sizes.astype(int))
    before = np.concatenate([np.asarray(cluster, dtype=float) for cluster in theirs])
    drops = before - np.concatenate([np.asarray(cluster, dtype=float) for cluster in ours])
    residuals = (drops - drops.mean()) * math.sqrt(count / (count - 1))

    def lowered(drop: float) -> tuple[float, float]:
        """Return the power at a drop, and how large that is on the scale."""
        shifted = before - np.clip(before - residuals - drop, *scale)
        sums, real = np.bincount(cluster_of, shifted, count), float(shifted.mean())
        drawn = real * sizes[chosen] + spread * (sums[chosen] - real * sizes[chosen])
        return float((_lower_ends(drawn, sizes[chosen], confidence) > margin).mean()), real

    low, high = margin, scale[1] - scale[0]
    if lowered(high)[0] < POWER:
        return None
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if lowered(middle)[0] >= POWER else (middle, high)
    return lowered(high)[1]


def _lower_ends(sums: Floats, sizes: Floats, confidence: float) -> Floats:
    """Return the lower end of `cluster_interval` of each draw, -inf where it has none.

    `sums` and `sizes` have a row a draw and a column a cluster.
    """
    import numpy as np
    from scipy.special import stdtrit

    count, total = sums.shape[1], sizes.sum(axis=1)
    varied = np.ptp(sums / sizes, axis=1) > ROUNDING
    if count >= FEW_CLUSTERS:
        mean = sums.sum(axis=1) / total
        squares = ((sums - mean[:, None] * sizes) ** 2).sum(axis=1)
        errors = np.sqrt(count / (count - 1) * squares) / total
        freedom = total**2 / (sizes**2).sum(axis=1) - 1
        ends = mean - stdtrit(freedom, (1 + confidence) / 2) * errors
    else:
        rank = math.floor((1 - confidence) / 2 * 2**count)
        if rank < 1:
            return np.full(len(sums), -np.inf)
        sets = (np.arange(1, 2**count)[:, None] >> np.arange(count)) & 1
        ends = np.sort((sums @ sets.T) / (sizes @ sets.T), axis=1)[:, rank - 1]
    return np.where(varied, ends, -np.inf)
