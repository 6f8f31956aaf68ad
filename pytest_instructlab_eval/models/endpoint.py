"""A server with an OpenAI-compatible API: its budget of requests, retries, and the words for its errors."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin, urlsplit

from pytest_instructlab_eval.errors import (
    ConfigurationError,
    ContextLengthError,
    ModelError,
    UnreachableError,
)
from pytest_instructlab_eval.models.replies import (
    Failure,
    Reply,
    error_in,
    is_too_long,
    model_names,
    retry_after,
    server_message,
    status_in,
    token_count,
)
from pytest_instructlab_eval.visible import visible

if TYPE_CHECKING:
    from pytest_instructlab_eval.models.exchange import Http

__all__ = ["MAX_REPLY", "PATIENCE", "REFUSED_KEY", "RETRIES", "Budget", "Endpoint", "Traffic"]

RETRIES = 5  # with the pauses below about 15 s, or as Retry-After says
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds before a retry; each is twice the one before
RETRY_PAUSE = 0.5  # seconds between two looks for a server that is coming up
PATIENCE = 60.0  # seconds without any reply after which a server is given up
PROBE_TIME = 10.0  # seconds for a server to say that it is there
MAX_REPLY = 16 * 2**20  # bytes
SECRET = 16  # characters from which on a key is no word that an answer may have

PASSING = (408, 409, 429)  # statuses that another try may not meet; so are those from 500 on
AWAY = (502, 503, 504)  # what a gateway says of a server that is not there
MISSING = (404, 405)  # statuses of what a server does not have
REDIRECTS = (301, 302, 303, 307, 308)
REFUSED_KEY = (401, 403)


@dataclasses.dataclass
class Traffic:
    """What went over the wire so far."""

    requests: int = 0
    tokens: int = 0


class Budget:
    """At most so many requests in flight; first come, first served."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = asyncio.Semaphore(size)
        self._taking_several = asyncio.Lock()  # two that each hold a part would wait for each other

    async def take(self, places: int = 1) -> None:
        """Wait for the places of so many requests."""
        if places == 1:
            await self._free.acquire()
            return
        taken = 0
        try:
            async with self._taking_several:
                while taken < places:
                    await self._free.acquire()
                    taken += 1
        except BaseException:
            self.give_back(taken)
            raise

    def give_back(self, places: int = 1) -> None:
        """Let others have the places."""
        for _ in range(places):
            self._free.release()


@dataclasses.dataclass(frozen=True)
class _Problem:
    """A try that failed: its `error`, whether another may not, and whether there was no reply at all."""

    error: ModelError
    passing: bool = False
    silent: bool = False
    pause: float | None = None  # seconds that the server asks for


class Endpoint:
    """One server. Models that it serves share its connections and budget.

    `key_source` says where the key is from, for error messages; the key itself is in none of them.
    `timeout` limits each try, with the reading of the reply, and `max_reply` is how many bytes of a reply
    are read. A server that gives no reply for `patience` seconds is given up, for all questions together.
    `prefix` is what the options begin with that the messages name.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        key_source: str = "--eval-api-key-env",
        budget: int = 64,
        timeout: float = 600.0,
        retries: int = RETRIES,
        patience: float = PATIENCE,
        max_reply: int = MAX_REPLY,
        prefix: str = "--eval-",
    ) -> None:
        from pytest_instructlab_eval.models.exchange import Http

        self.base_url = base_url
        self.budget = Budget(budget)
        self.traffic = Traffic()
        self.given_up: str | None = None
        self._api_key = api_key
        self._key_source = key_source
        self._timeout = timeout
        self._retries = retries
        self.patience = patience
        self._prefix = prefix
        self._http: Http = Http(base_url, api_key, max_reply)
        self._last_reply = float("-inf")
        self._silent_since: float | None = None
        self._probing = asyncio.Lock()
        self._probed = float("-inf")
        self._failing = False  # whether the last question failed through all its tries without a reply

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One request's place in the budget."""
        await self.budget.take()
        try:
            yield
        finally:
            self.budget.give_back()

    # --- asking ---

    async def post(self, path: str, body: Mapping[str, Any], *, prompt: str = "") -> dict[str, Any]:
        """Ask the API; `path` starts at the base URL, or is a whole URL.

        What may pass is tried again: 408, 409, 429 and 5xx a number of times, as Retry-After says where it
        is sent; a server that gives no reply (connection failures, 502, 503, 504) until one clock for all
        questions has run out. Raises ModelError and nothing else, whatever the server sends; `prompt` is kept
        with it.
        """
        url = path if "://" in path else self.base_url + path
        failures = 0  # those at a time when the server answered others
        for number in itertools.count():
            if self.given_up:
                raise UnreachableError(self.given_up, prompt=prompt)
            started = time.monotonic()
            found = self._json(await self._exchange("POST", url, body), path)
            if isinstance(found, dict):
                self._failing = False
                self.traffic.tokens += token_count(found, "total_tokens")
                return found
            if not isinstance(found, _Problem):
                text = f"{self} answered with something that is no JSON object: {self.safe(found)}"
                raise ModelError(text, prompt=prompt)
            failures += 1
            verdict = await self._verdict(found, failures, started)
            if verdict == "fail":
                break
            if verdict == "away":
                failures = 0
            pause = min(FIRST_PAUSE * 2 ** min(number, 30), LONGEST_PAUSE) * random.uniform(0.75, 1)  # noqa: S311
            await asyncio.sleep(pause if found.pause is None else found.pause)
        self._failing = found.silent
        error = UnreachableError(self.given_up) if found.silent and self.given_up else found.error
        error.prompt = prompt
        raise error

    async def root_post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask what vLLM serves beside the API, such as /tokenize."""
        return await self.post(self.base_url.removesuffix("/v1") + path, body)

    async def _exchange(
        self, method: str, url: str, body: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Reply | Failure:
        reply = await self._http.exchange(method, url, body, self._timeout if timeout is None else timeout)
        if isinstance(reply, Reply) and reply.status not in AWAY:
            self._last_reply, self._silent_since = time.monotonic(), None
        return reply

    def _json(self, reply: Reply | Failure, path: str = "") -> Any:
        """What a reply says; a _Problem where it is no success. `path` is what was asked."""
        if isinstance(reply, Failure):
            return self._no_reply(reply)
        if reply.status in REDIRECTS:
            return _Problem(ModelError(self._redirected(reply), status=reply.status))
        succeeded = 200 <= reply.status < 300
        try:
            found = json.loads(self._without_key(reply.body))
        except (ValueError, RecursionError):  # no JSON, no UTF-8, a number too long, nested too deep
            said = self.safe(reply.body.decode("utf-8", "replace")) or "nothing"
            if not succeeded:
                return self._refused(reply.status, said, reply.headers, path)
            text = f"{self} answered with something that is no JSON: {said}{self._past_proxy()}"
            return _Problem(ModelError(text))
        error = error_in(found) if succeeded else found
        if succeeded and error is None:
            return found
        status = status_in(error) if succeeded else reply.status
        too_long = is_too_long(error) and status not in PASSING
        message = self.safe(server_message(error))
        return self._refused(status, message, reply.headers, path, too_long=too_long)

    def _no_reply(self, failure: Failure) -> _Problem:
        if failure.kind == "timeout":
            option = f" ({self._prefix}request-timeout)" if f" {self._timeout:g} s" in failure.reason else ""
            text = f"{self} gave {failure.reason}{option}"
        elif failure.kind == "size":
            text = f"{self}: {failure.reason} ({self._prefix}max-reply)"
            return _Problem(ModelError(text))
        elif failure.kind == "certificate":
            text = (
                f"{self} has a certificate that is not trusted ({self.safe(failure.reason)}); name the file "
                "of its authority's certificates in the environment variable SSL_CERT_FILE"
            )
            return _Problem(UnreachableError(text))
        elif failure.kind == "tls":
            return _Problem(UnreachableError(f"{self}: {failure.reason}; correct the URL"))
        elif failure.kind == "reply":
            return _Problem(ModelError(f"{self}: {failure.reason}{self._past_proxy()}"), passing=True)
        else:
            text = f"{self} can't be reached ({failure.reason}){self._past_proxy()}"
        return _Problem(UnreachableError(text), passing=True, silent=True)

    def _refused(
        self,
        status: int | None,
        message: str,
        headers: Mapping[str, str],
        path: str = "",
        *,
        too_long: bool = False,
    ) -> _Problem:
        """The problem behind an error status."""
        said = f": {message}" if message else ""
        if status in REFUSED_KEY:
            text = f"{self} refused the key ({status}): {self._key_advice()}{self._past_proxy()}"
            return _Problem(ModelError(text, status=status))
        if too_long:
            text = f"the prompt doesn't fit the model's context: {message}"
            return _Problem(ContextLengthError(text, status=status))
        asked = f" to {path}" if path and status in MISSING else ""
        answered = "with an error" if status is None else f"{status}{asked}"
        text = f"{self} answered {answered}{said}{self._past_proxy()}"
        if status is None or not (status in PASSING or status >= 500):
            return _Problem(ModelError(text, status=status))
        silent = status in AWAY
        kind = UnreachableError if silent else ModelError
        return _Problem(
            kind(text, status=status), True, silent, retry_after(headers, max(self.patience, PATIENCE))
        )

    # --- a server that gives no reply ---

    async def _verdict(
        self, problem: _Problem, failures: int, started: float
    ) -> Literal["again", "away", "fail"]:
        """What becomes of a question after so many failures, the last of a try that began at `started`.

        Before the last try and after it, and where the server was silent for too long, the server is asked
        for its models. If it answers, the last try is made, and if that fails the fault is the question's. If
        not, the server is away, and all questions wait until it is back or given up.
        """
        if not problem.passing or self.given_up or not self._retries:
            return "fail"
        retries = 0 if self._failing else self._retries
        spent = failures > retries
        if not problem.silent:
            return "fail" if spent else "again"
        if self._silent_since is None:
            self._silent_since = max(started, self._last_reply)
        patient = time.monotonic() - self._silent_since < self.patience
        if failures < retries and patient:
            return "again"
        if self._last_reply >= started or await self._answers():
            return "fail" if spent else "again"
        return "fail" if self.given_up else "away"

    async def _answers(self) -> bool:
        """Whether the server answers at all; where it hasn't for too long, it is given up."""
        entered = time.monotonic()
        async with self._probing:
            if self._probed < entered and self._silent_since is not None and not self.given_up:
                await self._probe(self._silent_since)
            return self._silent_since is None

    async def _probe(self, since: float) -> None:
        """Ask the server for its models, once for all questions that fail at the same time."""
        reply = await self._exchange("GET", f"{self.base_url}/models", timeout=min(self._timeout, PROBE_TIME))
        self._probed = time.monotonic()
        if self._silent_since is not None and self._probed - since >= self.patience:
            reason = reply.reason if isinstance(reply, Failure) else f"it answers {reply.status}"
            self.given_up = (
                f"{self} gave no reply for {self._probed - since:.0f} s and was given up "
                f"({reason}); what was scored before is kept; {self._prefix}wait SECONDS "
                "has the run wait longer"
            )
            await self._http.close()  # what is in flight there would wait in vain

    # --- which models there are ---

    async def models(self, wait: float = 0.0) -> list[str]:
        """The names of the models that the server has, waiting so many seconds for it to come up.

        Raises ConfigurationError where it can't be reached, refuses the key or doesn't speak the API.
        """
        if self._api_key and not (self._api_key.isascii() and self._api_key.isprintable()):
            raise ConfigurationError(
                f"the key for {self} has characters that no key has; {self._key_advice()}"
            )
        deadline = time.monotonic() + wait
        timeout = max(10.0, min(wait, 60.0))
        while True:
            found = self._json(await self._exchange("GET", f"{self.base_url}/models", timeout=timeout))
            names = None if isinstance(found, _Problem) else model_names(found)
            if names is not None:
                self.given_up = None
                return names
            if not isinstance(found, _Problem):
                raise ConfigurationError(
                    f"{self} doesn't list its models as an OpenAI-compatible server does{await self._meant()}"
                )
            status = found.error.status
            if not found.passing or status in PASSING:
                elsewhere = status in (None, 404, 405) and not isinstance(found.error, UnreachableError)
                raise ConfigurationError(f"{found.error}{await self._meant() if elsewhere else ''}")
            if time.monotonic() >= deadline:
                text = f"{found.error}{self._hint(wait)}"
                self.given_up = self.given_up or (text if wait else None)
                raise ConfigurationError(text)
            await asyncio.sleep(RETRY_PAUSE)

    async def _meant(self) -> str:
        """A hint at the URL that the user may have meant: one that lists models, where there is one."""
        parts = urlsplit(self.base_url)
        stem = re.sub(r"(/(chat/completions|completions|models|v1|api))+$", "", parts.path)
        for path in dict.fromkeys((f"{parts.path}/v1", f"{stem}/v1", f"{stem}/api/v1")):
            url = f"{parts.scheme}://{parts.netloc}{path}"
            if url != self.base_url:
                found = self._json(await self._exchange("GET", f"{url}/models", timeout=PROBE_TIME))
                if not isinstance(found, _Problem) and model_names(found) is not None:
                    return f"; did you mean {url}?"
        return "; the URL usually ends in /v1"

    # --- words ---

    def _hint(self, wait: float) -> str:
        if wait:
            return f" after {wait:g} s of waiting"
        return f"; start it, correct the URL, or have the run wait for it with {self._prefix}wait SECONDS"

    def _redirected(self, reply: Reply) -> str:
        """Where a server sends us to. The key is for one server, so that nothing is sent there by itself."""
        location = reply.headers.get("location", "")
        try:
            url = urljoin(f"{self.base_url}/models", location)
            host, own = urlsplit(url).netloc.rpartition("@")[2], urlsplit(self.base_url).netloc
        except ValueError:  # brackets that don't match
            location = ""
        if not location:
            return f"{self} answered {reply.status}, a redirect that leads nowhere; correct the URL"
        if host != own:
            return (
                f"{self} answered {reply.status}, a redirect to another host, {self.safe(host)}; it is not "
                "followed, so that no key goes there: if you trust it, give its URL"
            )
        target = re.sub(r"/(models|chat/completions|completions)/?$", "", url.partition("?")[0])
        return f"{self} answered {reply.status}, a redirect to {self.safe(target)}; give that URL instead"

    def _past_proxy(self) -> str:
        """What to do where a proxy may be in the way; nothing without one."""
        if self._http.proxy_variable is None:
            return ""
        host = urlsplit(self.base_url).hostname
        return (
            f" (it was asked through the proxy of {self._http.proxy_variable}; "
            f"NO_PROXY={host} has it asked directly)"
        )

    def _key_advice(self) -> str:
        if self._api_key is None:
            return f"give the name of the environment variable that holds one with {self._key_source}"
        return f"check the variable that holds it ({self._key_source})"

    def _without_key(self, body: bytes) -> bytes:
        """A reply in which the key isn't told back, so that no answer that is kept has it.

        A short key may be a word, such as "none", and answers stay as they are.
        """
        if self._api_key is None or len(self._api_key) < SECRET:
            return body
        return body.replace(self._api_key.encode(), b"[key]")

    def safe(self, value: object) -> str:
        """A short text without the key and without anything that a terminal would act upon."""
        text = str(value)
        if self._api_key:
            text = text.replace(self._api_key, "[key]")
        text = visible(" ".join(text[:5000].split()))
        return text if len(text) <= 500 else text[:500] + "…"

    def __str__(self) -> str:
        return f"the server at {self.base_url}"
