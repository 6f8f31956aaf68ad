"""What a run that evaluates does while pytest collects: an item a question, and what is left out."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, DataError, EvalError
from pytest_instructlab_eval.gates.language import close_matches
from pytest_instructlab_eval.session import distribution
from pytest_instructlab_eval.session.collected import Collected
from pytest_instructlab_eval.session.installed import benchmark_file
from pytest_instructlab_eval.session.items import BenchmarkModule, ours, parameters
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.suites.registry import benchmark, benchmark_of, benchmarks, fixtures
from pytest_instructlab_eval.suites.registry import names as registered
from pytest_instructlab_eval.suites.selection import asked
from pytest_instructlab_eval.visible import visible, visible_line

__all__ = ["Collecting"]


class Collecting:
    """The hooks of the collection of one `EvalSession`.

    `broken` are the files and folders that could not be collected, by their node ids.
    """

    def __init__(self, session: EvalSession) -> None:
        self.eval = session
        self.config = session.config
        self.broken: set[str] = set()
        self._usage_error: EvalError | None = None
        self._unknown: str | None = None
        self._parametrized_apart: set[str] = set()
        self._deselected: list[pytest.Item] = []
        self._of_all_parts: list[pytest.Item] = []
        self._opened: set[pytest.Collector] = set()
        self._found: list[pytest.Item | pytest.Collector] = []

    # --- an item a question ---

    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> Any:
        """Name an installed benchmark by its file alone, wherever it is installed."""
        named = {argument.partition("::")[0] for argument in self.config.args}
        if str(module_path) not in named or module_path.name[5:-3] not in registered():
            return None
        if module_path != benchmark_file(module_path.name[5:-3]):
            return None
        return BenchmarkModule.from_parent(parent, path=module_path, nodeid=module_path.name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make an item of each question that a test asks for."""
        names = metafunc.fixturenames
        named = metafunc.definition.get_closest_marker("eval") or not ours().isdisjoint(names)
        if named and inspect.iscoroutinefunction(metafunc.function) and "anyio_backend" in names:
            names.remove("anyio_backend")  # anyio's auto mode would run each once a backend
        for fixture, name in fixtures().items():
            if fixture not in names:
                continue
            questions, known = self._parameters(fixture), benchmark(name)
            if known is not None and known.read_of_base is not None and self._asks_each_its_own(metafunc):
                of_base = self._read(partial(asked, known, self.eval.settings, of_base=True))
                self._parametrize_apart(metafunc, fixture, questions, of_base)
            else:
                metafunc.parametrize(
                    fixture, questions, ids=[visible_line(question.id) for question in questions]
                )

    def _asks_each_its_own(self, metafunc: pytest.Metafunc) -> bool:
        """Whether the base model is asked other questions than the candidates."""
        return self.eval.settings.base_questions == "base" and "served_model" in metafunc.fixturenames

    def _parametrize_apart(
        self, metafunc: pytest.Metafunc, fixture: str, questions: Sequence[Any], of_base: Sequence[Any]
    ) -> None:
        settings = self.eval.settings
        pairs = [
            (question, label)
            for label in settings.labels
            for question in (of_base if label == settings.base_label else questions)
        ]
        metafunc.parametrize(
            (fixture, "served_model"),
            pairs,
            ids=[visible_line(f"{question.id}-{label}") for question, label in pairs],
            indirect=["served_model"],
        )
        self._parametrized_apart.add(metafunc.definition.nodeid)

    @pytest.hookimpl(specname="pytest_generate_tests", trylast=True)
    def pytest_generate_model_tests(self, metafunc: pytest.Metafunc) -> None:
        """Where there are several models, make an item of each; items of one model come together."""
        models = list(self.eval.settings.labels)
        apart = metafunc.definition.nodeid in self._parametrized_apart
        if len(models) > 1 and "served_model" in metafunc.fixturenames and not apart:
            metafunc.parametrize(
                "served_model", models, ids=list(map(visible_line, models)), indirect=True, scope="session"
            )

    def pytest_make_parametrize_id(self, val: object) -> str | None:
        """Name a text of the user's own data in which a CI job would find a command."""
        return visible_line(val) if isinstance(val, str) and "##[" in val else None

    def _parameters(self, fixture: str) -> Sequence[Any]:
        return self._read(lambda: self.eval.parameters(fixture))

    def _read(self, read: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        try:
            return read()
        except EvalError as error:
            if distribution.is_worker(self.config):
                raise pytest.Collector.CollectError(visible(str(error))) from None
            self._usage_error = self._usage_error or error
            return []

    # --- what is left out ---

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Know what is left out: gates over a part of a benchmark aren't evaluated."""
        self._deselected += items

    @pytest.hookimpl(specname="pytest_collection_modifyitems", trylast=True)
    def pytest_shard(self, items: list[pytest.Item]) -> None:
        """Keep this part of the run's tests."""
        if self.eval.settings.shard is None:
            return
        part, parts = self.eval.settings.shard
        deselected = list(self._deselected)
        self._of_all_parts = list(items)
        names = sorted(item.nodeid for item in items)  # whatever order this run has them in
        mine = set(names[part - 1 :: parts])
        items[:] = [item for item in self._of_all_parts if item.nodeid in mine]
        self.config.hook.pytest_deselected(
            items=[item for item in self._of_all_parts if item.nodeid not in mine]
        )
        self._deselected = deselected

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self) -> None:
        """End here where the data is not usable."""
        if self._usage_error is not None:
            raise self.eval.refused(self._usage_error)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Know what pytest finds before it, or `--lf`, leaves a part of it out without another word."""
        report = yield
        self._opened.add(collector)
        self._found += report.result or []
        if isinstance(collector, BenchmarkModule) and self._usage_error is None:
            self._note_unknown(collector, [node.name for node in report.result or []])
        return report

    def _note_unknown(self, module: BenchmarkModule, names: Sequence[str]) -> None:
        """Note a question of the command line that a built-in benchmark lacks."""
        for argument in self.config.args:
            file, _, test = argument.partition("::")
            if Path(file) == module.path and "[" in test and test not in names:
                self._unknown = f"{module.name}::{test}: there is no such test{close_matches(test, names)}"

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Name the question that is not found: pytest names its file and function alone."""
        try:
            return (yield)
        except pytest.UsageError:
            if self._unknown is None:
                raise
            raise self.eval.refused(ConfigurationError(self._unknown)) from None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Know what could not be collected; from xdist's workers too."""
        if report.failed:
            self.broken.add(report.nodeid)

    def collected(self, session: pytest.Session) -> Collected:
        """What the gates need to know, once all is collected."""
        items, tests = self._of_all_parts or session.items, [item.nodeid for item in self._of_all_parts]
        if self._ran_what_failed_last(session.items):
            missing, which = session.items, "failed last time (--lf)"  # whatever files it left out have
        else:
            chosen = {*items, *self._deselected}
            missing = [item for item in self._all_found() if item not in chosen]
            which = "were taken of the file"
        found = Collected.of(items, self._deselected, tests=tests, missing=missing, which=which)
        return dataclasses.replace(found, problem=found.problem or _problem_of(items))

    def _all_found(self) -> list[pytest.Item]:
        """The tests that were found, and those in classes that pytest had no reason to look into."""
        found, nodes = [], list(self._found)
        while nodes:
            node = nodes.pop()
            if isinstance(node, pytest.Item):
                found.append(node)
            elif isinstance(node, pytest.Class) and node not in self._opened:
                with contextlib.suppress(Exception):  # a user's class may be as it likes
                    nodes += node.collect()
        return found

    def _ran_what_failed_last(self, items: Sequence[pytest.Item]) -> bool:
        """Whether `--lf` left tests out; it doesn't where none of what failed is here."""
        if not self.config.getoption("lf", False):
            return False
        failed = getattr(self.config.pluginmanager.get_plugin("lfplugin"), "lastfailed", {})
        names = set(map(str, failed))  # from pytest 9.2 on they are parsed
        return any(item.nodeid in names for item in items)


def _problem_of(items: Sequence[pytest.Item]) -> str | None:
    """Why one of the questions that are run can't be asked: another one stops no run."""
    asked: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        for value in parameters(item).values():
            if (known := benchmark_of(value)) is not None:
                asked[known.name].append(value)
    for known in benchmarks():
        if known.check is not None and known.name in asked:
            try:
                known.check(asked[known.name])
            except DataError as error:
                return str(error)
    return None
