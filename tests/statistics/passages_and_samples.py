"""How often a gate is wrongly red where questions share passages, and how much a sample's mean tells.

Two models are simulated run by run, and compared as the product compares them. `python -m
tests.statistics.passages_and_samples` prints the tables, in some minutes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_instructlab_eval.data.mmlu_rows import MMLU_TEST_ROWS
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.comparison import mean_interval, paired_comparison
from pytest_instructlab_eval.stats.control_variate import controlled_mean
from pytest_instructlab_eval.stats.summary import summarise
from pytest_instructlab_eval.suites.sampling import sampled_score, stratified_sample, stratum_sizes

Answers = NDArray[np.float64]
POPULATIONS = 10
CHANGED = 0.3  # share of questions on which two equal models differ


def task_result(
    name: str,
    answers: Sequence[float] | Answers,
    numbers: Sequence[int],
    *,
    passages: Sequence[str] = (),
    size: int | None = None,
) -> Result:
    """Return a task's result, with the questions of these numbers."""
    samples = [
        Sample(str(number), float(value), passage=passage)
        for number, value, passage in zip(numbers, answers, passages or [""] * len(numbers), strict=True)
    ]
    score = Score.mean_of(samples, metric="acc")
    score = score if size is None else sampled_score(score, numbers, size)
    return Result("mmlu_branch", name, name, "tiny", scores=(score,))


# --- passages ---


@dataclass(frozen=True)
class Passages:
    """Tasks of so many passages with so many questions each.

    Of each passage the shares of questions that turned wrong and right are Dirichlet with this `correlation`
    between two of its questions. The true drop is `drop`.
    """

    tasks: int
    passages: int
    questions: int
    correlation: float
    drop: float = 0.0
    changed: float = CHANGED

    def sides(self, generator: np.random.Generator, *, named: bool) -> tuple[list[Result], list[Result]]:
        """Return the results of a run and of its baseline; `named` says whether the passages are known."""
        means = np.array([self.changed + self.drop, self.changed - self.drop, 2 - 2 * self.changed]) / 2
        shape = means * (1 - self.correlation) / self.correlation
        ours, theirs = [], []
        for task in range(self.tasks):
            names, new, old = [], [], []
            for passage in range(self.passages):
                change = generator.choice(3, self.questions, p=generator.dirichlet(shape))
                same = (generator.random(self.questions) < 0.6).astype(float)
                new += np.select([change == 0, change == 1], [0.0, 1.0], same).tolist()
                old += np.select([change == 0, change == 1], [1.0, 0.0], same).tolist()
                names += [f"p{passage}" if named else ""] * self.questions
            numbers = range(len(new))
            ours.append(task_result(f"task{task}", new, numbers, passages=names))
            theirs.append(task_result(f"task{task}", old, numbers))
        return ours, theirs

    def errors(self, runs: int, *, named: bool, seed: int = 0) -> tuple[float, float, float]:
        """Return the shares of runs that are red at a limit of the true drop, green at it, and hold it."""
        generator, low, high = np.random.default_rng(seed), [], []
        for _ in range(runs):
            comparison = paired_comparison(*self.sides(generator, named=named))
            interval = None if comparison is None else comparison.interval()
            assert interval is not None
            low.append(interval.low > self.drop)
            high.append(interval.high < self.drop)
        red, green = statistics.fmean(low), statistics.fmean(high)
        return red, green, 1 - red - green


PASSAGES = [
    Passages(tasks, passages, questions, correlation, drop)
    for tasks, passages, questions in ((1, 20, 5), (3, 10, 5), (5, 6, 8), (3, 4, 10), (3, 2, 10))
    for correlation in (0.2, 0.4)
    for drop in (0.0, 0.05)
]


# --- samples ---


@dataclass(frozen=True)
class Population:
    """The answers of two models to all questions of each task; they have this `correlation` in a task."""

    ours: Mapping[str, Answers]
    theirs: Mapping[str, Answers]
    truth: Mapping[str, float]

    @classmethod
    def drawn(
        cls, generator: np.random.Generator, sizes: Mapping[str, int], correlation: float
    ) -> Population:
        """Return a population in which each task has its own share of right answers, 0.3 to 0.9.

        An answer equals the baseline's with the correlation as probability, and is drawn anew otherwise.
        """
        truth = {name: float(generator.uniform(0.3, 0.9)) for name in sizes}
        theirs: dict[str, Answers] = {
            name: np.where(generator.random(size) < truth[name], 1.0, 0.0) for name, size in sizes.items()
        }
        ours = {
            name: np.where(
                generator.random(size) < correlation,
                theirs[name],
                np.where(generator.random(size) < truth[name], 1.0, 0.0),
            )
            for name, size in sizes.items()
        }
        return cls(ours, theirs, truth)

    @property
    def mean(self) -> float:
        """The mean over tasks that a whole run finds."""
        return statistics.fmean(float(answers.mean()) for answers in self.ours.values())

    @property
    def variance(self) -> float:
        """The variance of one answer: the mean over tasks."""
        return statistics.fmean(share * (1 - share) for share in self.truth.values())

    def baseline(self) -> list[Result]:
        """Return the baseline's answers to all questions."""
        return [task_result(name, answers, range(len(answers))) for name, answers in self.theirs.items()]

    def sample(self, n: int, seed: int, *, alike: bool = True) -> list[Result]:
        """Return a run's answers to a sample of `n` questions."""
        drawn = stratified_sample(
            {name: range(len(answers)) for name, answers in self.ours.items()}, n, seed, alike=alike
        )
        return [
            task_result(name, self.ours[name][numbers], numbers, size=len(self.ours[name]))
            for name, numbers in drawn.items()
        ]


@dataclass(frozen=True)
class Told:
    """What samples told: as how many questions asked at random they count, their bias, and their coverage.

    `worth` is the variance of an answer over the mean squared distance from the mean of a whole run.
    """

    worth: float
    bias: float
    bias_error: float
    coverage: float


def kish(sizes: Sequence[int]) -> float:
    """Return how many questions of tasks of one size these sizes of samples are worth (Kish, 1965)."""
    return float(len(sizes) ** 2 / sum(1 / size for size in sizes))


def told(
    sizes: Mapping[str, int], n: int, correlation: float, *, draws: int, populations: int
) -> dict[str, Told]:
    """Return what samples told: in proportion to sizes, all alike, and with the baseline's answers."""
    found: dict[str, list[tuple[float, float, bool]]] = {}
    for seed in range(populations):
        population = Population.drawn(np.random.default_rng(seed), sizes, correlation)
        baseline, whole, scale = population.baseline(), population.mean, population.variance
        for draw in range(draws):
            for name, alike in (("in proportion", False), ("alike", True)):
                run = population.sample(n, 1000 * seed + draw, alike=alike)
                error = (summarise(run)[0].overall.value or 0.0) - whole
                interval = mean_interval(run)
                assert interval is not None
                found.setdefault(name, []).append(
                    (error**2 / scale, error, interval.low <= whole <= interval.high)
                )
            control = controlled_mean(run, baseline)
            assert control is not None
            low, high = control.interval()
            error = control.value - whole
            found.setdefault("control", []).append((error**2 / scale, error, low <= whole <= high))
    return {name: _told(entries) for name, entries in found.items()}


def _told(entries: Sequence[tuple[float, float, bool]]) -> Told:
    squares, errors, held = zip(*entries, strict=True)
    return Told(
        1 / statistics.fmean(squares),
        statistics.fmean(errors),
        statistics.stdev(errors) / len(errors) ** 0.5,
        statistics.fmean(held),
    )


def _passage_lines(runs: int) -> Iterator[str]:
    yield "| tasks, passages, questions | correlation | drop | red | with passages | holds the drop | then |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for scenario in PASSAGES:
        before, after = (scenario.errors(runs, named=named) for named in (False, True))
        shape = f"{scenario.tasks} x {scenario.passages} x {scenario.questions}"
        yield (
            f"| {shape} | {scenario.correlation} | {scenario.drop} | {before[0]:.1%} | {after[0]:.1%} | "
            f"{before[2]:.1%} | {after[2]:.1%} |"
        )


def _sample_lines(runs: int) -> Iterator[str]:
    for n in (100, 200, 400):
        before, after = (
            kish(list(stratum_sizes(MMLU_TEST_ROWS, n, alike=alike).values())) for alike in (False, True)
        )
        yield f"{n} questions of MMLU: {before:.0f} in proportion, {after:.0f} alike"
    yield "| correlation | questions | sample | worth | bias | its error | coverage |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for n, correlation in itertools.product((200, 60, 500), (0.7, 0.9, 0.0)):
        rows = told(MMLU_TEST_ROWS, n, correlation, draws=runs // POPULATIONS, populations=POPULATIONS)
        for name, row in rows.items():
            yield (
                f"| {correlation} | {n} | {name} | {row.worth:.0f} | {row.bias:+.4f} | "
                f"{row.bias_error:.4f} | {row.coverage:.1%} |"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("part", nargs="*", choices=["passages", "samples"])
    arguments = parser.parse_args()
    for part, lines in (("passages", _passage_lines), ("samples", _sample_lines)):
        if part in (arguments.part or [part]):
            for line in lines(arguments.runs):
                print(line, flush=True)
