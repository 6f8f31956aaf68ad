"""The results of one model that a gate's figure is measured over."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from pytest_instructlab_eval.gates.sentences import score_digits
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.comparison import Comparison, Contribution, lowest_scores, mean_interval
from pytest_instructlab_eval.stats.control_variate import ControlledMean, controlled_mean
from pytest_instructlab_eval.stats.statistics import Interval, t_interval
from pytest_instructlab_eval.stats.summary import SummaryRow, summarise


@dataclass(frozen=True)
class Target:
    """The gated results of one model, reduced to the gated scores.

    `name` is the selector without its figure. `silent` counts the tests that recorded no score. For a drop,
    `comparison` is that with the baseline or the base model, and `against` names which of them. `baseline`
    are the gated results of the baseline; they are the control of a sample's mean.
    """

    name: str
    results: tuple[Result, ...]
    silent: int = 0
    comparison: Comparison | None = None
    against: str = ""
    baseline: tuple[Result, ...] = ()

    @functools.cached_property
    def row(self) -> SummaryRow:
        """The mean and the counts, as in the tables."""
        return summarise(self.results)[0].overall

    @property
    def scales(self) -> list[float]:
        """The maxima of its scores, lowest first; more than one if its metrics have different scales."""
        return sorted({score.maximum for result in self.results for score in result.scores})

    @property
    def maximum(self) -> float:
        """The highest possible score."""
        return max(self.scales, default=1.0)

    @property
    def digits(self) -> int:
        """The number of decimal digits of its scores."""
        return score_digits(self.maximum)

    @property
    def unrecorded(self) -> str:
        """The sentence about tests that recorded no score; empty if all recorded one."""
        recorded = sum(bool(result.scores) or result.error is not None for result in self.results)
        tests = len(self.results) + self.silent
        return "" if recorded == tests else f"{recorded:,} of {tests:,} tests recorded a score"

    @functools.cached_property
    def controlled(self) -> ControlledMean | None:
        """The mean of a sample with the baseline's answers as control; see `controlled_mean`."""
        return controlled_mean(self.results, self.baseline)

    def interval_of_mean(self, confidence: float) -> Interval | None:
        """Return the interval over questions, or, for a recorded mean, that of its standard error."""
        row, scores = self.row, [score for result in self.results for score in result.scores]
        if row.value is not None and any(score.n > 1 and not score.samples for score in scores):
            return t_interval(row.value, row.stderr, math.inf, confidence) if row.stderr else None
        return mean_interval(self.results, confidence)

    def extreme(self, most: int, *, highest: bool) -> tuple[Contribution, ...]:
        """Return the questions with the lowest scores, or the highest; see `lowest`."""
        return lowest_scores(self.results, most, highest=highest)
