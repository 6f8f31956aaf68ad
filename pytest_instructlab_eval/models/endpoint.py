"""A server with an OpenAI-compatible API: its budget of requests, retries, and the models that it has."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from pytest_instructlab_eval.errors import ConfigurationError, ModelError, UnreachableError
from pytest_instructlab_eval.models.api_key import AUTHORIZATION, ApiKey
from pytest_instructlab_eval.models.outage import OutageClock
from pytest_instructlab_eval.models.replies import Failure, HttpReply, model_cards, token_count
from pytest_instructlab_eval.models.reply_reader import MISSING, PASSING, FailedTry, ReplyReader

RETRIES = 5  # with the pauses below about 15 s, or as Retry-After says
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds before a retry; each is twice the one before
RETRY_PAUSE = 0.5  # seconds between two looks for a server that is coming up
PATIENCE = 60.0  # seconds without any reply after which a server is given up
PROBE_TIME = 10.0  # seconds for a server to say that it is there
MAX_REPLY = 16 * 2**20  # bytes


@dataclasses.dataclass
class Traffic:
    """What went over the wire so far."""

    requests: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, reply: Mapping[str, object], requests: int) -> None:
        """Count so many requests, and the tokens that the reply to them tells."""
        self.requests += requests
        self.prompt_tokens += token_count(reply, "prompt_tokens")
        self.completion_tokens += token_count(reply, "completion_tokens")


class Budget:
    """At most so many requests in flight; first come, first served."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = asyncio.Semaphore(size)
        self._taking_several = asyncio.Lock()  # two that each hold a part would wait for each other

    async def take(self, places: int = 1) -> None:
        """Wait for the places of that many requests."""
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
        """Free the places for others."""
        for _ in range(places):
            self._free.release()


class Endpoint:
    """One server. Models that it serves share its connections and budget.

    `key_source` says where the key is from, for error messages; the key itself is in none of them. It is sent
    in the header `key_header`.
    `timeout` limits each try, with the reading of the reply, and `max_reply` is how many bytes of a reply
    are read. A server that gives no reply for `patience` seconds is given up, for all questions together.
    `prefix` is what the options begin with that the messages name. `ended` returns why a server will not come
    back, None where that is not known.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        key_source: str = "--eval-api-key-env",
        key_header: str = AUTHORIZATION,
        budget: int = 64,
        timeout: float = 600.0,
        retries: int = RETRIES,
        patience: float = PATIENCE,
        max_reply: int = MAX_REPLY,
        prefix: str = "--eval-",
        ended: Callable[[], str | None] = lambda: None,
    ) -> None:
        from pytest_instructlab_eval.models.exchange import Http

        self.base_url = base_url
        self.budget = Budget(budget)
        self.traffic = Traffic()
        self.resent: Counter[str] = Counter()  # requests that were sent again, by what had happened
        self.patience = patience
        self._timeout = timeout
        key = ApiKey(api_key, key_source, key_header)
        self._http = Http(base_url, key, max_reply)
        self._reader = ReplyReader(
            base_url, key, prefix, timeout, max(patience, PATIENCE), self._http.proxy_variable
        )
        self._silence = OutageClock(
            self._reader,
            retries=retries,
            patience=patience,
            probe=lambda: self._models_of(base_url, min(timeout, PROBE_TIME)),
            close=self._http.close,
            ended=ended,
        )

    @property
    def given_up(self) -> str | None:
        """Return why the server is no longer asked; None while it is."""
        return self._silence.given_up

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    @asynccontextmanager
    async def request_slot(self) -> AsyncIterator[None]:
        """Hold one request's place in the budget."""
        await self.budget.take()
        try:
            yield
        finally:
            self.budget.give_back()

    # --- asking ---

    async def post(self, path: str, body: Mapping[str, object], *, prompt: str = "") -> dict[str, object]:
        """Return the API's reply; `path` starts at the base URL.

        What may pass is tried again: 408, 409, 429 and 5xx a number of times, as Retry-After says where it
        is sent; a server that gives no reply (connection failures, 502, 503, 504) until one clock for all
        questions has run out. Raises ModelError and nothing else, whatever the server sends; `prompt` is kept
        with it.
        """
        return await self._ask(self.base_url + path, path, body, prompt)

    async def root_post(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Return the reply of what vLLM serves beside the API, such as /tokenize; see `post`."""
        url = self.base_url.removesuffix("/v1") + path
        return await self._ask(url, url, body, "")

    async def _ask(self, url: str, path: str, body: Mapping[str, object], prompt: str) -> dict[str, object]:
        tries = failures = 0  # the latter at a time when the server answered others
        while True:
            if self.given_up:
                raise UnreachableError(self.given_up, prompt=prompt)
            started = time.monotonic()
            reply = self._reader.read_object(await self._exchange("POST", url, body, self._timeout), path)
            if not isinstance(reply, FailedTry):
                self._silence.failing = False
                self.traffic.tokens += token_count(reply, "total_tokens")
                return reply
            tries, failures = tries + 1, failures + 1
            verdict = await self._silence.verdict(reply, failures, started)
            if verdict == "fail":
                self._silence.failing = reply.silent
                error = reply.error
                if reply.silent:
                    error = UnreachableError(self.given_up) if self.given_up else error
                elif tries > 1:
                    error.args = (f"{error}; it was asked {tries} times",)
                error.prompt = prompt
                raise error
            if verdict == "away":
                failures = 0
            self.resent[reply.cause] += 1
            pause = min(FIRST_PAUSE * 2 ** min(tries - 1, 30), LONGEST_PAUSE) * random.uniform(0.75, 1)  # noqa: S311
            await asyncio.sleep(pause if reply.pause is None else reply.pause)

    async def _exchange(
        self, method: str, url: str, body: Mapping[str, object] | None, timeout: float
    ) -> HttpReply | Failure:
        reply = await self._http.exchange(method, url, body, timeout)
        self._silence.note(reply)
        return reply

    # --- which models there are ---

    async def models(self, wait: float = 0.0) -> Mapping[str, Mapping[str, object]]:
        """Return what the server lists of each model, by name, waiting so many seconds for it to come up.

        Raises ConfigurationError where it can't be reached, refuses the key or doesn't speak the API.
        """
        self._reader.check_key()
        deadline = time.monotonic() + wait
        timeout = max(10.0, min(wait, 60.0))
        while True:
            listing = await self._listed(self.base_url, timeout)
            if not isinstance(listing, FailedTry):
                self._silence.given_up = None
                return listing
            status = listing.error.status
            if not listing.passing or status in PASSING:
                elsewhere = status in (None, *MISSING) and not isinstance(listing.error, UnreachableError)
                raise ConfigurationError(f"{listing.error}{await self._meant() if elsewhere else ''}")
            if time.monotonic() >= deadline:
                if not wait:
                    raise ConfigurationError(
                        f"{listing.error}; start the server, correct the URL, or wait for it with "
                        f"{self._reader.prefix}wait SECONDS"
                    )
                text = f"{listing.error} after {wait:g} s of waiting"
                self._silence.given_up = self.given_up or text
                raise ConfigurationError(text)
            await asyncio.sleep(RETRY_PAUSE)

    async def _listed(self, url: str, timeout: float) -> Mapping[str, Mapping[str, object]] | FailedTry:
        reply = self._reader.read(await self._models_of(url, timeout), "/models")
        if isinstance(reply, FailedTry):
            return reply
        cards = model_cards(reply)
        if cards is None:
            return FailedTry(
                ModelError(f"{self} gave no list of models, as an OpenAI-compatible server does")
            )
        return cards

    def _models_of(self, url: str, timeout: float) -> Awaitable[HttpReply | Failure]:
        return self._exchange("GET", f"{url}/models", None, timeout)

    async def _meant(self) -> str:
        """Return a hint at the URL that the user may have meant, one that lists models if there is one."""
        parts = urlsplit(self.base_url)
        stem = re.sub(r"(/(chat/completions|completions|models|v1|api))+$", "", parts.path)
        for path in dict.fromkeys((f"{parts.path}/v1", f"{stem}/v1", f"{stem}/api/v1")):
            url = f"{parts.scheme}://{parts.netloc}{path}"
            if url != self.base_url and not isinstance(await self._listed(url, PROBE_TIME), FailedTry):
                return f"; did you mean {url}?"
        if parts.path.endswith("/v1"):
            return "; check the path before /v1: a gateway may need one, as in https://HOST/PATH/v1"
        return "; the URL usually ends in /v1"

    def safe(self, value: object) -> str:
        """Return a short text without the key and without anything that a terminal would act upon."""
        return self._reader.safe(value)

    def __str__(self) -> str:
        return str(self._reader)
