"""Simulations of `--eval-repeat auto`: the verdicts on these questions where their spread chose the answers.

    python -m tests.statistics.needed_answers

prints their table (some minutes). Every question of two models is put through `Repetition`, and the verdict
is that of `answers_interval` on all of its ratings, or of `bound_without_spread` where they are all equal.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.stats.needed_repeats import MOST
from pytest_instructlab_eval.stats.repeated_answers import (
    answers_interval,
    bound_without_spread,
    drop_of_answers,
)
from pytest_instructlab_eval.stats.statistics import Interval, margin_verdict
from pytest_instructlab_eval.suites.answer_aims import AskedQuestion, EarlierAnswers, Purpose, purposes_of
from pytest_instructlab_eval.suites.repetition import Key, Repetition

MODELS = ("base", "candidate")


@dataclass(frozen=True)
class Case:
    """A pull request: so many questions, the spread of the ratings of an answer, and the gate's limit.

    `whole` says that ratings are whole numbers from 1 to 10, as a judge gives them. `wild` is how many of the
    questions are answered wrongly one time in four, and then rated 6 lower, as a small model does.
    """

    questions: int
    spread: float
    limit: float = 1.0
    whole: bool = False
    wild: int = 0

    @property
    def large(self) -> float:
        """The drop that should fail."""
        return max(2 * self.limit, 1.0)


@dataclass(frozen=True)
class Shares:
    """What became of the runs: the shares of red and of green ones, and the mean number of answers."""

    red: float
    green: float
    answers: float


def shares(case: Case, drop: float, runs: int, seed: int = 0) -> Shares:
    """Return what becomes of so many runs in which the candidate dropped so much."""
    return asyncio.run(_shares(case, drop, runs, seed))


async def _shares(case: Case, drop: float, runs: int, seed: int) -> Shares:
    generator = np.random.default_rng([seed, case.questions, round(100 * case.spread), round(100 * drop)])
    settings = Settings(("candidate",), base_model="base", gate=(f"mt_bench_branch.drop <= {case.limit}",))
    questions = [AskedQuestion(f"q{n}", "qna.yaml") for n in range(case.questions)]
    purposes = purposes_of(settings, "mt_bench_branch", 10, questions, EarlierAnswers())
    red = green = 0
    answers = []
    for _ in range(runs):
        ratings = _ratings(case, drop, generator)
        counts = await _counts(purposes, ratings)
        answers.append(np.mean(list(counts.values())))
        theirs, ours = (
            [ratings[f"q{n}", model][: counts[f"q{n}", model]] for n in range(case.questions)]
            for model in MODELS
        )
        interval = answers_interval(ours, theirs)
        if interval is None:  # of equal ratings, as a gate has it
            middle, half = drop_of_answers(ours, theirs), bound_without_spread(ours, theirs, 10)
            interval = Interval(middle - half, middle + half)
        verdict = margin_verdict(interval, case.limit)
        red += verdict == "failed"
        green += verdict == "passed"
    return Shares(red / runs, green / runs, float(np.mean(answers)))


def _ratings(case: Case, drop: float, generator: np.random.Generator) -> dict[Key, list[float]]:
    """Return the ratings of the most answers to each question by each model."""
    level = generator.uniform(4, 8, case.questions)
    ratings: dict[Key, list[float]] = {}
    for model in MODELS:
        noise = generator.normal(0, case.spread, (case.questions, MOST))
        noise[: case.wild] -= 6 * (generator.random((case.wild, MOST)) < 1 / 4)
        values = level[:, None] + noise - drop * (model == "candidate")
        values = np.clip(np.rint(values), 1, 10) if case.whole else values
        ratings |= {(f"q{n}", model): row.tolist() for n, row in enumerate(values)}
    return ratings


async def _counts(purposes: Sequence[Purpose], ratings: dict[Key, list[float]]) -> dict[Key, int]:
    """Return how often each question is asked: all again until they need no more."""
    plan = Repetition(purposes, EarlierAnswers())
    counts = {key: plan.first(key) for key in ratings}
    asked_now = set(ratings)
    while asked_now:
        for key in asked_now:
            plan.add(key, [_score(ratings[key][: counts[key]])], counts[key])
        needed = {key: await plan.decide(key, counts[key]) for key in asked_now}
        asked_now = {key for key in asked_now if needed[key] > counts[key]}
        counts |= needed
    return counts


def _score(ratings: Sequence[float]) -> Score:
    return Score(float(np.mean(ratings)), "rating", 1e9, answers=tuple(ratings))


CASES = (
    *(Case(questions, spread) for questions in (1, 3, 5, 15) for spread in (0.3, 0.5, 1.0, 1.5, 2.0, 3.0)),
    *(Case(5, spread, whole=True) for spread in (0.3, 0.5, 1.0, 1.5, 2.0, 3.0)),
    *(Case(5, spread, 0.5) for spread in (0.3, 0.5, 1.0)),
    *(Case(questions, 0.5, wild=questions // 3) for questions in (3, 6, 9)),
)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    print(f"{8 * runs} runs at the limit, {runs} of each other drop")
    print("questions  wild  spread  limit  ratings  answers  red at the limit  red at twice it  green at 0")
    for case in CASES:
        at_limit = shares(case, case.limit, 8 * runs)
        dropped, same = shares(case, case.large, runs), shares(case, 0.0, runs)
        kind = "whole" if case.whole else "any"
        print(
            f"{case.questions:9}  {case.wild:4}  {case.spread:6}  {case.limit:5}  {kind:7}  "
            f"{same.answers:7.1f}  {at_limit.red:16.4f}  {dropped.red:15.2f}  {same.green:10.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
