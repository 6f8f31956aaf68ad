"""All that is taken from pytest's private parts, each under a name of ours: a change is met in one place.

`tests/unit/test_pytest_internals.py` holds each to the form that is expected here, and says which release of
pytest has changed it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

import pytest
from _pytest.compat import NOTSET

if TYPE_CHECKING:
    import argparse

DIRECT_PARAMETER = "get_direct_param_fixture_func"  # what pytest makes of a parameter that is no fixture


# --- an item ---


def parameters(item: pytest.Item) -> dict[str, object]:
    """Return the values of a test's parameters by name; empty where it has none."""
    callspec = getattr(item, "callspec", None)  # an item without parameters has no such attribute
    return dict(callspec.params) if callspec is not None else {}


def parameters_id(item: pytest.Function) -> str:
    """Return what stands in brackets in the name of a test; empty where it has no parameters."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.id) if callspec is not None else ""


def parameter_index(item: pytest.Function, name: str) -> int:
    """Return which of its parameter's values a test has, from 0."""
    return item.callspec.indices[name]


def is_without_question(value: object) -> bool:
    """Return whether pytest put this in place of a parameter that has no value, to skip the test."""
    return value is NOTSET


def argument_names(item: pytest.Function) -> tuple[str, ...]:
    """Return the names of the fixtures and parameters that a test's function takes."""
    return tuple(item._fixtureinfo.argnames)


def requesting_item(request: pytest.FixtureRequest) -> pytest.Item:
    """Return the test for which a fixture is made, though a parameter may make it the session's."""
    item: pytest.Item = request._pyfuncitem
    return item


def fixture_names(item: pytest.Item) -> tuple[str, ...]:
    """Return the names of all fixtures of an item, those that it doesn't name itself too."""
    return tuple(getattr(item, "fixturenames", ()))  # items of other plugins may have none


def fixture_function(item: pytest.Function, name: str) -> Callable[..., object] | None:
    """Return the function of the fixture that a test gets under this name, None where there is none."""
    definitions = item._fixtureinfo.name2fixturedefs.get(name)
    return definitions[-1].func if definitions else None


def is_direct_parameter(function: Callable[..., object] | None) -> bool:
    """Return whether a fixture's function is what pytest makes of a parameter that is no fixture."""
    return getattr(function, "__name__", None) == DIRECT_PARAMETER


def is_of_pytest(module: str) -> bool:
    """Return whether a module of this name is a part of pytest itself."""
    return module.split(".", maxsplit=1)[0] == "_pytest"


# --- a run ---


def early_options(config: pytest.Config) -> argparse.Namespace:
    """Return the options as far as they are known before any conftest file is loaded."""
    return config.known_args_namespace


def last_failed_ids(config: pytest.Config) -> set[str]:
    """Return the node ids of the tests that failed in the run before, as `--lf` knows them."""
    plugin = config.pluginmanager.getplugin("lfplugin")
    return set(map(str, plugin.lastfailed)) if plugin is not None else set()  # parsed from pytest 9.2 on


def log_handlers(config: pytest.Config) -> list[logging.Handler]:
    """Return the handlers by which pytest collects the log records of the item at hand."""
    plugin = config.pluginmanager.getplugin("logging-plugin")
    return [] if plugin is None else [plugin.caplog_handler, plugin.report_handler]


# --- the terminal ---


def terminal_reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    """Return what writes to the terminal, None where nothing does, as in xdist's workers."""
    found: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    return found


def terminal_file(config: pytest.Config) -> TextIO:
    """Return the file behind the terminal, for what its writer must not count as a part of a line."""
    return config.get_terminal_writer()._file


def uncaptured_output(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    """Return a context in which output reaches the terminal while a test's own is being captured."""
    manager = config.pluginmanager.getplugin("capturemanager")
    found: contextlib.AbstractContextManager[None] = (
        contextlib.nullcontext() if manager is None else manager.global_and_fixture_disabled()
    )
    return found
