"""How a run is shared among processes: the budget, what a process has queued, and signs between them."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterable
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
    """Return this process's share of a budget of requests: at least one, and together no more than it.

    Where there are more workers than budget, each still gets one.
    """
    count = worker_count(config)
    share, rest = divmod(budget, count)
    if is_worker(config):
        share += worker_number(config) % count < rest
    return max(1, share)


def look_ahead_window(budget: int) -> int:
    """Return how many items to have under way for a budget of requests: enough to bridge uneven latencies."""
    return 2 * budget


def wait_for_outputs(nodes: Iterable[WorkerNode], seconds: float) -> None:
    """After Ctrl-C, which workers get too: give those that live time to hand over what they had scored."""
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

    def ahead(self, item: pytest.Item, nextitem: pytest.Item | None, limit: int) -> Iterable[pytest.Item]:
        """Return the items within `limit` places after `item` that weren't given before."""
        position = self._position.get(id(item))
        if position is None:
            return ()
        start, self._next = max(self._next, position + 1), max(self._next, position + 1 + limit)
        return self._items[start : self._next]


class WorkerQueue:
    """The items that xdist has queued in this worker; where it can't be read, the next one alone."""

    def __init__(self, items: list[pytest.Item], interactor: object) -> None:
        self._items = items
        self._interactor = interactor

    def ahead(self, item: pytest.Item, nextitem: pytest.Item | None, limit: int) -> Iterable[pytest.Item]:
        """Return the next item and what is queued behind it, `limit` in all."""
        if limit <= 0:
            return []
        following = [] if nextitem is None else [nextitem]
        with contextlib.suppress(IndexError):
            following += [self._items[index] for index in queued_items(self._interactor, limit - 1)]
        return following


def worker_queue(session: pytest.Session) -> LocalQueue | WorkerQueue:
    """Return the queue that this process's items come from."""
    if not is_worker(session.config):
        return LocalQueue(session.items)
    return WorkerQueue(session.items, interactor(session.config))


class Signs:
    """Files in a folder that the controller makes and that workers look for.

    "stop": the failure limit is reached (xdist's workers would run all that they have queued).
    "interrupt": the run was sent SIGTERM.
    "served_model", "judge": a test asks for it.
    "careful": a worker has died; run nothing ahead. A test that kills its process does so before its
    turn, and another is blamed for it; in its turn it is blamed itself.
    """

    KEY = "instructlab_eval_signs"

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @classmethod
    def for_worker(cls, config: pytest.Config) -> Signs:
        """Return the signs that the controller told this worker of; none where there is no controller."""
        folder = worker_input(config).get(cls.KEY)
        return cls(Path(str(folder)) if folder else None)

    def make_folder(self) -> None:
        """Begin to show signs, none of them up, in the process that the others look to."""
        self._folder = Path(tempfile.mkdtemp(prefix="pytest-instructlab-eval-"))

    @property
    def folder(self) -> Path:
        """Where they are shown; what else the processes of a run share can be beside them."""
        assert self._folder is not None  # noqa: S101  (a worker without a controller serves nothing)
        return self._folder

    def tell(self, node: WorkerNode) -> None:
        """Tell a worker that is being started where to look."""
        node.workerinput[self.KEY] = str(self._folder)

    def put_up(self, *names: str) -> None:
        """Show signs to all workers."""
        for name in names if self._folder is not None else ():
            (self.folder / name).touch()

    def leave(self, name: str, record: object) -> None:
        """Leave plain data for the controller."""
        if self._folder is not None:
            replace_text(self._folder / name, json.dumps(record))

    def read(self, name: str) -> object:
        """Return what a worker left under this name, None where nothing was."""
        path = self.folder / name
        found: object = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return found

    def is_up(self, name: str) -> bool:
        """Return whether the sign is shown."""
        return self._folder is not None and (self._folder / name).exists()

    def remove(self) -> None:
        """Leave nothing behind."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
