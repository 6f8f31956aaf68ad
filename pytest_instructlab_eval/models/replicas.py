"""One model behind several servers: requests go where the fewest are outstanding."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from pytest_instructlab_eval.errors import EvalError, UnreachableError
from pytest_instructlab_eval.models.identity import joined_identity
from pytest_instructlab_eval.models.protocol import Completion, Message, Model
from pytest_instructlab_eval.records.model_identity import ModelIdentity

PROBE_INTERVAL = 2.0  # seconds between two looks at whether the servers answer
PROBES = 2  # in vain, after which a server is taken out with what is in flight there

T = TypeVar("T")


class Replica(Model, Protocol):
    """A model that can be looked for at its server."""

    async def find(self, wait: float = 0.0) -> None:
        """Raise ConfigurationError where the server doesn't answer or has no such model."""
        ...

    async def listed(self) -> ModelIdentity:
        """Return what the server lists of the model."""
        ...

    async def looked_at(self) -> ModelIdentity:
        """Return that with the model's fingerprint."""
        ...


class _ReplicaServer:
    """One server: what is in flight there, and whether it answers."""

    def __init__(self, model: Replica) -> None:
        self.model = model
        self.tasks: set[asyncio.Task[object]] = set()
        self.failed_probes = 0

    @property
    def down(self) -> bool:
        return self.failed_probes >= PROBES

    async def ask(self, call: Callable[[Replica], Awaitable[T]]) -> T:
        """Return what the model answers; raises UnreachableError where the server is taken out meanwhile."""
        task = asyncio.ensure_future(call(self.model))
        self.tasks.add(task)
        try:
            await asyncio.wait({task})
            if task.cancelled():
                raise UnreachableError(f"{self.model} stopped replying")
            return task.result()
        finally:
            task.cancel()
            self.tasks.discard(task)

    async def probe(self) -> None:
        """Probe the server; take it out after several failures."""
        try:
            await self.model.find()
            self.failed_probes = 0
        except EvalError:
            self.failed_probes += 1
            if self.down:
                self.take_out()

    def take_out(self) -> None:
        """Send nothing there until it answers a probe, and move its requests to other servers."""
        self.failed_probes = PROBES
        for task in self.tasks:
            task.cancel()


class Replicas:
    """The same model at several servers, asked as one.

    A server that can't be reached is taken out, and what it was asked goes to the others; it is back
    in when it answers again. Where none answers for `patience` seconds, a request fails as it would with one.
    """

    def __init__(self, models: Sequence[Replica], patience: float = 0.0) -> None:
        self._places = [_ReplicaServer(model) for model in models]
        self._patience = patience
        self._last_answer = float("-inf")
        self._probing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self._places[0].model.name

    async def find(self, wait: float = 0.0) -> None:
        """Find the model's name at every server; raises ConfigurationError where one does not have it."""
        await asyncio.gather(*(place.model.find(wait) for place in self._places))

    async def listed(self) -> ModelIdentity:
        """Return what the servers list of the model; see `joined_identity`."""
        return joined_identity(await asyncio.gather(*(place.model.listed() for place in self._places)))

    async def looked_at(self) -> ModelIdentity:
        """Return that with the model's fingerprint, after a look at each server."""
        return joined_identity(await asyncio.gather(*(place.model.looked_at() for place in self._places)))

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; see `Model`."""
        return await self._ask(
            lambda model: model.chat(messages, temperature=temperature, max_tokens=max_tokens, seed=seed)
        )

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice; see `Model`."""
        return await self._ask(lambda model: model.choice_logprobs(prompt, choices))

    async def close(self) -> None:
        """Stop the probes, and close each model."""
        if self._probing is not None:
            self._probing.cancel()
        await asyncio.gather(*(place.model.close() for place in self._places))

    async def _ask(self, call: Callable[[Replica], Awaitable[T]]) -> T:
        if self._probing is None or self._probing.done():
            self._probing = asyncio.ensure_future(self._probe_all())
        asked = time.monotonic()
        tried: set[_ReplicaServer] = set()
        while True:
            untried = (place for place in self._places if place not in tried)
            place = min(untried, key=lambda place: (place.down, len(place.tasks)))
            tried.add(place)
            try:
                answer = await place.ask(call)
            except UnreachableError:
                place.take_out()
                if len(tried) < len(self._places):
                    continue
                if time.monotonic() - max(asked, self._last_answer) >= self._patience:
                    raise
            else:
                self._last_answer = time.monotonic()
                return answer
            await asyncio.sleep(PROBE_INTERVAL)
            tried.clear()

    async def _probe_all(self) -> None:
        """Probe the servers while any has requests or is out."""
        while any(place.tasks or place.down for place in self._places):
            await asyncio.sleep(PROBE_INTERVAL)
            await asyncio.gather(*(place.probe() for place in self._places))
