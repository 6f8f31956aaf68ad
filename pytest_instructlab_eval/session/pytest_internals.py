"""The private parts of pytest that this plugin uses, all in this module.

`tests/unit/test_pytest_internals.py` checks each of them, and so shows a change in a release of pytest.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

import pytest
from _pytest.compat import NOTSET

if TYPE_CHECKING:
    import argparse

DIRECT_PARAMETER = "get_direct_param_fixture_func"  # pytest's function for a parameter without a fixture


# --- an item ---


def parameters(item: pytest.Item) -> dict[str, object]:
    """Return the values of a test's parameters by name; empty where it has none."""
    callspec = getattr(item, "callspec", None)  # an item without parameters has no such attribute
    return dict(callspec.params) if callspec is not None else {}


def parameters_id(item: pytest.Function) -> str:
    """Return the text in brackets in a test's name; empty without parameters."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.id) if callspec is not None else ""


def parameter_index(item: pytest.Function, name: str) -> int:
    """Return the index of a test's value of a parameter, from 0."""
    return item.callspec.indices[name]


def is_without_question(value: object) -> bool:
    """Return whether this is pytest's placeholder for a parameter without values, whose test it skips."""
    return value is NOTSET


def argument_names(item: pytest.Function) -> tuple[str, ...]:
    """Return the names of the fixtures and parameters that a test's function takes."""
    return tuple(item._fixtureinfo.argnames)


def requesting_item(request: pytest.FixtureRequest) -> pytest.Item:
    """Return the test that a fixture is made for, even if a parameter gives it session scope."""
    item: pytest.Item = request._pyfuncitem
    return item


def fixture_names(item: pytest.Item) -> tuple[str, ...]:
    """Return the names of all fixtures of an item, direct and indirect."""
    return tuple(getattr(item, "fixturenames", ()))  # items of other plugins may have none


def fixture_function(item: pytest.Function, name: str) -> Callable[..., object] | None:
    """Return the function of the fixture that a test gets under this name, None where there is none."""
    definitions = item._fixtureinfo.name2fixturedefs.get(name)
    return definitions[-1].func if definitions else None


def is_direct_parameter(function: Callable[..., object] | None) -> bool:
    """Return whether a fixture's function is the one that pytest makes for a direct parameter."""
    return getattr(function, "__name__", None) == DIRECT_PARAMETER


def is_of_pytest(module: str) -> bool:
    """Return whether a module of this name is a part of pytest itself."""
    return module.split(".", maxsplit=1)[0] == "_pytest"


# --- a run ---


def early_options(config: pytest.Config) -> argparse.Namespace:
    """Return the options that are known before any conftest file is loaded."""
    return config.known_args_namespace


def last_failed_ids(config: pytest.Config) -> set[str]:
    """Return the node ids of the tests that failed in the last run, from the data of `--lf`."""
    plugin = config.pluginmanager.getplugin("lfplugin")
    return set(map(str, plugin.lastfailed)) if plugin is not None else set()  # parsed from pytest 9.2 on


def log_handlers(config: pytest.Config) -> list[logging.Handler]:
    """Return the handlers with which pytest collects the log records of the current item."""
    plugin = config.pluginmanager.getplugin("logging-plugin")
    return [] if plugin is None else [plugin.caplog_handler, plugin.report_handler]


# --- the terminal ---


def terminal_reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    """Return the terminal reporter, None where there is none, as in xdist's workers."""
    reporter: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    return reporter


def add_junit_properties(config: pytest.Config, properties: Mapping[str, object]) -> None:
    """Add properties of the run as a whole to the file of --junit-xml, if one is written."""
    from _pytest.junitxml import xml_key

    xml = config.stash.get(xml_key, None)
    if xml is not None:
        for name, value in properties.items():
            xml.add_global_property(name, value)


def terminal_file(config: pytest.Config) -> TextIO:
    """Return the terminal's file, for text that its writer must not count as part of the line."""
    return config.get_terminal_writer()._file


def uncaptured_output(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    """Return a context in which output reaches the terminal although pytest captures it."""
    manager = config.pluginmanager.getplugin("capturemanager")
    context: contextlib.AbstractContextManager[None] = (
        contextlib.nullcontext() if manager is None else manager.global_and_fixture_disabled()
    )
    return context
