"""A server that writes bytes as a test scripts them, for what no HTTP library would send."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any

from tests.scripted_server import ApiError, ScriptedServer

Writer = asyncio.StreamWriter
Script = Callable[[str, Writer], Awaitable[None]]


def http(
    body: bytes | object, *, status: str = "200 OK", headers: str = "", length: int | None = None
) -> bytes:
    """A whole response; `headers` end their lines themselves."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\n{headers}\r\n".encode() + content


def chat(text: str, **more: object) -> dict[str, object]:
    """A whole answer to a chat."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}


def as_scripted(
    server: ScriptedServer, path: str, body: dict[str, Any], alter: Callable[[Any], Any] = lambda reply: reply
) -> bytes:
    """The scripted server's response to a request, its reply changed by `alter`."""
    answer = server._endpoints.get(f"{'GET' if path.endswith('/models') else 'POST'} {path}")
    if answer is None:
        return http({"detail": "Not Found"}, status="404 Not Found")
    try:
        return http(alter(answer(body)))
    except ApiError as error:
        return http({"error": {"message": str(error)}}, status=f"{error.code} Error")


MODELS = http({"data": [{"id": "tiny"}]})


class RawServer:
    """The server, which runs inside `with`: lists its model, and answers all else by the script.

    `script` gets a request's path and writes, and may read the request's `body` before it first awaits; the
    connection stays open unless it closes it. `every` has it answer /models too.
    """

    def __init__(
        self, script: Script | bytes, *, every: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = script
        self.url = ""
        self.body: dict[str, Any] = {}
        self.paths: list[str] = []
        self.heads: list[str] = []
        self.connections = 0
        self._every = every
        self._tls = tls
        self._ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> RawServer:
        self._thread.start()
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._ready.result()[2]}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, stop, _ = self._ready.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda *_: None)
        connections: dict[asyncio.Task[None], Writer] = {}

        async def connected(reader: asyncio.StreamReader, writer: Writer) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections[task] = writer
            self.connections += 1
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._answer(reader, writer)
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=self._tls)
        self._ready.set_result((loop, stop, server.sockets[0].getsockname()[1]))
        await stop.wait()
        server.close()
        for task, writer in connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for _ in range(5):  # the connections are closed in the loop's next rounds
            await asyncio.sleep(0)

    async def _answer(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
        data = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b"{}"
        path = head.split(" ")[1]
        self.paths.append(path)
        self.heads.append(head)
        self.body = json.loads(data)
        if path.endswith("/models") and not self._every:
            writer.write(MODELS)
        elif isinstance(self.script, bytes):
            writer.write(self.script)
            await writer.drain()
            writer.close()  # some of these have no end of their own
        else:
            await self.script(path, writer)
        await writer.drain()


# --- what a server may send ---

KEY = "sk-0123456789-secret"
HELLO = http(chat("Hello."))


async def slowly(writer: Writer, data: bytes) -> None:
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def without_end(writer: Writer, data: bytes) -> None:
    while not writer.is_closing():
        writer.write(data)
        await writer.drain()


async def reset(writer: Writer, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def writing(how: Callable[[Writer, bytes], Awaitable[None]], data: bytes, before: bytes = b"") -> Script:
    async def script(path: str, writer: Writer) -> None:
        writer.write(before)
        await how(writer, data)

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b" " * 2**26, compresslevel=1)  # each process that collects makes it
FAULTS: dict[str, tuple[Script | bytes, str]] = {
    "a bad status line": (b"GARBAGE 200 what\r\n\r\n", "not HTTP"),
    "bytes": (bytes(range(256)), "not HTTP"),
    "nothing": (b"", "closed the connection"),
    "half a head": (HEAD + b"content-len", "closed the connection"),
    "a byte a second": (writing(slowly, http(b" " * 1000)), "no complete reply within 0.5 s"),
    "headers without end": (writing(without_end, b"x: y\r\n", HEAD), "not HTTP"),
    "a header without end": (writing(without_end, b"x" * 9999, HEAD + b"x: "), "not HTTP"),
    "interim replies without end": (
        writing(without_end, b"HTTP/1.1 100 Continue\r\n\r\n"),
        "no complete reply within 0.5 s",
    ),
    "a body without end": (writing(without_end, b"x" * 9999, HEAD + b"\r\n"), "longer than 1 MiB"),
    "a bomb": (http(BOMB, headers="content-encoding: gzip\r\n"), "longer than 1 MiB"),
    "a broken bomb": (http(BOMB[:999], headers="content-encoding: gzip\r\n"), "cannot be read"),
    "no gzip": (http(b"x", headers="content-encoding: gzip\r\n"), "cannot be read"),
    "another packing": (http(b"x", headers="content-encoding: br\r\n"), "cannot be read"),
    "a reset": (writing(reset, HEAD), "cannot be reached"),
    "a reset in the body": (writing(reset, HELLO[:-5]), "cannot be reached"),
    "a length that is too long": (http(chat("x"), length=9999), "broke off"),
    "a length that is too short": (http(chat("x"), length=9), "not JSON|not HTTP"),
    "a length that is none": (HEAD + b"content-length: many\r\n\r\n{}", "not HTTP"),
    "chunks of garbage": (CHUNKED + b"zz\r\nabc", "not HTTP|broke off"),
    "chunks that break off": (CHUNKED + b"f\r\nabc", "broke off"),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nhello", "answered 101"),
    "depth": (http(b"[" * 200_000), "not JSON"),
    "an object of great depth": (http(b'{"a":' * 200_000), "not JSON"),
    "no UTF-8": (http(b'{"a": "\xff\xfe"}'), "not JSON"),
    "a number of 5,000 digits": (http(b'{"usage": ' + b"9" * 5000 + b"}"), "not JSON"),
    "an empty body": (http(b""), "not JSON: nothing"),
    "a number": (http(b"1"), "not a JSON object: 1"),
    "null": (http(b"null"), "not a JSON object: None"),
    "no content": (http(b"", status="204 No Content"), "not JSON: nothing"),
    "not modified": (http(b"", status="304 Not Modified"), "answered 304"),
    "another host": (
        http(b"", status="302 Found", headers="location: http://evil.example/v1/chat/completions\r\n"),
        "redirect to another host, evil.example",
    ),
    "a redirect to nowhere": (http(b"", status="301 Moved"), "without a target"),
    "a redirect to no URL": (http(b"", status="308 X", headers="location: http://[\r\n"), "without a target"),
    "a key that is told": (http(b"", status="400 Bad", headers=f"x: {KEY}\r\n"), "answered 400"),
    "a cookie with the key": (http(b"x", headers=f"set-cookie: a={KEY}\r\n"), "not JSON: x"),
}
"""What a server sends, and what the error says of it."""
