"""Digests of the tests of a run and of the code that runs them, for --eval-reuse-verdict."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from pytest_instructlab_eval.records.run_inputs import file_digest
from pytest_instructlab_eval.session.installed_benchmarks import benchmark_file
from pytest_instructlab_eval.session.items import BenchmarkModule, questions_of_item
from pytest_instructlab_eval.suites.registry import BUILT_IN

PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
OURS = __name__.partition(".")[0]
PACKAGE = Path(__file__).parents[1]


def tests_digest(items: Iterable[pytest.Function]) -> str:
    """Return a digest of the tests: their names, and the contents of their questions."""
    lines = []
    for item in items:
        questions = [question for question, _ in questions_of_item(item)]
        contents = [(question.id, question.group, question.content) for question in questions]
        lines.append(repr((item.nodeid, contents)))
    return _digest_of_lines(sorted(lines))


def uninspected_test(items: Iterable[pytest.Function]) -> str | None:
    """Return why some test's verdict may rest on more than its question; None where that is so for none.

    A test of one's own, or of an installed package, may read files, ask services and call any code.
    """
    for item in items:
        questions = questions_of_item(item)
        of_ours = all(benchmark.name in BUILT_IN.values() for _, benchmark in questions)
        if not (questions and of_ours and item.getparent(BenchmarkModule)):
            return f"{item.nodeid} is not a test of a built-in benchmark, and may read more than its question"
        if any(question.content is None for question, _ in questions):
            return f"the questions of {item.nodeid} are not known before they are asked"
    return None


def code_digest(config: pytest.Config) -> str:
    """Return a digest of the code that runs the tests.

    That is this package, the names and versions of all installed ones, the ini file, and each loaded module
    that is not of an installed package or of Python, such as a conftest and what it imports.
    """
    packages = {f"{found.name}=={found.version}" for found in importlib.metadata.distributions()}
    # Only a process that collects has loaded the last of these: xdist's controller has not.
    tests = [*map(benchmark_file, BUILT_IN.values()), PACKAGE.parent / "conftest.py"]
    own = set(_files([*tests, config.inipath]))
    is_installed = functools.cache(_folders_of_packages())  # thousands of modules are in hundreds of folders
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)  # a module may lack it, or be any object
        # This package's modules are left out, since not every process of a run has loaded the same ones.
        if not isinstance(file, str) or name.partition(".")[0] == OURS:
            continue
        if os.path.islink(file) or not is_installed(os.path.dirname(file)):
            own.update(path for path in _files([Path(file)]) if not is_installed(str(path.parent)))
    files = {*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.json"), *own}
    contents = [f"{path.name} {file_digest(path)}" for path in sorted(files)]
    return _digest_of_lines([sys.version, *sorted(packages), *contents])


def _folders_of_packages() -> Callable[[str], bool]:
    """Return what tells whether a folder is of Python or of installed packages."""
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = [Path(paths[name]).resolve() for name in names]

    def is_installed(folder: str) -> bool:
        try:
            path = Path(folder).resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links, or no name of a folder
            return False
        within = any(path.is_relative_to(one) for one in installed)
        return within or not PACKAGE_FOLDERS.isdisjoint(path.parts)

    return is_installed


def _files(paths: Sequence[Path | None]) -> list[Path]:
    return [path.resolve() for path in paths if path is not None and path.is_file()]


def _digest_of_lines(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()
