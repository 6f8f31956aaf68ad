"""Where the benchmarks' test modules are, and how the command line names them."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.suites.registry import BUILT_IN, benchmark_names, find_benchmark


def benchmark_module(name: str) -> str:
    """Return the test module of a benchmark, as it is imported."""
    known = find_benchmark(name)
    assert known is not None  # noqa: S101  (it is one of the registry)
    return known.tests or f"pytest_instructlab_eval.benchmarks.test_{name}"


def benchmark_file(name: str) -> Path:
    """Return the installed test module of a benchmark; raises ConfigurationError."""
    if name in BUILT_IN.values():
        spec = importlib.util.find_spec("pytest_instructlab_eval.benchmarks")
        places = list(spec.submodule_search_locations or ()) if spec else []
        checkout = Path(__file__).parents[2] / "benchmarks"  # found first where pytest runs in one
        return Path(places[0] if places else checkout) / f"test_{name}.py"
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
    """Return the node id of a benchmark, as pytest shows it, with the file's real path.

    Any other argument stays as it is, and so does one of a file that the folder has itself.
    """
    file, separator, rest = argument.partition("::")
    name = file.removeprefix("test_").removesuffix(".py")
    if file != f"test_{name}.py" or name not in benchmark_names() or (folder / file).exists():
        return argument
    return f"{benchmark_file(name)}{separator}{rest}"
