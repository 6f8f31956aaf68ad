"""What the formats need that may not be installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection


def missing_library(formats: Collection[str]) -> str | None:
    """Return why one of these formats cannot be written: its library is not installed; else None."""
    if "parquet" in formats and importlib.util.find_spec("pyarrow") is None:
        return "parquet needs pyarrow, which is not installed; pip install pyarrow, or export csv"
    return None
