"""The digest of the code that a run's verdict depends on: it has all that is loaded and not installed."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from pytest_instructlab_eval.session.code_digest import code_digest


def loaded(monkeypatch: pytest.MonkeyPatch, name: str, file: str) -> None:
    module = ModuleType(name)
    module.__file__ = file
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("way", ["a file", "a link to a file", "a file in a linked folder"])
def test_the_digest_is_another_one_where_a_loaded_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config, way: str
) -> None:
    real = tmp_path / "real" / "helpers.py"
    real.parent.mkdir()
    real.write_text("LIMIT = 1\n")
    file = real
    if way == "a link to a file":
        file = tmp_path / "linked.py"
        file.symlink_to(real)
    elif way == "a file in a linked folder":
        (tmp_path / "linked").symlink_to(real.parent)
        file = tmp_path / "linked" / real.name
    loaded(monkeypatch, "helpers_of_a_user", str(file))
    before = code_digest(pytestconfig)
    assert code_digest(pytestconfig) == before
    real.write_text("LIMIT = 2\n")
    assert code_digest(pytestconfig) != before


def test_a_link_from_among_the_installed_packages_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    installed, real = tmp_path / "installed", tmp_path / "helpers.py"
    installed.mkdir()
    real.write_text("LIMIT = 1\n")
    (installed / "helpers.py").symlink_to(real)
    paths = {**sysconfig.get_paths(), "purelib": str(installed)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    loaded(monkeypatch, "helpers_of_a_user", str(installed / "helpers.py"))
    before = code_digest(pytestconfig)
    real.write_text("LIMIT = 2\n")
    assert code_digest(pytestconfig) != before


def test_a_module_whose_file_can_be_none_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    before = code_digest(pytestconfig)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    loaded(monkeypatch, "in_a_loop", str(tmp_path / "loop" / "module.py"))
    loaded(monkeypatch, "without_a_name", "nul\0/module.py")
    assert code_digest(pytestconfig) == before
