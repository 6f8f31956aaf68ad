"""The public names, the exceptions, and what importing the plugin costs."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import pytest_instructlab_eval
from pytest_instructlab_eval import errors

PACKAGE = Path(pytest_instructlab_eval.__file__).parent
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith(".plugin")])
def test_a_module_says_what_is_public_and_has_it(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        pytest.skip("needs the extra `local`")
    assert all(hasattr(module, public) for public in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def test_the_tree_in_the_docstring_has_every_exception_under_its_parent() -> None:
    tree: dict[str, str] = {}
    path: list[str] = []
    for line in str(errors.__doc__).splitlines():
        found = re.match(r"^([│├└─ ]*)([A-Z]\w+)(?:  |$)", line)
        if found:
            depth = len(found.group(1)) // 4
            del path[depth:]
            tree[found.group(2)] = path[-1] if path else "Exception"
            path.append(found.group(2))
    own = inspect.getmembers(errors, inspect.isclass)
    assert tree == {name: kind.__bases__[0].__name__ for name, kind in own}
    assert sorted(tree) == errors.__all__


def test_a_model_error_has_its_prompt_and_status() -> None:
    error = errors.ModelError("no", prompt="Why?", status=400)
    assert (str(error), error.prompt, error.status) == ("no", "Why?", 400)
    assert (errors.ModelError("no").prompt, errors.ModelError("no").status) == ("", None)


def test_the_plugin_is_an_entry_point_of_pytest() -> None:
    names = {point.value for point in entry_points(group="pytest11")}
    assert "pytest_instructlab_eval.plugin" in names


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    program = (
        "import sys; import pytest_instructlab_eval.plugin; "
        "print(sorted({'lm_eval', 'torch', 'datasets', 'aiohttp', 'xdist', 'jsonlines', "
        "'tabulate', 'platformdirs', 'git'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
