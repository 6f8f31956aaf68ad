"""The rotation of models that cannot all be served at once: what a process that asks them needs.

A folder is what the processes share. Each that asks keeps a file there with its `ProcessState`; the one that
owns the servers (`owner.py`) reads these, swaps servers when nobody can go on without, and writes what
is `ServingState`. With xdist these are the workers and the controller, else one process is both.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.errors import ModelError

POLL = 0.1  # seconds between two looks at what is served, while something is waited for


@dataclasses.dataclass(frozen=True)
class ProcessState:
    """The state of a process: `busy` with served models, or waiting for the models that it `wants`."""

    busy: bool = True
    wants: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ServingState:
    """The URLs of the models that are served, and the reasons why others cannot be."""

    up: Mapping[str, str] = dataclasses.field(default_factory=dict)
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_process_state(folder: Path, process: str) -> ProcessState:
    """Return what a process last said; one that has said nothing has yet to begin, and is waited for."""
    try:
        record = json.loads((folder / f"state-{process}.json").read_text(encoding="utf-8"))
    except OSError:
        return ProcessState()
    return ProcessState(record["busy"], tuple(record["wants"]))


def read_serving_state(folder: Path) -> ServingState:
    """Return what the owner last said."""
    try:
        record = json.loads((folder / "served.json").read_text(encoding="utf-8"))
    except OSError:
        return ServingState()
    return ServingState(record["up"], record["failed"])


def write_serving_state(folder: Path, served: ServingState) -> None:
    """Write what is served."""
    replace_text(folder / "served.json", json.dumps(dataclasses.asdict(served)))


class Rotation:
    """The part of one process: `use` waits until a model is served, and what waits is told to the owner.

    A run (`begin`, `end`) is a piece of work that may yet ask any model; as long as one is under way
    that doesn't wait, the process is busy. `whose` tells the run that a call of `use` belongs to, None
    for a call outside any. Safe to be used from several threads.
    """

    def __init__(
        self, folder: Path, process: str = "main", whose: Callable[[], Hashable | None] = lambda: None
    ) -> None:
        self._folder = folder
        self._process = process
        self._whose = whose
        self._lock = threading.Lock()
        self._runs: set[Hashable] = set()
        self._waiting: Counter[Hashable | None] = Counter()
        self._blocked = 0  # runs that wait
        self._wants: Counter[str] = Counter()
        self._in_use = 0
        self._said: ProcessState | None = None
        self._served = ServingState()
        self._news: asyncio.Event | None = None

    def begin(self, run: Hashable) -> None:
        """Note that a run is under way."""
        with self._lock:
            self._runs.add(run)
            self._blocked += run in self._waiting  # it may have been quicker
            self._say()

    def end(self, run: Hashable) -> None:
        """Note that a run has ended."""
        with self._lock:
            self._runs.discard(run)
            self._blocked -= run in self._waiting
            self._say()

    @asynccontextmanager
    async def use(self, model: str) -> AsyncIterator[str]:
        """Yield the URL of the model once it is served; it stays served as long as the context.

        Raises ModelError where it can't be served.
        """
        url = self._try(model)
        if url is None:
            url = await self._wait(model)
        try:
            yield url
        except ModelError as error:
            reason = self.failure(model)
            if reason is None:
                raise
            raise ModelError(reason, prompt=error.prompt) from None
        finally:
            with self._lock:
                self._in_use -= 1
                self._say()

    def failure(self, model: str) -> str | None:
        """Return why the model can't be served, or no longer; None where it can be."""
        return read_serving_state(self._folder).failed.get(model)

    def _try(self, model: str) -> str | None:
        """Return the URL of the model and count it as in use; None where it is not served now."""
        with self._lock:
            self._in_use += 1
            self._say()
            url = self._served.up.get(model)
            if url is None:
                self._in_use -= 1
                self._say()
        return url

    async def _wait(self, model: str) -> str:
        """Return the URL of the model once it is served; raise ModelError where it will not be."""
        run = self._whose()
        with self._lock:
            self._blocked += run in self._runs and run not in self._waiting
            self._waiting[run] += 1
            self._wants[model] += 1
            self._say()
        try:
            while True:
                if model in self._served.failed:
                    raise ModelError(self._served.failed[model])
                url = self._try(model) if model in self._served.up else None
                if url is not None:
                    return url
                await self._look()
        finally:
            with self._lock:
                self._waiting[run] -= 1
                if not self._waiting[run]:
                    del self._waiting[run]
                    self._blocked -= run in self._runs
                self._wants[model] -= 1
                if not self._wants[model]:
                    del self._wants[model]
                self._say()

    async def _look(self) -> None:
        """Wait for the next look at what is served, which one waiting call does for all."""
        if self._news is not None:
            await self._news.wait()
            return
        self._news = news = asyncio.Event()
        try:
            await asyncio.sleep(POLL)
            with self._lock:
                self._served = read_serving_state(self._folder)
        finally:
            self._news = None
            news.set()

    def _say(self) -> None:
        """Write the state for the owner where it has changed; the caller holds the lock."""
        busy = self._in_use > 0 or len(self._runs) > self._blocked
        state = ProcessState(busy, () if busy else tuple(sorted(self._wants)))
        if state == self._said:
            return
        replace_text(self._folder / f"state-{self._process}.json", json.dumps(dataclasses.asdict(state)))
        self._said = state
        if busy:  # from here to the next change of state, the owner swaps nothing
            self._served = read_serving_state(self._folder)
