"""How often a gate on a drop is wrongly red, sees the drop that it says it sees, and holds the true one.

Two models are simulated run by run, and compared as the product compares them. `python -m
tests.statistics.drop_gates` prints the table of `docs/explanations/statistics.md`.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pytest_instructlab_eval.stats.comparison import Comparison, Pair
from pytest_instructlab_eval.stats.statistics import Interval
from pytest_instructlab_eval.stats.values import QuestionKey, Unit

Floats = NDArray[np.float64]
Sides = tuple[Floats, Floats]
"""Ours and theirs: a row a run, a column a question."""

LOWEST, HIGHEST = 1.0, 10.0  # of a rating
CHUNK = 500  # runs that are drawn at once


class Outcome(NamedTuple):
    """Shares of runs: red at a drop of the limit, red at the drop that can be seen, holding the true drop."""

    false_red: float
    power: float | None
    coverage: float
    smallest: float | None


def above(intervals: Sequence[Interval | None], limit: float) -> float:
    """Return the share of the runs whose interval is above the limit."""
    return statistics.fmean(found is not None and found.low > limit for found in intervals)


def holding(intervals: Sequence[Interval | None], drop: float) -> float:
    """Return the share of the intervals that hold the true drop."""
    held = [found.low - 1e-12 <= drop <= found.high + 1e-12 for found in intervals if found is not None]
    return statistics.fmean(held) if held else math.nan


@dataclass(frozen=True)
class Scenario:
    """Two models' scores of some questions: `draw(generator, runs, drop)` for a true drop, and the units."""

    name: str
    limit: float
    units: tuple[Unit, ...] = field(repr=False)
    clustered: bool
    draw: Callable[[np.random.Generator, int, float], Sides] = field(repr=False)

    def comparisons(self, runs: int, drop: float, seed: int) -> Iterator[Comparison]:
        """Yield the comparison of each run."""
        generator = np.random.default_rng(seed)
        for first in range(0, runs, CHUNK):
            ours, theirs = self.draw(generator, min(CHUNK, runs - first), drop)
            for mine, other in zip(ours.tolist(), theirs.tolist(), strict=True):
                yield Comparison(tuple(map(Pair, self.units, mine, other)), clustered=self.clustered)

    def intervals(self, runs: int, drop: float, seed: int) -> list[Interval | None]:
        """Return the interval of the drop that each run reports."""
        return [comparison.interval() for comparison in self.comparisons(runs, drop, seed)]

    def red(self, runs: int, drop: float, seed: int) -> float:
        """Return the share of runs with a drop above the limit, surely."""
        return above(self.intervals(runs, drop, seed), self.limit)

    def smallest(self, runs: int, seed: int) -> list[float]:
        """Return the smallest drops that runs of two equal models name."""
        found = [one.detectable_drop(self.limit) for one in self.comparisons(runs, 0.0, seed)]
        return [drop for drop in found if drop is not None]

    def outcome(self, runs: int, naming: int = 40) -> Outcome:
        """Return what becomes of so many runs; `naming` runs name their smallest drop."""
        smallest = self.smallest(naming, seed=1)
        each = max(1, runs // naming)
        seen = [self.red(each, drop, seed=100 + number) for number, drop in enumerate(smallest)]
        return Outcome(
            self.red(runs, self.limit, seed=2),
            statistics.fmean(seen) if seen else None,
            holding(self.intervals(runs, self.limit, seed=3), self.limit),
            statistics.fmean(smallest) if smallest else None,
        )


# --- right and wrong answers ---


def answers(name: str, counts: Sequence[int], changed: float, limit: float, uneven: float = 0.0) -> Scenario:
    """Return a scenario of right and wrong answers, of which so many change; `counts` has a value a task.

    `uneven` is how much the drop of the first task exceeds the mean drop; it falls evenly to the last task.
    """
    tasks = np.repeat(np.arange(len(counts)), counts)
    extra = uneven * np.linspace(1, -1, len(counts))[tasks] if len(counts) > 1 else np.zeros(len(tasks))
    units = [
        Unit(QuestionKey(f"task {task}", "accuracy", str(number), 0), "", None, 1.0)
        for number, task in enumerate(tasks)
    ]

    def draw(generator: np.random.Generator, runs: int, drop: float) -> Sides:
        own = drop + extra
        gains = np.minimum(changed / 2, (1 - np.abs(own)) / 2) * np.ones_like(own)
        gains = np.maximum(gains, -own)
        uniform = generator.random((runs, len(units)))
        gained, lost = uniform < gains, (uniform >= gains) & (uniform < 2 * gains + own)
        before = np.where(lost, 1.0, np.where(gained, 0.0, uniform < 0.8))
        return np.where(lost, 0.0, np.where(gained, 1.0, before)), before

    return Scenario(name, limit, tuple(units), clustered=False, draw=draw)


# --- ratings ---


@dataclass(frozen=True)
class Ratings:
    """How ratings come about: a question's level, what a cluster's questions share, and the noise of each."""

    sizes: Sequence[int]
    level: float = 6.5
    spread: float = 1.5
    shared: float = 0.7
    noise: float = 1.0

    def draw(self, generator: np.random.Generator, runs: int, lowered: float) -> Sides:
        """Return ratings, where our model's are lowered before they are rounded and kept on the scale."""
        cluster = np.repeat(np.arange(len(self.sizes)), self.sizes)
        level = generator.normal(self.level, self.spread, (runs, len(cluster)))
        ours = level - lowered + generator.normal(0, self.shared, (runs, len(self.sizes)))[:, cluster]

        def rated(latent: Floats) -> Floats:
            noisy = latent + generator.normal(0, self.noise, latent.shape)
            return np.clip(np.rint(noisy), LOWEST, HIGHEST)

        return rated(ours), rated(level)

    @functools.cached_property
    def _curve(self) -> tuple[Floats, Floats]:
        """Amounts by which ratings are lowered, and the mean drops that come of them."""
        amounts = np.linspace(-1.0, 9.0, 101)
        single = Ratings([1] * 40_000, self.level, self.spread, self.shared, self.noise)
        drops = []
        for amount in amounts:
            ours, theirs = single.draw(np.random.default_rng(0), 1, float(amount))
            drops.append(float(theirs.mean() - ours.mean()))
        return amounts, np.maximum.accumulate(np.array(drops))

    def lowered_for(self, drop: float) -> float:
        """Return the amount by which ratings are lowered where their mean drops by this much."""
        amounts, drops = self._curve
        return float(np.interp(drop, drops, amounts))


def ratings(name: str, model: Ratings, limit: float) -> Scenario:
    """Return a scenario of ratings from 1 to 10."""
    cluster = np.repeat(np.arange(len(model.sizes)), model.sizes)
    units = [
        Unit(QuestionKey(f"question {number}", "rating", None, 0), f"file {own}", None, HIGHEST)
        for number, own in enumerate(cluster)
    ]
    if max(model.sizes) == 1:
        units = [Unit(unit.key, "", None, HIGHEST) for unit in units]
    return Scenario(
        name, limit, tuple(units), max(model.sizes) > 1,
        lambda generator, runs, drop: model.draw(generator, runs, model.lowered_for(drop)),
    )  # fmt: skip


UNEVEN_TASKS = (3, 5, 8, 20, 60, 100)
UNEVEN_FILES = (40, 20, 10, *(2,) * 9)
CEILING = {"level": 9.5, "spread": 0.5, "noise": 0.7}


def scenarios() -> list[Scenario]:
    """Return all scenarios."""
    found = []
    for limit in (0.0, 0.02, 0.1):
        found += [
            answers("60 questions", (60,), 0.2, limit),
            answers("500 questions", (500,), 0.1, limit),
            answers("3 tasks of 20", (20,) * 3, 0.2, limit),
            answers("6 uneven tasks, 3 to 100", UNEVEN_TASKS, 0.2, limit, uneven=0.04),
            answers("57 tasks of 2 to 6", (2, 3, 4, 5, 6) * 11 + (4, 4), 0.2, limit),
        ]
    for limit in (0.0, 0.5):
        found += [
            ratings("80 questions", Ratings((1,) * 80), limit),
            ratings("15 files of 5", Ratings((5,) * 15), limit),
            ratings("8 files of 5", Ratings((5,) * 8), limit),
            ratings("6 files of 5", Ratings((5,) * 6), limit),
            ratings("12 uneven files, 2 to 40", Ratings(UNEVEN_FILES), limit),
            ratings("30 uneven files, 2 to 40", Ratings(UNEVEN_FILES + (5,) * 18), limit),
            ratings("80 questions, near 10", Ratings((1,) * 80, shared=0.2, **CEILING), limit),
            ratings("15 files of 5, near 10", Ratings((5,) * 15, **CEILING), limit),
            ratings("8 files of 5, near 10", Ratings((5,) * 8, **CEILING), limit),
        ]
    return found


def percent(share: float | None) -> str:
    """Return a share in per cent, or a dash."""
    return "-" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print("| scenario | limit | false red, % | smallest drop | red at it, % | coverage, % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for scenario in scenarios():
        if options.only in scenario.name:
            found = scenario.outcome(options.runs)
            smallest = "-" if found.smallest is None else f"{found.smallest:.3f}"
            print(
                f"| {scenario.name} | {scenario.limit:g} | {percent(found.false_red)} | {smallest} | "
                f"{percent(found.power)} | {percent(found.coverage)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
