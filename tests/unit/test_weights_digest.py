"""The digest of a model's folder: of its contents, and not read again while they stay as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_instructlab_eval.models import weights_digest
from pytest_instructlab_eval.models.weights_digest import CACHE_FILE, SETTLED, folder_digest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def make_model(folder: Path, weights: str = "w") -> Path:
    (folder / ".cache").mkdir(parents=True)
    for name, text in (("model.safetensors", weights), ("tokenizer.json", "{}"), ("README.md", "old")):
        write_settled(folder / name, text)
    return folder


def write_settled(path: Path, text: str) -> None:
    """Write a file as if that had been some seconds ago."""
    path.write_text(text)
    before = path.stat().st_mtime_ns - 2 * SETTLED
    os.utime(path, ns=(before, before))


def test_equal_contents_have_one_digest_wherever_they_are(model: Path, tmp_path: Path) -> None:
    digest = folder_digest(model, tmp_path)
    assert digest is not None
    assert digest.startswith("sha256:")
    assert folder_digest(make_model(tmp_path / "copy"), tmp_path) == digest
    assert folder_digest(make_model(tmp_path / "other", "v"), tmp_path) != digest
    write_settled(model / "README.md", "new")
    write_settled(model / ".cache/x.json", "1")
    assert folder_digest(model, tmp_path) == digest
    (model / "tokenizer.json").rename(model / "tokenizer.model")
    assert folder_digest(model, tmp_path) != digest


def test_files_that_are_as_they_were_are_not_read_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, opened = folder_digest(model, tmp_path), []
    real = Path.open

    def open_it(path: Path, *args: str, **more: str) -> object:
        opened.append(path.name)
        return real(path, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", open_it)
    assert folder_digest(model, tmp_path) == digest
    assert not {"model.safetensors", "tokenizer.json"} & {*opened}
    write_settled(model / "model.safetensors", "x")
    assert folder_digest(model, tmp_path) != digest
    assert "model.safetensors" in opened
    assert "tokenizer.json" not in opened


def test_a_file_of_a_moment_ago_is_read_again(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").write_text("a")
    state = (model / "model.safetensors").stat()
    first = folder_digest(model, tmp_path)
    (model / "model.safetensors").write_text("b")
    os.utime(model / "model.safetensors", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert folder_digest(model, tmp_path) != first


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": [1, 2]}', "\xff", '{"a": [[1, 2, "x"], 3]}', "[" * 9000]
)
def test_a_damaged_cache_is_no_cache(model: Path, tmp_path: Path, text: str) -> None:
    digest = folder_digest(model, tmp_path / "clean")
    (tmp_path / CACHE_FILE).write_text(text, "latin-1")
    assert folder_digest(model, tmp_path) == digest


def test_no_folder_and_no_place_for_the_cache(model: Path, tmp_path: Path) -> None:
    assert folder_digest(tmp_path / "none", tmp_path) is None
    (tmp_path / "empty").mkdir()
    assert folder_digest(tmp_path / "empty", tmp_path) is None
    (tmp_path / "file").write_text("")
    assert folder_digest(model, tmp_path / "file") == folder_digest(model, tmp_path)
    assert weights_digest.READERS > 1
