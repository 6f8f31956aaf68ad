"""File names for models, whatever they are called."""

from __future__ import annotations

import hashlib
import urllib.parse

__all__ = ["safe_name"]

LONGEST_NAME = 120  # bytes; file systems end at 255


def safe_name(name: str) -> str:
    """A file name for a model: never another folder, never hidden, never too long.

    Characters other than letters, digits, "-", "_" and "." are percent-encoded.
    """
    encoded = urllib.parse.quote(name.encode("utf-8", "replace"), safe="").replace("~", "%7E")
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > LONGEST_NAME:
        encoded = (
            encoded[: LONGEST_NAME - 17]
            + "-"
            + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
        )
    return encoded or "%00"
