"""Results as questions: the interval of their mean, and two runs compared question by question.

What depends on each other is one cluster: the turns of an MT-Bench question, the pairs of one qna file.
The questions of an MMLU task are independent, and the tasks are strata of equal weight, so that means
are those of `reports.summarise`.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.statistics import (
    CONFIDENCE,
    ROUNDING,
    Interval,
    cluster_interval,
    cluster_t_interval,
    clustered_standard_error,
    correlation,
    even_interval,
    mcnemar,
    minimum_detectable_drop,
    minimum_detectable_drop_of_answers,
    p_value,
    paired_answers_interval,
    standard_error,
    stratified_wilson_interval,
    t_interval,
    vary,
    welch_degrees_of_freedom,
)

__all__ = [
    "Comparison",
    "Difference",
    "Evidence",
    "Pair",
    "Unit",
    "compare",
    "counterpart",
    "difference",
    "lowest",
    "mean_interval",
    "questions_of",
    "units",
]

_T = TypeVar("_T")
_K = TypeVar("_K", bound=Hashable)


class Key(NamedTuple):
    """What makes a question of one run the same as one of another run."""

    question: str
    metric: str
    sample: str | None
    repetition: int  # from 0, where a test records a metric, or a benchmark names a question, twice


@dataclass(frozen=True)
class Unit:
    """One figure about one question: a turn's rating, a sample of a task; `value` is None for no score.

    `cluster` is that of the question, empty where it is its own, and `content` tells it from another of the
    same name; empty where it isn't known.
    """

    key: Key
    cluster: str
    value: float | None
    maximum: float
    content: str = ""

    @property
    def label(self) -> str:
        """The question's name; for a sample of a task, behind the task's."""
        return self.key.question if self.key.sample is None else f"{self.key.question}:{self.key.sample}"

    @property
    def stratum(self) -> Hashable:
        """The task whose mean it is part of; None for a figure of its own."""
        return None if self.key.sample is None else (self.key.question, self.key.metric, self.key.repetition)


@dataclass(frozen=True)
class Pair:
    """One question as both sides have it."""

    unit: Unit
    ours: float
    theirs: float

    @property
    def drop(self) -> float:
        """How much lower ours is; rounded, so that equal drops of fractions are equal."""
        return round(self.theirs - self.ours, 12)


@dataclass(frozen=True)
class Evidence:
    """A question behind a verdict: its score, and the other side's where there is one."""

    question: str
    value: float | None
    baseline: float | None = None

    def __str__(self) -> str:
        value = "no score" if self.value is None else f"{self.value:.3g}"
        before = "" if self.baseline is None else f"{self.baseline:.3g} -> "
        return f"{self.question} ({before}{value})"


@dataclass(frozen=True)
class Comparison:
    """Two runs of one benchmark over the questions that both have a score for.

    `drop` is how much lower our mean is, in the unit of the score; `n` counts questions (two turns are
    one). `only_ours` and `only_theirs` are the questions that one side alone has a score for, `changed`
    those that are another question there, of the same name.
    """

    pairs: tuple[Pair, ...]
    by_group: bool
    only_ours: tuple[str, ...] = ()
    only_theirs: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def drop(self) -> float:
        """The drop of the mean: over tasks where there are tasks, else over all figures."""
        return _mean(self._drops())

    @property
    def means(self) -> tuple[float, float]:
        """Our mean and theirs over the questions that are paired."""
        ours = _mean([(pair.unit, pair.ours) for pair in self.pairs])
        return ours, _mean([(pair.unit, pair.theirs) for pair in self.pairs])

    @property
    def stderr(self) -> float | None:
        """The standard error of the drop; None where it can't be measured."""
        return _stderr_of(self._drops(), self.by_group)

    @property
    def maximum(self) -> float:
        """The best possible score."""
        return self.pairs[0].unit.maximum

    @property
    def n(self) -> int:
        """How many questions are paired."""
        return questions_of(pair.unit for pair in self.pairs)

    @property
    def unchanged(self) -> bool:
        """Whether every question has the same score on both sides."""
        return all(pair.drop == 0 for pair in self.pairs)

    @property
    def answers(self) -> tuple[int, int] | None:
        """How many answers turned wrong and how many right; None where scores aren't answers."""
        if not self._are_answers:
            return None
        losses, gains, _ = self._changes()
        return sum(losses), sum(gains)

    @property
    def mcnemar(self) -> float | None:
        """The p value of exact McNemar; None for scores that aren't answers, and over several tasks.

        Over several tasks the drop weights tasks alike, and McNemar would weight questions alike.
        """
        changes = self.answers
        if changes is None or len({pair.unit.stratum for pair in self.pairs}) > 1:
            return None
        return mcnemar(*changes)

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation of the two sides' scores."""
        return correlation([pair.ours for pair in self.pairs], [pair.theirs for pair in self.pairs])

    @property
    def minimum_detectable_drop(self) -> float | None:
        """The smallest true drop that this run would have shown in 80 % of cases; None where unknown."""
        if self._are_answers:
            return minimum_detectable_drop_of_answers(*self._changes())
        return minimum_detectable_drop(self._clusters())

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """The interval of the drop; None where it can't be measured.

        For right and wrong answers `paired_answers_interval`, else `cluster_interval`; where all clusters
        drop by the same on the average, `even_interval`.
        """
        if self._are_answers:
            return paired_answers_interval(*self._changes(), confidence)
        clusters = self._clusters()
        return (cluster_interval if vary(clusters) else even_interval)(clusters, confidence)

    def t_interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Student's interval of the drop, of however few clusters; see `cluster_t_interval`."""
        return cluster_t_interval(self._clusters(), confidence)

    def p_value(self, margin: float) -> float:
        """Of no more than the margin against a larger drop, two-sided."""
        return p_value(self.interval, margin)

    @property
    def p_value_of_no_change(self) -> float:
        """Two-sided, against a drop or a rise."""
        return _p_value_of_no_change(self.interval)

    def worst(self, most: int) -> tuple[Evidence, ...]:
        """The questions that dropped most; whole tasks where there are several."""
        name = _namer([pair.unit for pair in self.pairs])
        found = [
            Evidence(label, statistics.fmean(p.ours for p in part), statistics.fmean(p.theirs for p in part))
            for label, part in _grouped(self.pairs, lambda pair: name(pair.unit)).items()
        ]
        dropped = [entry for entry in found if _fall(entry) > 0]
        return tuple(sorted(dropped, key=_fall, reverse=True)[:most])

    @functools.cached_property
    def _are_answers(self) -> bool:
        both = all(_is_answer(value, pair.unit) for pair in self.pairs for value in (pair.ours, pair.theirs))
        return both and _independent([pair.unit for pair in self.pairs], self.by_group)

    def _changes(self) -> tuple[list[int], list[int], list[int]]:
        """Answers turned wrong, turned right, and all, of each stratum."""
        strata = _grouped(self.pairs, lambda pair: pair.unit.stratum).values()
        return (
            [sum(pair.drop > 0 for pair in stratum) for stratum in strata],
            [sum(pair.drop < 0 for pair in stratum) for stratum in strata],
            [len(stratum) for stratum in strata],
        )

    def _drops(self) -> list[tuple[Unit, float]]:
        return [(pair.unit, pair.drop) for pair in self.pairs]

    def _clusters(self) -> list[list[float]]:
        return _clustered(self._drops(), self.by_group)


@dataclass(frozen=True)
class Difference:
    """Two runs of one benchmark, each over questions of its own.

    `means` are ours and theirs, `n` counts our questions, `stderr` is that of the difference of independent
    means, None where it can't be measured, and `degrees_of_freedom` are its own.
    """

    means: tuple[float, float]
    stderr: float | None
    n: int
    maximum: float
    degrees_of_freedom: float = math.inf

    @property
    def drop(self) -> float:
        """How much lower our mean is."""
        return self.means[1] - self.means[0]

    @property
    def unchanged(self) -> bool:
        """Whether the means are the same."""
        return self.drop == 0

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Student's interval of the drop (Welch, Biometrika 34, 1947); None where it can't be measured."""
        if self.stderr is None or self.stderr <= ROUNDING:
            return None
        return t_interval(self.drop, self.stderr, self.degrees_of_freedom, confidence)

    @property
    def p_value_of_no_change(self) -> float:
        """Two-sided, against a drop or a rise."""
        return _p_value_of_no_change(self.interval)


def _p_value_of_no_change(interval_of: Callable[[float], Interval | None]) -> float:
    def mirrored(confidence: float) -> Interval | None:
        interval = interval_of(confidence)
        return None if interval is None else Interval(-interval.high, -interval.low)

    return min(p_value(interval_of, 0.0), p_value(mirrored, 0.0))


def counterpart(model: str | None, models: Collection[str]) -> str | None:
    """Which of these models one is compared with: the one of the same name, or the only one."""
    return model if model in models else next(iter(models)) if len(models) == 1 else None


def difference(ours: Iterable[Result], theirs: Iterable[Result]) -> Difference | None:
    """The difference of the two sides' means, each over its own questions; None where one has no score."""
    found = [_scored(units(side)) for side in (ours, theirs)]
    if not all(found):
        return None
    errors = [_errors_of(side, _by_group([unit for unit, _ in side])) for side in found]
    known = [part for parts in errors for part in parts or ()]
    return Difference(
        means=(_mean(found[0]), _mean(found[1])),
        stderr=math.hypot(*(error for error, _ in known)) if None not in errors else None,
        n=questions_of(unit for unit, _ in found[0]),
        maximum=found[0][0][0].maximum,
        degrees_of_freedom=welch_degrees_of_freedom(known),
    )


def compare(ours: Iterable[Result], theirs: Iterable[Result]) -> Comparison | None:
    """Both sides' results of one benchmark, paired by question; None where nothing is paired."""
    our_units, their_units = units(ours), units(theirs)
    found = {unit.key: unit for unit in their_units if unit.value is not None}
    both = [(unit, found[unit.key]) for unit in our_units if unit.value is not None and unit.key in found]
    pairs = tuple(
        Pair(unit, unit.value, other.value)
        for unit, other in both
        if unit.value is not None and other.value is not None and _same_question(unit, other)
    )
    if not pairs:
        return None
    known = {unit.key for unit, _ in both}
    return Comparison(
        pairs,
        _by_group(our_units),
        only_ours=_unpaired(our_units, known),
        only_theirs=_unpaired(their_units, known),
        changed=_unpaired([unit for unit, _ in both], {pair.unit.key for pair in pairs}),
    )


def _same_question(ours: Unit, theirs: Unit) -> bool:
    """Whether both are asked and graded alike: of one content, where that is known, and on one scale."""
    same_content = ours.content == theirs.content or not (ours.content and theirs.content)
    return same_content and ours.maximum == theirs.maximum


def mean_interval(results: Iterable[Result], confidence: float = CONFIDENCE) -> Interval | None:
    """The interval of a benchmark's mean; None where it can't be measured.

    For right and wrong answers `stratified_wilson_interval`, else `cluster_interval`.
    """
    scored = _scored(units(results))
    found = [unit for unit, _ in scored]
    by_group = _by_group(found)
    if not scored:
        return None
    if all(_is_answer(value, unit) for unit, value in scored) and _independent(found, by_group):
        strata = _grouped(scored, lambda entry: entry[0].stratum).values()
        right = [sum(value > 0 for _, value in stratum) for stratum in strata]
        return stratified_wilson_interval(right, [len(stratum) for stratum in strata], confidence)
    return cluster_interval(_clustered(scored, by_group), confidence)


def units(results: Iterable[Result]) -> list[Unit]:
    """Every figure of the results: a sample each where a score has samples, else a score each."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for result in results:
        for score in result.scores:
            name = (result.question, score.metric)
            parts: list[tuple[str | None, float | None]]
            parts = [(sample.id, sample.value) for sample in score.samples] or [(None, score.value)]
            found += [
                Unit(
                    Key(*name, sample, seen[name]),
                    result.cluster or "",
                    value,
                    score.maximum,
                    result.content,
                )
                for sample, value in parts
            ]
            seen[name] += 1
    return found


def questions_of(found: Iterable[Unit]) -> int:
    """How many questions the figures are about; two turns or metrics of one count once."""
    return len({(unit.key.question, unit.key.sample) for unit in found})


def lowest(results: Iterable[Result], most: int, *, highest: bool = False) -> tuple[Evidence, ...]:
    """The questions with the lowest scores, or the highest; whole tasks where there are several."""
    scored = [unit for unit in units(results) if unit.value is not None]
    name = _namer(scored)
    found = [
        Evidence(label, statistics.fmean(unit.value or 0.0 for unit in part))
        for label, part in _grouped(scored, name).items()
    ]
    return tuple(sorted(found, key=lambda entry: entry.value or 0.0, reverse=highest)[:most])


def _by_group(found: Sequence[Unit]) -> bool:
    """Whether there are clusters of several questions; within a single one, its questions are clusters."""
    return len({unit.cluster for unit in found}) > 1


def _cluster(unit: Unit, by_group: bool) -> str:
    return unit.cluster or unit.key.question if by_group else unit.key.question


def _independent(found: Sequence[Unit], by_group: bool) -> bool:
    """Whether every figure is a sample of a task, or every one a cluster of its own."""
    if by_group or len({unit.key.sample is None for unit in found}) > 1:
        return False
    return len({(unit.key.question, unit.key.sample) for unit in found}) == len(found)


def _is_answer(value: float, unit: Unit) -> bool:
    return unit.maximum == 1 and value in (0.0, 1.0)


def _cells(values: Sequence[tuple[Unit, float]]) -> list[tuple[Unit, float]]:
    """The figures that the mean is over: of a task its mean, of anything else itself."""
    single = [(unit, value) for unit, value in values if unit.stratum is None]
    tasks = _grouped(
        [entry for entry in values if entry[0].stratum is not None], lambda entry: entry[0].stratum
    )
    return single + [(part[0][0], statistics.fmean(value for _, value in part)) for part in tasks.values()]


def _mean(values: Sequence[tuple[Unit, float]]) -> float:
    return statistics.fmean(value for _, value in _cells(values))


def _scored(found: Iterable[Unit]) -> list[tuple[Unit, float]]:
    return [(unit, unit.value) for unit in found if unit.value is not None]


def _stderr_of(values: Sequence[tuple[Unit, float]], by_group: bool) -> float | None:
    errors = _errors_of(values, by_group)
    return None if errors is None else math.hypot(*(error for error, _ in errors))


def _errors_of(values: Sequence[tuple[Unit, float]], by_group: bool) -> list[tuple[float, float]] | None:
    """The independent standard errors that make up that of the mean, each with its degrees of freedom.

    One of clusters; of tasks, whose questions are independent, one each. None where one can't be measured.
    """
    if any(unit.stratum is None for unit, _ in values):
        clusters = _clustered(values, by_group)
        error = clustered_standard_error(clusters)
        return None if error is None else [(error, len(clusters) - 1.0)]
    strata = [
        [value for _, value in part] for part in _grouped(values, lambda entry: entry[0].stratum).values()
    ]
    errors = [(standard_error(stratum), len(stratum) - 1.0) for stratum in strata]
    known = [(error / len(strata), freedom) for error, freedom in errors if error is not None]
    return known if len(known) == len(errors) else None


def _clustered(values: Sequence[tuple[Unit, float]], by_group: bool) -> list[list[float]]:
    clusters = _grouped(_cells(values), lambda entry: _cluster(entry[0], by_group))
    return [[value for _, value in cluster] for cluster in clusters.values()]


def _namer(found: Sequence[Unit]) -> Callable[[Unit], str]:
    """What a verdict's evidence is called: questions, and the samples of a task that stands alone."""
    alone = len({unit.key.question for unit in found}) == 1
    return lambda unit: unit.label if alone else unit.key.question


def _fall(entry: Evidence) -> float:
    return (entry.baseline or 0.0) - (entry.value or 0.0)


def _unpaired(found: Sequence[Unit], paired: set[Key]) -> tuple[str, ...]:
    left = [unit for unit in found if unit.value is not None and unit.key not in paired]
    return tuple(dict.fromkeys(unit.label for unit in left))


def _grouped(entries: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    groups: dict[_K, list[_T]] = defaultdict(list)
    for entry in entries:
        groups[key(entry)].append(entry)
    return groups
