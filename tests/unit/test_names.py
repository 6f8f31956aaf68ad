"""The public names, the exceptions, and what importing the plugin costs."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import pytest_instructlab_eval
from pytest_instructlab_eval import Scale, errors

PACKAGE = Path(pytest_instructlab_eval.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def top_level(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names_in(path: Path) -> Iterator[str]:
    """Yield the classes and functions that a module defines; Python and pytest choose some names."""
    for node in top_level(path).body:
        name = getattr(node, "name", "")  # of a class or a function
        if name and not name.startswith(("__", "pytest_")):
            yield name


def doubled(names: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for name, path in names:
        places.setdefault(name, []).append(path.relative_to(PACKAGE).as_posix())
    return {name: where for name, where in places.items() if len(where) > 1}


def test_no_two_classes_or_functions_have_one_name() -> None:
    assert doubled((name, path) for path in SOURCES for name in names_in(path)) == {}


def test_no_two_modules_have_one_name() -> None:
    assert doubled((path.stem, path) for path in SOURCES if path.name != "__init__.py") == {}


@pytest.mark.parametrize("name", pytest_instructlab_eval.__all__)
def test_a_public_name_is_there_and_described(name: str) -> None:
    public = getattr(pytest_instructlab_eval, name)
    assert isinstance(public, Scale) or inspect.getdoc(public)


def test_the_public_names_are_listed_once_and_in_order() -> None:
    listed = pytest_instructlab_eval.__all__
    assert len(set(listed)) == len(listed)
    assert sorted(listed, key=lambda name: (not name.isupper(), name)) == listed


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    """What `__getattr__` gives later is imported for type checkers too."""
    imported = {
        alias.name
        for node in ast.walk(top_level(PACKAGE / "__init__.py"))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported - {"import_module", "TYPE_CHECKING"} == set(pytest_instructlab_eval.__all__)


def test_a_name_that_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Endpoint'"):
        pytest_instructlab_eval.Endpoint  # noqa: B018


def listed_names(path: Path) -> list[str] | None:
    """Return a module's `__all__`, None where it has none."""
    for node in top_level(path).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and "__all__" in ast.unparse(node).partition("=")[0]:
            found: list[str] = ast.literal_eval(node.value) if node.value is not None else []
            return found
    return None


def test_inside_only_a_folder_lists_names_those_that_it_imports_from_its_modules() -> None:
    for path in SOURCES:
        listed = listed_names(path)
        if listed is None or path.parent == PACKAGE:
            continue
        assert path.name == "__init__.py", f"{path}: only {PACKAGE.name}.__all__ is public"
        imported = [
            alias.name
            for node in top_level(path).body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        assert sorted(imported) == sorted(listed), path


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
    assert sorted(tree) == sorted(name for name, _ in own)


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
