"""The model to load and how; a folder without a model is refused before anything heavy is imported."""

from __future__ import annotations

import dataclasses
import itertools
import json
import zipfile
from pathlib import Path

from pytest_instructlab_eval.data.text_files import read_text
from pytest_instructlab_eval.errors import ConfigurationError, DataError

HUB_OWNER = "instructlab"  # of a bare name
MOST_BYTES = 2**24  # of config.json, which has some kB
NEEDED = {
    "config.json": ("config.json",),
    "weights (model.safetensors)": ("*.safetensors", "pytorch_model*.bin"),
    "tokenizer (tokenizer.json)": (
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "*.tiktoken"
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A model and how it is to be run; see `LocalModel`."""

    name: str
    device: str | None
    dtype: str | None
    batch_size: int | None
    worker: int
    workers: int

    def source(self) -> str:
        """Return the folder or hub name to load; raises ConfigurationError where a folder is no model."""
        path = Path(self.name).expanduser()
        if path.is_dir():
            if problem := folder_problem(path):
                raise ConfigurationError(problem)
            return str(path)
        if path.exists():
            raise ConfigurationError(f"{self.name} is a file; expected a folder with config.json and weights")
        if path.is_absolute() or self.name.startswith((".", "~")) or self.name.count("/") > 1:
            raise ConfigurationError(
                f"there is no folder {self.name}; give a model's folder or its name on the hub"
            )
        return self.name if "/" in self.name else f"{HUB_OWNER}/{self.name}"


def folder_problem(path: Path) -> str | None:
    """Return why a folder is no model that can be loaded, as far as it shows without loading it."""
    missing = [what for what, patterns in NEEDED.items() if not any(any(path.glob(p)) for p in patterns)]
    if missing:
        return (
            f"{path} is not a model that transformers can load: it has no {', no '.join(missing)}; give a "
            "folder that `save_pretrained` wrote"
        )
    try:
        configuration = json.loads(read_text(path / "config.json", MOST_BYTES))
    except (DataError, ValueError, RecursionError):
        configuration = None
    if not isinstance(configuration, dict):
        return f"{path / 'config.json'} is not a JSON object; copy the model again"
    pickles = [] if any(path.glob("*.safetensors")) else path.glob("pytorch_model*.bin")
    broken = next(itertools.filterfalse(zipfile.is_zipfile, pickles), None)
    if broken is not None:
        return f"{broken} has no readable weights; copy the model again, with weights as safetensors"
    return None
