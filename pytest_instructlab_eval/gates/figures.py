"""The figures that a gate can name: their units, and how each is measured.

Every process needs the table to parse gates. So what only measuring needs is imported in the functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_instructlab_eval.gates.sentences import (
    WORST,
    failing_drop_text,
    interval_text,
    measured_on,
    name_list,
    number_text,
)

if TYPE_CHECKING:
    from pytest_instructlab_eval.gates.target import Target
    from pytest_instructlab_eval.records.scores import Result
    from pytest_instructlab_eval.settings import GateAbout
    from pytest_instructlab_eval.stats.comparison import Comparison, Contribution
    from pytest_instructlab_eval.stats.statistics import Interval


@dataclass(frozen=True)
class Measurement:
    """A measured figure, and the sentences about it.

    `value` is None where there is nothing to measure; such a gate fails. `digits` are the decimal digits of
    its unit, and `about` says what it was measured over. `worst` are the questions behind the figure, and
    `worst_are` is their heading. `scope` is what a drop is about, and `no_interval` why it has no interval.
    The other fields are those of `GateReport`.
    """

    about: str
    value: float | None = None
    digits: int = 4
    interval: Interval | None = None
    n: int = 0
    worst: tuple[Contribution, ...] = ()
    worst_are: str = ""
    notes: tuple[str, ...] = ()
    unchanged: bool = False
    minimum_detectable_drop: float | None = None
    correlation: float | None = None
    unpaired: tuple[str, ...] = ()
    scope: GateAbout | None = None
    no_interval: str = ""


@dataclass(frozen=True)
class Limit:
    """The limit that a figure is held to: an upper one (`from_above`) or a lower one, in the figure's unit.

    `confidence` is that of the interval of the figure, which decides the verdict on a drop.
    """

    value: float
    from_above: bool
    confidence: float


@dataclass(frozen=True)
class Figure:
    """One figure that a gate can name.

    `unit` is the unit of its limit: the score's own, a share of all questions, or a number of questions.
    `measure` takes the target and the limit. A figure that `compares` is a drop
    from a baseline or a base model: its limit is a margin, and its interval decides its verdict. A figure
    `about_the_run` measures the run and not the model, so it applies to a part of a benchmark too. One
    `before_judging` can be measured before the answers are judged. `default` is the upper limit that every
    benchmark has without a gate of the user's.
    """

    name: str
    unit: Literal["score", "share", "count"]
    measure: Callable[[Target, Limit], Measurement] = field(repr=False)
    compares: bool = False
    about_the_run: bool = False
    before_judging: bool = False
    default: float | None = None

    def range(self, maximum: float) -> tuple[float, float] | None:
        """Return the lowest and the highest value, for scores up to the maximum; None for a count."""
        if self.unit == "count":
            return None
        highest = maximum if self.unit == "score" else 1.0
        return (-highest if self.compares else 0.0), highest


# --- the measuring of each ---


def mean_of(target: Target, limit: Limit) -> Measurement:
    """Return the mean, its interval, and the lowest scores (the highest under an upper limit).

    The mean of a sample is that with the baseline's answers as control, where there is one: it is nearer to
    the mean of all questions.
    """
    row, control, digits = target.row, target.controlled, target.digits
    if row.value is None:
        return Measurement(f"{row.errors:,} errors, {row.unscored:,} unscored")
    value, interval, how = row.value, None, ""
    if control is None:
        interval = target.interval_of_mean(limit.confidence)
    else:
        value, interval = control.value, control.interval(limit.confidence)
        plain = number_text(row.value, digits)
        how = f"with the baseline's answers as control, the sample's own mean is {plain}; "
    return Measurement(
        f"{how}{interval_text(interval, limit.confidence, digits)}, {questions_text(target, row.n)}",
        value,
        digits,
        interval,
        row.n,
        worst=target.extreme(WORST, highest=limit.from_above),
        worst_are="highest scores" if limit.from_above else "lowest scores",
    )


def questions_text(target: Target, count: int) -> str:
    """Return how many questions a figure is measured on, in how many clusters, with how many answers each."""
    replies = [
        len(score.evidence.replies)
        for result in target.results
        for score in result.scores
        if score.value is not None and score.evidence is not None
    ]
    scored = [result for result in target.results if result.value is not None]
    return measured_on(count, [result.cluster or "" for result in scored], replies)


def count_of(target: Target, limit: Limit) -> Measurement:
    """Return the number of questions with a score."""
    count = target.row.n
    return Measurement("questions with a score", float(count), digits=0, n=count)


def rate_of(
    target: Target, limit: Limit, *, lost: Callable[[Result], int], what_happened: str
) -> Measurement:
    """Return the share of lost answers in all: turns, samples, and tests that ended early."""
    from pytest_instructlab_eval.stats.comparison import Contribution
    from pytest_instructlab_eval.stats.statistics import wilson_interval

    scores = [score for result in target.results for score in result.scores]
    total = sum(score.n for score in scores) + sum(
        error_count(one) + unscored_count(one) for one in target.results
    )
    if not total:
        return Measurement("no question was asked")
    count = sum(map(lost, target.results))
    # Turns of a question may fail together, so a question is one observation.
    observed = total if any(score.n > 1 for score in scores) else len(target.results)
    value = count / total
    interval = wilson_interval(value * observed, observed, limit.confidence)
    affected = [Contribution(result.question, result.value) for result in target.results if lost(result)]
    return Measurement(
        f"{count:,} of {total:,} {what_happened}, {interval_text(interval, limit.confidence, 4)}",
        value,
        interval=interval,
        n=observed,
        worst=tuple(affected[:WORST]),
        worst_are="affected",
    )


def error_count(result: Result) -> int:
    """Return the number of a test's questions that could not be asked; a test that ended early is one."""
    return sum(score.errors for score in result.scores) + (result.error is not None)


def unscored_count(result: Result) -> int:
    """Return the number of a test's questions without a usable rating."""
    return sum(score.unscored for score in result.scores)


def drop_of(target: Target, limit: Limit) -> Measurement:
    """Return how much lower the mean is than the baseline's, over the questions that both have."""
    from pytest_instructlab_eval.gates.about import about, compared_questions, spread_notes, without_interval

    comparison = target.comparison
    if comparison is None:
        return Measurement("nothing to compare with")
    interval = comparison.interval(limit.confidence)
    smallest = comparison.detectable_drop(limit.value, limit.confidence)
    direction = "a rise, " if comparison.drop < 0 else ""
    same = ", all with the same score" if comparison.unchanged else ""
    questions = compared_questions(comparison, questions_text(target, comparison.n))
    return Measurement(
        f"{direction}{questions} {target.against}{same}",
        comparison.drop,
        target.digits,
        interval,
        comparison.n,
        worst=comparison.worst(WORST),
        worst_are="largest drops",
        notes=(
            *spread_notes(comparison),
            *power_notes(comparison, smallest, target.digits),
            *unpaired_notes(comparison),
        ),
        unchanged=comparison.unchanged,
        minimum_detectable_drop=smallest,
        correlation=comparison.correlation,
        unpaired=tuple(dict.fromkeys(comparison.only_ours + comparison.only_theirs + comparison.changed)),
        scope=about(comparison),
        no_interval=""
        if interval is not None
        else without_interval(comparison, target.results, limit.confidence),
    )


def power_notes(comparison: Comparison, smallest: float | None, digits: int) -> list[str]:
    """Return the changed answers, and the smallest drop that so many questions can detect."""
    notes = []
    if comparison.answers is not None and not comparison.unchanged:
        wrong, right = comparison.answers
        p_value = comparison.mcnemar
        exact = "" if p_value is None else f" (McNemar p = {p_value:.2g})"
        notes.append(f"{wrong:,} answers became wrong and {right:,} became right{exact}")
    if smallest is not None or comparison.answers is not None:
        notes.append(failing_drop_text(smallest, digits))
    return notes


def unpaired_notes(comparison: Comparison) -> list[str]:
    """Return the questions that are not compared, and why."""
    unpaired = {
        "no score in the baseline": comparison.only_ours,
        "no score in this run": comparison.only_theirs,
        "changed since the baseline": comparison.changed,
    }
    return [f"not compared ({why}): {name_list(names)}" for why, names in unpaired.items() if names]


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
            functools.partial(rate_of, lost=unscored_count, what_happened="without a usable rating"),
            about_the_run=True, default=0.05,
        ),
        Figure("n", "count", count_of),
    )
}  # fmt: skip
"""The figures that a gate can name."""
