"""The collection of a run that evaluates: what pytest collects and what it leaves out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.gates.sentences import close_matches
from pytest_instructlab_eval.session.collected_tests import CollectedTests
from pytest_instructlab_eval.session.installed_benchmarks import benchmark_file
from pytest_instructlab_eval.session.items import BenchmarkModule, questions_of_item, scoring_tests
from pytest_instructlab_eval.session.parametrization import Parametrization
from pytest_instructlab_eval.session.pytest_internals import last_failed_ids
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.suites.benchmark import Question
from pytest_instructlab_eval.suites.registry import all_benchmarks
from pytest_instructlab_eval.suites.registry import benchmark_names as registered


class Collection:
    """The hooks of the collection; `broken` has the node ids of what could not be collected."""

    def __init__(self, session: EvalSession, parametrization: Parametrization) -> None:
        self.broken: set[str] = set()
        self._eval = session
        self._config = session.config
        self._parametrization = parametrization
        self._unknown: str | None = None
        self._deselected: list[pytest.Item] = []
        self._of_all_parts: list[pytest.Item] = []
        self._opened: set[pytest.Collector] = set()
        self._nodes: list[pytest.Item | pytest.Collector] = []

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> BenchmarkModule | None:
        """Return a module whose node id is the file name, for an installed benchmark."""
        named = {argument.partition("::")[0] for argument in self._config.args}
        name = module_path.name[len("test_") : -len(".py")]
        if str(module_path) not in named or name not in registered() or module_path != benchmark_file(name):
            return None
        module: BenchmarkModule = BenchmarkModule.from_parent(
            parent, path=module_path, nodeid=module_path.name
        )
        return module

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Raise an error that names the unknown question; pytest names only its file and function."""
        try:
            return (yield)
        except pytest.UsageError:
            if self._unknown is None:
                raise
            raise self._eval.refused(ConfigurationError(self._unknown)) from None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Record all collected nodes before pytest, or `--lf`, drops some of them without a hook call."""
        report = yield
        nodes: list[pytest.Item | pytest.Collector] = report.result or []
        self._opened.add(collector)
        self._nodes += nodes
        if isinstance(collector, BenchmarkModule) and self._parametrization.unreadable is None:
            names = [node.name for node in nodes]
            for argument in self._config.args:
                file, _, test = argument.partition("::")
                if Path(file) == collector.path and "[" in test and test not in names:
                    hint = close_matches(test, names)
                    self._unknown = f"{collector.name}::{test}: there is no such test{hint}"
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record what could not be collected, also by xdist's workers."""
        if report.failed:
            self.broken.add(report.nodeid)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Record the deselected tests, since gates over a part of a benchmark are not evaluated."""
        self._deselected += items

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Deselect the tests of the other shards."""
        if self._eval.settings.shard is None:
            return
        part, parts = self._eval.settings.shard
        deselected = list(self._deselected)
        self._of_all_parts = list(items)
        names = sorted(
            item.nodeid for item in items
        )  # the same order in all shards, even with random ordering
        own = set(names[part - 1 :: parts])
        items[:] = [item for item in self._of_all_parts if item.nodeid in own]
        self._config.hook.pytest_deselected(
            items=[item for item in self._of_all_parts if item.nodeid not in own]
        )
        self._deselected = deselected

    def collected(self, session: pytest.Session) -> CollectedTests:
        """Return the facts that the gates need, after the collection."""
        items, tests = self._of_all_parts or session.items, [item.nodeid for item in self._of_all_parts]
        # `--lf` runs all tests if none of the failed ones is here.
        failed = last_failed_ids(self._config) if self._config.getoption("lf", False) else set()
        if any(item.nodeid in failed for item in session.items):
            missing = session.items  # those of skipped files are unknown
            which = "that failed last time (--lf)"
        else:
            chosen = {*items, *self._deselected}
            missing = [item for item in _tests_in(self._nodes, self._opened) if item not in chosen]
            which = "named in the command"
        collected = CollectedTests.of(items, self._deselected, tests=tests, missing=missing, which=which)
        collected = dataclasses.replace(collected, problem=collected.problem or _problem_of(items))
        if not self._eval.settings.reuse_verdict:
            return collected
        from pytest_instructlab_eval.session.code_digest import tests_digest, uninspected_test

        scoring = scoring_tests(session.items)
        return dataclasses.replace(
            collected, digest=tests_digest(scoring), uninspected=uninspected_test(scoring)
        )


def _tests_in(
    nodes: Iterable[pytest.Item | pytest.Collector], opened: set[pytest.Collector]
) -> list[pytest.Item]:
    """Return the tests among the nodes, and those in classes that pytest did not collect."""
    tests, pending = [], list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, pytest.Item):
            tests.append(node)
        elif isinstance(node, pytest.Class) and node not in opened:
            with contextlib.suppress(Exception):  # a user's class may raise anything
                pending += node.collect()
    return tests


def _problem_of(items: Sequence[pytest.Item]) -> str | None:
    """Return why one of the selected questions cannot be asked; an unselected one does not stop the run."""
    by_benchmark: dict[str, list[Question]] = defaultdict(list)
    for item in items:
        for question, benchmark in questions_of_item(item):
            by_benchmark[benchmark.name].append(question)
    for benchmark in all_benchmarks():
        if benchmark.check is not None and benchmark.name in by_benchmark:
            try:
                benchmark.check(by_benchmark[benchmark.name])
            except DataError as error:
                return str(error)
    return None
