"""The number of answers to each question that a verdict about these questions needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from pytest_instructlab_eval.stats.repeated_answers import bound_without_spread
from pytest_instructlab_eval.stats.statistics import CONFIDENCE, POWER

MOST = 16
"""The most answers to a question that `--eval-repeat auto` asks for."""

SURE = 24.0
"""The degrees of freedom of a spread that is known well enough to choose a number of answers by it."""

MOST_AT_FIRST = 8
STEPS = (MOST_AT_FIRST, MOST)
"""The numbers of answers to a question at which their spread is looked at again."""

HOPELESS = 10_000
ROUNDING = 1e-9  # of a standard deviation


@dataclass(frozen=True)
class AnswerSpread:
    """The variance of the ratings of one model's answers to one question, with its degrees of freedom."""

    variance: float
    freedom: float

    @classmethod
    def of(cls, ratings: Sequence[float]) -> AnswerSpread | None:
        """Return the spread of these ratings, None for fewer than two."""
        return cls(statistics.variance(ratings), len(ratings) - 1.0) if len(ratings) > 1 else None


class Moments(NamedTuple):
    """The mean variance of answers, and the mean of its squares without the error of each variance."""

    variance: float
    squared: float

    @classmethod
    def of(cls, spreads: Sequence[AnswerSpread]) -> Moments:
        """Return those of spreads, each weighted by its degrees of freedom."""
        freedom = sum(spread.freedom for spread in spreads)
        variance = sum(spread.freedom * spread.variance for spread in spreads) / freedom
        squared = sum(spread.freedom**2 / (spread.freedom + 2) * spread.variance**2 for spread in spreads)
        return cls(variance, max(squared / freedom, variance**2))


@dataclass(frozen=True)
class Aim:
    """What the answers are to decide.

    `questions` questions are asked so often on each of `sides` sides: two for a drop, one for a mean. A drop
    is to be told from its limit where it is `distance` away from it, in `POWER` of runs at this `confidence`.
    The interval of a mean is to reach `distance` to either side. `fixed` are the independent errors of a side
    that is not asked again, such as a baseline, as `repeated_answers.standard_errors` has them. `maximum` is
    that of the ratings.
    """

    questions: int
    distance: float
    sides: int = 2
    fixed: tuple[tuple[float, float], ...] = ()
    confidence: float = CONFIDENCE
    maximum: float = 10.0

    def reach(self, moments: Moments, repeats: int) -> float:
        """Return the distance that so many answers to each question can tell.

        With the mean variance v and the mean squared variance w of the N = `sides` * `questions` cells, the
        squared standard error is N v / (K questions^2). The expected degrees of freedom (Satterthwaite,
        Biometrics Bulletin 2, 1946) are (N^2 v^2 + 2 N w / (K - 1)) / (N w (K + 1) / (K - 1)^2), since a
        sample variance s^2 with f degrees of freedom has E s^4 = (1 + 2 / f) times the fourth power of sigma.
        """
        from scipy.special import stdtrit

        variance, squared = moments
        cells, freedom = self.sides * self.questions, repeats - 1
        error = cells * variance / repeats / self.questions**2
        own = (cells**2 * variance**2 + 2 * cells * squared / freedom) / (
            cells * squared * (repeats + 1) / freedom**2
        )
        errors = [(error, max(1.0, own))]
        errors += [(part**2, degrees) for part, degrees in self.fixed if part > ROUNDING]
        total = sum(square for square, _ in errors)
        degrees = total**2 / sum(square**2 / degrees for square, degrees in errors)
        quantile = float(stdtrit(degrees, (1 + self.confidence) / 2))
        if self.sides > 1 or self.fixed:
            quantile += float(stdtrit(degrees, POWER))
        return quantile * math.sqrt(total)

    def reach_of_equals(self, repeats: int) -> float:
        """Return the distance that so many answers can tell where those to each question are rated alike."""
        one_side = [[0.0] * repeats] * self.questions
        other = one_side if self.sides > 1 or self.fixed else []
        return bound_without_spread(one_side, other, self.maximum, self.confidence)


def decisive_distance(limit: float, maximum: float) -> float:
    """Return how far from the limit of a gate a drop is to be decided.

    A drop of 0 is to pass, and one of twice the limit to fail, which is at least a tenth of the scale. No
    number of answers lets a drop of 0 pass a limit of 0 or less. Then a drop is to fail that is a tenth of
    the scale above it.
    """
    tenth = maximum / 10
    return min(limit, max(2 * limit, tenth) - limit) if limit > 0 else tenth


def first_repeats(aim: Aim) -> int:
    """Return how often each question is asked before the spread is looked at: 2 to 8 times.

    The answers to all questions but one then have `SURE` degrees of freedom, where 8 are enough for that.
    """
    others = max(1, aim.sides * aim.questions - 1)
    return min(MOST_AT_FIRST, max(2, 1 + math.ceil(SURE / others)))


def needed_repeats(aim: Aim, spreads: Sequence[AnswerSpread]) -> int | None:
    """Return the smallest number of answers to each question that reaches the aim, at least 2.

    Where no two answers to a question differ, it is that with which so many equal ratings reach it. None
    where no number does, because a `fixed` side alone has too large an error.

    A run that stops at this number has too small a spread a little too often, since it stops where the spread
    looks small. So it takes one of a few `STEPS`, among which that rarely decides: 2.4 % of true drops of
    the limit fail in the mean of 36 cases, and at most 3.0 %; where any number may be taken, up to 3.5 %
    (`tests/statistics/needed_answers.py`).
    """
    reach = partial(aim.reach, Moments.of(spreads)) if has_spread(spreads) else aim.reach_of_equals
    low, high = 1, 2
    while reach(high) > aim.distance:
        low, high = high, 2 * high
        if low > HOPELESS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reach(middle) <= aim.distance else (middle, high)
    return high


def has_spread(spreads: Sequence[AnswerSpread]) -> bool:
    """Return whether any two answers to one question have different ratings."""
    return any(spread.variance > ROUNDING**2 for spread in spreads)
