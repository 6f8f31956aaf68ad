"""The parts of pytest-xdist that this plugin uses, all in this module.

`tests/unit/test_xdist_internals.py` checks each of them, and so shows a change in a release of xdist.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

EVENT = "eval_progress"  # the name of a message of our own in the controller's queue
CRASHED = "???"  # the phase that xdist gives the report of a test whose worker died


class Gateway(Protocol):
    """The connection to a worker; `id` is the worker's."""

    id: str


class WorkerNode(Protocol):
    """A worker in the controller; it receives `workerinput` when it is started."""

    gateway: Gateway
    workerinput: dict[str, object]


# --- this process ---


def worker_input(config: pytest.Config) -> Mapping[str, object]:
    """Return the controller's data for this worker; empty in a process that xdist did not start."""
    data: Mapping[str, object] = getattr(config, "workerinput", {})  # xdist sets it in its workers alone
    return data


def worker_output(config: pytest.Config) -> dict[str, object]:
    """Return the mapping that this worker sends to the controller at its end, to add to."""
    output: dict[str, object] = config.workeroutput  # type: ignore[attr-defined]  # set by xdist
    return output


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process was started by xdist to run items."""
    return bool(worker_input(config))


def is_controller(config: pytest.Config) -> bool:
    """Return whether this process sends its items to xdist's workers; valid after pytest_configure."""
    return not is_worker(config) and config.pluginmanager.hasplugin("dsession")


def worker_count(config: pytest.Config) -> int:
    """Return the number of processes of the run: 1 without xdist."""
    if is_worker(config):
        return int(str(worker_input(config)["workercount"]))
    return max(1, len(getattr(config.option, "tx", None) or ()))  # there is no such option without xdist


def worker_id(config: pytest.Config) -> str:
    """Return the id of this worker, "main" in any other process."""
    return str(worker_input(config).get("workerid", "main"))


def worker_number(config: pytest.Config) -> int:
    """Return the number of this worker from 0, and 0 in any other process."""
    return int(re.sub(r"\D", "", worker_id(config)) or 0)


# --- the queue of a worker ---


def interactor(config: pytest.Config) -> object:
    """Return the plugin with which a worker runs its items, None where there is none."""
    plugins = config.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if type(plugin).__name__ == "WorkerInteractor"), None)


def queued_items(interactor: Any, limit: int) -> list[int]:
    """Return the indexes of the first `limit` items in a worker's queue; none where it cannot be read."""
    with contextlib.suppress(AttributeError, TypeError), interactor.torun.lock() as queue:
        head = itertools.islice(queue, max(0, limit))
        return list(
            itertools.takewhile(lambda entry: isinstance(entry, int), head)
        )  # the end is marked by another type
    return []


# --- workers as the controller sees them ---


def node_output(node: WorkerNode) -> Mapping[str, Any]:
    """Return the data that a worker sent at its end; empty before."""
    output: Mapping[str, Any] = getattr(node, "workeroutput", {})  # xdist sets it when it arrives
    return output


def has_ended(node: WorkerNode) -> bool:
    """Return whether a worker has sent its results, or died."""
    return bool(node_output(node)) or bool(getattr(node, "_down", False))


# --- the loop of the controller ---


def call_in_loop(config: pytest.Config, action: Callable[[], None]) -> Callable[[], None]:
    """Return a function by which any thread lets the controller's loop call an action.

    The loop calls it between two messages of workers, so that nothing else is written meanwhile. While
    messages are waiting, nothing is asked of it.
    """
    controller: Any = config.pluginmanager.getplugin("dsession")
    setattr(controller, f"worker_{EVENT}", action)

    def ask() -> None:
        if controller.queue.empty():
            controller.queue.put((EVENT, {}))

    return ask


# --- the distribution ---


def choose_work_stealing(config: pytest.Config) -> None:
    """Set the distribution to work stealing where `-n` is given without `--dist`.

    So each worker has its whole share from the start and can look ahead in it. This must be called before
    xdist turns a missing `--dist` into "load".
    """
    option = config.option
    if getattr(option, "numprocesses", None) and getattr(option, "dist", None) == "no":
        option.dist = "worksteal"


def choose_one_process(config: pytest.Config) -> None:
    """Let this process run all items, whatever `-n` says; call it when `choose_work_stealing` may be."""
    option = config.option
    if hasattr(option, "numprocesses"):  # without xdist there is no such option
        option.numprocesses, option.dist, option.tx = 0, "no", []


def make_scheduler(config: pytest.Config, log: Producer, window: int) -> Scheduling | None:
    """Return a work-stealing scheduler that does not steal started items; None for another distribution.

    A worker has started `window` items of its queue. xdist steals the second half of the longest
    queue, so while that queue is longer than twice the window only items behind it go.
    """
    if config.getvalue("dist") != "worksteal":
        return None
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
