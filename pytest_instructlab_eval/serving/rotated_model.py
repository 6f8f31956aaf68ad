"""A `Model` that waits until the run serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pytest_instructlab_eval.models import Completion, Message, Model
from pytest_instructlab_eval.serving.rotation import Rotation


class RotatedModel:
    """A model that the run serves; a request waits until it is served.

    `connect` gives the model behind a URL.
    """

    def __init__(
        self, name: str, rotation: Rotation, connect: Callable[[str, str], Awaitable[Model]]
    ) -> None:
        self._name = name
        self._rotation = rotation
        self._connect = connect
        self._connected: tuple[str, Model] | None = None
        self._connecting = asyncio.Lock()

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self._name

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; see `Model`."""
        async with self._rotation.use(self._name) as url:
            model = await self.at(url)
            return await model.chat(messages, temperature=temperature, max_tokens=max_tokens, seed=seed)

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice; see `Model`."""
        async with self._rotation.use(self._name) as url:
            model = await self.at(url)
            return await model.choice_logprobs(prompt, choices)

    async def ready(self) -> None:
        """Wait until the model is served, so that nothing is prepared for a model that comes much later."""
        async with self._rotation.use(self._name):
            pass

    async def close(self) -> None:
        """Close the model, where it was asked."""
        if self._connected is not None:
            await self._connected[1].close()
            self._connected = None

    async def at(self, url: str) -> Model:
        """Return the model at the URL where it is served, whether it is announced yet or not."""
        async with self._connecting:
            if self._connected is None or self._connected[0] != url:
                self._connected = (url, await self._connect(self._name, url))
            return self._connected[1]

    def __repr__(self) -> str:
        return f"RotatedModel({self._name!r})"
