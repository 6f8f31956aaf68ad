"""A model that this process is to load is a folder, on the hub or in its cache, or the run ends at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.serving import check_sources
from pytest_instructlab_eval.settings import Settings

hub = pytest.importorskip("huggingface_hub", reason="install the extra `local`")


def check(monkeypatch: pytest.MonkeyPatch, answer: Exception | None, **settings: Any) -> None:
    def model_info(self: object, name: str, timeout: float) -> None:
        if answer is not None:
            raise answer

    monkeypatch.setattr(hub.HfApi, "model_info", model_info)
    chosen = Settings(**{"model": ("granite-7b-lab",), "serve": "local", **settings})
    check_sources(chosen, chosen.hosted)


def test_a_model_on_the_hub_or_in_its_cache_or_in_a_folder_can_be_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check(monkeypatch, None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--instructlab--granite-7b-lab" / "snapshots").mkdir(parents=True)
    check(monkeypatch, ConnectionError("no network"))
    folder = model_folder(tmp_path / "granite")
    check(monkeypatch, ConnectionError("no network"), model=(str(folder),))


def model_folder(folder: Path, **files: bytes) -> Path:
    """A folder that looks like a model's, but for the files that are given: empty ones are left out."""
    folder.mkdir()
    usual = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}"}
    for name, content in {**usual, **files}.items():
        if content:
            (folder / name).write_bytes(content)
    return folder


PICKLED = {"model.safetensors": b"", "pytorch_model.bin": b"no archive"}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"tokenizer.json": b""}, "it has no tokenizer"),
        ({"model.safetensors": b""}, "it has no weights"),
        ({"config.json": b'{"model_type": "lla'}, r"config\.json is not a JSON object"),
        ({"config.json": b"[]"}, r"config\.json is not a JSON object"),
        ({"config.json": b"[" * 100_000}, r"config\.json is not a JSON object"),
        ({"config.json": b"\xff"}, r"config\.json is not a JSON object"),
        (PICKLED, r"pytorch_model\.bin has no readable weights; .* as safetensors"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_refused_before_the_first_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    folder = model_folder(tmp_path / "granite", **files)
    with pytest.raises(ConfigurationError, match=f"^--eval-model: .*{says}"):
        check(monkeypatch, None, model=(str(folder),))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "--eval-model: granite-7b-lab is not a folder here, and {}; if a server has it, "),
        ({"judge_model": ("j",), "base_url": ("http://h/v1",)}, ""),
        (
            {"stage": "judge", "judge_model": ("j",)},
            "--eval-judge-model: j is .*{}; .* --eval-judge-base-url",
        ),
        ({"base_model": "b", "base_url": ("http://h/v1",)}, ""),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_option_that_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    if not says:
        check(monkeypatch, ConnectionError("no network"), **settings)
        return
    why = r"the hub cannot be reached \(ConnectionError\)"
    with pytest.raises(ConfigurationError, match=says.format(why)):
        check(monkeypatch, ConnectionError("no network"), **settings)


def test_a_name_that_no_hub_can_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigurationError,
        match="my model is not a folder here, and a model on the hub cannot have this name",
    ):
        check(monkeypatch, None, model=("my model",))
