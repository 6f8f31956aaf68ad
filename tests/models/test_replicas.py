"""Several servers of one model: balanced, and none of them needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, ModelError, UnreachableError
from pytest_instructlab_eval.models import Endpoint, ServedModel, replicas
from pytest_instructlab_eval.models.replicas import Replicas
from tests.scripted_server import CHATS, Hang, ScriptedServer, Status

T = TypeVar("T")


@pytest.fixture
def servers() -> Iterator[list[ScriptedServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(ScriptedServer(latency=0.02)) for _ in range(2)]


@pytest.fixture(autouse=True)
def _frequent_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "PROBE_INTERVAL", 0.05)


def with_replicas(urls: list[str], use: Callable[[Replicas], Awaitable[T]]) -> T:
    async def run() -> T:
        endpoints = [Endpoint(url, retries=0, patience=0.0) for url in urls]
        model = Replicas([ServedModel("tiny", endpoint) for endpoint in endpoints])
        try:
            return await use(model)
        finally:
            await model.close()
            for endpoint in endpoints:
                await endpoint.close()

    return asyncio.run(run())


async def ask(model: Replicas, count: int) -> list[str]:
    chats = (model.chat([{"role": "user", "content": f"question {number}"}]) for number in range(count))
    return [reply.text for reply in await asyncio.gather(*chats)]


def test_requests_are_shared_evenly(servers: list[ScriptedServer]) -> None:
    with_replicas([server.url for server in servers], lambda model: ask(model, 40))
    assert [len(server.chats) for server in servers] == [20, 20]


def test_choices_are_scored_as_by_one_server(servers: list[ScriptedServer]) -> None:
    async def use(model: Replicas | ServedModel) -> list[list[float]]:
        asked = (model.choice_logprobs(f"Question {number}:", (" A", " B")) for number in range(8))
        return list(await asyncio.gather(*asked))

    both = with_replicas([server.url for server in servers], use)
    assert both == with_replicas([servers[0].url], use)


def test_what_a_server_that_is_gone_was_asked_goes_to_the_others(servers: list[ScriptedServer]) -> None:
    gone = "http://127.0.0.1:1/v1"
    answers = with_replicas([gone, servers[0].url], lambda model: ask(model, 20))
    assert len(answers) == len(servers[0].chats) == 20


def test_what_hangs_at_a_server_that_stops_answering_is_asked_elsewhere(
    servers: list[ScriptedServer],
) -> None:
    servers[0].fault(Hang(30), path=CHATS, times=None)

    async def use(model: Replicas) -> list[str]:
        asking = asyncio.ensure_future(ask(model, 10))
        while not servers[0].chats:  # noqa: ASYNC110  (another thread adds them)
            await asyncio.sleep(0.01)
        servers[0].fault(Status(500), path="/v1/models", times=None)
        return await asking

    assert len(with_replicas([server.url for server in servers], use)) == 10
    assert len(servers[1].chats) == 10


def test_a_server_that_answers_again_is_asked_again(servers: list[ScriptedServer]) -> None:
    servers[0].fault(Status(500), path="/v1/models", times=6)

    async def use(model: Replicas) -> None:
        await ask(model, 10)
        assert len(servers[0].chats) == 0
        for _ in range(100):
            await ask(model, 4)
            if servers[0].chats:
                return
            await asyncio.sleep(0.05)
        pytest.fail("it was not asked again")

    with_replicas([server.url for server in servers], use)


def test_where_none_answers_the_reason_is_told() -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        with_replicas(["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"], lambda model: ask(model, 1))


def test_a_refusal_is_not_asked_elsewhere(servers: list[ScriptedServer]) -> None:
    servers[0].fault(Status(400, "no"), path=CHATS, times=None)
    with pytest.raises(ModelError, match="400"):
        with_replicas([server.url for server in servers], lambda model: ask(model, 1))
    assert len(servers[1].chats) == 0


def test_every_server_must_have_the_model(servers: list[ScriptedServer]) -> None:
    servers[1].models = ("other",)
    with pytest.raises(ConfigurationError, match="has no model 'tiny'"):
        with_replicas([server.url for server in servers], lambda model: model.find())


def test_a_cancelled_request_is_not_asked_again(servers: list[ScriptedServer]) -> None:
    servers[0].fault(Hang(30), path=CHATS, times=None)

    async def use(model: Replicas) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ask(model, 1), 0.2)

    with_replicas([server.url for server in servers], use)
    assert len(servers[1].chats) == 0
