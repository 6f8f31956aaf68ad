"""Which pytest items are eval tests, what each is called, and when one may run before its turn."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from _pytest.compat import NOTSET

from pytest_instructlab_eval.records.recording import Recorder
from pytest_instructlab_eval.session.installed import benchmark_module
from pytest_instructlab_eval.suites.digests import digest
from pytest_instructlab_eval.suites.registry import benchmark_of, fixtures
from pytest_instructlab_eval.visible import visible_line

__all__ = [
    "BenchmarkModule",
    "Identity",
    "arguments",
    "can_run_ahead",
    "content_digest",
    "coroutine_function",
    "drop_recorder",
    "forked_problem",
    "has_question",
    "identity",
    "is_empty",
    "is_eval_test",
    "marked_gates",
    "marker_problem",
    "may_score",
    "ours",
    "parameters",
    "recorder",
    "scoring_tests",
]

PLUGIN_MODULE = "pytest_instructlab_eval.plugin"
FIXTURES = frozenset({"served_model", "judge", "record_score", "eval_settings"})
KEYWORDS = ("max_score", "group", "cluster", "gates")  # of the marker, beside the benchmark's name
WAITING_MARKERS = ("skip", "skipif", "xfail")  # decided in the setup phase
DIRECT_PARAMETER = "get_direct_param_fixture_func"  # what pytest makes of a parameter that is no fixture

_RECORDER = pytest.StashKey[Recorder]()


class BenchmarkModule(pytest.Module):
    """A benchmark that is installed, whatever the user's folder calls its own tests."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Collect the tests of the module, imported by its full name.

        In an editable install pytest would call it `benchmarks.test_…`, and a user's folder may have a
        package of that name.
        """
        name = benchmark_module(self.path.stem.removeprefix("test_"))
        with contextlib.suppress(ModuleNotFoundError):  # in a checkout that is not installed
            self.obj = importlib.import_module(name)
        return super().collect()

    def funcnamefilter(self, name: str) -> bool:
        """Whether a function is a test."""
        return name.startswith("test_")


@dataclass(frozen=True)
class Identity:
    """What a test that scores is about."""

    benchmark: str
    question: str
    group: str
    model: str | None
    cluster: str = ""


def ours() -> set[str]:
    """Return the names of all fixtures of ours."""
    return {*FIXTURES, *fixtures()}


def coroutine_function(item: pytest.Function) -> Callable[..., Any] | None:
    """The test's `async def` function; None for any other test.

    Other plugins may have put a plain function around it.
    """
    function = item.obj
    for candidate in (function, getattr(function, "__wrapped__", None)):
        if inspect.iscoroutinefunction(candidate):
            return candidate
    return None


def is_eval_test(item: pytest.Item) -> bool:
    """Whether the item is an `async def` test that is marked `eval` or asks for one of our fixtures."""
    if not isinstance(item, pytest.Function):
        return False
    named = item.get_closest_marker("eval") is not None or not ours().isdisjoint(item.fixturenames)
    return named and coroutine_function(item) is not None


def may_score(item: pytest.Item) -> bool:
    """Whether the item is a test, `async` or not, that may record what it found about a model."""
    if not isinstance(item, pytest.Function):
        return False
    asks = "record_score" in item.fixturenames or item.get_closest_marker("eval") is not None
    return asks or is_eval_test(item)


def has_question(item: pytest.Item) -> bool:
    """Whether the item is such a test, and stands for a question."""
    return may_score(item) and not is_empty(item)


def is_empty(item: pytest.Item) -> bool:
    """Whether the item stands for a test of which no question was collected."""
    return any(value is NOTSET for value in parameters(item).values())


def identity(item: pytest.Function) -> Identity:
    """The benchmark, question, group and model (None where there is but one) of such a test."""
    marker = item.get_closest_marker("eval")
    name = str(marker.args[0]) if marker and marker.args else item.originalname.removeprefix("test_")
    given = parameters(item)
    model = given.get("served_model")
    group = str(marker.kwargs.get("group", "") if marker else "")
    cluster = _marked_cluster(item, marker, group) if marker else ""
    for value in given.values():
        if (known := benchmark_of(value)) is not None:
            group = str(value.group)
            cluster = group if known.cluster == "group" else ""
    return Identity(name, _question(item, name), group, model, cluster)


def _marked_cluster(item: pytest.Function, marker: pytest.Mark, group: str) -> str:
    """The cluster that the marker names: its group, or the value of a parameter, called as pytest does."""
    name = marker.kwargs.get("cluster", "")
    if name == "group":
        return group
    if not isinstance(name, str) or name not in parameters(item):
        return ""  # of a wrong one `marker_problem` tells
    value = parameters(item)[name]
    simple = isinstance(value, (str, int, float, bool))
    return visible_line(str(value)) if simple else f"{name}{item.callspec.indices[name]}"


def _question(item: pytest.Function, benchmark: str) -> str:
    """The test's parameters, without the model; where the benchmark may have other functions, this one too.

    So two functions of a benchmark may have the same parameters, whichever of them is run.
    """
    function = "::".join(
        [*(node.name for node in item.listchain() if isinstance(node, pytest.Class)), item.originalname]
    )
    alone = function.removeprefix("test_") == benchmark
    if not hasattr(item, "callspec"):
        return function
    question, model = str(item.callspec.id), parameters(item).get("served_model")
    if model is not None:
        named = visible_line(str(model))  # as the test's name has it
        question = question.removesuffix(f"-{named}").removesuffix(named)
    if not question:
        return function
    return question if alone else f"{function}[{question}]"


def content_digest(item: pytest.Function) -> str:
    """What tells a question of a branch from another branch's of the same name; empty for any other test."""
    for value in parameters(item).values():
        known = benchmark_of(value)
        if known is not None and known.compared == "each":
            return digest(value.content)
    return ""


def scoring_tests(items: Iterable[object]) -> list[pytest.Function]:
    """The tests among the items that may score."""
    return [item for item in items if isinstance(item, pytest.Function) and may_score(item)]


def marked_gates(item: pytest.Item) -> tuple[str, ...]:
    """The gates of the test's marker: `@pytest.mark.eval("capitals", gates=["capitals >= 0.5"])`."""
    marker = item.get_closest_marker("eval")
    gates = marker.kwargs.get("gates", ()) if marker else ()
    if not isinstance(gates, (list, tuple)):
        return (gates,) if isinstance(gates, str) else ()  # of another type `marker_problem` tells
    return tuple(map(str, gates))


def marker_problem(item: pytest.Item) -> str | None:
    """Return what is wrong with the test's marker: a keyword that it lacks, or a value of the wrong type."""
    marker = item.get_closest_marker("eval")
    if marker is None:
        return None
    unknown = [name for name in marker.kwargs if name not in KEYWORDS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], KEYWORDS)
        hint = f"; did you mean {near[0]}?" if near else ""
        keywords = ", ".join(KEYWORDS)
        return f"{item.nodeid}: the marker eval has no {unknown[0]!r}, but a name and {keywords}{hint}"
    if len(marker.args) > 1:
        return f"{item.nodeid}: the marker eval takes one name (got {', '.join(map(repr, marker.args))})"
    if _maximum(marker) is None:
        shown = repr(marker.kwargs["max_score"])
        return f"{item.nodeid}: max_score of the marker eval must be a number above 0 (got {shown})"
    if not isinstance(marker.kwargs.get("gates", ()), (str, list, tuple)):
        shown = repr(marker.kwargs["gates"])
        return f"{item.nodeid}: gates of the marker eval must be a text or a list of texts (got {shown})"
    return _cluster_problem(item, marker.kwargs.get("cluster", "group"))


def _cluster_problem(item: pytest.Item, cluster: object) -> str | None:
    known = parameters(item)
    if cluster == "group" or (isinstance(cluster, str) and cluster in known):
        return None
    return (
        f"{item.nodeid}: cluster of the marker eval must be 'group' or a parameter of the test (got "
        f"{cluster!r}; its parameters: {', '.join(known) or 'none'})"
    )


def _maximum(marker: pytest.Mark) -> float | None:
    """Return the maximum of a score that a marker gives, None where it is no number above 0."""
    value = marker.kwargs.get("max_score", 1.0)
    usable = isinstance(value, (int, float)) and math.isfinite(value) and value > 0
    return float(value) if usable else None


def forked_problem(items: Iterable[pytest.Item]) -> str | None:
    """What is wrong where pytest-forked gives one of these items, which ask a model, a process of its own.

    The requests of a run are made in a thread, and a forked process has none of its parent's threads: the
    test would wait for ever.
    """
    for item in items:
        if not item.config.pluginmanager.hasplugin("pytest_forked"):
            return None
        if item.config.getoption("forked", False):
            return f"--forked: {item.nodeid} asks a model, which a forked test cannot do; leave out --forked"
        if item.get_closest_marker("forked") is not None:
            return (
                f"{item.nodeid} asks a model, which a forked test cannot do; remove its mark `forked`, or "
                "leave pytest-forked out with -p no:pytest_forked"
            )
    return None


def recorder(item: pytest.Item) -> Recorder:
    """The one recorder of an item."""
    if _RECORDER not in item.stash:
        marker = item.get_closest_marker("eval")
        maximum = _maximum(marker) if marker else None
        item.stash[_RECORDER] = Recorder(1.0 if maximum is None else maximum)  # a wrong one ends the run
    return item.stash[_RECORDER]


def drop_recorder(item: pytest.Item) -> None:
    """If the item is run again, it records anew."""
    if _RECORDER in item.stash:
        del item.stash[_RECORDER]


def can_run_ahead(item: pytest.Item) -> bool:
    """Whether the test needs nothing but parameters and our own fixtures, and will surely be run."""
    if not isinstance(item, pytest.Function) or not is_eval_test(item):
        return False
    if any(item.get_closest_marker(name) for name in WAITING_MARKERS):
        return False
    config = item.config
    if config.getoption("setuponly", False) or config.getoption("setupplan", False):
        return False
    asked = set(_argument_names(item))
    return all(
        _is_ours_or_parameter(item, name) if name in asked else _is_harmless(item, name)
        for name in item.fixturenames
    )


def arguments(item: pytest.Function, ours: Callable[[str], Any]) -> dict[str, Any]:
    """The arguments of a test that can run ahead; `ours` gives the value of one of our fixtures."""
    given = parameters(item)
    return {
        name: ours(name) if _fixture_module(item, name) == PLUGIN_MODULE else given[name]
        for name in _argument_names(item)
    }


def parameters(item: pytest.Item) -> dict[str, Any]:
    """Return the values of the test's parameters by name."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


def _argument_names(item: pytest.Function) -> tuple[str, ...]:
    return tuple(item._fixtureinfo.argnames)


def _fixture(item: pytest.Function, name: str) -> Any:
    """The function of the fixture that the item would get under this name; None where there is none."""
    definitions = item._fixtureinfo.name2fixturedefs.get(name)
    return definitions[-1].func if definitions else None


def _fixture_module(item: pytest.Function, name: str) -> str:
    return str(getattr(_fixture(item, name), "__module__", ""))


def _is_ours_or_parameter(item: pytest.Function, name: str) -> bool:
    function = _fixture(item, name)
    if getattr(function, "__module__", None) == PLUGIN_MODULE:
        return True
    return name in parameters(item) and getattr(function, "__name__", None) == DIRECT_PARAMETER


def _is_harmless(item: pytest.Function, name: str) -> bool:
    """Whether a fixture that isn't an argument (autouse, usefixtures) belongs to an installed plugin.

    One of a conftest or of the test's own module may prepare what the test relies on; a built-in
    benchmark relies on nothing of the folder that it is run in.
    """
    if name == "request" or item.getparent(BenchmarkModule):  # our own fixtures ask for a request
        return True
    module = _fixture_module(item, name)
    own = {"", item.module.__name__}
    return module not in own and module.split(".")[0] != "_pytest" and not module.endswith("conftest")
