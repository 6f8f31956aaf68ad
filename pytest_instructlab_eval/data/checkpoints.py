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
    parents = [folder, folder / "hf_format"]
    if not folder.is_dir():
        raise ConfigurationError(
            f"--eval-checkpoints: {folder} is not a folder; give the folder of the checkpoints"
        )
    folders = [path.parent for parent in parents for path in parent.glob("*/config.json")]
    if not folders:
        raise ConfigurationError(
            f"--eval-checkpoints: {folder} has no checkpoint (a folder with config.json), nor has its "
            "hf_format; give the folder that the training wrote"
        )
    names = list(map(str, folders))
    # As people sort them: samples_500 before samples_1000.
    names.sort(key=lambda name: [(int(p), "") if p.isdigit() else (-1, p) for p in NUMBER.split(name)])
    return tuple(names)
