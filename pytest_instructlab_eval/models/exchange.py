"""One request to a server and its whole reply: bounded in time and size, and a failure is a value.

aiohttp's exceptions have the request's headers, and with them the key. So none of them leaves this module,
but to be put into words (`failures`): not raised, not chained, not in a frame that a traceback of ours shows.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import weakref
import zlib
from collections.abc import Mapping

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from pytest_instructlab_eval.models.api_key import ApiKey
from pytest_instructlab_eval.models.failures import SpeaksFirstError, TooLargeError, failure_of
from pytest_instructlab_eval.models.network import certificates, proxy_of
from pytest_instructlab_eval.models.replies import Failure, HttpReply

HEADER_BYTES = 65_536  # of one header; gateways send tokens and traces of more than the usual 8 kB
KEEP_ALIVE = 4.0  # seconds that an idle connection is kept; uvicorn closes it after 5
UNPACKED_AT_ONCE = 65_536


class _Connector(aiohttp.TCPConnector):
    """Connections of which none is used again that holds unread data.

    A second reply to one request would be taken for the reply to the next.
    """

    def __init__(self, context: ssl.SSLContext | bool) -> None:
        # The budget of requests is elsewhere.
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=context)
        self.trusted = True  # whether no connection was met yet that had unread data
        self._used: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101  (it is just connected)
            try:
                for _ in range(2):  # what has arrived is read in the loop's next round
                    await asyncio.sleep(0)
            except BaseException:
                connection.close()
                raise
            new = protocol not in self._used
            self._used.add(protocol)
            if not protocol.should_close:
                return connection
            self.trusted = self.trusted and (new or not protocol.is_connected())
            connection.close()
            if new:
                raise SpeaksFirstError


class Http:
    """The connections to one server. Opened when first used, and again after `close`."""

    def __init__(self, base_url: str, key: ApiKey, max_reply: int) -> None:
        self._max_reply = max_reply
        self._secure = base_url.startswith("https:")
        self.proxy_variable, self._proxy = proxy_of(base_url)
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "pytest-instructlab-eval",
            **key.headers(),
        }
        self._opened: tuple[aiohttp.ClientSession, _Connector] | None = None

    async def close(self) -> None:
        """Close the connections; requests under way fail."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened[0].close()

    async def exchange(
        self, method: str, url: str, body: Mapping[str, object] | None, timeout: float
    ) -> HttpReply | Failure:
        """Return the whole reply to a request, or why there is none; raises nothing but cancellation."""
        try:
            if self._opened is None:
                connector = _Connector(certificates() if self._secure else True)
                session = aiohttp.ClientSession(
                    connector=connector,
                    headers=self._headers,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    max_line_size=HEADER_BYTES,
                    max_field_size=HEADER_BYTES,
                )
                self._opened = session, connector
            session, connector = self._opened
            data = None if body is None else json.dumps(body).encode()
            limit = aiohttp.ClientTimeout(total=timeout)
            async with session.request(
                method, url, data=data, timeout=limit, allow_redirects=False, proxy=self._proxy
            ) as response:
                content = await self._read(response)
                if not connector.trusted:
                    response.close()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpReply(response.status, headers, content)
        except asyncio.CancelledError as error:
            raise error.with_traceback(None) from None  # without aiohttp's frames, which have the headers
        except Exception as error:  # whatever aiohttp makes of what a server sends
            return failure_of(error, timeout, self._max_reply)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the body, unpacked if need be; raises TooLargeError beyond the bound."""
        packed = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("identity", "", "gzip", "deflate"):
            raise ValueError("it is compressed in a way that was not asked for")
        unpacker = zlib.decompressobj(wbits=47) if packed in ("gzip", "deflate") else None
        body = bytearray()
        async for chunk in response.content.iter_any():
            rest = chunk
            while rest:
                if unpacker is None:
                    body += rest
                    rest = b""
                else:
                    body += unpacker.decompress(rest, UNPACKED_AT_ONCE)
                    rest = unpacker.unconsumed_tail
                if len(body) > self._max_reply:
                    raise TooLargeError
        if unpacker is not None and not unpacker.eof:
            raise ValueError("it is compressed and incomplete")
        return bytes(body)
