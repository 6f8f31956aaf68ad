"""The benchmarks by name; none is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_instructlab_eval.suites.base import Benchmark

__all__ = ["FIXTURES", "NAMES", "benchmark", "benchmark_of", "benchmarks", "fixture_of", "versions"]

FIXTURES = {  # the benchmarks, each a module beside this one, by the parameter that is a question of theirs
    "mmlu_task": "mmlu",
    "mmlu_branch_task": "mmlu_branch",
    "mt_bench_question": "mt_bench",
    "mt_bench_branch_question": "mt_bench_branch",
}
NAMES = tuple(FIXTURES.values())


def benchmark(name: str) -> Benchmark | None:
    """Return the benchmark of a name, None where it is a user's own."""
    if name not in NAMES:
        return None
    found: Benchmark = import_module(f"pytest_instructlab_eval.suites.{name}").BENCHMARK
    return found


def fixture_of(name: str) -> str | None:
    """Return the parameter that tests ask for a benchmark's questions by."""
    return next((fixture for fixture, known in FIXTURES.items() if known == name), None)


def benchmarks() -> Iterator[Benchmark]:
    """Yield every benchmark."""
    for name in NAMES:
        found = benchmark(name)
        assert found is not None  # noqa: S101  (each name has one)
        yield found


def benchmark_of(value: object) -> Benchmark | None:
    """Return the benchmark that a parameter of a test is a question of, None where it is none of ours."""
    return next((found for found in benchmarks() if isinstance(value, found.question)), None)


def versions() -> dict[str, int]:
    """Return how each benchmark is asked and graded: another number where scores don't compare."""
    return {found.name: found.version for found in benchmarks()}
