"""Results that many wait for and that are made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


class AsyncCache(Generic[K, T]):
    """The results of coroutines by key; one that raises an error is run again for the next who asks."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[T]] = {}

    async def get(self, key: K, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result for a key, which `make` returns where nobody has asked for it."""
        if key not in self._tasks:
            self._tasks[key] = asyncio.ensure_future(make())
        try:
            return await asyncio.shield(self._tasks[key])  # others wait for it too
        except Exception:
            self._tasks.pop(key, None)
            raise
