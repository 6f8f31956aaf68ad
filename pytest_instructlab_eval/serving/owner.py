"""Starts, swaps and stops the servers of a run, in the one process that owns them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.serving.process import ServerProcess, StartedServer
from pytest_instructlab_eval.serving.rotation import (
    ProcessState,
    ServingState,
    read_process_state,
    write_serving_state,
)

INTERVAL = 0.1  # seconds between two looks at what is waited for


class Launcher(Protocol):
    """Something that serves one model."""

    def start(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> StartedServer:
        """Serve the model and wait until it answers; raises ConfigurationError where it does not."""
        ...


@dataclass(frozen=True)
class Launch:
    """How a model is served; models of one `location` (their GPUs) are swapped there.

    `label` is what messages call it, by default its name.
    """

    launcher: Launcher
    location: str = ""
    label: str = ""


def next_model(order: Iterable[str], served: ServingState, states: Sequence[ProcessState]) -> str | None:
    """Return the model to serve next: the first in the order that is waited for, once nobody can go on.

    None while a process is busy, or waits for a model that is served already and is about to see it.
    """
    decided = {*served.up, *served.failed}
    wanted = {model for state in states for model in state.wants}
    if any(state.busy for state in states) or not wanted.isdisjoint(decided):
        return None
    return next((model for model in order if model in wanted), None)


class Owner:
    """The servers of a run: `launches` in the order in which they are served.

    `say` is told what is waited for. `try_out` is given each model that has just been started, and its URL,
    before anybody else may ask it, and raises ConfigurationError where it won't do. To be started with
    `start`, which serves the first model, and ended with `stop`.
    """

    def __init__(
        self,
        folder: Path,
        launches: Mapping[str, Launch],
        say: Callable[[str], None],
        try_out: Callable[[str, str], None] = lambda model, url: None,
    ) -> None:
        self._try_out = try_out
        self._folder = folder
        self._launches = dict(launches)
        self._say = say
        self._processes: dict[str, ServerProcess] = {}
        self._served = ServingState()
        self._asking: set[str] = set()
        self._ended = threading.Event()
        self._watching: threading.Thread | None = None
        self.problems: list[str] = []

    def expect(self, process: str) -> None:
        """Note that a process will ask models."""
        self._asking.add(process)

    def forget(self, process: str) -> None:
        """Note that a process has ended."""
        self._asking.discard(process)

    def start(self, models: Sequence[str]) -> None:
        """Serve as many of these models as possible at once, in this order, and watch them from then on.

        Raises ConfigurationError where one can't be served.
        """
        places: set[str] = set()
        for model in models:
            if self._launches[model].location not in places:
                places.add(self._launches[model].location)
                self._serve(model)
        self._watching = threading.Thread(target=self._watch, name="instructlab-eval-serving", daemon=True)
        self._watching.start()

    def begin_to_stop(self) -> None:
        """Ask every server to stop, without waiting."""
        self._ended.set()
        for process in list(self._processes.values()):
            process.begin_to_stop()

    def stop(self) -> None:
        """Stop every server, and wait until nothing of them is left."""
        self.begin_to_stop()
        if self._watching is not None:
            self._watching.join()
        for model in list(self._processes):
            self._processes.pop(model).stop()

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            for ended, process in list(self._processes.items()):
                if process.status is not None and not self._ended.is_set():
                    self._processes.pop(ended).stop()
                    name = self._launches[ended].label or ended
                    reason = f"the server of {name} ended during the run with status {process.status}"
                    self._fail(ended, f"{reason}\n{process.end_of_log()}")
            states = [read_process_state(self._folder, asking) for asking in list(self._asking)]
            model = next_model(self._launches, self._served, states)
            if states and model is not None:
                self._serve_next(model)

    def _serve_next(self, model: str) -> None:
        before = self._served
        self._publish(up={})  # whoever becomes busy from here on sees that nothing is served
        if any(read_process_state(self._folder, process).busy for process in list(self._asking)):
            self._publish(up=before.up)
            return
        self._publish(up=self._without_place_of(model, before.up))
        try:
            self._serve(model)
        except (ConfigurationError, OSError) as error:
            if not self._ended.is_set():
                self._fail(model, str(error))

    def _without_place_of(self, model: str, up: Mapping[str, str]) -> dict[str, str]:
        location = self._launches[model].location
        return {other: url for other, url in up.items() if self._launches[other].location != location}

    def _serve(self, model: str) -> None:
        location = self._launches[model].location
        for other in [other for other in self._processes if self._launches[other].location == location]:
            self._processes.pop(other).stop()
        started = self._launches[model].launcher.start(self._say, self._ended.is_set)
        if started.process is not None:
            self._processes[model] = started.process
        try:
            self._try_out(model, started.url)
        except ConfigurationError:
            if started.process is not None:
                self._processes.pop(model).stop()
            raise
        self._publish(up={**self._without_place_of(model, self._served.up), model: started.url})

    def _fail(self, model: str, reason: str) -> None:
        self.problems.append(reason)
        up = {other: url for other, url in self._served.up.items() if other != model}
        self._publish(up=up, failed={**self._served.failed, model: reason.partition("\n")[0]})

    def _publish(self, *, up: Mapping[str, str], failed: Mapping[str, str] | None = None) -> None:
        self._served = ServingState(dict(up), self._served.failed if failed is None else failed)
        with contextlib.suppress(FileNotFoundError):  # the folder is gone: the run has ended
            write_serving_state(self._folder, self._served)
