"""What the product has that a user can name: read from the code, to be looked for in the reference."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import click
import pytest

import pytest_instructlab_eval
from pytest_instructlab_eval import plugin
from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.gates.figures import FIGURES, MEAN
from pytest_instructlab_eval.options import OPTIONS
from pytest_instructlab_eval.records.evidence import ENTRIES

PACKAGE = Path(pytest_instructlab_eval.__file__).parent


def flags() -> list[str]:
    """Return the options of the command line, in the order of --help: the common ones first."""
    shown = [option for option in OPTIONS if option.places != "ini"]
    return [option.flag for option in sorted(shown, key=lambda option: option.expert)]


def ini_names() -> list[str]:
    """Return the names that the ini file may have."""
    return [name for option in OPTIONS if option.places != "flag" for name in option.names]


def exit_statuses() -> list[str]:
    """Return the exit statuses."""
    return [str(int(status)) for status in pytest.ExitCode]


def commands() -> Mapping[str, click.Command]:
    """Return the commands of `python -m pytest_instructlab_eval` by name."""
    return main.commands


def command_options(name: str) -> dict[str, click.Option]:
    """Return the options of a command by their long names."""
    return {
        max(parameter.opts, key=len): parameter
        for parameter in commands()[name].params
        if isinstance(parameter, click.Option)
    }


def figures() -> list[str]:
    """Return the figures of gates."""
    return [MEAN.name, *FIGURES]


def fixtures() -> list[str]:
    """Return the fixtures of the plugin."""
    kind = type(plugin.judge)
    return [fixture.name or name for name, fixture in vars(plugin).items() if isinstance(fixture, kind)]


def marker_arguments() -> list[str]:
    """Return the arguments of the marker `eval`."""
    signature = plugin.MARKER[: plugin.MARKER.index("):") + 1]
    call = ast.parse(signature, mode="eval").body
    assert isinstance(call, ast.Call)
    names = [argument.id for argument in call.args if isinstance(argument, ast.Name)]
    return [*names, *(str(keyword.arg) for keyword in call.keywords)]


def public_names() -> list[str]:
    """Return the names that benchmarks may import."""
    return list(pytest_instructlab_eval.__all__)


def evidence_entries() -> list[str]:
    """Return the entries of a score's metadata that are the plugin's own."""
    return sorted(ENTRIES)


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a published schema."""
    file = resources.files("pytest_instructlab_eval.records") / f"{name}.schema.json"
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return document


def objects(name: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a schema that have keys of their own, by name; the file itself is ""."""
    result: dict[str, dict[str, Any]] = {}

    def add(where: str, part: dict[str, Any]) -> None:
        if part.get("properties"):
            result[where] = part["properties"]
        for key, inner in part.get("properties", {}).items():
            for nested in (inner, inner.get("items")):
                if isinstance(nested, dict):
                    add(f"{where}.{key}".strip("."), nested)

    document = schema(name)
    add("", document)
    for where, part in document["$defs"].items():
        add(where, part)
    return result


@cache
def sources() -> dict[Path, ast.Module]:
    """Return the modules of the package."""
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of a module; what an f-string computes is an ellipsis."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def all_texts() -> frozenset[str]:
    """Return the texts of all modules."""
    return frozenset(text for tree in sources().values() for text in texts(tree))


def texts_like(pattern: str) -> set[str]:
    """Return the texts of the package that a pattern matches whole."""
    return {text for text in all_texts() if re.fullmatch(pattern, text)}


def environment_variables() -> list[str]:
    """Return the environment variables in the code: texts in capitals that are not names of constants."""
    constants = {
        node.id
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return sorted(texts_like(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+") - constants)


def junit_properties() -> list[str]:
    """Return the properties that tests and gates have in the JUnit file."""
    return sorted(texts_like(r"eval\.[a-z_]+"))
