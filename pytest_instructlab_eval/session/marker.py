"""The marker `eval`: its values, and its problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pytest

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.gates.sentences import close_matches
from pytest_instructlab_eval.session.pytest_internals import parameter_index, parameters
from pytest_instructlab_eval.suites.benchmark import Benchmark
from pytest_instructlab_eval.suites.registry import find_benchmark

NAME = "eval"
KEYWORDS = ("max_score", "group", "cluster", "gates", "content")  # of the marker, beside the benchmark's name


def marked_name(item: pytest.Item) -> str | None:
    """Return the name of the marker's benchmark, None without a marker or a name."""
    if (given := marked_benchmark(item)) is not None:
        return given.name
    marker = item.get_closest_marker(NAME)
    return str(marker.args[0]) if marker is not None and marker.args else None


def marked_benchmark(item: pytest.Item) -> Benchmark | None:
    """Return the marker's Benchmark, None where it has only a name."""
    marker = item.get_closest_marker(NAME)
    given = marker.args[0] if marker is not None and marker.args else None
    return given if isinstance(given, Benchmark) else None


def marked_group(item: pytest.Item) -> str:
    """Return the marker's group; empty without one."""
    return str(_keyword(item, "group", ""))


def marked_cluster(item: pytest.Function) -> str:
    """Return the marker's cluster: the group, or the value of a parameter, named as pytest names it."""
    name, values = _keyword(item, "cluster", ""), parameters(item)
    if name == "group":
        return marked_group(item)
    if not isinstance(name, str) or name not in values:
        return ""  # `marker_problem` reports an invalid one
    value = values[name]
    simple = isinstance(value, (str, int, float, bool))
    return escape_line(str(value)) if simple else f"{name}{parameter_index(item, name)}"


def marked_content(item: pytest.Item) -> object:
    """Return the marker's content, which stands for what the test asks; None without one."""
    return _keyword(item, "content", None)


def marked_gates(item: pytest.Item) -> tuple[str, ...]:
    """Return the gates of the marker: `@pytest.mark.eval("capitals", gates=["capitals >= 0.5"])`."""
    gates = _keyword(item, "gates", ())
    if not isinstance(gates, (list, tuple)):
        return (gates,) if isinstance(gates, str) else ()  # `marker_problem` reports another type
    return tuple(map(str, gates))


def marked_maximum(item: pytest.Item) -> float:
    """Return the maximum of scores that are bare numbers: the marker's, else the benchmark's, else 1."""
    definition = definition_of(item)
    default = 1.0 if definition is None else definition.maximum
    return _maximum(_keyword(item, "max_score", default)) or 1.0  # an invalid one ends the run


def marked_maxima(item: pytest.Item) -> Mapping[str, float]:
    """Return the maxima of the benchmark's metrics, by name; empty where the marker has one for all."""
    definition = definition_of(item)
    if definition is None or _keyword(item, "max_score", None) is not None:
        return {}
    return definition.metrics


def definition_of(item: pytest.Item) -> Benchmark | None:
    """Return the Benchmark that the marker has or names, None where tests alone know it."""
    return marked_benchmark(item) or find_benchmark(marked_name(item) or "")


def marker_problem(item: pytest.Item) -> str | None:
    """Return the problem of the test's marker, such as an unknown keyword or a value of the wrong type."""
    marker = item.get_closest_marker(NAME)
    problem = None if marker is None else _problem_of_marker(marker, list(parameters(item)))
    return None if problem is None else f"{item.nodeid}: {problem}"


def _problem_of_marker(marker: pytest.Mark, parameters: Sequence[str]) -> str | None:
    """Return the problem of a marker of a test with these parameters."""
    unknown = [name for name in marker.kwargs if name not in KEYWORDS]
    if unknown:
        hint = close_matches(unknown[0], KEYWORDS)
        return f"the marker eval has no argument {unknown[0]!r} (known: {', '.join(KEYWORDS)}){hint}"
    if (problem := _name_problem(marker)) is not None:
        return problem
    for keyword, (is_usable, expected) in VALUES.items():
        if keyword in marker.kwargs and not is_usable(value := marker.kwargs[keyword]):
            return f"{keyword} of the marker eval must be {expected} (got {value!r})"
    cluster = marker.kwargs.get("cluster", "group")
    if cluster not in ("group", *parameters):
        return (
            f"cluster of the marker eval must be 'group' or a parameter of the test (got {cluster!r}; its "
            f"parameters: {', '.join(parameters) or 'none'})"
        )
    return None


VALUES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "max_score": (lambda value: _maximum(value) is not None, "a number above 0"),
    "gates": (lambda value: isinstance(value, (str, list, tuple)), "a text or a list of texts"),
    "content": (lambda value: isinstance(value, (str, int)), "a text or a whole number"),
}
"""The marker's keywords whose values are checked by themselves, each with its check and what it expects."""


def _name_problem(marker: pytest.Mark) -> str | None:
    """Return the problem of the marker's name or Benchmark."""
    if len(marker.args) > 1:
        return f"the marker eval takes one name (got {', '.join(map(repr, marker.args))})"
    given = marker.args[0] if marker.args else ""
    if not isinstance(given, (str, Benchmark)):
        return f"the marker eval takes a name or a Benchmark (got {given!r})"
    other = find_benchmark(given.name) if isinstance(given, Benchmark) else None
    if other is None or other is given:
        return None
    return f"the marker eval has a second benchmark named {other.name}; give it another name"


def _keyword(item: pytest.Item, name: str, default: object) -> object:
    marker = item.get_closest_marker(NAME)
    return default if marker is None else marker.kwargs.get(name, default)


def _maximum(value: object) -> float | None:
    """Return the value as a maximum, None where it is not a number above 0."""
    if not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None
