"""All that touches pytest-xdist: the kind of distribution, a worker's own queue, stopping, counting."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_instructlab_eval.data.text_files import replace_text

__all__ = [
    "LocalQueue",
    "Signs",
    "WorkerQueue",
    "choose_work_stealing",
    "divide",
    "is_controller",
    "is_worker",
    "look_ahead_window",
    "make_scheduler",
    "wait_for_outputs",
    "worker_id",
    "worker_number",
    "worker_queue",
    "workers",
]


class HasGateway(Protocol):
    """The part of xdist's WorkerController that is used here."""

    workerinput: dict[str, Any]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process was started by xdist to run items."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process hands its items to xdist's workers."""
    return not is_worker(config) and config.pluginmanager.hasplugin("dsession")


def workers(config: pytest.Config) -> int:
    """How many processes share the run: 1 without xdist."""
    if is_worker(config):
        return int(config.workerinput["workercount"])  # type: ignore[attr-defined]
    return max(1, len(getattr(config.option, "tx", None) or ()))


def worker_id(config: pytest.Config) -> str:
    """What xdist calls this worker, "main" in a process that is none."""
    return str(config.workerinput["workerid"]) if is_worker(config) else "main"  # type: ignore[attr-defined]


def worker_number(config: pytest.Config) -> int:
    """The number of this worker from 0, 0 in a process that is none."""
    return int(re.sub(r"\D", "", worker_id(config)) or 0)


def divide(budget: int, config: pytest.Config) -> int:
    """This process's share of a budget of requests: at least one, and together no more than it.

    Where there are more workers than budget, each still gets one.
    """
    count = workers(config)
    share, rest = divmod(budget, count)
    if is_worker(config):
        share += worker_number(config) % count < rest
    return max(1, share)


def look_ahead_window(budget: int) -> int:
    """How many items to have under way for a budget of requests: enough to bridge uneven latencies."""
    return 2 * budget


def choose_work_stealing(config: pytest.Config) -> None:
    """Distribute by work stealing where `-n` is given and no `--dist`.

    So each worker holds its whole share from the start and can look ahead in it. To be called
    before xdist turns a missing `--dist` into "load".
    """
    option = config.option
    if getattr(option, "numprocesses", None) and getattr(option, "dist", None) == "no":
        option.dist = "worksteal"


def wait_for_outputs(nodes: Iterable[Any], seconds: float) -> None:
    """After Ctrl-C, which workers get too: give those that live time to hand over what they had scored."""
    deadline = time.monotonic() + seconds
    waiting = list(nodes)
    while waiting and time.monotonic() < deadline:
        waiting = [
            node
            for node in waiting
            if not hasattr(node, "workeroutput") and not getattr(node, "_down", False)
        ]
        time.sleep(0.02)


class LocalQueue:
    """The items of a run without xdist; each is given out once."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self._items = items
        self._position = {id(item): index for index, item in enumerate(items)}
        self._next = 0

    def ahead(self, item: pytest.Item, nextitem: pytest.Item | None, limit: int) -> Iterable[pytest.Item]:
        """The items within `limit` places after `item` that weren't given before."""
        position = self._position.get(id(item))
        if position is None:
            return ()
        start, self._next = max(self._next, position + 1), max(self._next, position + 1 + limit)
        return self._items[start : self._next]


class WorkerQueue:
    """The items that xdist has queued in this worker; where it can't be read, the next one alone."""

    def __init__(self, items: list[pytest.Item], interactor: Any) -> None:
        self._items = items
        self._interactor = interactor

    def ahead(self, item: pytest.Item, nextitem: pytest.Item | None, limit: int) -> Iterable[pytest.Item]:
        """The next item and what is queued behind it, `limit` in all."""
        if limit <= 0:
            return []
        following = [] if nextitem is None else [nextitem]
        with contextlib.suppress(AttributeError, TypeError, IndexError):
            following += [self._items[index] for index in self._queued(limit - 1)]
        return following

    def _queued(self, limit: int) -> Iterator[int]:
        with self._interactor.torun.lock() as queue:
            head = list(itertools.islice(queue, max(0, limit)))
        return itertools.takewhile(lambda entry: isinstance(entry, int), head)


def worker_queue(session: pytest.Session) -> LocalQueue | WorkerQueue:
    """The queue that this process's items come from."""
    if not is_worker(session.config):
        return LocalQueue(session.items)
    plugins = session.config.pluginmanager.get_plugins()
    interactor = next((plugin for plugin in plugins if type(plugin).__name__ == "WorkerInteractor"), None)
    return WorkerQueue(session.items, interactor)


def make_scheduler(config: pytest.Config, log: Any, window: int) -> Any:
    """A work-stealing scheduler that doesn't steal items which are already under way.

    A worker has `window` items of its queue under way. xdist steals the second half of the longest
    queue, so while that queue is longer than twice the window only items behind it go.
    """
    from xdist.scheduler import WorkStealingScheduling

    class LookAheadScheduling(WorkStealingScheduling):  # type: ignore[misc]
        def check_schedule(self) -> None:
            up = {node: queue for node, queue in self.node2pending.items() if not node.shutting_down}
            longest = max(map(len, up.values()), default=0)
            may_steal = self.pending or self.steal_requested_from_node or longest > 2 * window + 4
            if may_steal:
                super().check_schedule()
                return
            for node, queue in up.items():
                if len(queue) < 2:  # a worker keeps its last item back until it knows what follows
                    node.shutdown()

    return LookAheadScheduling(config, log)


class Signs:
    """Files in a folder that the controller makes and that workers look for.

    "stop": the failure limit is reached (xdist's workers would run all that they have queued).
    "served_model", "judge": a test asks for it.
    "careful": a worker has died; run nothing ahead. A test that kills its process does so before its
    turn, and another is blamed for it; in its turn it is blamed itself.
    """

    KEY = "instructlab_eval_signs"

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def for_controller(cls) -> Signs:
        """None of them up."""
        return cls(Path(tempfile.mkdtemp(prefix="pytest-instructlab-eval-")))

    @classmethod
    def for_worker(cls, config: pytest.Config) -> Signs:
        """The signs that the controller told this worker of; none where there is no controller."""
        folder = getattr(config, "workerinput", {}).get(cls.KEY)
        return cls(Path(folder) if folder else None)

    @property
    def folder(self) -> Path:
        """Where they are shown; what else the processes of a run share can be beside them."""
        assert self._folder is not None  # noqa: S101  (a worker without a controller serves nothing)
        return self._folder

    def tell(self, node: HasGateway) -> None:
        """Tell a worker that is being started where to look."""
        node.workerinput[self.KEY] = str(self._folder)

    def put_up(self, name: str) -> None:
        """Show a sign to all workers."""
        if self._folder is not None:
            (self._folder / name).touch()

    def leave(self, name: str, record: Any) -> None:
        """Leave plain data for the controller."""
        if self._folder is not None:
            replace_text(self._folder / name, json.dumps(record))

    def found(self, name: str) -> Any:
        """What a worker left under this name, None where nothing was."""
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def is_up(self, name: str) -> bool:
        """Whether the sign is shown."""
        return self._folder is not None and (self._folder / name).exists()

    def remove(self) -> None:
        """Leave nothing behind."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
