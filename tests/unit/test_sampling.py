"""Which questions a sample has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data import mmlu_rows as data
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmark_fixtures, find_benchmark
from pytest_instructlab_eval.suites.sampling import choose_rows, stratified_sample, stratum_sizes
from pytest_instructlab_eval.suites.selection import asked_questions

SIZES = st.dictionaries(st.text(max_size=3), st.integers(0, 40), max_size=8)

# --- how many of each stratum ---


def test_strata_are_sampled_in_proportion() -> None:
    assert stratum_sizes({"a": 100, "b": 300, "c": 600}, 10) == {"a": 1, "b": 3, "c": 6}


def test_a_small_stratum_has_a_question_beside_a_large_one() -> None:
    assert stratum_sizes({"tiny": 1, "huge": 10_000}, 5) == {"tiny": 1, "huge": 4}


def test_seats_of_the_house_are_apportioned_as_the_census_did() -> None:
    """Four states of 2020 among themselves, by the populations that the Census Bureau published.

    California 52, Texas 38, Wyoming 1 and Rhode Island 2 are what the whole House gave them.
    """
    populations = {"California": 39576757, "Texas": 29183290, "Rhode Island": 1098163, "Wyoming": 577719}
    found = stratum_sizes(populations, 93)
    assert found == {"California": 52, "Texas": 38, "Rhode Island": 2, "Wyoming": 1}


def test_tasks_that_weigh_alike_get_as_many_as_far_as_they_have_them() -> None:
    assert stratum_sizes({"tiny": 1, "small": 30, "huge": 900}, 21, alike=True) == {
        "tiny": 1,
        "small": 10,
        "huge": 10,
    }


@given(SIZES, st.integers(1, 200), st.integers(0, 3))
def test_of_tasks_that_weigh_alike_none_has_two_more_than_one_that_has_some_left(
    sizes: dict[str, int], n: int, seed: int
) -> None:
    found = stratum_sizes(sizes, n, seed, alike=True)
    left = [found[name] for name, size in sizes.items() if found[name] < size]
    assert not left or max(found.values()) - min(left) <= 1


@given(SIZES, st.integers(1, 200), st.booleans())
def test_a_sample_has_the_size_that_was_asked_for_and_leaves_out_nothing_that_fits(
    sizes: dict[str, int], n: int, alike: bool
) -> None:
    found = stratum_sizes(sizes, n, alike=alike)
    assert sum(found.values()) == min(n, sum(sizes.values()))
    assert all(found[name] <= size for name, size in sizes.items())
    some = [name for name, size in sizes.items() if size]
    assert n < len(some) or all(found[name] >= 1 for name in some)


def test_where_there_are_more_strata_than_questions_the_seed_says_which_are_asked() -> None:
    sizes = dict.fromkeys("abcdefgh", 10)
    drawn = {
        frozenset(name for name, count in stratum_sizes(sizes, 3, seed).items() if count) for seed in range(9)
    }
    assert {len(names) for names in drawn} == {3}
    assert len(drawn) > 3


# --- which ---


@given(SIZES, st.integers(1, 40), st.booleans())
def test_a_sample_is_part_of_every_larger_one(sizes: dict[str, int], n: int, alike: bool) -> None:
    strata = {name: range(size) for name, size in sizes.items()}
    small, large = (stratified_sample(strata, count, alike=alike) for count in (n, n + 1))
    assert all(set(drawn) <= set(large[name]) for name, drawn in small.items())


def test_questions_keep_their_order_and_strata_without_any_are_left_out() -> None:
    found = stratified_sample({"a": range(50), "none": [], "b": range(50)}, 20)
    assert list(found) == ["a", "b"]
    assert all(drawn == sorted(drawn) and len(drawn) == 10 for drawn in found.values())


def test_a_question_is_drawn_wherever_it_stands() -> None:
    names = [f"q{number}" for number in range(30)]
    assert set(stratified_sample({"a": names}, 10)["a"]) == set(
        stratified_sample({"a": names[::-1]}, 10)["a"]
    )


def test_another_seed_draws_another_sample() -> None:
    assert stratified_sample({"a": range(1000)}, 20, 0) != stratified_sample({"a": range(1000)}, 20, 1)


def test_each_question_is_drawn_as_often_as_any_other() -> None:
    counts = [0] * 20
    for seed in range(2000):
        for number in stratified_sample({"a": range(20)}, 5, seed)["a"]:
            counts[number] += 1
    assert all(abs(count - 500) < 5 * 19.4 for count in counts)  # five standard deviations


PINNED = {"law": [1, 2, 3, 7], "chess": [1]}


def test_the_sample_is_the_same_on_every_machine() -> None:
    """These very questions; another set would set every baseline of a sample at naught."""
    code = (
        "from pytest_instructlab_eval.suites.sampling import stratified_sample\n"
        "print(stratified_sample({'law': range(16), 'chess': range(4)}, 5, 7))"
    )
    for hash_seed in ("1", "2"):
        shown = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert shown == f"{PINNED}\n"


# --- rows ---


def test_rows_keep_their_numbers() -> None:
    assert choose_rows("abcd", numbers=(1, 3)) == [(1, "b"), (3, "d")]
    assert choose_rows("abcd", 2) == [(0, "a"), (1, "b")]
    assert choose_rows("abc") == [(0, "a"), (1, "b"), (2, "c")]


# --- of the benchmarks ---


def sampled(fixture: str, **settings: Any) -> list[Any]:
    found = find_benchmark(benchmark_fixtures()[fixture])
    assert found is not None
    return list(asked_questions(found, Settings(("tiny",), **settings)))


def test_a_sample_of_mmlu_is_of_rows_in_tasks(mmlu_folder: Path) -> None:
    tasks = sampled("mmlu_task", mmlu_data=mmlu_folder, sample=100)
    assert len(tasks) == 57
    assert sum(task.requests for task in tasks) == 100
    assert {task.requests for task in tasks} == {1, 2}
    few = sampled("mmlu_task", mmlu_data=mmlu_folder, sample=12)
    assert [task.requests for task in few] == [1] * 12


def test_a_sample_of_mt_bench_is_over_categories(mt_bench_folder: Path) -> None:
    chosen = sampled("mt_bench_question", mt_bench_data=mt_bench_folder, sample=5)
    assert len({question.group for question in chosen}) == 5
    numbers = [question.number for question in chosen]
    assert numbers == sorted(numbers)


PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "mmlu"


def test_the_sizes_of_the_hubs_tasks_are_the_published_ones() -> None:
    from pytest_instructlab_eval.suites import mmlu

    assert set(data.MMLU_TEST_ROWS) == set(mmlu.mmlu_subjects())
    assert sum(data.MMLU_TEST_ROWS.values()) == 14_042
    if not PUBLISHED.is_dir():
        pytest.skip("MMLU as it was published isn't here")
    for subject, count in data.MMLU_TEST_ROWS.items():
        assert len(data.read_mmlu(PUBLISHED, "test", subject)) == count
