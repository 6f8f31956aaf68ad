"""The single values in results, each about one question, and their clusters and strata.

Values that depend on each other are one cluster: the turns of an MT-Bench question, the pairs of one qna
file. The questions of an MMLU task are independent, and those of an MMLU-Branch task but for the questions
about one passage. The tasks are strata of equal weight, so the means equal those of `summarise`.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.statistics import (
    degrees_of_freedom,
    jackknife_error,
    stratum_error,
    total_error,
)

_T = TypeVar("_T")
_K = TypeVar("_K", bound=Hashable)


class QuestionKey(NamedTuple):
    """The identity of a value, by which runs are paired."""

    question: str
    metric: str
    sample: str | None
    repetition: int  # from 0, where a test records a metric, or a benchmark names a question, twice


@dataclass(frozen=True, slots=True)
class Unit:
    """One value about one question, such as a turn's rating or a sample of a task; None for no score.

    `cluster` is that of the question, empty where the question is a cluster of its own. `content` is the
    digest of the question and `grading` that of how its judge was asked, each empty where unknown. `answers`
    and `same_answers` are those of the score. Samples of a task with one `passage` are a cluster in it.
    """

    key: QuestionKey
    cluster: str
    value: float | None
    maximum: float
    content: str = ""
    answers: tuple[float | None, ...] = ()
    same_answers: bool = False
    passage: str = ""
    grading: str = ""

    @property
    def label(self) -> str:
        """The question's name; for a sample of a task, the task's name and the sample's."""
        return self.key.question if self.key.sample is None else f"{self.key.question}:{self.key.sample}"

    @property
    def stratum(self) -> Hashable:
        """The task of a sample; None for any other value."""
        return None if self.key.sample is None else (self.key.question, self.key.metric, self.key.repetition)

    def same_question(self, other: Unit) -> bool:
        """Return whether both have the same scale and, where known, the same content."""
        contents = (self.content, other.content), (self.grading, other.grading)
        is_same = all(mine == their or not (mine and their) for mine, their in contents)
        return is_same and self.maximum == other.maximum


def units_of(results: Iterable[Result]) -> list[Unit]:
    """Return the units of the results: one for each sample of a score, else one for the score."""
    seen: Counter[tuple[str, str]] = Counter()
    members = []
    for result in results:
        for score in result.scores:
            name = (result.question, score.metric)
            parts: list[tuple[str | None, float | None, str]]
            parts = [(sample.id, sample.value, sample.passage) for sample in score.samples]
            repetition, cluster = seen[name], result.cluster or ""
            answers = () if score.samples else score.answers
            grading = result.gradings.get(score.metric, "")
            members += [
                Unit(
                    QuestionKey(*name, sample, repetition),
                    cluster,
                    value,
                    score.maximum,
                    result.content,
                    answers,
                    score.same_answers,
                    passage,
                    grading,
                )
                for sample, value, passage in parts or [(None, score.value, "")]
            ]
            seen[name] += 1
    return members


def questions_of(units: Iterable[Unit]) -> int:
    """Return the number of questions; several turns or metrics of a question count once."""
    return len({(unit.key.question, unit.key.sample) for unit in units})


def has_clusters(units: Iterable[Unit]) -> bool:
    """Return whether there are several clusters; within a single one, each question is a cluster."""
    return len({unit.cluster for unit in units}) > 1


def unit_namer(units: Iterable[Unit]) -> Callable[[Unit], str]:
    """Return a function that names a unit: by its task, or by its sample if there is only one task."""
    is_single_task = len({unit.key.question for unit in units}) == 1
    return lambda unit: unit.label if is_single_task else unit.key.question


def results_of_metric(results: Iterable[Result], metric: str) -> list[Result]:
    """Return the results with only their scores of one metric."""
    return [
        dataclasses.replace(
            result,
            scores=tuple(score for score in result.scores if score.metric == metric),
            main_metric=metric if result.main_metric == metric else "",
        )
        for result in results
    ]


def main_scores(results: Iterable[Result], main: str = "") -> list[Result]:
    """Return the results with only the scores that count for the benchmark.

    Those of the main metric, where its metrics have several scales, else all. `main` is that of another side.
    """
    members = list(results)
    main = main or main_metric(members)
    return results_of_metric(members, main) if main else members


def main_metric(results: Iterable[Result]) -> str:
    """Return the main metric of a benchmark whose metrics have several scales; else an empty text."""
    return next((result.main_metric for result in results if result.main_metric), "")


def has_one_scale(results: Iterable[Result]) -> bool:
    """Return whether all scores have one maximum, so that they have a mean."""
    return len({score.maximum for result in results for score in result.scores}) <= 1


def evidence_of(scores: Iterable[Score]) -> list[Evidence]:
    """Return the evidence of the scores that have some."""
    return [score.evidence for score in scores if score.evidence is not None]


def group_by(entries: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    """Return the entries by key, in order."""
    groups: dict[_K, list[_T]] = defaultdict(list)
    for entry in entries:
        groups[key(entry)].append(entry)
    return groups


@dataclass(frozen=True)
class Values:
    """Units with a number each: their own value, or its difference from the other side's.

    `clustered` says that there are clusters of several questions; see `has_clusters`.
    """

    entries: Sequence[tuple[Unit, float]]
    clustered: bool

    @classmethod
    def scored(cls, units: Iterable[Unit]) -> Values:
        """Return the units that have a score."""
        entries = [(unit, unit.value) for unit in units if unit.value is not None]
        return cls(entries, has_clusters(unit for unit, _ in entries))

    @property
    def maximum(self) -> float:
        """The highest possible score."""
        return self.entries[0][0].maximum

    @property
    def n(self) -> int:
        """The number of questions of the values."""
        return questions_of(unit for unit, _ in self.entries)

    @functools.cached_property
    def mean(self) -> float:
        """The mean over tasks if there are any, else over all values."""
        return statistics.fmean(value for _, value in self._cells)

    @functools.cached_property
    def strata(self) -> list[list[float]]:
        """The values of each task; values without a task are one stratum."""
        return [
            [value for _, value in part]
            for part in group_by(self.entries, lambda entry: entry[0].stratum).values()
        ]

    @functools.cached_property
    def clusters(self) -> list[list[float]]:
        """The values that the mean is over, by cluster."""

        def cluster(cell: tuple[Unit, float]) -> str:
            unit, _ = cell
            return (unit.cluster if self.clustered else "") or unit.key.question

        return [[value for _, value in part] for part in group_by(self._cells, cluster).values()]

    @functools.cached_property
    def passages(self) -> list[list[list[float]]]:
        """The values of each task by passage; a value without a passage is alone."""

        def passage(entry: tuple[Unit, float]) -> Hashable:
            unit, _ = entry
            return unit.passage or unit.key

        return [
            [[value for _, value in cluster] for cluster in group_by(part, passage).values()]
            for part in group_by(self.entries, lambda entry: entry[0].stratum).values()
        ]

    @property
    def have_passages(self) -> bool:
        """True if several questions of a task are about one passage."""
        return any(len(cluster) > 1 for stratum in self.passages for cluster in stratum)

    @functools.cached_property
    def are_answers(self) -> bool:
        """True if all values are right or wrong (1 or 0), and independent but for `passages`."""
        members = [unit for unit, _ in self.entries]
        if self.clustered or len({unit.key.sample is None for unit in members}) > 1:
            return False
        right_or_wrong = all(unit.maximum == 1 and value in (0.0, 1.0) for unit, value in self.entries)
        return right_or_wrong and questions_of(members) == len(members)

    @property
    def stderr(self) -> float | None:
        """The standard error of the mean; None where it cannot be measured, as where all scores are equal."""
        return total_error(self.errors)

    @functools.cached_property
    def errors(self) -> list[tuple[float, float]] | None:
        """The independent standard errors that the mean's consists of, each with its degrees of freedom.

        There is one for all clusters, or one for each task. None where one cannot be measured.
        """
        if any(unit.stratum is None for unit, _ in self.entries):
            error = jackknife_error(self.clusters)
            return None if error is None else [(error, degrees_of_freedom(self.clusters))]
        errors = [(stratum_error(stratum), len(stratum) - 1.0) for stratum in self.passages]
        measured = [(error / len(errors), freedom) for error, freedom in errors if error is not None]
        return measured if len(measured) == len(errors) else None

    @functools.cached_property
    def _cells(self) -> list[tuple[Unit, float]]:
        """The values that the mean is over: the mean of each task, and each value without a task."""
        single = [(unit, value) for unit, value in self.entries if unit.stratum is None]
        tasks = group_by(
            [entry for entry in self.entries if entry[0].stratum is not None], lambda entry: entry[0].stratum
        )
        means = [(part[0][0], statistics.fmean(value for _, value in part)) for part in tasks.values()]
        return single + means
