"""The address of a model: a server, and the server's name of the model."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable, Mapping

from pytest_instructlab_eval.errors import ConfigurationError, ModelError, UnreachableError
from pytest_instructlab_eval.models.endpoint import Endpoint


class ModelAddress:
    """A model at a server, whose name there is found by `find`, or before the first request.

    `card` is what the server lists of it then. `check` is given that name before it is used, and raises
    ConfigurationError where the model won't do.
    """

    def __init__(self, name: str, endpoint: Endpoint, check: Callable[[str], Awaitable[None]]) -> None:
        self.name = name
        self.endpoint = endpoint
        self.served_name: str | None = None
        self.card: Mapping[str, object] = {}
        self._check = check
        self._finding = asyncio.Lock()

    async def find(self, wait: float = 0.0) -> str:
        """Return the name that the server knows the model by, waiting `wait` seconds for the server.

        Raises ConfigurationError, with what the server has, where it hasn't this one.
        """
        names = await self.endpoint.models(wait)  # and what is listed of each
        usual = (self.name, f"instructlab/{self.name}", f"{self.name}:latest", f"models/{self.name}")
        served_name = next((candidate for candidate in usual if candidate in names), None)
        if served_name is None:  # a gateway may list a wildcard, such as openai/*
            exact = (name.replace("[", "[[]").replace("?", "[?]") for name in names if "*" in name)
            served_name = (
                self.name if any(fnmatch.fnmatchcase(self.name, pattern) for pattern in exact) else None
            )
        if served_name is None:
            served = self.endpoint.safe(", ".join(names)) or "none"
            raise ConfigurationError(f"{self.endpoint} has no model {self.name!r}; it has: {served}")
        await self._check(served_name)
        self.served_name, self.card = served_name, names.get(served_name, {})
        return served_name

    async def known_name(self) -> str:
        """Return the name that the server knows the model by; raises UnreachableError where it has none."""
        if self.served_name is not None:
            return self.served_name
        async with self._finding:
            if self.served_name is not None:
                return self.served_name
            if self.endpoint.given_up is not None:
                raise UnreachableError(self.endpoint.given_up)
            try:
                return await self.find(self.endpoint.patience)
            except ConfigurationError as error:
                raise UnreachableError(str(error)) from None

    async def post(self, path: str, body: Mapping[str, object], prompt: str) -> dict[str, object]:
        """Return the API's reply to a request of this model; see `Endpoint.post`."""
        return await self.endpoint.post(path, {"model": await self.known_name(), **body}, prompt=prompt)

    async def root_post(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Return the reply of what vLLM serves beside the API, asked of this model."""
        return await self.endpoint.root_post(path, {"model": await self.known_name(), **body})

    def is_away(self, error: ModelError) -> bool:
        """Return whether an error says that the server can't be reached, and not just what was asked for."""
        silent = error.status is None or self.endpoint.given_up is not None
        return silent and isinstance(error, UnreachableError)
