"""Comparisons of two runs, by question or by their means, and the interval of one mean."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.design_effect import independent_share
from pytest_instructlab_eval.stats.detectable import detectable_drop
from pytest_instructlab_eval.stats.paired_answers import PairedAnswers
from pytest_instructlab_eval.stats.statistics import (
    CONFIDENCE,
    Interval,
    bounded_interval,
    cluster_interval,
    cluster_t_interval,
    correlation,
    even_interval,
    have_different_means,
    p_value,
    stratified_wilson_interval,
    t_interval,
    total_error,
    welch_degrees_of_freedom,
)
from pytest_instructlab_eval.stats.values import (
    QuestionKey,
    Unit,
    Values,
    group_by,
    has_clusters,
    unit_namer,
    units_of,
)


@dataclass(frozen=True)
class Pair:
    """One question with both sides' values."""

    unit: Unit
    ours: float
    theirs: float

    @property
    def drop(self) -> float:
        """The other value minus ours; rounded, so that equal drops of fractions are equal."""
        return round(self.theirs - self.ours, 12)


@dataclass(frozen=True)
class Contribution:
    """A question behind a verdict: its score, and that of the other side if there is one."""

    question: str
    value: float | None
    baseline: float | None = None

    @property
    def drop(self) -> float:
        """The other side's score minus this one."""
        return (self.baseline or 0.0) - (self.value or 0.0)

    def __str__(self) -> str:
        value = "no score" if self.value is None else f"{self.value:.3g}"
        before = "" if self.baseline is None else f"{self.baseline:.3g} -> "
        return f"{self.question} ({before}{value})"


@dataclass(frozen=True)
class Comparison:
    """A comparison of two runs of one benchmark, over the questions that both have a score for.

    `drop` is how much lower our mean is, in the unit of the score; `n` counts questions (two turns are
    one question). `clustered` says that there are clusters of several questions. `only_ours` and
    `only_theirs` are the questions with a score on one side only, `changed` those whose content differs.
    """

    pairs: tuple[Pair, ...]
    clustered: bool
    only_ours: tuple[str, ...] = ()
    only_theirs: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def drop(self) -> float:
        """The drop of the mean: over tasks if there are any, else over all values."""
        return self._drops.mean

    @property
    def means(self) -> tuple[float, float]:
        """Our mean and theirs over the paired questions."""
        return self._ours.mean, self._theirs.mean

    @property
    def stderr(self) -> float | None:
        """The standard error of the drop; None where it cannot be measured."""
        return self._drops.stderr

    @property
    def maximum(self) -> float:
        """The highest possible score."""
        return self._drops.maximum

    @property
    def n(self) -> int:
        """The number of paired questions."""
        return self._drops.n

    @property
    def unchanged(self) -> bool:
        """True if every question has the same score on both sides."""
        return all(pair.drop == 0 for pair in self.pairs)

    @property
    def answers(self) -> tuple[int, int] | None:
        """The numbers of answers that became wrong and right; None for scores that are not right or wrong."""
        answers = self._paired_answers
        return None if answers is None else (int(sum(answers.losses)), int(sum(answers.gains)))

    @property
    def mcnemar(self) -> float | None:
        """The p value of McNemar's test, with half the usual correction; see `PairedAnswers`.

        None for scores that are not right or wrong, and for several tasks: the drop gives each task the same
        weight, but McNemar would give each question the same weight. None too where several questions are
        about one passage, as McNemar's need to be independent.
        """
        answers = self._paired_answers
        if answers is None or len(answers.counts) > 1 or self._drops.have_passages:
            return None
        return answers.p_value_of_no_change

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation of the two sides' scores."""
        return correlation([pair.ours for pair in self.pairs], [pair.theirs for pair in self.pairs])

    def detectable_drop(self, margin: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
        """Return the smallest true drop whose interval lies above the margin in 80 % of runs like this one.

        None where unknown.
        """
        answers = self._independent_answers(confidence)
        if answers is not None:
            return answers.detectable_drop(margin, confidence)
        scale = (0.0, self.maximum)
        return detectable_drop(self._ours.clusters, self._theirs.clusters, scale, margin, confidence)

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Return the interval of the drop; None where it cannot be measured.

        It is that of `PairedAnswers` for right and wrong answers, `even_interval` where the mean drop is
        the same in all clusters, and else `cluster_interval`.
        """
        answers = self._independent_answers(confidence)
        if answers is not None:
            return answers.interval(confidence)
        clusters = self._drops.clusters
        return (cluster_interval if have_different_means(clusters) else even_interval)(clusters, confidence)

    def t_interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Return Student's interval of the drop, for any number of clusters; see `cluster_t_interval`."""
        return cluster_t_interval(self._drops.clusters, confidence)

    def p_value(self, margin: float) -> float:
        """Return the two-sided p value of a drop of at most the margin, against a larger drop."""
        if self._paired_answers is None or self._drops.have_passages:
            return p_value(self.interval, margin)
        return self._paired_answers.p_value(margin)

    @property
    def p_value_of_no_change(self) -> float:
        """The two-sided p value of no change, against a drop or a rise."""
        if self._paired_answers is None or self._drops.have_passages:
            return _p_value_of_no_change(self.interval)
        return self._paired_answers.p_value_of_no_change

    def worst(self, most: int) -> tuple[Contribution, ...]:
        """Return the questions with the largest drops, or whole tasks if there are several."""
        name = unit_namer(pair.unit for pair in self.pairs)
        contributions = [
            Contribution(
                label, statistics.fmean(p.ours for p in part), statistics.fmean(p.theirs for p in part)
            )
            for label, part in group_by(self.pairs, lambda pair: name(pair.unit)).items()
        ]
        dropped = [entry for entry in contributions if entry.drop > 0]
        return tuple(sorted(dropped, key=lambda entry: entry.drop, reverse=True)[:most])

    @functools.cached_property
    def _paired_answers(self) -> PairedAnswers | None:
        """The right and wrong answers by stratum; None for other scores."""
        if not (self._ours.are_answers and self._theirs.are_answers):
            return None
        strata = self._drops.strata
        return PairedAnswers(
            [sum(drop > 0 for drop in stratum) for stratum in strata],
            [sum(drop < 0 for drop in stratum) for stratum in strata],
            [len(stratum) for stratum in strata],
        )

    def _independent_answers(self, confidence: float) -> PairedAnswers | None:
        """Return the right and wrong answers of as many questions as those about passages count for."""
        answers = self._paired_answers
        if answers is None or not self._drops.have_passages:
            return answers
        return answers.scaled(independent_share(self._drops.passages, confidence))

    @functools.cached_property
    def _drops(self) -> Values:
        return Values([(pair.unit, pair.drop) for pair in self.pairs], self.clustered)

    @functools.cached_property
    def _ours(self) -> Values:
        return Values([(pair.unit, pair.ours) for pair in self.pairs], self.clustered)

    @functools.cached_property
    def _theirs(self) -> Values:
        return Values([(pair.unit, pair.theirs) for pair in self.pairs], self.clustered)


@dataclass(frozen=True)
class Difference:
    """The difference of two runs of one benchmark, each over its own questions.

    `means` are ours and theirs, `n` counts our questions. `stderr` is the standard error of the difference of
    independent means, None where it cannot be measured, and `degrees_of_freedom` are those of `stderr`.
    """

    means: tuple[float, float]
    stderr: float | None
    n: int
    maximum: float
    degrees_of_freedom: float = math.inf

    @property
    def drop(self) -> float:
        """The other mean minus ours."""
        return self.means[1] - self.means[0]

    @property
    def unchanged(self) -> bool:
        """True if the means are the same."""
        return self.drop == 0

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Return Student's interval of the drop (Welch, Biometrika 34, 1947); None where there is none."""
        if self.stderr is None:
            return None
        return t_interval(self.drop, self.stderr, self.degrees_of_freedom, confidence)

    @property
    def p_value_of_no_change(self) -> float:
        """The two-sided p value of no change, against a drop or a rise."""
        return _p_value_of_no_change(self.interval)


def _p_value_of_no_change(interval_of: Callable[[float], Interval | None]) -> float:
    def mirrored(confidence: float) -> Interval | None:
        interval = interval_of(confidence)
        return None if interval is None else Interval(-interval.high, -interval.low)

    return min(p_value(interval_of, 0.0), p_value(mirrored, 0.0))


def counterpart(model: str | None, models: Collection[str]) -> str | None:
    """Return the model to compare with: the one of the same name, or the only one."""
    return model if model in models else next(iter(models)) if len(models) == 1 else None


def counterpart_results(results: Iterable[Result], benchmark: str, model: str | None) -> list[Result]:
    """Return a benchmark's results of the model to compare with; none without such a model."""
    of_benchmark = [result for result in results if result.benchmark == benchmark]
    other = counterpart(model, dict.fromkeys(result.model for result in of_benchmark))
    return [result for result in of_benchmark if result.model == other]


def mean_difference(ours: Iterable[Result], theirs: Iterable[Result]) -> Difference | None:
    """Return the difference of two means, each over its own questions; None where one side has no score."""
    mine, other = Values.scored(units_of(ours)), Values.scored(units_of(theirs))
    if not mine.entries or not other.entries:
        return None
    errors = None if None in (mine.errors, other.errors) else [*(mine.errors or ()), *(other.errors or ())]
    return Difference(
        means=(mine.mean, other.mean),
        stderr=total_error(errors),
        n=mine.n,
        maximum=mine.maximum,
        degrees_of_freedom=welch_degrees_of_freedom(errors or ()),
    )


def paired_comparison(ours: Iterable[Result], theirs: Iterable[Result]) -> Comparison | None:
    """Return the comparison of two sides' results of one benchmark; None where no question is paired."""
    our_units, their_units = units_of(ours), units_of(theirs)
    by_key = {unit.key: unit for unit in their_units if unit.value is not None}
    common: set[QuestionKey] = set()
    pairs, changed = [], []
    for unit in our_units:
        other = by_key.get(unit.key)
        if unit.value is None or other is None or other.value is None:
            continue
        common.add(unit.key)
        if unit.same_question(other):
            pairs.append(Pair(unit, unit.value, other.value))
        else:
            changed.append(unit)
    if not pairs:
        return None
    return Comparison(
        tuple(pairs),
        has_clusters(our_units),
        only_ours=_unpaired(our_units, common),
        only_theirs=_unpaired(their_units, common),
        changed=_unpaired(changed, ()),
    )


def _unpaired(units: Iterable[Unit], paired: Collection[QuestionKey]) -> tuple[str, ...]:
    """Return the labels of the units with a score that have no pair."""
    left = [unit for unit in units if unit.value is not None and unit.key not in paired]
    return tuple(dict.fromkeys(unit.label for unit in left))


def mean_interval(results: Iterable[Result], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of a benchmark's mean; None where it cannot be measured.

    It is `stratified_wilson_interval` for right and wrong answers, else `bounded_interval`.
    """
    scored = Values.scored(units_of(results))
    if not scored.entries:
        return None
    if scored.are_answers:
        share = independent_share(scored.passages, confidence)
        right = [share * sum(value > 0 for value in stratum) for stratum in scored.strata]
        counts = [share * len(stratum) for stratum in scored.strata]
        return stratified_wilson_interval(right, counts, confidence)
    return bounded_interval(scored.clusters, scored.maximum, confidence)


def lowest_scores(results: Iterable[Result], most: int, *, highest: bool = False) -> tuple[Contribution, ...]:
    """Return the questions with the lowest or highest scores, or whole tasks if there are several."""
    scored = [unit for unit in units_of(results) if unit.value is not None]
    contributions = [
        Contribution(label, statistics.fmean(unit.value or 0.0 for unit in part))
        for label, part in group_by(scored, unit_namer(scored)).items()
    ]
    return tuple(sorted(contributions, key=lambda entry: entry.value or 0.0, reverse=highest)[:most])
