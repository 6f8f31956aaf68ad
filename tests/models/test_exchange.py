"""One request and its reply: whatever a server sends, in time, in bounds, and without the key."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import subprocess
import traceback
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from pytest_instructlab_eval.errors import ConfigurationError, ModelError, UnreachableError
from pytest_instructlab_eval.models import Completion, ServedModel
from tests.odd_replies import RESPONSES
from tests.raw_server import (
    FAULTS,
    HEAD,
    HELLO,
    KEY,
    RawServer,
    Script,
    Writer,
    chat,
    http,
    reset,
    without_end,
    writing,
)
from tests.scripted_server import ScriptedServer

from .conftest import with_model

HELLO_JSON = json.dumps(chat("Hello.")).encode()
QUICK = {"retries": 0, "timeout": 60.0, "max_reply": 2**20, "api_key": KEY}


async def ask(model: ServedModel) -> Completion:
    return await model.chat([{"role": "user", "content": "Hi"}])


def failure(script: Script | bytes, **options: Any) -> ModelError:
    with RawServer(script) as server, pytest.raises(ModelError) as caught:
        with_model(server.url, ask, **{**QUICK, **options})
    return caught.value


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_server_that_sends_anything_else_is_a_sentence(fault: Script | bytes, reason: str) -> None:
    error = failure(fault, timeout=0.5 if "within 0.5 s" in reason else 60.0)
    assert re.search(reason, str(error)), error
    assert "\n" not in str(error)
    assert_clean(error)


def assert_clean(error: BaseException) -> None:
    """Nothing foreign is chained, and no frame that a traceback shows has the key."""
    seen: BaseException | None = error
    while seen is not None:
        assert not type(seen).__module__.startswith("aiohttp"), repr(seen)
        shown = traceback.TracebackException.from_exception(seen, capture_locals=True)
        assert not [frame for frame in shown.stack if "aiohttp" in frame.filename]
        told = [f"{frame.name} {frame.locals}" for frame in shown.stack if "/tests/" not in frame.filename]
        assert not [line for line in told if KEY in line]
        seen = seen.__cause__ or seen.__context__


def test_a_request_that_is_cancelled_shows_no_frame_with_the_key() -> None:
    async def script(path: str, writer: Writer) -> None:
        await asyncio.sleep(30)

    async def use(model: ServedModel) -> None:
        await model.find()
        await asyncio.wait_for(ask(model), 0.05)

    with RawServer(script) as server, pytest.raises((asyncio.TimeoutError, TimeoutError)) as caught:
        with_model(server.url, use, api_key=KEY)
    assert caught.value.__cause__ is not None
    assert_clean(caught.value)


@pytest.mark.parametrize(
    "reply",
    {
        "packed": http(gzip.compress(HELLO_JSON), headers="content-encoding: gzip\r\n"),
        "deflated": http(zlib.compress(HELLO_JSON), headers="content-encoding: deflate\r\n"),
        "long headers": http(chat("Hello."), headers="x: " + "y" * 30_000 + "\r\n"),
        "an interim reply": b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO,
        "without a length": HEAD + b"\r\n" + HELLO_JSON,
        "a usage of texts": http(chat("Hello.", usage={"total_tokens": "many", "prompt_tokens": "7"})),
        "a usage that is infinite": http(b'{"usage": {"total_tokens": 1e999},' + HELLO_JSON[1:]),
        "a cookie": http(chat("Hello."), headers="set-cookie: \x01;;=\r\n"),
    }.values(),
)  # fmt: skip
def test_what_is_odd_and_whole_is_an_answer(reply: bytes) -> None:
    with RawServer(reply) as server:
        assert with_model(server.url, ask, timeout=30.0).text == "Hello."


# --- a reply is of one request ---


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_a_second_reply_to_one_request_is_not_taken_for_the_next(pause: float) -> None:
    number = 0

    async def script(path: str, writer: Writer) -> None:
        nonlocal number
        number += 1
        answer, stale = http(chat(f"answer {number}")), http(chat(f"stale {number}"))
        # Apart, a stale reply that comes just after the next request can't be told from its reply.
        for part in (answer, stale) if pause else (answer + stale,):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    async def use(model: ServedModel) -> list[str]:
        texts = []
        for _ in range(3):
            texts.append((await ask(model)).text)
            await asyncio.sleep(2 * pause)
        return texts

    with RawServer(script) as server:
        assert with_model(server.url, use) == ["answer 1", "answer 2", "answer 3"]


def test_connections_are_kept_for_the_next_request() -> None:
    async def script(path: str, writer: Writer) -> None:
        writer.write(HELLO)

    async def use(model: ServedModel) -> None:
        for _ in range(5):
            await ask(model)

    with RawServer(script) as server:
        with_model(server.url, use)
        assert server.connections == 1


# --- other hosts, certificates and proxies ---


def test_a_redirect_on_the_same_host_says_where_to() -> None:
    with RawServer(b"", every=True) as server:
        location = f"location: {server.url}/api/v1/models\r\n"
        server.script = http(b"", status="301 Moved Permanently", headers=location)
        with pytest.raises(ConfigurationError) as caught:
            with_model(server.url, lambda model: model.find())
    assert str(caught.value) == (
        f"the server at {server.url} answered 301, a redirect to {server.url}/api/v1; give that URL instead"
    )
    assert len(server.paths) == 1


@pytest.fixture(scope="session")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path.with_name("key"), "-out",
         path, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + path.with_name("key").read_text())
    return path


def test_a_certificate_that_is_not_trusted_names_the_variable(
    own_certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)
    with RawServer(HELLO, tls=context) as server:
        with pytest.raises(
            ConfigurationError, match=r"not trusted \(self.signed.*SSL_CERT_FILE to .*certificates$"
        ) as caught:
            with_model(server.url, lambda model: model.find(5.0), api_key=KEY)
        assert_clean(caught.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(own_certificate))
        assert with_model(server.url, ask, timeout=30.0).text == "Hello."


def test_a_server_without_tls_at_an_https_url_is_told() -> None:
    with ScriptedServer() as server, pytest.raises(ConfigurationError, match="does not speak TLS"):
        with_model(server.url.replace("http", "https"), lambda model: model.find())


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_is_in_the_way_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(b"", every=True) as proxy, RawServer(HELLO) as server:
        proxy.script = http(b"<html>denied</html>", status="403 Forbidden")
        monkeypatch.setenv(variable, proxy.url.replace("//", "//user:password@").removesuffix("/v1"))
        with pytest.raises(ConfigurationError) as caught:
            with_model(server.url, lambda model: model.find(), api_key=KEY)
        assert f"through the proxy of {variable}; set NO_PROXY=127.0.0.1 to ask it directly" in str(
            caught.value
        )
        assert "password" not in str(caught.value)
        assert_clean(caught.value)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert with_model(server.url, ask).text == "Hello."


# --- errors in whichever form ---

WORDS: dict[str, tuple[object, str]] = {
    "OpenAI": ({"error": {"message": "no", "type": "x", "code": None}}, "no"),
    "a text": ({"error": "no"}, "no"),
    "bare": ({"message": "no", "object": "error"}, "no"),
    "FastAPI's text": ({"detail": "no"}, "no"),
    "FastAPI's list": (
        {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "type": "x"}]},
        "body.seed: Extra inputs are not permitted",
    ),
    "Mistral's": ({"message": {"detail": [{"loc": ["body", "n"], "msg": "no"}]}}, "body.n: no"),
    "Gemini's": ([{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}], "no"),
    "a parameter": ({"error": {"message": "not supported", "param": "n"}}, "n: not supported"),
    "null": (None, "the server"),
    "another": ({"reason": 7}, '{"reason": 7}'),
    "plain": (b"Rate limit", "Rate limit"),
}


@pytest.mark.parametrize(("body", "words"), WORDS.values(), ids=WORDS)
def test_the_servers_own_words_are_told(body: object, words: str) -> None:
    error = failure(http(body, status="418 No"))
    assert str(error).endswith(f"answered 418: {words}") or (body is None and str(error).endswith("418"))
    assert error.status == 418


GATEWAYS: dict[str, tuple[dict[str, object], int | None]] = {
    "OpenRouter's limit": ({"choices": None, "error": {"message": "no", "code": 429}}, 429),
    "its text": ({"error": {"message": "no", "code": "429"}}, 429),
    "a kind": ({"error": {"message": "no", "code": "rate_limit_exceeded"}}, 429),
    "a failure": ({"choices": [], "error": {"message": "no", "code": 502}}, 502),
    "a choice": ({"choices": [{"error": {"message": "no", "code": 500}, "message": {"content": "x"}}]}, 500),
    "beside an answer": (chat("x", error={"message": "no", "code": 400}), 400),
    "LM Studio's": ({"error": "no"}, None),
    "a code beside": ({"error": "no", "code": 429}, 429),
    "another name of it": ({"error": {"message": "no", "status_code": 429}}, 429),
    "Anthropic's": ({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, 503),
    "vLLM's older": ({"object": "error", "message": "no", "code": 50001}, None),
    "FastAPI's": ({"detail": "no"}, None),
    "Cloudflare's": ({"success": False, "errors": [{"code": 5007, "message": "no"}], "result": None}, None),
    "a truth": ({"error": True, "message": "no"}, None),
}


@pytest.mark.parametrize(("body", "status"), GATEWAYS.values(), ids=GATEWAYS)
def test_an_error_in_a_success_is_an_error(body: dict[str, object], status: int | None) -> None:
    error = failure(http(body))
    assert error.status == status
    assert str(error).endswith(": no"), error


@pytest.mark.parametrize(("body", "status"), GATEWAYS.values(), ids=GATEWAYS)
def test_it_is_tried_again_where_its_status_is(body: dict[str, object], status: int | None) -> None:
    replies = iter([http(body), HELLO])

    async def script(path: str, writer: Writer) -> None:
        writer.write(next(replies))

    with RawServer(script) as server:
        if status is None or status < 429:
            with pytest.raises(ModelError, match="no"):
                with_model(server.url, ask, retries=1)
        else:
            assert with_model(server.url, ask, retries=1).text == "Hello."


def test_an_error_that_is_null_is_none() -> None:
    with RawServer(http(chat("Hello.", error=None))) as server:
        assert with_model(server.url, ask).text == "Hello."


def test_an_answer_that_tells_the_key_is_kept_without_it() -> None:
    with RawServer(http(chat(f"Your key is {KEY}."))) as server:
        assert with_model(server.url, ask, api_key=KEY).text == "Your key is [key]."
        assert with_model(server.url, ask, api_key="key").text == f"Your key is {KEY}."


# --- anything ---


@pytest.fixture(scope="module")
def odd_server() -> Any:
    with RawServer(b"", every=True) as server:
        yield server


@given(listed=RESPONSES, reply=RESPONSES)
def test_whatever_a_server_sends_is_a_result_or_an_error_of_ours(
    odd_server: RawServer, listed: bytes, reply: bytes
) -> None:
    async def script(path: str, writer: Writer) -> None:
        writer.write(listed if path.endswith("/models") else reply)
        await writer.drain()
        writer.close()

    async def use(model: ServedModel) -> str:
        try:
            await model.find()
        except ConfigurationError as error:
            assert_clean(error)
        model.address.served_name = "tiny"
        try:
            return (await ask(model)).text
        except ModelError as error:
            assert_clean(error)
            return str(error)

    odd_server.script = script
    text = with_model(odd_server.url, use, retries=1, timeout=5.0, api_key=KEY)
    assert KEY not in text
    assert text.startswith("the server at") or json.dumps(text)[1:-1].encode() in reply or "?" in text


def test_an_endless_list_of_models_is_bounded() -> None:
    script = writing(without_end, b"x" * 9999, HEAD + b"\r\n")
    with (
        RawServer(script, every=True) as server,
        pytest.raises(ConfigurationError, match="longer than 1 MiB"),
    ):
        with_model(server.url, lambda model: model.find(), max_reply=2**20)


def test_unreachable_is_a_kind_of_its_own() -> None:
    assert isinstance(failure(writing(reset, HEAD)), UnreachableError)
    assert not isinstance(failure(b"GARBAGE 200 what\r\n\r\n"), UnreachableError)
