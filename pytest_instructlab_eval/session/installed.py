"""Where the built-in benchmarks' test modules are, and how the command line names them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pytest_instructlab_eval.suites.registry import NAMES

__all__ = ["benchmark_file", "with_installed_file"]


def benchmark_file(name: str) -> Path:
    """The installed test module of a built-in benchmark."""
    spec = importlib.util.find_spec("pytest_instructlab_eval.benchmarks")
    places = list(spec.submodule_search_locations or ()) if spec else []
    checkout = Path(__file__).parents[2] / "benchmarks"  # found first where pytest runs in one
    return Path(places[0] if places else checkout) / f"test_{name}.py"


def with_installed_file(argument: str, folder: Path) -> str:
    """The node id of a built-in benchmark, as pytest shows it, with the file's real path.

    Any other argument stays as it is, and so does one of a file that the folder has itself.
    """
    file, separator, rest = argument.partition("::")
    name = file.removeprefix("test_").removesuffix(".py")
    if file != f"test_{name}.py" or name not in NAMES or (folder / file).exists():
        return argument
    return f"{benchmark_file(name)}{separator}{rest}"
