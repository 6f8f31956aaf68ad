"""The checkpoints in a folder, such as InstructLab's training leaves them."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError

__all__ = ["checkpoints"]


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
    return tuple(map(str, sorted(found, key=_by_numbers)))


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    """Return a key by which names are sorted as people do: samples_500 before samples_1000."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
