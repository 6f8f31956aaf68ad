"""Reads a server's reply: the JSON in it, or a problem in words for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from pytest_instructlab_eval.errors import (
    ConfigurationError,
    ContextLengthError,
    ModelError,
    UnreachableError,
)
from pytest_instructlab_eval.escaping import escape_text
from pytest_instructlab_eval.models.api_key import ApiKey
from pytest_instructlab_eval.models.replies import (
    Failure,
    HttpReply,
    error_in,
    is_too_long,
    retry_after,
    server_message,
    status_in,
)

PASSING = (408, 409, 429)  # statuses that another try may not meet; so are those from 500 on
AWAY = (502, 503, 504)  # what a gateway says of a server that is not there
MISSING = (404, 405)  # statuses of what a server does not have
REDIRECTS = (301, 302, 303, 307, 308)
REFUSED_KEY = (401, 403)


@dataclass(frozen=True)
class FailedTry:
    """A failed try: its `error`, whether another try may succeed, and whether there was no reply at all."""

    error: ModelError
    passing: bool = False
    silent: bool = False
    pause: float | None = None  # seconds that the server asks for

    @property
    def cause(self) -> str:
        """What happened, in few words."""
        if self.error.status is not None:
            return f"status {self.error.status}"
        return "no reply" if self.silent else "a reply that could not be read"


@dataclass(frozen=True)
class ReplyReader:
    """Reads the replies of one server, which its messages name; see `Endpoint` for what the fields are.

    `proxy_variable` names the proxy that stands before the server, None without one, and `longest_pause` is
    how many seconds a server may ask to wait for.
    """

    base_url: str
    key: ApiKey
    prefix: str
    timeout: float
    longest_pause: float
    proxy_variable: str | None

    def read(self, reply: HttpReply | Failure, path: str = "") -> object:
        """Return what a reply says in JSON; a Problem where it is no success. `path` is what was asked."""
        if isinstance(reply, Failure):
            return self._no_reply(reply)
        if reply.status in REDIRECTS:
            return FailedTry(ModelError(self._redirected(reply), status=reply.status))
        succeeded = 200 <= reply.status < 300
        try:  # no answer that is kept may have the key
            document: object = json.loads(self.key.masked_reply(reply.body))
        except (ValueError, RecursionError):  # no JSON, no UTF-8, a number too long, nested too deep
            text = self.safe(reply.body.decode("utf-8", "replace")) or "nothing"
            if not succeeded:
                return self._refused(reply.status, text, reply.headers, path)
            return FailedTry(ModelError(f"{self} gave a reply that is not JSON: {text}{self._past_proxy()}"))
        if not succeeded:
            return self._error(reply.status, document, reply.headers, path)
        error = error_in(document)
        return document if error is None else self._error(status_in(error), error, reply.headers, path)

    def read_object(self, reply: HttpReply | Failure, path: str = "") -> dict[str, object] | FailedTry:
        """Return the JSON object that a reply holds; a Problem where it has none."""
        document = self.read(reply, path)
        if isinstance(document, (dict, FailedTry)):
            return document
        return FailedTry(ModelError(f"{self} gave a reply that is not a JSON object: {self.safe(document)}"))

    def _no_reply(self, failure: Failure) -> FailedTry:
        if failure.kind == "size":
            text = f"{self}: {failure.reason}; allow more with {self.prefix}max-reply MIB"
            return FailedTry(ModelError(text))
        if failure.kind == "certificate":
            text = (
                f"{self} has a certificate that is not trusted ({self.safe(failure.reason)}); set "
                "SSL_CERT_FILE to the file with its authority's certificates"
            )
            return FailedTry(UnreachableError(text))
        if failure.kind == "tls":
            return FailedTry(UnreachableError(f"{self}: {failure.reason}; correct the URL"))
        if failure.kind == "reply":
            return FailedTry(ModelError(f"{self}: {failure.reason}{self._past_proxy()}"), passing=True)
        if failure.kind == "timeout":
            text = f"{self} gave {failure.reason}"
            if f" {self.timeout:g} s" in failure.reason:
                text += f"; allow more with {self.prefix}request-timeout SECONDS"
        else:
            text = f"{self} cannot be reached ({failure.reason}){self._past_proxy()}"
        return FailedTry(UnreachableError(text), passing=True, silent=True)

    def _error(self, status: int | None, error: object, headers: Mapping[str, str], path: str) -> FailedTry:
        """Return the problem that a server tells in JSON; None is an error inside a success."""
        message = self.safe(server_message(error))
        if is_too_long(error) and status not in (*PASSING, *REFUSED_KEY):
            text = f"the prompt does not fit the model's context: {message}"
            return FailedTry(ContextLengthError(text, status=status))
        return self._refused(status, message, headers, path)

    def _refused(self, status: int | None, message: str, headers: Mapping[str, str], path: str) -> FailedTry:
        """Return the problem behind an error status."""
        if status in REFUSED_KEY:
            text = f"{self.key.refusal(str(self), status, message)}{self._past_proxy()}"
            return FailedTry(ModelError(text, status=status))
        target = f" to {path}" if path and status in MISSING else ""
        answered = "with an error" if status is None else f"{status}{target}"
        ending = f": {message}" if message else ""
        text = f"the server at {self.base_url} answered {answered}{ending}{self._past_proxy()}"
        if status is None or not (status in PASSING or status >= 500):
            return FailedTry(ModelError(text, status=status))
        silent = status in AWAY
        kind = UnreachableError if silent else ModelError
        return FailedTry(kind(text, status=status), True, silent, retry_after(headers, self.longest_pause))

    def _redirected(self, reply: HttpReply) -> str:
        """Return where a server sends us to. Nothing goes there by itself: the key is for one server."""
        location = reply.headers.get("location", "")
        try:
            url = urljoin(f"{self.base_url}/models", location)
            host, own = urlsplit(url).netloc.rpartition("@")[2], urlsplit(self.base_url).netloc
        except ValueError:  # brackets that don't match
            location = ""
        if not location:
            return f"{self} answered {reply.status}, a redirect without a target; correct the URL"
        if host != own:
            return (
                f"{self} answered {reply.status}, a redirect to another host, {self.safe(host)}, which is "
                "not followed so that no key goes there; if you trust that host, give its URL"
            )
        target = re.sub(r"/(models|chat/completions|completions)/?$", "", url.partition("?")[0])
        return f"{self} answered {reply.status}, a redirect to {self.safe(target)}; give that URL instead"

    def _past_proxy(self) -> str:
        """Return what to do where a proxy may be in the way; nothing without one."""
        if self.proxy_variable is None:
            return ""
        direct = f"set NO_PROXY={urlsplit(self.base_url).hostname} to ask it directly"
        return f" (it was asked through the proxy of {self.proxy_variable}; {direct})"

    def check_key(self) -> None:
        """Raise ConfigurationError where the key is none that could be sent."""
        if not self.key.is_sendable():
            raise ConfigurationError(
                f"the key for {self} has characters that a key cannot have; {self.key.advice()}"
            )

    def safe(self, value: object) -> str:
        """Return a short text without the key and without anything that a terminal would act upon."""
        text = escape_text(" ".join(self.key.masked(str(value))[:5000].split()))
        return text if len(text) <= 500 else text[:500] + "…"

    def __str__(self) -> str:
        return f"the server at {self.base_url}"
