"""The drop on these very questions, measured by several answers to each on either side.

A few questions say little about others like them. Asked several times, they say much about themselves: what
differs between answers to one question is chance, and no difference between questions is.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.comparison import Comparison, Pair
from pytest_instructlab_eval.stats.statistics import (
    CONFIDENCE,
    POWER,
    ROUNDING,
    Interval,
    t_interval,
    welch_degrees_of_freedom,
)
from pytest_instructlab_eval.stats.values import QuestionKey, Unit, group_by, units_of

Answers = Sequence[Sequence[float]]
"""The ratings of each question's answers."""


def drop_of_answers(ours: Answers, theirs: Answers) -> float:
    """Return the mean over questions of how much lower the mean of our answers is than that of theirs."""
    return statistics.fmean(
        statistics.fmean(there) - statistics.fmean(here) for here, there in zip(ours, theirs, strict=True)
    )


def standard_errors(ours: Answers, theirs: Answers) -> list[tuple[float, float]] | None:
    """Return the independent errors that make up the drop's: one for each question and side.

    Each is s / sqrt(K) / Q for K answers with the standard deviation s and Q questions, beside its degrees of
    freedom, K - 1. None where a question has a single answer, whose spread is unknown.
    """
    cells = [*ours, *theirs]
    if any(len(cell) < 2 for cell in cells):
        return None
    errors = []
    for cell in cells:
        mean, count = statistics.fmean(cell), len(cell)
        # `statistics.stdev` takes most of a gate's time for its exact fractions.
        squares = math.fsum((rating - mean) ** 2 for rating in cell)
        errors.append((math.sqrt(squares / (count - 1) / count) / len(ours), count - 1.0))
    return errors


def answers_interval(ours: Answers, theirs: Answers, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the t interval of the drop on these questions.

    Its variance is the sum of the squared `standard_errors`, its degrees of freedom are Satterthwaite's
    (`welch_degrees_of_freedom`). None where a question has a single answer, where no answers differ (a few
    equal ratings don't show that there is no chance in them), and for so few answers that even a complete
    separation could be chance (`chance_of_separation`).
    """
    errors = standard_errors(ours, theirs)
    if errors is None or 2 * chance_of_separation(ours, theirs) > 1 - confidence:
        return None
    freedom = welch_degrees_of_freedom(errors)
    if math.isinf(freedom):
        return None
    stderr = math.hypot(*(error for error, _ in errors))
    return t_interval(drop_of_answers(ours, theirs), stderr, freedom, confidence)


def chance_of_separation(ours: Answers, theirs: Answers) -> float:
    """Return how likely chance alone puts all of one side's ratings above the other's, for each question.

    No permutation test of the ratings of each question has a smaller p value. With K answers a side it is
    1 / binomial(2K, K) a question: 1/6 for two answers, 1/20 for three, 1/70 for four.
    """
    sizes = [(len(here) + len(there), len(here)) for here, there in zip(ours, theirs, strict=True)]
    return math.prod(1 / math.comb(*size) for size in sizes)


def bound_without_spread(
    ours: Answers, theirs: Answers, scale: float, confidence: float = CONFIDENCE
) -> float:
    """Return how far the drop may be from the true one where the answers to each question are rated alike.

    Of an answer's rating X let q be the probability that it is not the rating m which was seen. Its mean is
    at most q * scale away from m, and K answers are alike with a probability of at most (1 - q)^(K - 1) for
    the rating that is likeliest. Over the 2Q independent questions and sides, equal q make a given mean error
    likeliest: so with a probability of `confidence` the mean of q is at most
    1 - ((1 - confidence) / 2)^(1 / N), N the sum of K - 1 (K the smallest where they differ), and the drop is
    at most 2 * scale times that away. Nothing is assumed of the ratings but the scale's width.
    """
    cells = [*ours, *theirs]
    count = len(cells) * (min(map(len, cells)) - 1)
    if not count:
        return math.inf
    most = 1 - math.pow((1 - confidence) / 2, 1 / count)
    return len(cells) / len(ours) * scale * most


def detectable_drop_of_answers(
    ours: Answers, theirs: Answers, margin: float = 0.0, confidence: float = CONFIDENCE
) -> float | None:
    """Return the drop whose `answers_interval` lies above the margin in 80 % of runs like this one.

    margin + (t_(1 - alpha / 2) + t_0.8) * stderr (Bloom, Evaluation Review 19, 1995). None where there is no
    interval.
    """
    interval, errors = answers_interval(ours, theirs, confidence), standard_errors(ours, theirs)
    if interval is None or errors is None:
        return None
    stderr = math.hypot(*(error for error, _ in errors))
    # The end of an interval of this confidence is the quantile of the power.
    beyond = t_interval(0.0, stderr, welch_degrees_of_freedom(errors), 2 * POWER - 1).high
    return margin + (interval.high - interval.low) / 2 + beyond


def fewest_answers(questions: int, confidence: float = CONFIDENCE) -> int:
    """Return how many answers a side so many questions need for an interval; see `chance_of_separation`."""
    for count in itertools.count(2):
        cells = [[0.0] * count] * questions
        if 2 * chance_of_separation(cells, cells) <= 1 - confidence:
            break
    return count


# --- two sides' results ---


def ratings_over_turns(turns: Sequence[Sequence[float | None]]) -> list[float]:
    """Return the rating of each answer, the mean over its turns; answers that lack one are left out."""
    rated = ([rating for rating in answer if rating is not None] for answer in zip(*turns, strict=False))
    return [statistics.fmean(ratings) for ratings in rated if len(ratings) == len(turns)]


@dataclass(frozen=True)
class RatedAnswers:
    """The ratings of the answers to one question on one side, by answer.

    They are `exact` where asking again would change nothing: all texts are the same at temperature 0, and all
    ratings too.
    """

    ratings: tuple[float, ...]
    exact: bool = False

    @classmethod
    def of(cls, units: Sequence[Unit]) -> RatedAnswers:
        """Return those of a question's turns: the rating of an answer is the mean over its turns.

        So the turns of one answer are not taken for independent. An answer without a rating for one of its
        turns is left out. A question that was asked once has one rating, its score.
        """
        turns = [unit.answers for unit in units]
        ratings = tuple(ratings_over_turns(turns)) if len(set(map(len, turns))) == 1 else ()
        if not ratings:
            ratings = (statistics.fmean(unit.value for unit in units if unit.value is not None),)
        same = len(ratings) > 1 and max(ratings) == min(ratings)
        return cls(ratings, same and all(unit.same_answers for unit in units))


@dataclass(frozen=True)
class AnswersComparison(Comparison):
    """A comparison of two runs about these very questions, and not about others like them.

    `our_answers` and `their_answers` have an entry a question, in the order of `names`.
    """

    names: tuple[str, ...] = ()
    our_answers: tuple[RatedAnswers, ...] = ()
    their_answers: tuple[RatedAnswers, ...] = ()

    @classmethod
    def of(
        cls, comparison: Comparison, ours: Iterable[Result], theirs: Iterable[Result]
    ) -> AnswersComparison:
        """Return the comparison of the same pairs about their questions, of the results of both sides."""
        here, there = ({unit.key: unit for unit in units_of(side)} for side in (ours, theirs))
        questions = group_by(comparison.pairs, lambda pair: pair.unit.key.question)

        def rated(side: Mapping[QuestionKey, Unit], pairs: Sequence[Pair]) -> RatedAnswers:
            return RatedAnswers.of([side[pair.unit.key] for pair in pairs])

        return cls(
            **{field.name: getattr(comparison, field.name) for field in fields(Comparison)},
            names=tuple(questions),
            our_answers=tuple(rated(here, pairs) for pairs in questions.values()),
            their_answers=tuple(rated(there, pairs) for pairs in questions.values()),
        )

    @property
    def drop(self) -> float:
        """The mean over questions of the drop of the mean of their answers."""
        return drop_of_answers(self._ours_rated, self._theirs_rated)

    @property
    def stderr(self) -> float | None:
        """The standard error of the drop; None where a question has a single answer on a side."""
        errors = standard_errors(self._ours_rated, self._theirs_rated)
        return None if errors is None else math.hypot(*(error for error, _ in errors))

    @property
    def unchanged(self) -> bool:
        """True if every answer to a question has the same rating, on both sides."""
        return all(
            max(here.ratings + there.ratings) == min(here.ratings + there.ratings)
            for here, there in self._questions
        )

    @property
    def answers(self) -> None:
        """None: answers that became wrong or right tell of other questions."""
        return None

    @property
    def counts(self) -> tuple[int, int]:
        """The smallest and the largest number of rated answers to a question on a side."""
        numbers = [len(cell.ratings) for cell in (*self.our_answers, *self.their_answers)]
        return min(numbers), max(numbers)

    @property
    def asked_once(self) -> list[str]:
        """The questions with fewer than two rated answers on a side."""
        return [
            name
            for name, (here, there) in zip(self.names, self._questions, strict=True)
            if min(len(here.ratings), len(there.ratings)) < 2
        ]

    @property
    def exact(self) -> bool:
        """True if asking again would change nothing, on either side."""
        return all(cell.exact for cell in (*self.our_answers, *self.their_answers))

    @property
    def without_spread(self) -> bool:
        """True if all answers to a question have the same rating, side by side, though chance is in them."""
        errors = standard_errors(self._ours_rated, self._theirs_rated)
        return not self.exact and errors is not None and all(error <= ROUNDING for error, _ in errors)

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Return the interval of the drop on these questions; None where it cannot be measured.

        It is `answers_interval`, or `bound_without_spread` around the drop where no answers to a question
        differ; where asking again would change nothing, it is the drop alone.
        """
        ours, theirs = self._ours_rated, self._theirs_rated
        if self.exact:
            return Interval(self.drop, self.drop)
        if not self.without_spread:
            return answers_interval(ours, theirs, confidence)
        bound = bound_without_spread(ours, theirs, self.maximum, confidence)
        return Interval(max(self.drop - bound, -self.maximum), min(self.drop + bound, self.maximum))

    def detectable_drop(self, margin: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
        """Return the true drop whose interval lies above the margin in 80 % of runs; None if unknown."""
        ours, theirs = self._ours_rated, self._theirs_rated
        if self.exact:
            return margin
        if self.without_spread:
            return margin + bound_without_spread(ours, theirs, self.maximum, confidence)
        return detectable_drop_of_answers(ours, theirs, margin, confidence)

    @property
    def _questions(self) -> Iterator[tuple[RatedAnswers, RatedAnswers]]:
        return zip(self.our_answers, self.their_answers, strict=True)

    @functools.cached_property
    def _ours_rated(self) -> Answers:
        return [cell.ratings for cell in self.our_answers]

    @functools.cached_property
    def _theirs_rated(self) -> Answers:
        return [cell.ratings for cell in self.their_answers]
