"""How often a gate on a drop about these very questions is wrongly red, and how often it sees a real drop.

Two models answer a few questions several times, and the product's gate decides. `python -m
tests.statistics.repeated_answers` prints the table of `docs/explanations/statistics.md`.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.records.scores import Result, Score

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...], float], Floats]
"""Ratings of this shape (runs, questions, answers), of a model that is worse by so much before rounding."""

LOWEST, HIGHEST = 1.0, 10.0
LEVELS = np.array([5.0, 6.5, 4.5, 7.0, 6.0, 5.5, 8.0, 4.0])  # how good an answer to each question is


def noisy(deviation: float, *, rounded: bool = True, level: float | None = None) -> Draw:
    """Return ratings with normal noise, rounded to those of a judge and kept on its scale."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...], drop: float) -> Floats:
        levels = LEVELS[np.arange(shape[1]) % len(LEVELS)] if level is None else np.full(shape[1], level)
        ratings = levels[:, None] - drop + generator.normal(0.0, deviation, shape)
        return np.clip(np.round(ratings) if rounded else ratings, LOWEST, HIGHEST)

    return draw


def failing(share: float) -> Draw:
    """Return ratings of 8, and of 1 for a share of the answers, which grows with the drop."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...], drop: float) -> Floats:
        return np.where(generator.random(shape) < share + drop / 7, 1.0, 8.0)

    return draw


@dataclass(frozen=True)
class Setting:
    """So many questions with so many answers a side, and how their ratings are drawn."""

    name: str
    questions: int
    answers: int
    draw: Draw = field(repr=False)
    limit: float = 0.0

    def runs(self, drop: float, count: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
        """Yield the ratings of ours and theirs of each run, a row a question."""
        generator, shape = np.random.default_rng(seed), (count, self.questions, self.answers)
        yield from zip(self.draw(generator, shape, drop), self.draw(generator, shape, 0.0), strict=True)

    def reports(self, drop: float, count: int, seed: int = 0) -> list[GateReport]:
        """Return the gate's report of each run."""
        return [report_of(ours, theirs, self.limit) for ours, theirs in self.runs(drop, count, seed)]

    def true_drop(self, drop: float) -> float:
        """Return the drop of the mean ratings, after rounding and at the ends of the scale."""
        ((ours, theirs),) = [*Setting(self.name, self.questions, 40_000, self.draw).runs(drop, 1, 99)]
        return float(theirs.mean() - ours.mean())

    def drop_of(self, wanted: float) -> float:
        """Return the drop before rounding whose true drop is the wanted one."""
        low, high = 0.0, 9.0
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (low, middle) if self.true_drop(middle) >= wanted else (middle, high)
        return high


def report_of(ours: Floats, theirs: Floats, limit: float) -> GateReport:
    """Return the report of a gate on the drop about these questions."""
    sides = [
        [
            Result(
                "mt_bench_branch", str(number), "qna.yaml", model, "judge",
                (Score(statistics.fmean(answers), "rating", HIGHEST, answers=tuple(answers)),),
            )
            for number, answers in enumerate(ratings.tolist())
        ]
        for model, ratings in (("lab", ours), ("base", theirs))
    ]  # fmt: skip
    gate = parse_gate(f"mt_bench_branch.drop <= {limit}")
    (report,) = evaluate_gates([gate], sides[0], baseline=sides[1], about="these")
    return report


SETTINGS = (
    Setting("5 x 4", 5, 4, noisy(1.0)),
    Setting("3 x 8", 3, 8, noisy(1.0)),
    Setting("5 x 4, not rounded", 5, 4, noisy(1.0, rounded=False)),
    Setting("5 x 4, limit 0.5", 5, 4, noisy(1.0), 0.5),
    Setting("5 x 2", 5, 2, noisy(1.0)),
    Setting("1 x 4", 1, 4, noisy(1.0)),
    Setting("15 x 4, noise 2", 15, 4, noisy(2.0)),
    Setting("5 x 4, near the top", 5, 4, noisy(1.0, level=9.5)),
    Setting("5 x 4, little noise", 5, 4, noisy(0.3)),
    Setting("5 x 2, little noise", 5, 2, noisy(0.3)),
    Setting("5 x 4, one answer in 10 fails", 5, 4, failing(0.1)),
    Setting("3 x 8, half of the answers fail", 3, 8, failing(0.5)),
)


@dataclass(frozen=True)
class Outcome:
    """What became of many runs: shares, and the drop that the run says it could see."""

    false_red: float
    false_green: float
    coverage: float
    red_at_1: float
    red_at_1_5: float
    smallest: float | None
    power: float | None


def shares(reports: Sequence[GateReport]) -> Counter[str]:
    """Return the share of runs by verdict."""
    counts = Counter(report.verdict for report in reports)
    return Counter({verdict: count / len(reports) for verdict, count in counts.items()})


def outcome(setting: Setting, runs: int) -> Outcome:
    """Return what becomes of a gate where the true drop is its limit, and where it is larger."""
    at_limit = setting.drop_of(setting.limit) if setting.limit else 0.0
    reports = setting.reports(at_limit, runs)
    found, true = shares(reports), setting.true_drop(at_limit)
    ends = [report.interval for report in reports if report.interval is not None]
    seen = [report.minimum_detectable_drop for report in reports]
    known = sorted(drop for drop in seen if drop is not None)
    smallest = statistics.median(known) if known else None
    power = None
    if smallest is not None and smallest < 5:
        power = shares(setting.reports(setting.drop_of(smallest), runs, seed=2))["failed"]
    worse, much_worse = (
        shares(setting.reports(setting.drop_of(setting.limit + drop), runs, seed=1))["failed"]
        for drop in (1.0, 1.5)
    )
    return Outcome(
        found["failed"],
        found["passed"],
        sum(low - 1e-9 <= true <= high + 1e-9 for low, high in ends) / max(len(ends), 1),
        worse,
        much_worse,
        smallest,
        power,
    )


# --- the check: all ways to deal each question's ratings out to the two sides ---


@functools.cache
def sums(ratings: tuple[int, ...], count: int) -> Counter[int]:
    """Return how many ways there are to choose so many of the ratings, by their sum."""
    return Counter(sum(chosen) for chosen in itertools.combinations(ratings, count))


def permutation_p_value(ours: Floats, theirs: Floats) -> float:
    """Return the p value of no drop against one: exact, over all dealings of each question's ratings."""
    total: Counter[int] = Counter({0: 1})
    for here, there in zip(ours.astype(int).tolist(), theirs.astype(int).tolist(), strict=True):
        dealt = sums(tuple(sorted(here + there)), len(there))
        joined: Counter[int] = Counter()
        for (one, ways), (other, more) in itertools.product(total.items(), dealt.items()):
            joined[one + other] += ways * more
        total = joined
    seen = int(theirs.sum())
    return sum(ways for value, ways in total.items() if value >= seen) / sum(total.values())


def agreement(setting: Setting, drop: float, runs: int) -> tuple[float, float, float]:
    """Return the shares of runs that are red by the interval, by the permutation test, and by one alone."""
    reports = setting.reports(drop, runs, seed=3)
    by_interval = [report.verdict == "failed" for report in reports]
    by_test = [permutation_p_value(*sides) <= 0.025 for sides in setting.runs(drop, runs, seed=3)]
    apart = sum(one != other for one, other in zip(by_interval, by_test, strict=True))
    return sum(by_interval) / runs, sum(by_test) / runs, apart / runs


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    print(
        "| questions x answers | false red | false green | coverage | red at limit + 1.0 "
        "| at limit + 1.5 | X | red at X |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for setting in SETTINGS:
        found = outcome(setting, runs)
        smallest = "" if found.smallest is None else f"{found.smallest:.2f}"
        power = "" if found.power is None else f"{found.power:.0%}"
        print(
            f"| {setting.name} | {found.false_red:.1%} | {found.false_green:.1%} | {found.coverage:.1%} "
            f"| {found.red_at_1:.0%} | {found.red_at_1_5:.0%} | {smallest} | {power} |",
            flush=True,
        )
    print("\n| questions x answers, drop | red by the interval | by all dealings | by one alone |")
    print("| --- | --- | --- | --- |")
    for setting, drop in itertools.product((SETTINGS[0], Setting("3 x 6", 3, 6, noisy(1.0))), (0.0, 1.0)):
        rates = agreement(setting, drop, runs)
        print(f"| {setting.name}, {drop:g} | {' | '.join(f'{rate:.1%}' for rate in rates)} |", flush=True)


if __name__ == "__main__":
    main()
