"""A scripted server, and models that ask it without long pauses between retries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import pytest

from pytest_instructlab_eval.models import Endpoint, ServedModel
from pytest_instructlab_eval.models import endpoint as endpoint_module
from pytest_instructlab_eval.models.choices import WAYS
from tests.scripted_server import ScriptedServer

T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server doesn't say how long to wait, wait hardly at all."""
    monkeypatch.setattr(endpoint_module, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(endpoint_module, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(endpoint_module, "RETRY_PAUSE", 0.02)


def with_model(
    server: ScriptedServer | str,
    use: Callable[[ServedModel], Awaitable[T]],
    *,
    name: str = "tiny",
    ways: Sequence[str] = WAYS,
    **options: Any,
) -> T:
    """What `use` gives for a model of the server; `options` are those of the endpoint."""

    async def run() -> T:
        options.setdefault("patience", 0.0)  # seconds without a reply
        url = server if isinstance(server, str) else server.url
        endpoint = Endpoint(url, **options)
        try:
            return await use(ServedModel(name, endpoint, ways=ways))
        finally:
            await endpoint.close()

    return asyncio.run(run())
