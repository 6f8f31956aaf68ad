"""How much more of the same questions one model got wrong than another: a test and its interval.

The answers are right or wrong, and each question belongs to a stratum, such as an MMLU task. The drop is the
unweighted mean over strata of (losses - gains) / count: `losses` are the questions of the stratum that turned
wrong, `gains` those that turned right.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pytest_instructlab_eval.stats.statistics import CONFIDENCE, POWER, Interval, _z_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Share = TypeVar("_Share", float, NDArray[np.float64])

STEPS = 60  # of a bisection: more than the digits of a float
DRAWS = 2_000  # simulated runs: the standard error of a power of 80 % is 0.9 %


@dataclass(frozen=True)
class PairedAnswers:
    """Right and wrong answers of two models to the same questions; a value a stratum each.

    The test of a drop d is Tango's score test (Statistics in Medicine 17, 1998): (drop - d) / sqrt(sum of
    w^2 n (2 q + d (1 - d))) is compared with the normal distribution. w = 1 / (T * count) is the weight of
    one of the n questions of a stratum, T the number of strata. q, the share of gains, is the most likely one
    where the drop is d; strata of one size are taken together for it, since a stratum of a few questions
    says too little. The drop is taken half a step nearer to d, a step being the mean weight of a question:
    without this correction for its being a count, a true drop of d is found "above d" in up to 3.6 % of runs
    of 60 questions at a nominal 2.5 %, with it in 2.1 % at most.

    With one stratum and d = 0 it is McNemar's test with half the usual correction (Psychometrika 12, 1947).
    The interval has all drops that the test does not reject, so that verdict and interval never differ.
    """

    losses: Sequence[int]
    gains: Sequence[int]
    counts: Sequence[int]
    _sizes: dict[int, tuple[int, int, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sizes: dict[int, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
        for lost, gained, count in zip(self.losses, self.gains, self.counts, strict=True):
            losses, gains, strata = sizes[count]
            sizes[count] = (losses + lost, gains + gained, strata + 1)
        object.__setattr__(self, "_sizes", dict(sizes))

    @property
    def drop(self) -> float:
        """The mean over strata of the share of losses less that of gains."""
        return sum((losses - gains) / count for count, (losses, gains, _) in self._sizes.items()) / len(
            self.counts
        )

    @property
    def step(self) -> float:
        """How far one question moves the drop, on the average: 1 / count for one stratum."""
        return sum(1 / count for count in self.counts) / len(self.counts) ** 2

    def score(self, drop: float, towards: float) -> float:
        """Return how many standard errors the measured drop is from this one, half a step nearer to it.

        `towards` is +1 where the measured drop is tested for being larger, -1 for being smaller.
        """
        variance = 0.0
        for count, (losses, gains, strata) in self._sizes.items():
            n = count * strata
            gain = _most_likely_gains(losses / n, gains / n, drop)
            variance += (2 * gain + drop * (1 - drop)) * n / (len(self.counts) * count) ** 2
        return (self.drop - drop - towards * self.step / 2) / math.sqrt(max(variance, 1e-300))

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the interval of the drop; it has a width even where nothing changed."""
        quantile = _z_quantile((1 + confidence) / 2)
        return Interval(
            self._where(1.0, quantile) if self.score(-1.0, 1.0) > quantile else -1.0,
            self._where(-1.0, -quantile) if self.score(1.0, -1.0) < -quantile else 1.0,
        )

    def p_value(self, margin: float) -> float:
        """Return the two-sided p value of "the drop is the margin" against a larger drop."""
        from scipy.special import ndtr

        return min(1.0, 2 * float(ndtr(-self.score(margin, 1.0))))

    def detectable_drop(self, margin: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
        """Return the smallest true drop that would lie above the margin, surely, in 80 % of such runs.

        Such runs have the share of gains of this one, in all strata alike, and losses for the drop. They are
        simulated, since counts are too coarse for a formula. None where not even a drop of 1 would do.
        """
        low, high = margin, 1.0
        if self._power(high, margin, confidence) < POWER:
            return None
        while high - low > self.step / 20:
            middle = (low + high) / 2
            low, high = (low, middle) if self._power(middle, margin, confidence) >= POWER else (middle, high)
        return high

    def _where(self, towards: float, quantile: float) -> float:
        """Return the drop at which the score, which falls as the drop rises, is the quantile."""
        low, high = -1.0, 1.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.score(middle, towards) > quantile else (low, middle)
        return (low + high) / 2

    def _power(self, drop: float, margin: float, confidence: float) -> float:
        """Return the share of simulated runs with this true drop whose interval lies above the margin."""
        import numpy as np

        generator = np.random.default_rng(0)
        gain = min(sum(self.gains) / sum(self.counts), (1 - drop) / 2)
        measured, variance = np.zeros(DRAWS), np.zeros(DRAWS)
        for count, (_, _, strata) in self._sizes.items():
            n = count * strata
            drawn = generator.multinomial(n, (gain + drop, gain, 1 - 2 * gain - drop), DRAWS) / n
            share = _most_likely_gains(drawn[:, 0], drawn[:, 1], margin)
            weight = strata / len(self.counts)
            measured += (drawn[:, 0] - drawn[:, 1]) * weight
            variance += (2 * share + margin * (1 - margin)) * weight**2 / n
        scores = (measured - margin - self.step / 2) / np.sqrt(np.maximum(variance, 1e-300))
        return float((scores > _z_quantile((1 + confidence) / 2)).mean())


def _most_likely_gains(losses: _Share, gains: _Share, drop: float) -> _Share:
    """Return the most likely share of gains at a drop, where these shares of losses and gains were found."""
    linear = 2 * drop - losses * (1 + drop) - gains * (1 - drop)
    square = abs(linear**2 + 8 * gains * drop * (1 - drop))  # below 0 by rounding alone
    root: _Share = square**0.5
    return (root - linear) / 4
