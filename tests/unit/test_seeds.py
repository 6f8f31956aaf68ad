"""Seeds: each question, turn, repeat and try has its own, so a mean varies as its standard error says."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.judges import LLMJudge
from pytest_instructlab_eval.models import Message
from pytest_instructlab_eval.seeds import seed_of
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites import mt_bench

from .fakes import FakeModel

NAMES = st.lists(st.text(max_size=4), max_size=4)


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert seed_of(0, "answer", "81-writing", 1, repeat=0) == 836294230
    assert seed_of(0, "\ud800", repeat=3).repeat == 3


@given(st.integers(), NAMES, st.integers(0, 9))
def test_a_seed_has_31_bits(run: int, names: list[str], repeat: int) -> None:
    assert 0 <= seed_of(run, *names, repeat=repeat) < 2**31


@given(
    st.tuples(st.integers(0, 3), NAMES, st.integers(0, 3)),
    st.tuples(st.integers(0, 3), NAMES, st.integers(0, 3)),
)
def test_whatever_differs_makes_another_seed(
    one: tuple[int, list[str], int], other: tuple[int, list[str], int]
) -> None:
    seeds = [seed_of(run, *names, repeat=repeat) for run, names, repeat in (one, other)]
    assert (seeds[0] == seeds[1]) == (one == other)


def test_no_two_questions_turns_or_repeats_are_asked_or_judged_with_one_seed(mt_bench_folder: Path) -> None:
    model = FakeModel(lambda messages: "The same.")
    judge = FakeModel(lambda messages: "Hm.", name="prometheus")

    async def run() -> None:
        for question in mt_bench.mt_bench_questions(mt_bench_folder, repeats=3):
            answer = await mt_bench.answer_mt_bench(question, model)
            await mt_bench.grade_mt_bench(question, answer, LLMJudge(judge, repeats=3))

    asyncio.run(run())
    seeds = [chat.seed for chat in (*model.chats, *judge.chats) if chat.seed is not None]
    assert len(seeds) == len(set(seeds)) > 8 * 2 * 3 * 2


def test_another_seed_of_the_run_makes_other_draws_and_the_same_the_same(mt_bench_folder: Path) -> None:
    def drawn(seed: int) -> list[int | None]:
        model = FakeModel()
        (question, *_) = mt_bench.mt_bench_questions(mt_bench_folder, repeats=2, seed=seed)
        asyncio.run(mt_bench.answer_mt_bench(question, model))
        return [chat.seed for chat in model.chats]

    assert drawn(1) == drawn(1)
    assert set(drawn(1)).isdisjoint(drawn(2))


def test_a_benchmark_of_ones_own_gets_its_seeds_from_the_settings() -> None:
    seeds = [
        Settings(model=("tiny",), seed=seed).seed_of(name, repeat=repeat)
        for seed, name, repeat in itertools.product((0, 1), ("France", "Japan"), (0, 1))
    ]
    assert len(set(seeds)) == 8


# --- what the seeds are for ---

QUESTIONS, REPEATS, RUNS = 20, 2, 80


def noisy(messages: Sequence[Message], seed: int | None) -> str:
    """A judgment whose rating depends on the seed alone: 1 to 10, each as likely."""
    return f"[[{random.Random(seed).randint(1, 10)}]]"


class NoisyJudge(FakeModel):
    """Judges by its seed alone."""

    def __init__(self) -> None:
        super().__init__(lambda messages: noisy(messages, self.chats[-1].seed))


def ratings(seed: int) -> list[float]:
    """Each question's score in a run of that seed."""

    async def run() -> list[float]:
        judge = LLMJudge(NoisyJudge(), repeats=REPEATS, seed=seed)
        scores = [await judge.grade(f"Question {number}?", "An answer.") for number in range(QUESTIONS)]
        return [score.value for score in scores if score.value is not None]

    return asyncio.run(run())


def test_a_mean_varies_from_run_to_run_as_its_standard_error_says() -> None:
    """Over runs, the variance of the mean is the mean of the squared standard errors.

    With 80 runs the ratio is chi-squared with 79 degrees of freedom over 79: from 0.6 to 1.4 in 99 of 100.
    With one seed for repeat k of all questions it would be about 20, their number.
    """
    runs = [ratings(seed) for seed in range(RUNS)]
    variance = statistics.variance(map(statistics.fmean, runs))
    told = statistics.fmean(statistics.variance(scores) / QUESTIONS for scores in runs)
    assert variance / told == pytest.approx(1, rel=0.4)
