"""The identity of a model that the run serves: its files say which it is, and how it is served."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.serving.hosted_identity import hosted_identity
from pytest_instructlab_eval.settings import Settings


def weights(folder: Path, text: str = "weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_text(text)
    (folder / "config.json").write_text("{}")
    return folder


def identity(tmp_path: Path, name: object, **options: object) -> ModelIdentity:
    settings = Settings(model=(str(name),), serve="local", **options)  # type: ignore[arg-type]
    return hosted_identity(settings, str(name), tmp_path / "cache")


def test_the_same_files_are_the_same_model_wherever_they_are(tmp_path: Path) -> None:
    first = identity(tmp_path, weights(tmp_path / "one"))
    second = identity(tmp_path, weights(tmp_path / "two"))
    assert first.digest is not None
    assert first.digest == second.digest
    assert first.without_fingerprint is None


def test_other_weights_in_the_same_folder_are_another_model(tmp_path: Path) -> None:
    before = identity(tmp_path, weights(tmp_path / "one"))
    after = identity(tmp_path, weights(tmp_path / "one", "other weights"))
    assert after.difference(before) is not None
    assert not after.is_same(before)


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    unknown = identity(tmp_path, "org/nowhere")
    assert unknown.digest is None
    assert unknown.without_fingerprint == "its files are not in a folder here that could be read"


@pytest.mark.parametrize("offline", [True, False])
def test_a_copy_in_the_hubs_cache_counts_only_where_it_is_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    model = tmp_path / "hub/models--org--tiny"
    weights(model / "snapshots/abc")
    (model / "refs").mkdir()
    (model / "refs/main").write_text("abc")
    found = identity(tmp_path, "org/tiny")
    assert (found.digest is not None) == offline


def test_the_servers_arguments_belong_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pytest_instructlab_eval.serving.hosted_identity.serving_way", lambda settings: "vllm"
    )
    folder = weights(tmp_path / "one")
    plain, short, quantised = (
        identity(tmp_path, folder, vllm_args=args)
        for args in (None, "--max-model-len 4096", "--quantization fp8")
    )
    assert not quantised.is_same(plain)
    assert quantised.difference(short) is not None
