"""A server that writes bytes as a test scripts them, for what no HTTP library would send."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType

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


MODELS = http({"data": [{"id": "tiny"}]})


class RawServer:
    """The server, which runs inside `with`: lists its model, and answers all else by the script.

    `script` gets a request's path and writes; the connection stays open unless it closes it. `every` has it
    answer /models too.
    """

    def __init__(
        self, script: Script | bytes, *, every: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = script
        self.url = ""
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
        if lengths:
            await reader.readexactly(int(lengths[0].partition(":")[2]))
        path = head.split(" ")[1]
        self.paths.append(path)
        self.heads.append(head)
        if path.endswith("/models") and not self._every:
            writer.write(MODELS)
        elif isinstance(self.script, bytes):
            writer.write(self.script)
            await writer.drain()
            writer.close()  # some of these have no end of their own
        else:
            await self.script(path, writer)
        await writer.drain()
