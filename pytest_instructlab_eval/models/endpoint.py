"""A server with an OpenAI-compatible API: its connections, its budget of requests, its errors."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pytest_instructlab_eval.errors import (
    ConfigurationError,
    ContextLengthError,
    ModelError,
    UnreachableError,
)
from pytest_instructlab_eval.visible import visible

__all__ = ["RETRIES", "Budget", "Endpoint", "Traffic"]

RETRIES = 5  # with openai's backoff (0.5 s, doubled up to 8 s) about 15 s, or as Retry-After says
RETRY_PAUSE = 0.5  # seconds between two looks for a server that is coming up


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


class Endpoint:
    """One server. Models that it serves share its connections and budget.

    `key_source` says where the key is from, for error messages; the key itself is in none of them.
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
        prefix: str = "--eval-",
    ) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self.base_url = base_url
        self.budget = Budget(budget)
        self.traffic = Traffic()
        self._api_key = api_key
        self._key_source = key_source
        self._timeout = timeout
        self._retries = retries
        self._prefix = prefix
        self._unreachable = False
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            timeout=timeout,
            max_retries=retries,
            http_client=DefaultAioHttpClient(),  # half the CPU time a request of the default transport
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One request's place in the budget."""
        await self.budget.take()
        try:
            yield
        finally:
            self.budget.give_back()

    async def post(self, path: str, body: Mapping[str, Any], *, prompt: str = "") -> dict[str, Any]:
        """Ask the API; `path` starts at the base URL, or is a whole URL.

        Connection failures, 408, 409, 429 and 5xx are tried again, as Retry-After says where it is
        sent. Once a server has failed through all tries, requests are tried once until one succeeds,
        so that a dead server doesn't cost a wait for each question. Raises ModelError; `prompt` is
        kept with it.
        """
        import openai

        client = self._client.with_options(max_retries=0) if self._unreachable else self._client
        try:
            reply = await client.post(path, cast_to=object, body=dict(body))
        except openai.OpenAIError as error:
            self._unreachable = isinstance(error, openai.APIConnectionError)
            raise self._explained(error, prompt) from None
        except ValueError:  # json.JSONDecodeError
            raise ModelError(f"{self} answered with something that is no JSON", prompt=prompt) from None
        self._unreachable = False
        if not isinstance(reply, dict):
            raise ModelError(
                f"{self} answered with something that is no JSON: {self.safe(reply)}", prompt=prompt
            )
        self._count(reply)
        return reply

    async def root_post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask what vLLM serves beside the API, such as /tokenize."""
        return await self.post(self.base_url.removesuffix("/v1") + path, body)

    async def models(self, wait: float = 0.0) -> list[str]:
        """The names of the models that the server has, waiting so many seconds for it to come up.

        Raises ConfigurationError where it can't be reached, refuses the key or doesn't speak the API.
        """
        import openai

        if self._api_key and not (self._api_key.isascii() and self._api_key.isprintable()):
            raise ConfigurationError(
                f"the key for {self} has characters that no key has; {self._key_advice()}"
            )
        deadline = time.monotonic() + wait
        client = self._client.with_options(max_retries=0, timeout=max(10.0, min(wait, 60.0)))
        while True:
            try:
                reply = await client.get("/models", cast_to=object)
                return [str(model["id"]) for model in reply["data"]]  # type: ignore[index]
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                if time.monotonic() >= deadline:
                    raise ConfigurationError(f"{self._explained(error)}{self._hint(wait)}") from None
                await asyncio.sleep(RETRY_PAUSE)
            except openai.OpenAIError as error:
                raise ConfigurationError(str(self._explained(error))) from None
            except (ValueError, LookupError, TypeError):
                raise ConfigurationError(
                    f"{self} doesn't list its models as an OpenAI-compatible server does; the URL usually "
                    "ends in /v1"
                ) from None

    def _hint(self, wait: float) -> str:
        if wait:
            return f" after {wait:g} s of waiting"
        return f"; start it, correct the URL, or have the run wait for it with {self._prefix}wait SECONDS"

    def _count(self, reply: Mapping[str, Any]) -> None:
        usage = reply.get("usage")
        if isinstance(usage, dict):
            self.traffic.tokens += int(usage.get("total_tokens") or 0)

    def _explained(self, error: Exception, prompt: str = "") -> ModelError:
        """The error in one sentence."""
        import openai

        status = getattr(error, "status_code", None)
        if isinstance(error, openai.APITimeoutError) and "Timeout" in type(_root_cause(error)).__name__:
            text = f"{self} gave no answer within {self._timeout:g} s ({self._prefix}request-timeout)"
            return UnreachableError(text, prompt=prompt)
        if isinstance(error, openai.APIConnectionError):
            text = f"{self} can't be reached ({self.safe(_root_cause(error))})"
            return UnreachableError(text, prompt=prompt)
        if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
            text = f"{self} refused the key ({error.status_code}): {self._key_advice()}"
        elif isinstance(error, openai.APIStatusError):
            message = self.safe(_server_message(error))
            if "context length" in message or "maximum context" in message:
                return ContextLengthError(
                    f"the prompt doesn't fit the model's context: {message}", prompt=prompt, status=status
                )
            text = f"{self} answered {error.status_code}: {message}"
        else:
            text = f"{self}: {self.safe(error)}"
        return ModelError(text, prompt=prompt, status=status)

    def _key_advice(self) -> str:
        if self._api_key is None:
            return f"give the name of the environment variable that holds one with {self._key_source}"
        return f"check the variable that holds it ({self._key_source})"

    def safe(self, value: object) -> str:
        """A short text without the key and without anything that a terminal would act upon."""
        text = visible(" ".join(str(value).split()))
        if self._api_key:
            text = text.replace(self._api_key, "[key]")
        return text if len(text) <= 500 else text[:500] + "…"

    def __str__(self) -> str:
        return f"the server at {self.base_url}"


def _root_cause(error: BaseException) -> BaseException:
    """What it began with; openai calls a connection that was closed by the server a timeout too."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _server_message(error: Any) -> str:
    """What the server says in its error, without the envelope."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict) and inner.get("message"):
            return str(inner["message"])
    return str(error.message)
