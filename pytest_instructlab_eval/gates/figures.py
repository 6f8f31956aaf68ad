"""What a gate can be about: a table of figures, their scales, and how each is measured.

The language needs the table in every process, so what the measuring itself needs is loaded where it happens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_instructlab_eval.gates.sentences import (
    WORST,
    interval_text,
    name_list,
    number_text,
    question_count,
)

if TYPE_CHECKING:
    from pytest_instructlab_eval.gates.target import Target
    from pytest_instructlab_eval.records.scores import Result
    from pytest_instructlab_eval.stats.comparison import Comparison, Contribution
    from pytest_instructlab_eval.stats.statistics import Interval


@dataclass(frozen=True)
class Measurement:
    """A figure as it was measured, and what is said of it.

    `value` is None where there is nothing to measure, which no gate holds for. `worst` are the questions
    behind the figure, and `worst_are` says what these are. For the rest see `GateReport`.
    """

    text: str
    value: float | None = None
    interval: Interval | None = None
    n: int = 0
    worst: tuple[Contribution, ...] = ()
    worst_are: str = ""
    notes: tuple[str, ...] = ()
    unchanged: bool = False
    minimum_detectable_drop: float | None = None
    correlation: float | None = None
    unpaired: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """One figure that a gate can name.

    `unit` is that of its limit: the score's own, a share of what was asked, or a number of questions.
    `measure` takes the target, and whether its limit is one from above. A figure that `compares` is a drop
    from another side: its limit is a margin, and its verdict is read off its interval. One `about_the_run`
    says how the run went, not how good the model is, so that it holds for a part of a benchmark too.
    `before_judging` says that it is known of answers that are yet to be judged. `default` is the limit from
    above that every benchmark has by itself.
    """

    name: str
    unit: Literal["score", "share", "count"]
    measure: Callable[[Target, bool], Measurement] = field(repr=False)
    compares: bool = False
    about_the_run: bool = False
    before_judging: bool = False
    default: float | None = None

    def range(self, maximum: float) -> tuple[float, float] | None:
        """Return the least and the greatest value of scores up to the maximum; None for a count."""
        if self.unit == "count":
            return None
        highest = maximum if self.unit == "score" else 1.0
        return (-highest if self.compares else 0.0), highest


# --- how each is measured ---


def mean_of(target: Target, from_above: bool) -> Measurement:
    """Return the mean, with its interval and the lowest scores, or the highest under a limit from above."""
    row = target.row
    if row.value is None:
        return Measurement(f"{target.name} has no score ({row.errors:,} errors, {row.unscored:,} unscored)")
    interval, digits = target.interval_of_mean(), target.digits
    about = f"{interval_text(interval, digits)}, {question_count(row.n)}"
    return Measurement(
        f"{target.name} is {number_text(row.value, digits)} ({about})",
        row.value,
        interval,
        row.n,
        worst=target.extreme(WORST, highest=from_above),
        worst_are="highest" if from_above else "lowest",
    )


def count_of(target: Target, from_above: bool) -> Measurement:
    """Return how many questions have a score."""
    count = target.row.n
    return Measurement(f"{target.name} has {question_count(count)} with a score", float(count), n=count)


def rate_of(
    target: Target, from_above: bool, *, lost: Callable[[Result], int], what_happened: str
) -> Measurement:
    """Return the share of what was lost of all that was asked: turns, samples, tests that ended early."""
    from pytest_instructlab_eval.stats.comparison import Contribution
    from pytest_instructlab_eval.stats.statistics import wilson_interval

    scores = [score for result in target.results for score in result.scores]
    asked = sum(score.n for score in scores) + sum(
        error_count(one) + unscored_count(one) for one in target.results
    )
    if not asked:
        return Measurement(f"nothing was asked of {target.name}")
    count = sum(map(lost, target.results))
    # Turns of a question may fail together, so a question is one observation.
    observed = asked if any(score.n > 1 for score in scores) else len(target.results)
    value = count / asked
    interval = wilson_interval(value * observed, observed)
    text = f"{target.name}: {count:,} of {asked:,} {what_happened}, {number_text(value, 4)}"
    concerned = [Contribution(result.question, result.value) for result in target.results if lost(result)]
    return Measurement(
        f"{text} ({interval_text(interval, 4)})",
        value,
        interval,
        observed,
        worst=tuple(concerned[:WORST]),
        worst_are="concerned",
    )


def error_count(result: Result) -> int:
    """Return how many of a test's questions could not be asked; a test that ended early is one."""
    return sum(score.errors for score in result.scores) + (result.error is not None)


def unscored_count(result: Result) -> int:
    """Return how many of a test's questions got no usable rating."""
    return sum(score.unscored for score in result.scores)


def drop_of(target: Target, from_above: bool) -> Measurement:
    """Return how much lower the mean is than the other side's, over the questions that both have."""
    comparison = target.comparison
    if comparison is None:
        return Measurement(f"{target.name} has nothing to compare with")
    interval, smallest = comparison.interval(), comparison.minimum_detectable_drop
    where = f"{question_count(comparison.n)} {target.against}"
    if comparison.unchanged:
        text = f"{target.name} has the same score on each of {where}"
    else:
        drop = comparison.drop
        moved = "dropped" if drop > 0 else "rose" if drop < 0 else "changed"
        signed = "" if drop >= 0 or interval is None else " of the drop"
        text = (
            f"{target.name} {moved} by {number_text(abs(drop), target.digits)} "
            f"({interval_text(interval, target.digits)}{signed}, {where})"
        )
    return Measurement(
        text,
        comparison.drop,
        interval,
        comparison.n,
        worst=comparison.worst(WORST),
        worst_are="dropped most",
        notes=(*power_notes(comparison, smallest, target.digits), *unpaired_notes(comparison)),
        unchanged=comparison.unchanged,
        minimum_detectable_drop=smallest,
        correlation=comparison.correlation,
        unpaired=tuple(dict.fromkeys(comparison.only_ours + comparison.only_theirs + comparison.changed)),
    )


def power_notes(comparison: Comparison, smallest: float | None, digits: int) -> list[str]:
    """Return what changed question by question, and what this run could have seen."""
    notes = []
    if comparison.answers is not None and not comparison.unchanged:
        wrong, right = comparison.answers
        p_value = comparison.mcnemar
        exact = "" if p_value is None else f" (exact McNemar p = {p_value:.2g})"
        notes.append(f"{wrong:,} answers turned wrong and {right:,} right{exact}")
    if smallest is not None and smallest <= comparison.maximum:
        notes.append(f"this run could have seen a drop of {number_text(smallest, digits)}")
    elif smallest is not None:
        notes.append("this run is too short to see any drop for sure")
    return notes


def unpaired_notes(comparison: Comparison) -> list[str]:
    """Return which questions a comparison leaves out, and why."""
    left_out = {
        "without a score in the baseline": comparison.only_ours,
        "without a score in this run": comparison.only_theirs,
        "as another question in the baseline": comparison.changed,
    }
    return [f"left out, {why}: {name_list(names)}" for why, names in left_out.items() if names]


# --- the table ---

MEAN = Figure("mean", "score", mean_of)
"""The figure of a gate that names none."""

FIGURES: Mapping[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("drop", "score", drop_of, compares=True),
        Figure(
            "error_rate", "share",
            functools.partial(rate_of, lost=error_count, what_happened="ended in an error"),
            about_the_run=True, before_judging=True, default=0.0,
        ),
        Figure(
            "unscored_rate", "share",
            functools.partial(rate_of, lost=unscored_count, what_happened="got no usable rating"),
            about_the_run=True, default=0.05,
        ),
        Figure("n", "count", count_of),
    )
}  # fmt: skip
"""Those that a gate names."""
