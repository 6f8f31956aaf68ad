"""The mean of a sample, corrected with a baseline's answers to all questions: a control variate.

The baseline shows whether the questions of the sample are harder or easier than the others. As far as the two
models find the same questions hard, this takes the luck of the draw out of the sample's mean.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.means import Mean, variance_of_sum
from pytest_instructlab_eval.stats.statistics import (
    CONFIDENCE,
    ROUNDING,
    Clusters,
    Interval,
    clustered_standard_error,
    stratum_error,
    t_interval,
    wilson_interval,
)
from pytest_instructlab_eval.stats.values import group_by

_V = TypeVar("_V")

FEWEST_FREEDOM = 10  # degrees of freedom: with fewer, the slope is hardly known


@dataclass(frozen=True)
class ControlledMean:
    """The mean over tasks of y + b (X - x), of a sample of `n` questions.

    y and x are the means of the model's and of the baseline's scores over the sampled questions of a task, X
    is the baseline's over all its questions, and b the `slope`. `stderr` is about questions like these, as
    that of any mean. `even` is the effective number of right and wrong answers, for tasks of one spread; None
    for other scores.
    """

    value: float
    stderr: float
    n: int
    maximum: float
    slope: float
    degrees_of_freedom: float
    even: float | None = None

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the interval of the mean.

        For right and wrong answers it is Wilson's at the effective number of questions, as for the plain
        mean, corrected for the degrees of freedom (Korn and Graubard, Survey Methodology 24, 1998). Else it
        is Student's, as far as it is on the scale.
        """
        student = t_interval(self.value, self.stderr, self.degrees_of_freedom, confidence)
        if self.even is None:
            return Interval(max(student.low, 0.0), min(student.high, self.maximum))
        normal = t_interval(self.value, self.stderr, math.inf, confidence)
        narrower = ((normal.high - normal.low) / (student.high - student.low)) ** 2
        variance = self.value * (1 - self.value)
        effective = narrower * (variance / self.stderr**2 if variance > ROUNDING else self.even)
        return wilson_interval(self.value * effective, effective, confidence)


@dataclass(frozen=True)
class _Task:
    """The sampled questions of a task, by passage: our score of each, and x - X, the control.

    `baseline` has the baseline's scores of all questions, by passage.
    """

    passages: Sequence[Sequence[tuple[float, float]]]
    baseline: Clusters

    @classmethod
    def of(cls, result: Result, score: Score, before: Result, other: Score) -> _Task | None:
        """Return a task; None where the baseline's is another one, or lacks an answer to a question."""
        answers = values_by_question(other.samples)
        scored = [sample for sample in score.samples if sample.value is not None]
        whole = len(answers) == (score.sample_of or len(score.samples)) and other.maximum == score.maximum
        has_all = answers.keys() >= {sample.id for sample in scored}
        if not (whole and may_be_alike(result, before) and has_all):
            return None
        mean = statistics.fmean(answers.values())
        return cls(
            _by_passage(scored, lambda sample: (sample.value or 0.0, answers[sample.id] - mean)),
            _by_passage(other.samples, lambda sample: answers[sample.id]),
        )

    @functools.cached_property
    def pairs(self) -> list[tuple[float, float]]:
        """Our score and the control of each question."""
        return list(itertools.chain.from_iterable(self.passages))

    def residual(self, slope: float) -> Mean:
        """Return the mean of y - b (x - X), with its standard error."""
        clusters = [[own - slope * known for own, known in passage] for passage in self.passages]
        mean = statistics.fmean(itertools.chain.from_iterable(clusters))
        return Mean(mean, stratum_error(clusters), len(self.pairs), single=len(clusters) == 1)

    def baseline_variance(self, slope: float) -> float:
        """Return the variance of b X; 0 where the baseline's answers do not show it."""
        return (slope * (clustered_standard_error(self.baseline) or 0.0)) ** 2


@dataclass(frozen=True)
class _SampledTasks:
    """The sampled tasks of a benchmark, with the highest score of a question."""

    tasks: Sequence[_Task]
    maximum: float

    @property
    def slope(self) -> float | None:
        """The slope b; None where the baseline's scores do not vary within tasks.

        The tasks of one question are taken together, as for the variance.
        """
        singles = [task.pairs[0] for task in self.tasks if len(task.pairs) == 1]
        parts = [(1 / len(task.pairs), task.pairs) for task in self.tasks if len(task.pairs) > 1]
        parts += [(float(len(singles)), singles)] if len(singles) > 1 else []
        together = control = 0.0
        for weight, pairs in parts:
            ours, controls = zip(*pairs, strict=True)
            together += weight * statistics.covariance(ours, controls)
            control += weight * statistics.variance(controls)
        return together / control if control > ROUNDING else None

    @property
    def freedom(self) -> int:
        """The degrees of freedom of the variance within tasks; those of one cluster are taken together."""
        singles = sum(len(task.passages) == 1 for task in self.tasks)
        return sum(len(task.passages) - 1 for task in self.tasks) + max(singles - 1, 0)

    @property
    def even(self) -> float | None:
        """The effective number of right and wrong answers, for tasks of one spread; None for other scores."""
        if self.maximum != 1 or any(own not in (0.0, 1.0) for task in self.tasks for own, _ in task.pairs):
            return None
        return len(self.tasks) ** 2 / sum(1 / len(task.pairs) for task in self.tasks)

    def mean(self) -> ControlledMean | None:
        """Return the controlled mean over the tasks; None where its variance cannot be measured."""
        slope, freedom = self.slope, self.freedom
        if slope is None or freedom < FEWEST_FREEDOM:
            return None
        residuals = [task.residual(slope) for task in self.tasks]
        sampled = variance_of_sum(residuals, [1.0] * len(self.tasks))
        if sampled is None:
            return None
        whole = sum(task.baseline_variance(slope) for task in self.tasks)
        variance = (sampled * freedom / (freedom - 1) + whole) / len(self.tasks) ** 2
        n, even = sum(len(task.pairs) for task in self.tasks), self.even
        if even is not None:
            variance = max(variance, 2 / (even * n))
        if math.sqrt(variance) <= ROUNDING:
            return None
        value = min(max(statistics.fmean(mean.value for mean in residuals), 0.0), self.maximum)
        return ControlledMean(value, math.sqrt(variance), n, self.maximum, slope, freedom - 1, even)


def controlled_mean(ours: Iterable[Result], baseline: Iterable[Result]) -> ControlledMean | None:
    """Return the mean over tasks of a sample, with the baseline's answers as control.

    b is pooled over tasks: the slope that makes the standard error smallest (the combined regression
    estimator of Cochran, Sampling Techniques, 3rd ed., 7.10). That it is estimated gives the mean a bias of
    order 1 / n, and takes a degree of freedom. The variance has two parts: that of y - b x over the sample,
    and that of b X over all questions of the tasks. Right and wrong answers never have less than that of two
    answers which differ from the baseline's.

    None where the results are no sample of tasks, where the baseline lacks an answer to any question of these
    tasks or has other questions, and for samples of fewer than ten degrees of freedom.
    """
    scores, others = _scores_by_task(ours), _scores_by_task(baseline)
    maxima = {score.maximum for _, score in scores.values()}
    if len(maxima) != 1 or all(score.sample_of is None for _, score in scores.values()):
        return None
    tasks = []
    for name, (result, score) in scores.items():
        if score.value is not None:
            task = _Task.of(result, score, *others[name]) if name in others else None
            if task is None:
                return None
            tasks.append(task)
    return _SampledTasks(tasks, maxima.pop()).mean()


def _scores_by_task(results: Iterable[Result]) -> dict[tuple[str, str], tuple[Result, Score]]:
    """Return the scores by task and metric, each with its result."""
    return {(result.question, score.metric): (result, score) for result in results for score in result.scores}


def values_by_question(samples: Iterable[Sample]) -> dict[str, float]:
    """Return the values of the samples that have one, by the question's name."""
    return {sample.id: sample.value for sample in samples if sample.value is not None}


def may_be_alike(result: Result, before: Result) -> bool:
    """Return whether two results may be of the same contents: they are, or those of one are not known."""
    return result.content == before.content or not (result.content and before.content)


def _by_passage(samples: Iterable[Sample], value: Callable[[Sample], _V]) -> list[list[_V]]:
    """Return the value of each sample, by passage; a sample without a passage is alone."""
    passages = group_by(samples, lambda sample: (sample.passage, "") if sample.passage else ("", sample.id))
    return [list(map(value, passage)) for passage in passages.values()]
