"""File names for models, whatever they are called."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from pathlib import Path

LONGEST_NAME = 120  # bytes; file systems end at 255
MOST_PARTS = 8  # so that a path of the longest parts is one that systems take
OF_WINDOWS = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)  # devices there
FILE_LIKE = re.compile(r"\.(?=(?:jsonl)?$)", re.IGNORECASE)  # a folder so called could be a model's file


def safe_name(name: str) -> str:
    """Return a file name for a model: never in another folder, hidden, a device, or too long.

    Characters other than letters, digits, "-", "_" and "." are percent-encoded.
    """
    encoded = urllib.parse.quote(name.encode("utf-8", "replace"), safe="").replace("~", "%7E")
    if encoded.startswith(".") or OF_WINDOWS.match(encoded):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if len(encoded) > LONGEST_NAME:
        encoded = (
            encoded[: LONGEST_NAME - 17]
            + "-"
            + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
        )
    return encoded or "%00"


def file_of(name: str, suffix: str) -> Path:
    """Return a model's or judge's file below the folder of its kind; a slash in the name is one in the path.

    So InstructLab has it: `instructlab/granite-7b-lab.jsonl`. Each part is made safe by itself.
    """
    *folders, last = name.split("/")
    if len(folders) >= MOST_PARTS:
        return Path(f"{safe_name(name)}{suffix}")
    safe = (FILE_LIKE.sub("%2E", safe_name(part)) for part in folders)
    return Path(*safe, f"{safe_name(last)}{suffix}")


def existing_file(folder: Path, name: str, suffix: str) -> Path:
    """Return where a model's or judge's file is, or should be.

    Files of earlier runs are found too: they have a slash in the name percent-encoded.
    """
    location, earlier = folder / file_of(name, suffix), folder / f"{safe_name(name)}{suffix}"
    return earlier if earlier.is_file() and not location.is_file() else location
