"""The meaning of aiohttp's exceptions, in words that quote nothing of the request."""

from __future__ import annotations

import asyncio
import os
import ssl

import aiohttp

from pytest_instructlab_eval.models.replies import Failure, Kind

MIB = 2**20


class SpeaksFirstError(aiohttp.ClientConnectionError):
    """A new connection that has unread data, or that was closed at once."""


FAILURES: tuple[tuple[type[Exception], Kind, str], ...] = (
    (aiohttp.ClientSSLError, "tls", "it does not speak TLS, as a server at an https:// URL does"),
    (aiohttp.ClientProxyConnectionError, "connection", "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, "connection", "the proxy refused the request"),
    (aiohttp.ClientConnectorDNSError, "connection", "its host name cannot be resolved"),
    (aiohttp.ServerDisconnectedError, "connection", "it closed the connection without a reply"),
    (aiohttp.ClientPayloadError, "connection", "its reply broke off"),
    (SpeaksFirstError, "connection", "it does not wait for a request, so it is not an HTTP server"),
    (aiohttp.ClientResponseError, "reply", "its reply is not HTTP"),
)
"""Exceptions of aiohttp with what they mean; the first that fits is taken."""


class TooLargeError(Exception):
    """The reply is longer than it may be."""


def failure_of(error: Exception, timeout: float, max_reply: int) -> Failure:
    """Return why there is no reply: these were the bounds of the request, in seconds and bytes."""
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return Failure("timeout", f"no complete reply within {timeout:g} s")
    if isinstance(error, TooLargeError):
        return Failure("size", f"its reply is longer than {max_reply / MIB:g} MiB")
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        inner = getattr(error, "certificate_error", error)
        return Failure("certificate", str(getattr(inner, "verify_message", "") or "it cannot be verified"))
    for exception_type, kind, reason in FAILURES:
        if isinstance(error, exception_type):
            return Failure(kind, reason)
    if isinstance(error, (OSError, aiohttp.ClientConnectionError)):
        number = getattr(error, "errno", None)
        return Failure("connection", os.strerror(number) if number else "it closed the connection")
    return Failure("reply", "its reply cannot be read")
