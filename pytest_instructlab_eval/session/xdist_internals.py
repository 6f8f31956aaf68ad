"""All that is taken from pytest-xdist, each under a name of ours: a change is met in one place.

`tests/unit/test_xdist_internals.py` holds each to the form that is expected here, and says which release of
xdist has changed it.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

CRASHED = "???"  # the phase that xdist gives the report of a test whose worker died


class Gateway(Protocol):
    """The connection to a worker; `id` is the worker's."""

    id: str


class WorkerNode(Protocol):
    """A worker as the controller sees it; what is in `workerinput` when it is started it will know."""

    gateway: Gateway
    workerinput: dict[str, object]


# --- this process ---


def worker_input(config: pytest.Config) -> Mapping[str, object]:
    """Return what the controller told this worker; empty in a process that xdist did not start."""
    found: Mapping[str, object] = getattr(config, "workerinput", {})  # xdist sets it in its workers alone
    return found


def worker_output(config: pytest.Config) -> dict[str, object]:
    """Return what this worker will hand over to the controller at its end, to be added to."""
    output: dict[str, object] = config.workeroutput  # type: ignore[attr-defined]  # set by xdist
    return output


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process was started by xdist to run items."""
    return bool(worker_input(config))


def is_controller(config: pytest.Config) -> bool:
    """Return whether this process hands its items to xdist's workers; known once all is configured."""
    return not is_worker(config) and config.pluginmanager.hasplugin("dsession")


def worker_count(config: pytest.Config) -> int:
    """Return how many processes share the run: 1 without xdist."""
    if is_worker(config):
        return int(str(worker_input(config)["workercount"]))
    return max(1, len(getattr(config.option, "tx", None) or ()))  # there is no such option without xdist


def worker_id(config: pytest.Config) -> str:
    """Return what xdist calls this worker, "main" in a process that is none."""
    return str(worker_input(config).get("workerid", "main"))


def worker_number(config: pytest.Config) -> int:
    """Return the number of this worker from 0, 0 in a process that is none."""
    return int(re.sub(r"\D", "", worker_id(config)) or 0)


# --- the queue of a worker ---


def interactor(config: pytest.Config) -> object:
    """Return the plugin by which a worker runs what it is sent, None where xdist has none."""
    plugins = config.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if type(plugin).__name__ == "WorkerInteractor"), None)


def queued_items(interactor: Any, limit: int) -> list[int]:
    """Return the places of the first `limit` items in a worker's queue; none where it can't be read."""
    with contextlib.suppress(AttributeError, TypeError), interactor.torun.lock() as queue:
        head = itertools.islice(queue, max(0, limit))
        return list(itertools.takewhile(lambda entry: isinstance(entry, int), head))  # to the mark of the end
    return []


# --- workers as the controller sees them ---


def node_output(node: WorkerNode) -> Mapping[str, Any]:
    """Return what a worker handed over at its end; empty as long as it hasn't."""
    output: Mapping[str, Any] = getattr(node, "workeroutput", {})  # xdist sets it when it arrives
    return output


def has_ended(node: WorkerNode) -> bool:
    """Return whether a worker has handed over its results, or died."""
    return bool(node_output(node)) or bool(getattr(node, "_down", False))


# --- the distribution ---


def choose_work_stealing(config: pytest.Config) -> None:
    """Distribute by work stealing where `-n` is given and no `--dist`.

    So each worker holds its whole share from the start and can look ahead in it. To be called
    before xdist turns a missing `--dist` into "load".
    """
    option = config.option
    if getattr(option, "numprocesses", None) and getattr(option, "dist", None) == "no":
        option.dist = "worksteal"


def make_scheduler(config: pytest.Config, log: Producer, window: int) -> Scheduling | None:
    """Return a work-stealing scheduler that doesn't steal items which are under way; None for another kind.

    A worker has `window` items of its queue under way. xdist steals the second half of the longest
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
