"""The eval tests among pytest items: their identity, their questions, and whether they can run ahead."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pytest

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.records.scores import OWN_CONTENT
from pytest_instructlab_eval.session.installed_benchmarks import benchmark_module
from pytest_instructlab_eval.session.marker import (
    marked_benchmark,
    marked_cluster,
    marked_content,
    marked_group,
    marked_name,
)
from pytest_instructlab_eval.session.pytest_internals import (
    argument_names,
    fixture_function,
    fixture_names,
    is_direct_parameter,
    is_of_pytest,
    is_without_question,
    parameters,
    parameters_id,
)
from pytest_instructlab_eval.suites.benchmark import Benchmark, Question
from pytest_instructlab_eval.suites.digests import digest
from pytest_instructlab_eval.suites.registry import benchmark_fixtures, benchmark_of, find_benchmark

PLUGIN_MODULE = "pytest_instructlab_eval.plugin"
FIXTURES = frozenset({"served_model", "judge", "record_score", "eval_settings"})
ROLES = ("served_model", "judge")  # the fixtures by which a test uses a model
WAITING_MARKERS = ("skip", "skipif", "xfail")  # evaluated in the setup phase


class BenchmarkModule(pytest.Module):
    """The test module of an installed benchmark; settings on test names of the user's folder do not apply."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Collect the tests of the module, imported by its full name.

        In an editable install pytest would import it as `benchmarks.test_…`, and a user's folder may have a
        package of that name.
        """
        name = benchmark_module(self.path.stem.removeprefix("test_"))
        with contextlib.suppress(ModuleNotFoundError):  # in a checkout that is not installed
            self.obj = importlib.import_module(name)
        return super().collect()

    def funcnamefilter(self, name: str) -> bool:
        """Return whether a function is a test."""
        return name.startswith("test_")


@dataclass(frozen=True)
class ItemIdentity:
    """The benchmark, question, group, model and cluster of a scoring test."""

    benchmark: str
    question: str
    group: str
    model: str | None
    cluster: str = ""


def our_fixture_names() -> set[str]:
    """Return the names of all fixtures of this plugin."""
    return {*FIXTURES, *benchmark_fixtures()}


def coroutine_function(item: pytest.Function) -> Callable[..., Awaitable[object]] | None:
    """Return the test's `async def` function; None for any other test.

    Other plugins may have wrapped it in a plain function.
    """
    function = item.obj
    for candidate in (function, getattr(function, "__wrapped__", None)):
        if inspect.iscoroutinefunction(candidate):
            return candidate
    return None


def is_eval_test(item: pytest.Item) -> bool:
    """Return whether the item is an `async def` test that is marked `eval` or uses this plugin's fixtures."""
    if not isinstance(item, pytest.Function):
        return False
    named = item.get_closest_marker("eval") is not None or not our_fixture_names().isdisjoint(
        item.fixturenames
    )
    return named and coroutine_function(item) is not None


def may_score(item: pytest.Item) -> bool:
    """Return whether the item is a test, `async` or not, that may record a score."""
    if not isinstance(item, pytest.Function):
        return False
    asks = "record_score" in item.fixturenames or item.get_closest_marker("eval") is not None
    return asks or is_eval_test(item)


def has_question(item: pytest.Item) -> bool:
    """Return whether the item is a scoring test and has a question."""
    return may_score(item) and not is_empty(item)


def is_empty(item: pytest.Item) -> bool:
    """Return whether the item is pytest's placeholder for a test without any question."""
    return any(map(is_without_question, parameters(item).values()))


def identity_of(item: pytest.Function) -> ItemIdentity:
    """Return the identity of a scoring test; its model is None in a run with only one."""
    name = marked_name(item)
    if name is None:
        name = item.originalname.removeprefix("test_")
    model = parameters(item).get("served_model")
    group, cluster = marked_group(item), marked_cluster(item)
    for question, definition in questions_of_item(item):
        group = str(question.group)
        cluster = group if definition.cluster == "group" else ""
    # The test's parameters without the model, after its function if that differs from the benchmark: two
    # functions of a benchmark may have the same parameters.
    text = parameters_id(item)
    if model is not None:
        shown = escape_line(str(model))
        text = text.removesuffix(f"-{shown}").removesuffix(shown)
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    function = "::".join([*classes, item.originalname])
    if not text:
        text = function
    elif function.removeprefix("test_") != name:
        text = f"{function}[{text}]"
    return ItemIdentity(name, text, group, None if model is None else str(model), cluster)


def questions_of_item(item: pytest.Item) -> list[tuple[Question, Benchmark]]:
    """Return the questions among the test's parameters, each with its benchmark.

    The type of a question tells its benchmark, an installed one or that of the marker.
    """
    marked = marked_benchmark(item)
    pairs = []
    for value in parameters(item).values():
        definition = (
            marked if marked is not None and isinstance(value, marked.question) else benchmark_of(value)
        )
        if definition is not None:
            pairs.append((cast("Question", value), definition))
    return pairs


def task_requests(item: pytest.Item) -> int:
    """Return the requests of a task, which are made at once; 0 of any other test, or where unknown."""
    questions = questions_of_item(item)
    return next((question.requests or 0 for question, benchmark in questions if benchmark.of_tasks), 0)


def content_digest(item: pytest.Function) -> str:
    """Return the digest of a question that branches can change under one name; empty for other questions."""
    return next(
        (
            digest(question.content)
            for question, definition in questions_of_item(item)
            if definition.compared == "each"
        ),
        "",
    )


def own_contents(
    item: pytest.Function, requests: Sequence[object], gradings: Mapping[str, object]
) -> tuple[str, dict[str, str]]:
    """Return the digests of what a test of one's own asks first, and of how it is graded, by metric.

    Nothing of the model's answers may be in them: the questions whose answers changed would be left out of
    comparisons, and the others would stay equal. So later requests do not count, as they may quote the first
    answer. A marker's content stands for both. They are empty for a benchmark of the registry, which has
    digests of its questions and a version.
    """
    if content_digest(item) or find_benchmark(identity_of(item).benchmark) is not None:
        return "", {}
    if (stated := marked_content(item)) is not None:
        return f"{OWN_CONTENT}{digest(stated)}", {}
    asked = f"{OWN_CONTENT}{digest(requests[0])}" if requests else ""
    return asked, {metric: digest(way) for metric, way in gradings.items()}


def scoring_tests(items: Iterable[object]) -> list[pytest.Function]:
    """Return the scoring tests among the items."""
    return [item for item in items if isinstance(item, pytest.Function) and may_score(item)]


def model_roles(items: Iterable[pytest.Item]) -> set[str]:
    """Return the models' fixtures that the items use; an item without a question uses none."""
    used = {name for item in items if not is_empty(item) for name in fixture_names(item)}
    return used.intersection(ROLES)


def run_roles(item: pytest.Function) -> list[str]:
    """Return the models' fixtures of the run that a test uses; one that it overrides may need none."""
    used = fixture_names(item)
    return [name for name in ROLES if name in used and is_ours(item, name)]


def forked_problem(items: Iterable[pytest.Item]) -> str | None:
    """Return the problem of the first item that uses a model and that pytest-forked would fork.

    A thread makes the requests of a run, and a forked process has none of its parent's threads, so the test
    would wait for ever.
    """
    for item in items:
        if not item.config.pluginmanager.hasplugin("pytest_forked"):
            return None
        if item.config.getoption("forked", False):
            return f"--forked: {item.nodeid} asks a model, which a forked test cannot do; leave out --forked"
        if item.get_closest_marker("forked") is not None:
            return (
                f"{item.nodeid} asks a model, which a forked test cannot do; remove its marker `forked`, or "
                "leave pytest-forked out with -p no:pytest_forked"
            )
    return None


def can_run_ahead(item: pytest.Item) -> bool:
    """Return whether the test needs only parameters and this plugin's fixtures, and cannot be skipped."""
    if not isinstance(item, pytest.Function) or not is_eval_test(item):
        return False
    if any(item.get_closest_marker(name) for name in WAITING_MARKERS):
        return False
    config = item.config
    if config.getoption("setuponly", False) or config.getoption("setupplan", False):
        return False
    named = argument_names(item)
    return all(_needs_no_pytest(item, name, is_argument=name in named) for name in item.fixturenames)


def arguments_of_item(item: pytest.Function, ours: Callable[[str], object]) -> dict[str, object]:
    """Return the arguments of a test that can run ahead; `ours` returns those of this plugin's fixtures."""
    given = parameters(item)
    return {name: ours(name) if is_ours(item, name) else given[name] for name in argument_names(item)}


def is_ours(item: pytest.Function, name: str) -> bool:
    """Return whether the fixture of this name is this plugin's."""
    return _fixture_module(item, name) == PLUGIN_MODULE


def _fixture_module(item: pytest.Function, name: str) -> str:
    return str(getattr(fixture_function(item, name), "__module__", ""))  # any callable can be a fixture


def _needs_no_pytest(item: pytest.Function, name: str, *, is_argument: bool) -> bool:
    """Return whether a test can run ahead though it has this fixture.

    As an argument it must be this plugin's or a parameter, whose value is known without pytest. Another
    fixture (autouse, usefixtures) must be an installed plugin's: one of a conftest or of the test's module
    may prepare what the test relies on. A built-in benchmark does not rely on the folder that it is run in.
    """
    if is_argument:
        if is_ours(item, name):
            return True
        return name in parameters(item) and is_direct_parameter(fixture_function(item, name))
    if name == "request" or item.getparent(BenchmarkModule):  # this plugin's fixtures use `request`
        return True
    module = _fixture_module(item, name)
    own = {"", item.module.__name__}
    return module not in own and not is_of_pytest(module) and not module.endswith("conftest")
