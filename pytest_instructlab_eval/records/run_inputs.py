"""The inputs of a run, beside its models and settings, as digests: what --eval-reuse-verdict compares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunInputs:
    """Digests of what a verdict depends on.

    `tests` is of the tests and of the contents of their questions, `code` of the files and packages that run
    them, and `baseline` of the baseline's file, None without one. `uninspected` says what the verdict may
    depend on beside these, None where nothing is known.
    """

    tests: str
    code: str
    baseline: str | None = None
    uninspected: str | None = None


def file_digest(path: Path | None) -> str | None:
    """Return the digest of a file's content; None for no file, or one that cannot be read."""
    try:
        return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return None
