"""A server that is away for a while is waited for; one that stays away is given up, for all questions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from pytest_instructlab_eval.errors import ModelError, UnreachableError
from pytest_instructlab_eval.models import Completion, Endpoint, ServedModel, replicas
from pytest_instructlab_eval.models.exchange import Http
from pytest_instructlab_eval.models.replicas import Replicas
from pytest_instructlab_eval.models.replies import Failure, HttpReply
from tests.raw_server import RawServer, Writer, chat, http
from tests.scripted_server import CHATS, Body, Drop, Fault, Hang, ScriptedServer, Status

from .conftest import with_model
from .test_endpoint import MODELS, free_port

LONG = 30.0  # seconds; more than any of these tests takes


async def ask(model: ServedModel | Replicas, text: str = "Hi") -> Completion:
    return await model.chat([{"role": "user", "content": text}])


async def ask_many(model: ServedModel | Replicas, count: int) -> list[Completion | BaseException]:
    return await asyncio.gather(*(ask(model, f"Hi {n}") for n in range(count)), return_exceptions=True)


def is_text(text: str) -> Callable[[Body], bool]:
    return lambda body: bool(body["messages"][0]["content"] == text)


def test_a_server_that_is_gone_and_comes_back_has_lost_no_question() -> None:
    port = free_port()

    async def use(model: ServedModel) -> list[Completion | BaseException]:
        with ScriptedServer(port=port):
            await ask(model)
        asking = asyncio.ensure_future(ask_many(model, 10))
        await asyncio.sleep(0.3)
        assert not asking.done()
        with ScriptedServer(port=port):
            return await asking

    found = with_model(f"http://127.0.0.1:{port}/v1", use, patience=LONG, retries=2)
    assert all(isinstance(answer, Completion) for answer in found)


@pytest.mark.parametrize("fault", [Status(502), Status(503, "starting"), Status(504), Drop()], ids=repr)
def test_what_a_gateway_says_of_a_server_that_is_away_is_waited_for(
    server: ScriptedServer, fault: Fault
) -> None:
    for path in (CHATS, MODELS):
        server.fault(fault, path=path, times=8)

    async def use(model: ServedModel) -> str:
        model.address.served_name = "tiny"
        return (await ask(model)).text

    assert with_model(server, use, patience=LONG, retries=2) == "Answer to: Hi"


def test_a_server_that_is_known_to_have_ended_is_not_waited_for() -> None:
    async def use(model: ServedModel) -> list[Completion | BaseException]:
        model.address.served_name = "tiny"
        return await ask_many(model, 10)

    errors = with_model(
        f"http://127.0.0.1:{free_port()}/v1", use, patience=1e9, retries=10**9, ended=lambda: "it has ended"
    )
    assert [str(error) for error in errors] == ["it has ended"] * 10


def test_a_server_that_stays_away_is_given_up_for_all_questions_together() -> None:
    async def use(model: ServedModel) -> list[Completion | BaseException]:
        with ScriptedServer(port=port):
            await ask(model)
        first = await ask_many(model, 10)
        with ScriptedServer(port=port) as later:
            second = await ask_many(model, 10)  # nothing is sent any more
            assert later.requests == []
        assert model.endpoint.given_up is not None
        return [*first, *second]

    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    found = with_model(url, use, patience=0.2)
    assert all(isinstance(error, UnreachableError) for error in found)
    assert {str(error).partition(" gave no reply for ")[0] for error in found} == {f"the server at {url}"}
    assert "the scores so far are kept; to wait longer, use --eval-wait SECONDS" in str(found[0])


def test_a_server_that_hangs_is_given_up_with_what_is_in_flight_there() -> None:
    async def script(path: str, writer: Writer) -> None:
        await asyncio.sleep(LONG)

    async def use() -> list[object]:
        with RawServer(script, every=True) as server:
            endpoint = Endpoint(server.url, timeout=0.3, patience=0.1)
            late = asyncio.ensure_future(endpoint.post("/chat/completions", {}))
            try:
                found = await asyncio.gather(
                    *(endpoint.post("/chat/completions", {}) for _ in range(5)), late, return_exceptions=True
                )
                return [*found, len(server.paths)]
            finally:
                await endpoint.close()

    *found, requests = asyncio.run(use())
    assert all(isinstance(error, UnreachableError) for error in found)
    assert requests == 6 + 1  # each question once, and one look for the server


def test_a_question_that_no_one_answers_is_not_the_servers_end(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fault(Hang(LONG), times=None, when=is_text("Hang"))
    exchange = Http.exchange

    async def patient(
        http: Http, method: str, url: str, body: Body | None, timeout: float
    ) -> HttpReply | Failure:
        hangs = body is not None and is_text("Hang")(body)
        return await exchange(http, method, url, body, timeout if hangs else LONG)

    monkeypatch.setattr(Http, "exchange", patient)

    async def use(model: ServedModel) -> list[Completion | BaseException]:
        await ask(model)
        return [*(await asyncio.gather(ask(model, "Hang"), return_exceptions=True)), await ask(model)]

    error, answer = with_model(server, use, timeout=0.1, retries=2, patience=0.0)
    assert isinstance(answer, Completion)
    assert str(error).endswith(
        "gave no complete reply within 0.1 s; allow more with --eval-request-timeout SECONDS"
    )
    assert [body["messages"][0]["content"] for body in server.chats].count("Hang") == 3


def test_a_question_that_drops_its_connection_costs_its_own_tries(server: ScriptedServer) -> None:
    server.fault(Drop(), times=None, when=is_text("Hi 3"))
    found = with_model(server, lambda model: ask_many(model, 10), retries=3, patience=LONG)
    assert [isinstance(answer, Completion) for answer in found] == [n != 3 for n in range(10)]
    assert len(server.chats) == 9 + 4


def test_a_server_that_was_given_up_and_lists_its_models_again_is_asked_again() -> None:
    port = free_port()

    async def use(model: ServedModel) -> str:
        with ScriptedServer(port=port):
            await ask(model)
        with pytest.raises(UnreachableError):
            await ask(model)
        with ScriptedServer(port=port):
            await model.find()
            return (await ask(model)).text

    assert with_model(f"http://127.0.0.1:{port}/v1", use, patience=0.0) == "Answer to: Hi"


def test_a_limit_of_requests_is_no_outage() -> None:
    tries = 0

    async def script(path: str, writer: Writer) -> None:
        nonlocal tries
        tries += 1
        writer.write(http({"error": "slow down"}, status="429 Slow", headers="retry-after-ms: 1\r\n"))

    with RawServer(script) as server, pytest.raises(ModelError, match="answered 429: slow down"):
        with_model(server.url, ask, retries=4, patience=LONG)
    assert tries == 5


@pytest.mark.parametrize(
    "header", ["retry-after: 1e9", "retry-after: -5", "retry-after: soon", "retry-after: nan"]
)
def test_a_server_that_asks_for_too_long_a_wait_is_asked_earlier(header: str) -> None:
    replies = iter([http({}, status="503 Busy", headers=f"{header}\r\n"), http(chat("Hello."))])

    async def script(path: str, writer: Writer) -> None:
        writer.write(next(replies))

    with RawServer(script) as server:
        assert with_model(server.url, ask).text == "Hello."


def test_replicas_that_are_all_away_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "PROBE_INTERVAL", 0.02)
    ports = [free_port() for _ in range(2)]

    async def use() -> list[Completion | BaseException]:
        async with contextlib.AsyncExitStack() as stack:
            endpoints = [Endpoint(f"http://127.0.0.1:{port}/v1", retries=1, patience=LONG) for port in ports]
            for endpoint in endpoints:
                stack.push_async_callback(endpoint.close)
            model = Replicas([ServedModel("tiny", endpoint) for endpoint in endpoints], LONG)
            stack.push_async_callback(model.close)
            asking = asyncio.ensure_future(ask_many(model, 10))
            await asyncio.sleep(0.3)
            assert not asking.done()
            with ScriptedServer(port=ports[1]):
                return await asking

    assert all(isinstance(answer, Completion) for answer in asyncio.run(use()))
