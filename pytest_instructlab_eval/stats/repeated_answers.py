"""The drop on these very questions, measured by several answers to each on either side.

A few questions say little about others like them. Asked several times, they say much about themselves: what
differs between answers to one question is chance, and no difference between questions is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pytest_instructlab_eval.stats.statistics import (
    CONFIDENCE,
    Interval,
    minimum_detectable_effect,
    t_interval,
    welch_degrees_of_freedom,
)

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
    return [(statistics.stdev(cell) / math.sqrt(len(cell)) / len(ours), len(cell) - 1.0) for cell in cells]


def answers_interval(ours: Answers, theirs: Answers, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the t interval of the drop on these questions.

    Its variance is the sum of the squared `standard_errors`, its degrees of freedom are Satterthwaite's
    (`welch_degrees_of_freedom`). None where a question has a single answer, and where no answers differ: a
    few equal ratings don't show that there is no chance in them.
    """
    errors = standard_errors(ours, theirs)
    freedom = 0.0 if errors is None else welch_degrees_of_freedom(errors)
    if errors is None or math.isinf(freedom):
        return None
    stderr = math.hypot(*(error for error, _ in errors))
    return t_interval(drop_of_answers(ours, theirs), stderr, freedom, confidence)


def detectable_drop_of_answers(ours: Answers, theirs: Answers) -> float | None:
    """Return how far above its limit a drop must be to fail in 80 % of runs; None without an interval."""
    errors = standard_errors(ours, theirs)
    if errors is None or math.isinf(welch_degrees_of_freedom(errors)):
        return None
    return minimum_detectable_effect(
        math.hypot(*(error for error, _ in errors)), welch_degrees_of_freedom(errors)
    )
