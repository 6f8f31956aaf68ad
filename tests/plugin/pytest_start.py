"""What each run of pytest does at its start whatever it runs, done before runs are forked.

Half of a small run is that start: pytest registers its own plugins, and looks in each plugin at every name
for hooks and for fixtures. A run whose command line leaves one of pytest's own plugins out starts as usual.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import inspect
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import _pytest._code.code
import _pytest.config
import _pytest.fixtures
import pluggy._manager
from _pytest._code.source import Source, getstatementrange_ast
from _pytest.config import Config, _iter_rewritable_modules, default_plugins, get_config

# What tracebacks of failed tests and of interrupted runs pass through.
SHOWN = (
    "_pytest.capture", "_pytest.logging", "_pytest.main", "_pytest.python", "_pytest.runner",
    "_pytest.skipping", "_pytest.terminal", "_pytest.unittest", "_pytest.warnings",
    "pluggy._caller", "pluggy._execution", "pluggy._manager", "concurrent.futures._base", "threading",
    *(f"pytest_instructlab_eval.session.{name}" for name in ("engine", "execution", "outcomes", "run_end")),
)  # fmt: skip
PACKAGES = ("_pytest", "pytest", "xdist", "platformdirs", "pytest_instructlab_eval")


def prepare() -> None:
    """Do it, in this process and so in those that are forked from it."""
    known = _fixture_holders()

    def names(holder: object) -> list[str]:
        found = known.get(holder if isinstance(holder, ModuleType) else type(holder))
        return dir(holder) if found is None else found

    vars(_pytest.fixtures)["dir"] = names
    vars(pluggy._manager)["dir"] = _hook_names
    _pytest.config.get_config = _Prepared().config
    modules_of = functools.cache(lambda files: list(_iter_rewritable_modules(files)))
    vars(_pytest.config)["_iter_rewritable_modules"] = lambda files: modules_of(tuple(files))
    for distribution in importlib.metadata.distributions():
        if any(entry.group == "pytest11" for entry in distribution.entry_points):
            modules_of(tuple(str(file) for file in distribution.files or ()))
    vars(_pytest._code.code)["getstatementrange_ast"] = _statement_of_a_parsed_file
    for name in SHOWN:
        _statement_of_a_parsed_file(0, Source(inspect.getsource(sys.modules[name])))


_trees: dict[str, ast.AST] = {}


def _statement_of_a_parsed_file(
    lineno: int, source: Source, assertion: bool = False, astnode: ast.AST | None = None
) -> tuple[ast.AST, int, int]:
    """Return what pytest's own function does, which parses each file for each failure that it shows."""
    text = str(source)
    found = getstatementrange_ast(lineno, source, assertion, astnode or _trees.get(text))
    _trees[text] = found[0]
    return found


class _Prepared:
    """A configuration with pytest's own plugins, for the first run of a process."""

    def __init__(self) -> None:
        self._config: Config | None = get_config()

    def config(
        self,
        args: Iterable[str] | None = None,
        plugins: Sequence[str | object] | None = None,
        **rest: str | None,
    ) -> Config:
        """Return what pytest's own `get_config` would make of the arguments."""
        arguments = list(args or ())
        config, self._config = self._config, None
        if config is None or os.environ.get("PYTEST_DEBUG") or _without_a_default(arguments):
            return get_config(arguments, plugins, **rest)
        config.invocation_params = Config.InvocationParams(args=arguments, plugins=plugins, dir=Path.cwd())
        if prog := rest.get("prog"):
            config._parser.prog = prog
        config.pluginmanager.consider_preparse(arguments, exclude_only=True)
        return config


def _without_a_default(arguments: Sequence[str]) -> bool:
    """Return whether an argument may leave out one of pytest's own plugins, as `-p no:terminal` does."""
    return any(f"no:{name}" in argument for argument in arguments for name in default_plugins)


def _hook_names(plugin: object) -> list[str]:
    """Return the names that are looked at for hooks: pytest skips all that begin otherwise."""
    return [name for name in dir(plugin) if name.startswith("pytest_")]


def _fixture_holders() -> dict[object, list[str]]:
    """Return the names of the fixtures of each imported module and class that may be a plugin.

    Pytest looks at each of a plugin's names, some 2,500 in all, and finds a few in a few modules.
    """
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in PACKAGES]
    values = (value for module in modules for value in vars(module).values())
    classes = {value for value in values if isinstance(value, type) and value.__module__ in sys.modules}
    return {holder: _fixtures_of(holder) for holder in (*modules, *classes)}


def _fixtures_of(holder: object) -> list[str]:
    kind = _pytest.fixtures.FixtureFunctionDefinition
    return [name for name in dir(holder) if isinstance(inspect.getattr_static(holder, name, None), kind)]
