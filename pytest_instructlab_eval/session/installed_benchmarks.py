"""The files of the benchmarks' test modules, and their names on the command line."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

import pytest

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.session.configuration import asks_for_benchmarks
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import BUILT_IN, benchmark_names, find_benchmark
from pytest_instructlab_eval.suites.selection import selected_benchmarks


def benchmark_module(name: str) -> str:
    """Return the import name of a benchmark's test module."""
    definition = find_benchmark(name)
    assert definition is not None  # noqa: S101  (it is one of the registry)
    return definition.tests or f"pytest_instructlab_eval.benchmarks.test_{name}"


def benchmark_file(name: str) -> Path:
    """Return the file of a benchmark's installed test module; raises ConfigurationError."""
    if name in BUILT_IN.values():
        spec = importlib.util.find_spec("pytest_instructlab_eval.benchmarks")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        checkout = Path(__file__).parents[2] / "benchmarks"  # of the repository, without an installed package
        return Path(folders[0] if folders else checkout) / f"test_{name}.py"
    module, spec = benchmark_module(name), None
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(module)
    path = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if path is None or path.name != f"test_{name}.py":
        raise ConfigurationError(
            f"the tests of the benchmark {name} must be a module called test_{name} (got {module}); correct "
            "or uninstall its package"
        )
    return path


def with_installed_file(argument: str, folder: Path) -> str:
    """Return a benchmark's node id, as pytest shows it, with the path of the installed file.

    Other arguments are returned unchanged, also that of a file in the user's folder.
    """
    file, separator, rest = argument.partition("::")
    name = file.removeprefix("test_").removesuffix(".py")
    if file != f"test_{name}.py" or name not in benchmark_names() or (folder / file).exists():
        return argument
    return f"{benchmark_file(name)}{separator}{rest}"


def collected_arguments(config: pytest.Config, settings: Settings) -> list[str]:
    """Return the files and node ids that the run collects: the user's, and the files of its benchmarks.

    A benchmark of which the user names single tests is not collected whole. Raises ConfigurationError.
    """
    folder = config.invocation_params.dir
    arguments = [with_installed_file(argument, folder) for argument in config.args]
    if not asks_for_benchmarks(config):
        return arguments
    if config.args_source is not config.ArgsSource.ARGS:
        arguments = []
    files = [str(benchmark_file(name)) for name in selected_benchmarks(settings)]
    of_named_tests = {argument.partition("::")[0] for argument in arguments}
    return [*arguments, *(file for file in files if file not in of_named_tests)]
