"""The distribution of a run among processes: request budgets, queues, and signs between the processes."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.session.xdist_internals import (
    WorkerNode,
    has_ended,
    interactor,
    is_worker,
    queued_items,
    worker_count,
    worker_input,
    worker_number,
)


def divide_budget(budget: int, config: pytest.Config) -> int:
    """Return this process's share of a budget of requests, at least one.

    The shares sum to the budget, unless there are more workers than requests.
    """
    count = worker_count(config)
    share, rest = divmod(budget, count)
    if is_worker(config):
        share += worker_number(config) % count < rest
    return max(1, share)


def look_ahead_window(budget: int) -> int:
    """Return the number of items to run ahead for a budget of requests, enough for uneven latencies."""
    return 2 * budget


def requests_ahead(budget: int) -> int:
    """Return how many requests of tasks may run ahead: they last while the next task is loaded."""
    return 50 * budget


def wait_for_outputs(nodes: Iterable[WorkerNode], seconds: float) -> None:
    """Wait for the results of the live workers, which also got Ctrl-C, for this many seconds at most."""
    deadline = time.monotonic() + seconds
    waiting = list(nodes)
    while waiting and time.monotonic() < deadline:
        waiting = [node for node in waiting if not has_ended(node)]
        time.sleep(0.02)


class LocalQueue:
    """The items of a run without xdist; each is given out once."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self._items = items
        self._position = {id(item): index for index, item in enumerate(items)}
        self._next = 0

    def ahead(self, item: pytest.Item, nextitem: pytest.Item | None, limit: int) -> Iterator[pytest.Item]:
        """Yield the items within `limit` positions after `item` that were not yielded before."""
        position = self._position.get(id(item))
        if position is None:
            return
        self._next = max(self._next, position + 1)
        while self._next < min(position + 1 + limit, len(self._items)):
            self._next += 1
            yield self._items[self._next - 1]


class WorkerQueue:
    """The items that xdist has queued in this worker; only the next one where the queue cannot be read."""

    def __init__(self, items: list[pytest.Item], interactor: object) -> None:
        self._items = items
        self._interactor = interactor

    def ahead(self, item: pytest.Item, nextitem: pytest.Item | None, limit: int) -> Iterator[pytest.Item]:
        """Yield the next item and those queued behind it, `limit` in total."""
        if limit <= 0:
            return
        if nextitem is not None:
            yield nextitem
        with contextlib.suppress(IndexError):
            yield from [self._items[index] for index in queued_items(self._interactor, limit - 1)]


def worker_queue(session: pytest.Session) -> LocalQueue | WorkerQueue:
    """Return the queue of this process's items."""
    if not is_worker(session.config):
        return LocalQueue(session.items)
    return WorkerQueue(session.items, interactor(session.config))


class Signs:
    """Signals between the controller and its workers: files in a folder that the controller makes.

    "stop": the failure limit is reached (xdist's workers would run all of their queue).
    "interrupt": the run received SIGTERM.
    "served_model", "judge": a test requests this fixture.
    "careful": a worker has died; run nothing ahead. A test that kills its process while it runs ahead makes
    pytest blame another test; run in order, it is blamed itself.
    """

    KEY = "instructlab_eval_signs"

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @classmethod
    def for_worker(cls, config: pytest.Config) -> Signs:
        """Return the signs of this worker's controller; signs without a folder if there is no controller."""
        folder = worker_input(config).get(cls.KEY)
        return cls(Path(str(folder)) if folder else None)

    def make_folder(self) -> None:
        """Make the folder, in the controller."""
        self._folder = Path(tempfile.mkdtemp(prefix="pytest-instructlab-eval-"))

    @property
    def folder(self) -> Path:
        """The folder of the signs, which may hold other files that the processes share."""
        assert self._folder is not None  # noqa: S101  (a worker without a controller serves nothing)
        return self._folder

    def tell(self, node: WorkerNode) -> None:
        """Send the folder to a worker that is being started."""
        node.workerinput[self.KEY] = str(self._folder)

    def put_up(self, *names: str, why: str = "") -> None:
        """Show these signs to all processes, with a reason if there is one."""
        for name in names if self._folder is not None else ():
            if why:
                replace_text(self.folder / name, why)
            else:
                (self.folder / name).touch()

    def why(self, name: str) -> str:
        """Return the reason of a sign; empty where it is down, or has none."""
        with contextlib.suppress(OSError):
            if self._folder is not None:
                return (self._folder / name).read_text("utf-8")
        return ""

    def leave(self, name: str, record: object) -> None:
        """Write plain data for the other processes under this name."""
        if self._folder is not None:
            replace_text(self._folder / name, json.dumps(record))

    def read(self, name: str) -> object:
        """Return the data that another process wrote under this name, None where there is none."""
        if self._folder is None:
            return None
        path = self.folder / name
        data: object = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return data

    def is_up(self, name: str) -> bool:
        """Return whether the sign is up."""
        return self._folder is not None and (self._folder / name).exists()

    def remove(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
