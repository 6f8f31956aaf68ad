"""The changes of a benchmark and its groups between two runs: regressions, improvements, new groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.comparison import (
    Comparison,
    Difference,
    counterpart,
    mean_difference,
    paired_comparison,
)
from pytest_instructlab_eval.stats.statistics import CONFIDENCE, Interval, holm
from pytest_instructlab_eval.stats.values import group_by, has_one_scale, main_metric, main_scores

Measure = Callable[[Iterable[Result], Iterable[Result]], Comparison | Difference | None]
Kind = Literal["regression", "improvement", "unchanged", "new"]


@dataclass(frozen=True)
class MeanChange:
    """The change of one mean, over the `n` questions that both sides have a score for, in score units.

    `before` and `difference` (after - before) are None for a new group. `stderr` and `interval` (95 %) are
    those of the difference, None where they cannot be measured. `p_value` is that of the hypothesis of no
    change, adjusted for several groups (Holm).
    """

    label: str
    after: float
    maximum: float
    n: int
    before: float | None = None
    difference: float | None = None
    stderr: float | None = None
    interval: Interval | None = None
    p_value: float | None = None

    @classmethod
    def of(cls, label: str, comparison: Comparison | Difference) -> MeanChange:
        """Return the change of a comparison."""
        after, before = comparison.means
        drop = comparison.interval()
        return cls(
            label=label,
            after=after,
            maximum=comparison.maximum,
            n=comparison.n,
            before=before,
            difference=0.0 if comparison.unchanged else -comparison.drop,
            stderr=comparison.stderr,
            interval=Interval(-drop.high, -drop.low) if drop is not None else None,
            p_value=comparison.p_value_of_no_change if drop is not None else None,
        )

    @property
    def kind(self) -> Kind:
        """The kind of change, however small it is."""
        if self.difference is None:
            return "new"
        if self.difference == 0:
            return "unchanged"
        return "regression" if self.difference < 0 else "improvement"

    @property
    def relative_difference(self) -> float:
        """The difference as a share of the scale, 0 for a new group."""
        return (self.difference or 0.0) / self.maximum

    @property
    def certain(self) -> bool:
        """True if the difference is significant at 95 %."""
        return self.p_value is not None and self.p_value < 1 - CONFIDENCE


@dataclass(frozen=True)
class BenchmarkChanges:
    """The changes of one benchmark between two models or runs; `groups` has the worst first, new ones last.

    `minimum_detectable_drop` is the smallest true drop that this comparison can tell from none in 80 % of
    runs. That of a gate is larger where the gate allows some drop.
    `unpaired` counts the changed questions, and those that have a score on one side only.
    """

    benchmark: str
    model: str
    against: str
    overall: MeanChange
    groups: tuple[MeanChange, ...]
    minimum_detectable_drop: float | None = None
    correlation: float | None = None
    unpaired: int = 0

    @property
    def title(self) -> str:
        """The benchmark, and the two sides."""
        if self.model == self.against:
            return f"{self.benchmark} against the baseline"
        return f"{self.benchmark}: {self.model} against {self.against}"

    def of(self, kind: Kind) -> list[MeanChange]:
        """Return the groups of a kind, worst first."""
        return [change for change in self.groups if change.kind == kind]


def changes_between(
    ours: Iterable[Result], theirs: Iterable[Result], *, paired: bool = True
) -> list[BenchmarkChanges]:
    """Return the changes of each benchmark and model that has a counterpart on the other side.

    They are measured question by question; if not `paired`, by the means over each side's own questions.
    """
    measure: Measure = paired_comparison if paired else mean_difference
    mine = group_by(ours, lambda result: (result.benchmark, result.model))
    other = group_by(theirs, lambda result: (result.benchmark, result.model))
    entries = []
    for (benchmark, model), every in mine.items():
        against = counterpart(model, [other_model for name, other_model in other if name == benchmark])
        if against is None:
            continue
        results = main_scores(every)
        beside = main_scores(other[benchmark, against], main_metric(results))
        if not has_one_scale(results):
            continue  # a mean over several scales would be about nothing
        whole = measure(results, beside)
        if whole is None:
            continue
        groups = _groups(results, beside, measure)
        entry = BenchmarkChanges(benchmark, model, against, MeanChange.of(benchmark, whole), groups)
        if isinstance(whole, Comparison):
            entry = dataclasses.replace(
                entry,
                minimum_detectable_drop=whole.detectable_drop(),
                correlation=whole.correlation,
                unpaired=len({*whole.only_ours, *whole.only_theirs, *whole.changed}),
            )
        entries.append(entry)
    return entries


def run_changes(run: Run, baseline: Iterable[Result] | None) -> list[BenchmarkChanges]:
    """Return the changes of a run's candidates against its base model if it has one, else the baseline."""
    return changes_between(run.candidates, run.of_base or baseline or (), paired=run.paired)


def _groups(ours: Iterable[Result], theirs: Iterable[Result], measure: Measure) -> tuple[MeanChange, ...]:
    """Return the change of each group, worst first, new ones last; none for a single group."""
    mine, other = (group_by(side, lambda result: result.group) for side in (ours, theirs))
    mine.pop("", None)
    if len(mine) < 2:
        return ()
    groups = []
    for name, results in mine.items():
        whole = measure(results, other.get(name, ()))
        if whole is not None:
            groups.append(MeanChange.of(name, whole))
        elif own := mean_difference(results, results):  # only for the mean of a new group
            groups.append(MeanChange(name, own.means[0], own.maximum, own.n))
    p_values = {group.label: group.p_value for group in groups if group.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    groups = [dataclasses.replace(group, p_value=adjusted.get(group.label)) for group in groups]
    return tuple(sorted(groups, key=lambda group: (group.difference is None, group.difference or 0.0)))
