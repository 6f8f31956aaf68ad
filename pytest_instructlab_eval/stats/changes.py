"""Two sides compared, a benchmark and its groups: what got worse, what got better, what is new."""

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
from pytest_instructlab_eval.stats.values import group_by

Measure = Callable[[Iterable[Result], Iterable[Result]], Comparison | Difference | None]
Kind = Literal["regression", "improvement", "unchanged", "new"]


@dataclass(frozen=True)
class MeanChange:
    """One mean on both sides, over the `n` questions that both have a score for, in the unit of the score.

    `before` and `difference` (after - before) are None for what the other side doesn't have, `stderr` and
    `interval` (95 %), which are those of the difference, where they can't be measured. `p_value` is that of
    no change at all, adjusted for being one group of several (Holm).
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
        """Return the change that was measured."""
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
        """What the difference is, however small."""
        if self.difference is None:
            return "new"
        if self.difference == 0:
            return "unchanged"
        return "regression" if self.difference < 0 else "improvement"

    @property
    def certain(self) -> bool:
        """Whether chance alone would hardly make such a difference, at 95 %."""
        return self.p_value is not None and self.p_value < 1 - CONFIDENCE


@dataclass(frozen=True)
class BenchmarkChanges:
    """One benchmark of a model beside another's: `groups` worst first, then the new ones.

    `minimum_detectable_drop` is the smallest true drop that this comparison would have shown in 80 % of
    cases, `unpaired` counts the questions that one side alone has, with a score, and those that changed.
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
        """The benchmark, and what is compared."""
        if self.model == self.against:
            return f"{self.benchmark} against the baseline"
        return f"{self.benchmark}: {self.model} against {self.against}"

    def of(self, kind: Kind) -> list[MeanChange]:
        """The groups of a kind, worst first."""
        return [change for change in self.groups if change.kind == kind]


def changes_between(
    ours: Iterable[Result], theirs: Iterable[Result], *, paired: bool = True
) -> list[BenchmarkChanges]:
    """Return each benchmark and model of ours beside its counterpart of theirs, where there is one.

    Question by question; where not `paired`, by means over questions of each side's own.
    """
    measure: Measure = paired_comparison if paired else mean_difference
    mine = group_by(ours, lambda result: (result.benchmark, result.model))
    other = group_by(theirs, lambda result: (result.benchmark, result.model))
    found = []
    for (benchmark, model), results in mine.items():
        against = counterpart(model, [known for name, known in other if name == benchmark])
        if against is None:
            continue
        beside = other[benchmark, against]
        whole = measure(results, beside)
        if whole is None:
            continue
        groups = _groups(results, beside, measure)
        entry = BenchmarkChanges(benchmark, model, against, MeanChange.of(benchmark, whole), groups)
        if isinstance(whole, Comparison):
            entry = dataclasses.replace(
                entry,
                minimum_detectable_drop=whole.minimum_detectable_drop,
                correlation=whole.correlation,
                unpaired=len({*whole.only_ours, *whole.only_theirs, *whole.changed}),
            )
        found.append(entry)
    return found


def run_changes(run: Run, baseline: Iterable[Result] | None) -> list[BenchmarkChanges]:
    """Return a run's candidates beside its base model, where it has one, else beside the baseline."""
    return changes_between(run.candidates, run.of_base or baseline or (), paired=run.paired)


def _groups(ours: Iterable[Result], theirs: Iterable[Result], measure: Measure) -> tuple[MeanChange, ...]:
    """Return the change of each group, worst first, then the new ones; none where there is but one group."""
    mine, other = (group_by(side, lambda result: result.group) for side in (ours, theirs))
    mine.pop("", None)
    if len(mine) < 2:
        return ()
    found = []
    for name, results in mine.items():
        whole = measure(results, other.get(name, ()))
        if whole is not None:
            found.append(MeanChange.of(name, whole))
        elif alone := mean_difference(results, results):  # for its mean
            found.append(MeanChange(name, alone.means[0], alone.maximum, alone.n))
    p_values = {group.label: group.p_value for group in found if group.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    found = [dataclasses.replace(group, p_value=adjusted.get(group.label)) for group in found]
    return tuple(sorted(found, key=lambda group: (group.difference is None, group.difference or 0.0)))
