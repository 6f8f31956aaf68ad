"""What pytest collects of a run that evaluates, and what it leaves out: gates need to know both."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.gates.language import close_matches
from pytest_instructlab_eval.session.collected import Collected
from pytest_instructlab_eval.session.installed import benchmark_file
from pytest_instructlab_eval.session.items import BenchmarkModule, questions
from pytest_instructlab_eval.session.parametrization import Parametrization
from pytest_instructlab_eval.session.pytest_internals import last_failed
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.suites.base import Question
from pytest_instructlab_eval.suites.registry import benchmarks
from pytest_instructlab_eval.suites.registry import names as registered

__all__ = ["Collection"]


class Collection:
    """The hooks of the collection.

    `broken` are the files and folders that could not be collected, by their node ids.
    """

    def __init__(self, session: EvalSession, parametrization: Parametrization) -> None:
        self.broken: set[str] = set()
        self._eval = session
        self._config = session.config
        self._parametrization = parametrization
        self._unknown: str | None = None
        self._deselected: list[pytest.Item] = []
        self._of_all_parts: list[pytest.Item] = []
        self._opened: set[pytest.Collector] = set()
        self._found: list[pytest.Item | pytest.Collector] = []

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> BenchmarkModule | None:
        """Name an installed benchmark by its file alone, wherever it is installed."""
        named = {argument.partition("::")[0] for argument in self._config.args}
        name = module_path.name[len("test_") : -len(".py")]
        if str(module_path) not in named or name not in registered() or module_path != benchmark_file(name):
            return None
        found: BenchmarkModule = BenchmarkModule.from_parent(
            parent, path=module_path, nodeid=module_path.name
        )
        return found

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Name the question that is not found: pytest names its file and function alone."""
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
        """Know what pytest finds before it, or `--lf`, leaves a part of it out without another word."""
        report = yield
        found: list[pytest.Item | pytest.Collector] = report.result or []
        self._opened.add(collector)
        self._found += found
        if isinstance(collector, BenchmarkModule) and self._parametrization.unreadable is None:
            names = [node.name for node in found]
            for argument in self._config.args:
                file, _, test = argument.partition("::")
                if Path(file) == collector.path and "[" in test and test not in names:
                    hint = close_matches(test, names)
                    self._unknown = f"{collector.name}::{test}: there is no such test{hint}"
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Know what could not be collected; from xdist's workers too."""
        if report.failed:
            self.broken.add(report.nodeid)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Know what is left out: gates over a part of a benchmark aren't evaluated."""
        self._deselected += items

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep this part of the run's tests."""
        if self._eval.settings.shard is None:
            return
        part, parts = self._eval.settings.shard
        deselected = list(self._deselected)
        self._of_all_parts = list(items)
        names = sorted(item.nodeid for item in items)  # whatever order this run has them in
        mine = set(names[part - 1 :: parts])
        items[:] = [item for item in self._of_all_parts if item.nodeid in mine]
        self._config.hook.pytest_deselected(
            items=[item for item in self._of_all_parts if item.nodeid not in mine]
        )
        self._deselected = deselected

    def collected(self, session: pytest.Session) -> Collected:
        """Return what the gates need to know, once all is collected."""
        items, tests = self._of_all_parts or session.items, [item.nodeid for item in self._of_all_parts]
        # `--lf` leaves no test out where none of what failed is here.
        failed = last_failed(self._config) if self._config.getoption("lf", False) else set()
        if any(item.nodeid in failed for item in session.items):
            missing, which = session.items, "that failed last time (--lf)"  # whatever files it left out have
        else:
            chosen = {*items, *self._deselected}
            missing = [item for item in _tests_in(self._found, self._opened) if item not in chosen]
            which = "named in the command"
        found = Collected.of(items, self._deselected, tests=tests, missing=missing, which=which)
        return dataclasses.replace(found, problem=found.problem or _problem_of(items))


def _tests_in(
    nodes: Iterable[pytest.Item | pytest.Collector], opened: set[pytest.Collector]
) -> list[pytest.Item]:
    """Return the tests among the nodes, and those in classes that pytest had no reason to look into."""
    found, left = [], list(nodes)
    while left:
        node = left.pop()
        if isinstance(node, pytest.Item):
            found.append(node)
        elif isinstance(node, pytest.Class) and node not in opened:
            with contextlib.suppress(Exception):  # a user's class may be as it likes
                left += node.collect()
    return found


def _problem_of(items: Sequence[pytest.Item]) -> str | None:
    """Return why one of the questions that are run can't be asked: another one stops no run."""
    asked: dict[str, list[Question]] = defaultdict(list)
    for item in items:
        for question, known in questions(item):
            asked[known.name].append(question)
    for known in benchmarks():
        if known.check is not None and known.name in asked:
            try:
                known.check(asked[known.name])
            except DataError as error:
                return str(error)
    return None
