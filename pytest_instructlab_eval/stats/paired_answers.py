"""How much more of the same questions one model got wrong than another: a test and its interval.

The answers are right or wrong, and each question belongs to a stratum, such as an MMLU task. The drop is the
unweighted mean over strata of (losses - gains) / count: `losses` are the questions of the stratum that turned
wrong, `gains` those that turned right.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pytest_instructlab_eval.stats.statistics import CONFIDENCE, Interval, smallest_seen, z_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Drops = float | Floats

PARTS, ROUNDS = 64, 6  # of the search for an end of the interval: 64^-6 is 1e-11
DRAWS = 2_000  # simulated runs: the standard error of a power of 80 % is 0.9 %
DRAWN = 40_000  # counts at most in all of a power's runs; a run of many strata has fewer draws
SMALLEST = 1e-30  # a variance
MANY_CHANGES = 60  # their counts are near enough to normal for a formula


class _Strata(NamedTuple):
    """Strata of one size are taken together; a value a size each."""

    questions: Floats
    """The number of questions in all of them."""
    weight: Floats
    """The weight of one question in the drop: 1 / (T * count)."""
    losses: Floats
    gains: Floats
    """The shares of questions that turned wrong and right."""


@dataclass(frozen=True)
class PairedAnswers:
    """Right and wrong answers of two models to the same questions; a value a stratum each.

    The test of a drop d is Tango's score test (Statistics in Medicine 17, 1998): (drop - d) / sqrt(sum of
    w^2 n (2 q + d (1 - d))) is compared with the normal distribution. w = 1 / (T * count) is the weight of
    one of the n questions of a stratum, T the number of strata. q, the share of gains, is the most likely one
    where the drop is d; strata of one size are taken together for it, since a stratum of a few questions
    says too little.

    Two corrections keep its level of 2.5 %, which is up to 3.6 % without them (60 questions). The drop is
    taken half a step nearer to d, a step being the mean weight of a question, since it is a count. And the
    quantile z is raised by (z^2 - 1) / 6 of the skewness of the drop (Laud, Pharmaceutical Statistics 16,
    2017), where this makes the test stricter: few changes that are nearly all losses are skewed.

    With one stratum and d = 0 it is McNemar's test with half the usual correction (Psychometrika 12, 1947),
    which comes close to the mid-p test that Fagerland, Lydersen and Laake recommend (BMC Medical Research
    Methodology 13, 2013). The interval has all drops that the test does not reject, so that verdict and
    interval never differ.
    """

    losses: Sequence[float]
    gains: Sequence[float]
    counts: Sequence[float]

    def scaled(self, share: float) -> PairedAnswers:
        """Return the answers as if they were fewer, as those about passages are."""
        losses, gains, counts = (
            [share * count for count in part] for part in (self.losses, self.gains, self.counts)
        )
        return PairedAnswers(losses, gains, counts)

    @functools.cached_property
    def drop(self) -> float:
        """The mean over strata of the share of losses less that of gains."""
        strata = self._strata
        return float((strata.weight * strata.questions * (strata.losses - strata.gains)).sum())

    @functools.cached_property
    def step(self) -> float:
        """How far one question moves the drop, on the average: 1 / count for one stratum."""
        return sum(1 / count for count in self.counts) / len(self.counts) ** 2

    def score(self, drop: float, towards: float) -> float:
        """Return how many standard errors the measured drop is from this one, after both corrections.

        `towards` is +1 where the measured drop is tested for being larger, -1 for being smaller.
        """
        strata = self._strata
        return float(self._scores(strata.losses[None], strata.gains[None], drop, towards)[0])

    def _where(self, towards: float, quantile: float) -> float:
        """Return the drop at which the score, which falls as the drop rises, is the quantile."""
        import numpy as np

        strata, low, high = self._strata, -1.0, 1.0
        for _ in range(ROUNDS):
            drops = np.linspace(low, high, PARTS + 1)[1:-1]
            above = self._scores(strata.losses[None], strata.gains[None], drops, towards) > quantile
            width, passed = (high - low) / PARTS, int(above.sum())
            low, high = low + passed * width, low + (passed + 1) * width
        return (low + high) / 2

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the interval of the drop; it has a width even where nothing changed."""
        quantile = z_quantile((1 + confidence) / 2)
        return Interval(
            self._where(1.0, quantile) if self.score(-1.0, 1.0) > quantile else -1.0,
            self._where(-1.0, -quantile) if self.score(1.0, -1.0) < -quantile else 1.0,
        )

    def p_value(self, margin: float) -> float:
        """Return the two-sided p value of "the drop is the margin" against a larger drop."""
        from scipy.special import ndtr

        return min(1.0, 2 * float(ndtr(-self.score(margin, 1.0))))

    @property
    def p_value_of_no_change(self) -> float:
        """The two-sided p value of no change, against a drop or a rise; McNemar's for one stratum."""
        mirrored = PairedAnswers(self.gains, self.losses, self.counts)
        return min(self.p_value(0.0), mirrored.p_value(0.0))

    def detectable_drop(self, margin: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
        """Return the smallest true drop that would lie above the margin, surely, in 80 % of such runs.

        Such runs have the share of gains of this one, in all strata alike, and losses for the drop. Where
        so many answers change that their counts are nearly normal, a formula gives it; fewer are simulated.
        None where not even a drop of 1 would do.
        """
        quantile = z_quantile((1 + confidence) / 2)
        normal = smallest_seen(
            lambda drop: self._normal_power(drop, margin, quantile), margin, 1.0, self.step / 20
        )
        if normal is not None and (2 * self._gain(normal) + normal) / self.step >= MANY_CHANGES:
            return normal
        enough = 1.0 if normal is None else min(1.0, 2 * normal - margin + 10 * self.step)
        return smallest_seen(
            lambda drop: self._simulated_power(drop, margin, quantile), margin, enough, self.step / 20
        )

    @functools.cached_property
    def _strata(self) -> _Strata:
        import numpy as np

        by_size: dict[float, tuple[float, float, int]] = defaultdict(lambda: (0, 0, 0))
        for lost, gained, count in zip(self.losses, self.gains, self.counts, strict=True):
            losses, gains, strata = by_size[count]
            by_size[count] = (losses + lost, gains + gained, strata + 1)
        sizes, (lose, gain, number) = (
            np.array(list(by_size), float),
            np.array(list(by_size.values()), float).T,
        )
        questions = sizes * number
        return _Strata(questions, 1 / (len(self.counts) * sizes), lose / questions, gain / questions)

    def _scores(self, losses: Floats, gains: Floats, drop: Drops, towards: float) -> Floats:
        """Return `score` of several runs or drops: a row each, with a column a size of strata."""
        import numpy as np

        strata = self._strata
        error, skewness = self._error_and_skewness(losses, gains, drop)
        measured = (losses - gains) @ (strata.weight * strata.questions)
        distance = (towards * (measured - drop) - self.step / 2) / error
        raised = np.maximum(towards * skewness, 0) / 6
        # The z of: distance = z + raised * (z^2 - 1)
        stricter = 2 * (distance + raised) / (1 + np.sqrt(np.abs(1 + 4 * raised * (distance + raised))))
        found: Floats = towards * np.where(distance > 1, stricter, distance)
        return found

    def _error_and_skewness(self, losses: Floats, gains: Floats, drop: Drops) -> tuple[Floats, Floats]:
        """Return the standard error and the skewness of a measured drop, if this is the true one."""
        import numpy as np

        strata = self._strata
        drop = np.atleast_1d(drop)[:, None]
        # The most likely share of gains at this drop, where these shares of losses and gains were found.
        linear = 2 * drop - losses * (1 + drop) - gains * (1 - drop)
        radicand = abs(linear**2 + 8 * gains * drop * (1 - drop))  # below 0 by rounding alone
        share: Floats = (radicand**0.5 - linear) / 4
        square = (2 * share + drop * (1 - drop)) @ (strata.weight**2 * strata.questions)
        third = (drop - 3 * drop * (2 * share + drop) + 2 * drop**3) @ (strata.weight**3 * strata.questions)
        error = np.sqrt(np.maximum(square, SMALLEST))
        return error, np.where(square > SMALLEST, third / error**3, 0.0)

    def _gain(self, drop: float) -> float:
        """Return the share of gains in runs with this true drop."""
        return max(min(sum(self.gains) / sum(self.counts), (1 - drop) / 2), -drop)

    def _normal_power(self, drop: float, margin: float, quantile: float) -> float:
        """Return the share of runs with this true drop whose interval lies above the margin, by a formula.

        The drop that is just above the margin is that of the mean run; the measured drop is normal about the
        true one.
        """
        import numpy as np
        from scipy.special import ndtr

        gain, strata = self._gain(drop), self._strata
        gains = np.full((1, len(strata.questions)), gain)
        error, skewness = self._error_and_skewness(gains + drop, gains, margin)
        raised = max(quantile**2 - 1, 0) / 6 * max(float(skewness[0]), 0)
        above = margin + self.step / 2 + (quantile + raised) * float(error[0])
        spread = math.sqrt(max((2 * gain + drop - drop**2) * self.step, SMALLEST))
        return float(ndtr((drop - above) / spread))

    def _simulated_power(self, drop: float, margin: float, quantile: float) -> float:
        """Return the share of simulated runs with this true drop whose interval lies above the margin."""
        import numpy as np

        strata, gain = self._strata, self._gain(drop)
        runs = max(DRAWN // len(strata.questions), DRAWS // 4)
        shares = (gain + drop, gain, max(1 - 2 * gain - drop, 0.0))
        questions = np.maximum(np.rint(strata.questions), 1)
        size = (min(runs, DRAWS), len(questions))
        drawn = np.random.default_rng(0).multinomial(questions.astype(int), shares, size)
        losses, gains = drawn[..., 0] / questions, drawn[..., 1] / questions
        return float((self._scores(losses, gains, margin, 1.0) > quantile).mean())
