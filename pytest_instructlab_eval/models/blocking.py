"""The blocking form of a model, for plain `def` tests."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Blocking"]


class Blocking:
    """The same object whose coroutine methods wait: `model.chat(...)` without `await`.

    `call` runs a coroutine elsewhere and waits for its result.
    """

    def __init__(self, target: Any, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._target = target
        self._call = call

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        @functools.wraps(attribute)
        def wait(*args: Any, **kwargs: Any) -> Any:
            return self._call(attribute(*args, **kwargs))

        return wait

    def __repr__(self) -> str:
        return f"Blocking({self._target!r})"
