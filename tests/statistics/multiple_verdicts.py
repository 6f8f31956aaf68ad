"""Simulations of several verdicts in one run: gates on drops together, and a ranking of many checkpoints.

    python -m tests.statistics.multiple_verdicts

prints their table (some minutes). Each figure is read from what the product reports about made runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.ranking import Rank, rank_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ratings = NDArray[np.float64]

QUESTIONS = 20  # of each gated benchmark or group
HARDNESS, NOISE = 1.5, 1.0  # standard deviations: of the questions' true ratings, and of one answer's rating


# --- gates on drops ---


def ratings(generator: np.random.Generator, truth: Ratings) -> Ratings:
    """Return the ratings of answers, whole numbers from 1 to 10."""
    return np.clip(np.rint(truth + generator.normal(0, NOISE, truth.shape)), 1, 10)


def rated(benchmark: str, group: str, number: int, values: Sequence[float], model: str) -> Result:
    """Return a result with a rating a turn."""
    scores = tuple(Score(float(value), f"turn_{turn}", 10.0) for turn, value in enumerate(values, 1))
    return Result(benchmark, f"{group}{number}", group, model, scores=scores)


@dataclass(frozen=True)
class Family:
    """Gates on drops, the groups of each benchmark, and the number of turns of a question."""

    gates: tuple[str, ...]
    benchmarks: dict[str, tuple[str, ...]]
    turns: int = 1

    def reports(self, generator: np.random.Generator, dropped: Callable[[int], float]) -> list[GateReport]:
        """Return the verdicts on a run whose i-th group is truly lower by `dropped(i)`."""
        ours: list[Result] = []
        theirs: list[Result] = []
        groups = [(benchmark, group) for benchmark, parts in self.benchmarks.items() for group in parts]
        for index, (benchmark, group) in enumerate(groups):
            truth = generator.normal(6, HARDNESS, (QUESTIONS, self.turns))
            for side, values, model in (
                (theirs, ratings(generator, truth), "base"),
                (ours, ratings(generator, truth - dropped(index)), "lab"),
            ):
                side += [rated(benchmark, group, number, row, model) for number, row in enumerate(values)]
        return evaluate_gates(map(parse_gate, self.gates), ours, baseline=theirs)


def separate(count: int) -> Family:
    """Return the family of so many gates, each on a benchmark of its own."""
    names = [f"own{number}" for number in range(count)]
    return Family(tuple(f"{name}.drop <= 0" for name in names), dict.fromkeys(names, ("",)))


def shared(count: int) -> Family:
    """Return the family of so many gates on one benchmark: the whole, its metrics, its groups."""
    groups = tuple(f"g{number}" for number in range(max(1, count // 3 - 1)))
    parts = [f"own{group}{metric}" for group in ("", *(f"[{name}]" for name in groups)) for metric in METRICS]
    return Family(tuple(f"{part}.drop <= 0" for part in parts[:count]), {"own": groups}, turns=2)


METRICS = ("", ".turn_1", ".turn_2")


def any_red(family: Family, runs: int, dropped: Callable[[int], float], seed: int = 0) -> float:
    """Return the share of runs in which a gate fails."""
    generator = np.random.default_rng(seed)
    return float(
        np.mean(
            [
                any(report.verdict == "failed" for report in family.reports(generator, dropped))
                for _ in range(runs)
            ]
        )
    )


# --- a ranking ---


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints on the same questions; the first is better than the others by `ahead`, of 1.

    `answers` says that they are right or wrong, else they are ratings of 10.
    """

    count: int
    questions: int
    ahead: float = 0.0
    answers: bool = False

    def ranking(self, generator: np.random.Generator) -> list[Rank]:
        """Return the ranking of a run."""
        shape = self.count, self.questions
        better = np.zeros((self.count, 1))
        better[0] = self.ahead
        if self.answers:
            known = generator.uniform(0.2, 0.8, self.questions)
            values = (generator.random(shape) < known + better).astype(float)
            return rank_models(_answered(str(model), row) for model, row in enumerate(values))
        hardness = generator.normal(0, 1, self.questions)
        values = np.clip(5.5 + 10 * better + hardness + generator.normal(0, NOISE, shape), 1, 10)
        return rank_models(
            rated("own", "", number, [value], str(model))
            for model, row in enumerate(values)
            for number, value in enumerate(row)
        )

    def truth(self, model: str) -> float:
        """Return the true score of a checkpoint."""
        return (0.5 if self.answers else 0.55) + (self.ahead if model == "0" else 0.0)


def _answered(model: str, row: Ratings) -> Result:
    samples = [Sample(str(number), float(value)) for number, value in enumerate(row)]
    return Result("mmlu", "law", "law", model, scores=(Score.mean_of(samples, metric="acc"),))


@dataclass(frozen=True)
class Ranked:
    """What came of simulated rankings.

    `left_out` is the share of runs that leave out the first checkpoint, which is the true best (or one of
    equals). `kept` is the mean number of those that may equal the best. `bias` is how much the winner's score
    was too high, and `estimate` what the product said of it.
    """

    left_out: float
    kept: float
    bias: float
    estimate: float


def ranked(case: Checkpoints, runs: int, seed: int = 0) -> Ranked:
    """Return what comes of so many runs."""
    generator = np.random.default_rng(seed)
    left_out, kept, bias, estimate = [], [], [], []
    for _ in range(runs):
        winner, *others = ranks = case.ranking(generator)
        best = {winner.model, *(rank.model for rank in others if rank.tied)}
        left_out.append("0" not in best)
        kept.append(len(best))
        bias.append(winner.score - case.truth(winner.model))
        estimate.append(ranks[0].selection_bias or 0.0)
    return Ranked(*(float(np.mean(figure)) for figure in (left_out, kept, bias, estimate)))


# --- the table ---

GATES = {1: 4000, 4: 4000, 8: 2000, 57: 400}  # runs, by the number of gates
RANKINGS = {2: 2000, 10: 1000, 20: 600, 40: 400}  # by the number of checkpoints


def _share(value: float, runs: int) -> str:
    return f"{100 * value:.1f} % ± {200 * math.sqrt(value * (1 - value) / runs):.1f}"


def lines() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| gates | any red, nothing dropped | any red, one dropped by 1 |"
    yield "| --- | --- | --- |"
    for count, runs in GATES.items():
        for kind in (separate, shared) if count > 1 else (separate,):
            family = kind(count)
            null = _share(any_red(family, runs, lambda _: 0.0), runs)
            one = _share(any_red(family, runs // 4, lambda index: 1.0 * (index == 0), 1), runs // 4)
            yield f"| {count} {kind.__name__} | {null} | {one} |"
    yield ""
    yield "| checkpoints | true best left out | may be the best | bias of the winner | estimate |"
    yield "| --- | --- | --- | --- | --- |"
    for count, runs in RANKINGS.items():
        for case in (
            Checkpoints(count, 60),
            Checkpoints(count, 15),
            Checkpoints(count, 60, ahead=0.03),
            Checkpoints(count, 200, answers=True),
        ):
            scores = "answers" if case.answers else "ratings"
            found = ranked(case, runs)
            yield (
                f"| {count} x {case.questions} {scores}, one ahead by {case.ahead:g} | "
                f"{_share(found.left_out, runs)} | {found.kept:.1f} | {found.bias:.4f} | "
                f"{found.estimate:.4f} |"
            )


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
