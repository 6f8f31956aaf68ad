"""The checkpoints in a folder, such as InstructLab's training leaves them."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError

NUMBER = re.compile(r"(\d+)")


def checkpoints(folder: Path) -> tuple[str, ...]:
    """Return the models in a folder, in the order of the numbers in their names.

    Raises ConfigurationError where there are none.
    """
    places = [folder, folder / "hf_format"]
    if not folder.is_dir():
        raise ConfigurationError(
            f"--eval-checkpoints: {folder} is not a folder; name the one of the checkpoints"
        )
    found = [path.parent for place in places for path in place.glob("*/config.json")]
    if not found:
        raise ConfigurationError(
            f"--eval-checkpoints: {folder} has no checkpoint, neither in itself nor in hf_format: a "
            "checkpoint is a folder with a config.json"
        )
    names = list(map(str, found))
    # As people sort them: samples_500 before samples_1000.
    names.sort(key=lambda name: [(int(p), "") if p.isdigit() else (-1, p) for p in NUMBER.split(name)])
    return tuple(names)
