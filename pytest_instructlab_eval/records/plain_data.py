"""Any data as exact builtins, for JSON and for another process."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from pytest_instructlab_eval.records.packed import Packed

SCALARS: Mapping[type, Callable[..., object]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    int: lambda value: value,
    float: lambda value: value if math.isfinite(value) else None,
    str: lambda value: value if value.isascii() else value.encode("utf-8", "replace").decode(),
}


def plain_data(value: Any) -> Any:
    """Return the same data as exact builtins with encodable text, for JSON and for another process.

    Records become mappings of their fields, numpy's scalars and arrays become numbers and lists, and any
    other type that JSON lacks becomes a text. NaN and infinity become None. A lone surrogate in a text, which
    no UTF-8 file and no xdist worker can carry, becomes a question mark.
    """
    kind = type(value)
    if kind in SCALARS:
        return SCALARS[kind](value)
    if dataclasses.is_dataclass(kind):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    if isinstance(value, Mapping):
        return {plain_data(str(plain_data(key))): plain_data(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, Packed)):
        return [plain_data(entry) for entry in value]
    return plain_data(_plain_scalar(value))


def _plain_scalar(value: Any) -> Any:
    """Return a library's own number, array or text type as a builtin, and any other value as its text."""
    for builtin in (int, float, str):
        if isinstance(value, builtin):
            return builtin.__str__(value) if builtin is str else builtin(value)
    for name in ("tolist", "item"):  # the methods of numpy's and torch's types
        convert = getattr(value, name, None)
        if callable(convert):
            with contextlib.suppress(ValueError, TypeError):
                converted = convert()
                if not isinstance(converted, type(value)):
                    return converted
    return str.__str__(str(value))
