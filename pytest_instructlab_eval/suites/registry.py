"""The benchmarks by name: the built-in ones, and those of installed packages.

A package names its benchmark in its metadata, as an entry point of the group
`pytest_instructlab_eval.benchmarks`: `capitals = "my_package.capitals:BENCHMARK"`. None is imported before it
is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from pytest_instructlab_eval.errors import ConfigurationError

if TYPE_CHECKING:
    from pytest_instructlab_eval.suites.benchmark import Benchmark

GROUP = "pytest_instructlab_eval.benchmarks"
BUILT_IN = {  # each a module beside this one, by the parameter that is a question of its
    "mmlu_task": "mmlu",
    "mmlu_branch_task": "mmlu_branch",
    "mt_bench_question": "mt_bench",
    "mt_bench_branch_question": "mt_bench_branch",
}


@functools.cache
def _installed() -> dict[str, EntryPoint]:
    """Return the entry points of packages, by the names of their benchmarks."""
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in BUILT_IN.values() or not point.name.isidentifier():
            raise ConfigurationError(
                f"the entry point {point.name} = {point.value!r} must have a Python name that no built-in "
                "benchmark has, such as capitals; correct or uninstall its package"
            )
        points[point.name] = point
    return points


def benchmark_names() -> tuple[str, ...]:
    """Return the names of all benchmarks."""
    return (*BUILT_IN.values(), *_installed())


def benchmark_fixtures() -> dict[str, str]:
    """Return the benchmarks' names by the parameter that tests ask for their questions by."""
    return {**BUILT_IN, **{f"{name}_question": name for name in _installed()}}


def fixture_of(name: str) -> str | None:
    """Return the parameter that tests ask for a benchmark's questions by."""
    return next((fixture for fixture, benchmark in benchmark_fixtures().items() if benchmark == name), None)


@functools.cache
def _loaded(name: str) -> Benchmark:
    from pytest_instructlab_eval.suites.benchmark import Benchmark

    point = _installed()[name]
    try:
        benchmark = point.load()
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(
            f"the benchmark {name} cannot be imported from {point.value} ({type(error).__name__}: {reason}); "
            "correct or uninstall its package"
        ) from None
    if not isinstance(benchmark, Benchmark) or benchmark.name != name:
        raise ConfigurationError(
            f"{point.value} must be a Benchmark called {name} (got {benchmark!r:.100}); correct or "
            "uninstall its package"
        )
    return benchmark


def find_benchmark(name: str) -> Benchmark | None:
    """Return the benchmark of a name, None where tests alone know it; raises ConfigurationError."""
    if name in BUILT_IN.values():
        benchmark: Benchmark = import_module(f"pytest_instructlab_eval.suites.{name}").BENCHMARK
        return benchmark
    return _loaded(name) if name in _installed() else None


def all_benchmarks() -> Iterator[Benchmark]:
    """Yield every benchmark; raises ConfigurationError."""
    for name in benchmark_names():
        benchmark = find_benchmark(name)
        assert benchmark is not None  # noqa: S101  (each name has one)
        yield benchmark


def packaged_benchmarks() -> Iterator[Benchmark]:
    """Yield the benchmarks of installed packages; raises ConfigurationError."""
    yield from map(_loaded, _installed())


def benchmark_of(value: object) -> Benchmark | None:
    """Return the benchmark that a parameter of a test is a question of, None where it is of none."""
    by_question = _by_question()
    return next((by_question[kind] for kind in type(value).__mro__ if kind in by_question), None)


@functools.cache
def _by_question() -> dict[type, Benchmark]:
    return {benchmark.question: benchmark for benchmark in all_benchmarks()}


def benchmark_versions() -> dict[str, int]:
    """Return how each benchmark is asked and graded: another number where scores don't compare."""
    return {benchmark.name: benchmark.version for benchmark in all_benchmarks()}
