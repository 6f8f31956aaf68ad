"""The log-likelihood of the choices of a multiple-choice question, by the fastest way that a server has.

1. Every choice is one token after the prompt (MMLU's letters): one request a question, which asks
   for one token and, by vLLM's `logprob_token_ids`, for the log-probabilities of just the choices.
2. `top_logprobs`: one request a question, where all the choices are among the likeliest tokens.
3. `echo` with the log-probabilities of the prompt: one request a choice, of any number of tokens.

All three give what lm-eval's `local-completions` gives on the same server (tests/e2e compares them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pytest_instructlab_eval.errors import ContextLengthError, ModelError
from pytest_instructlab_eval.models.batching import Prompt

__all__ = ["WAYS", "ChoiceScorer"]

WAYS = ("token_ids", "top_logprobs", "echo")
SERVER_FAULT = 500  # statuses from here on are the server's fault, not the request's
MOST_TOP_LOGPROBS = (20, 5)  # vLLM's and OpenAI's limits; the first that the server accepts is kept

Complete = Callable[[Prompt, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Tokenize = Callable[[str], Awaitable["list[int] | None"]]


class ChoiceScorer:
    """Scores choices with `complete`, which asks for one completion, and the server's `tokenize`.

    `tokenize` gives None where the server can't. `ways` narrows what is tried, for tests. A way that
    the server turns out not to have is not tried again.
    """

    def __init__(self, complete: Complete, tokenize: Tokenize, ways: Sequence[str] = WAYS) -> None:
        self._complete = complete
        self._tokenize = tokenize
        self._ways = list(ways)
        self._top = list(MOST_TOP_LOGPROBS)
        self._token_ids: dict[tuple[str, tuple[str, ...]], asyncio.Task[list[int] | None]] = {}
        self._proof: asyncio.Event | None = None
        self._proven = False
        self._worked: set[str] = set()
        self._refusal: ModelError | None = None

    async def logprobs(self, prompt: str, choices: Sequence[str]) -> list[float]:
        """The log-likelihood (nats) of each choice; raises ModelError where the server has no way.

        Spaces at the end of the prompt are counted to the choices, as lm-eval does: with its word,
        a space is one token.
        """
        spaces = len(prompt) - len(prompt.rstrip(" "))
        if spaces:
            prompt, choices = prompt[:-spaces], [" " * spaces + choice for choice in choices]
        while not self._proven:  # the first question finds the way, the others wait and take it
            if self._proof is None:
                return await self._prove(prompt, tuple(choices))
            await self._proof.wait()
        return await self._by_any_way(prompt, tuple(choices))

    async def _prove(self, prompt: str, choices: tuple[str, ...]) -> list[float]:
        self._proof = asyncio.Event()
        try:
            found = await self._by_any_way(prompt, choices)
            self._proven = True
            return found
        except ModelError as error:
            # A server that doesn't answer would make each question in turn wait for it: let all ask.
            self._proven = error.status is None or error.status >= SERVER_FAULT
            raise
        finally:
            self._proof.set()
            self._proof = None

    async def _by_any_way(self, prompt: str, choices: tuple[str, ...]) -> list[float]:
        scorers = {
            "token_ids": self._by_token_ids,
            "top_logprobs": self._by_top_logprobs,
            "echo": self._by_echo,
        }
        for way in list(self._ways):
            found = await scorers[way](prompt, choices)
            if found is not None:
                self._worked.add(way)
                return found
        said = f" ({self._refusal})" if self._refusal is not None else ""
        raise ModelError(
            "the server gives no log-probabilities of the choices: multiple choice needs a server whose "
            f"/completions has logprobs, such as vLLM{said}",
            prompt=prompt,
        )

    async def _by_token_ids(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        ids = await self._single_tokens(last_line(prompt), choices)
        if ids is None:
            return None
        parameters = {"logprobs": 1, "logprob_token_ids": ids, "return_tokens_as_token_ids": True}
        try:
            top = _top_logprobs(await self._complete(prompt, parameters))
        except ModelError as error:
            self._pass_by("token_ids", error)
            top = {}
        found = [top.get(f"token_id:{token}") for token in ids]
        values = [value for value in found if value is not None]
        if len(values) == len(found):
            return values
        self._give_up("token_ids")
        return None

    async def _by_top_logprobs(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        while self._top:
            count = self._top[0]
            try:
                top = _top_logprobs(await self._complete(prompt, {"logprobs": count}))
            except ModelError as error:
                self._pass_by("top_logprobs", error)
                self._top = [lower for lower in self._top if lower < count]  # others may have got there first
                continue
            if not top:
                break
            values = [top[choice] for choice in choices if choice in top]
            return values if len(values) == len(choices) else None
        self._give_up("top_logprobs")
        return None

    async def _by_echo(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        found = await asyncio.gather(*(self._echoed(prompt, choice) for choice in choices))
        values = [value for value in found if value is not None]
        return values if len(values) == len(found) else None

    async def _echoed(self, prompt: str, choice: str) -> float | None:
        """The log-likelihood of one choice from the log-probabilities of the whole prompt.

        Where the server tells tokens, the choice is what it adds to those of the prompt, as lm-eval has it.
        """
        head, whole = await asyncio.gather(self._tokenize(prompt), self._tokenize(prompt + choice))
        if head is None or whole is None:
            return _sum_by_text(await self._echo(prompt + choice), len(prompt), len(prompt + choice))
        ids = head + whole[len(head) :]
        logprobs = (await self._echo(ids)).get("token_logprobs") or ()
        return _sum(logprobs[len(head) : len(ids)])

    async def _echo(self, prompt: Prompt) -> Mapping[str, Any]:
        try:
            choice = await self._complete(prompt, {"logprobs": 1, "echo": True})
        except ModelError as error:
            self._pass_by("echo", error)
            return {}
        return choice.get("logprobs") or {}

    async def _single_tokens(self, tail: str, choices: tuple[str, ...]) -> list[int] | None:
        key = (tail, choices)
        if key not in self._token_ids:
            self._token_ids[key] = asyncio.ensure_future(self._find_single_tokens(tail, choices))
        try:
            return await asyncio.shield(self._token_ids[key])
        except ModelError:
            self._token_ids.pop(key, None)  # the next question asks again
            raise

    async def _find_single_tokens(self, tail: str, choices: tuple[str, ...]) -> list[int] | None:
        """The one token that each choice adds after the tail; None where it is more or can't be told."""
        head = await self._tokenize(tail)
        if head is None:
            self._give_up("token_ids")
            return None
        wholes = await asyncio.gather(*(self._tokenize(tail + choice) for choice in choices))
        ids = []
        for whole in wholes:
            if whole is None or len(whole) != len(head) + 1 or whole[:-1] != head:
                return None
            ids.append(whole[-1])
        return ids if len(set(ids)) == len(ids) else None

    def _pass_by(self, way: str, error: ModelError) -> None:
        """Go on to another way where the server refused this one; if it has worked, it's the question."""
        if way in self._worked or not refused(error):
            raise error
        self._refusal = error

    def _give_up(self, way: str) -> None:
        if way in self._ways and len(self._ways) > 1:
            self._ways.remove(way)


def last_line(prompt: str) -> str:
    """The prompt's last line that isn't blank and what follows it: what decides how a choice is split."""
    end = len(prompt.rstrip())
    return prompt[prompt.rfind("\n", 0, end) + 1 :][-400:]


def refused(error: ModelError) -> bool:
    """Whether the server said that the request itself is wrong, so another way may work."""
    return error.status in (400, 404, 405, 422, 501) and not isinstance(error, ContextLengthError)


def _top_logprobs(choice: Mapping[str, Any]) -> Mapping[str, float]:
    logprobs = choice.get("logprobs") or {}
    top = logprobs.get("top_logprobs") or [None]
    return top[0] or {}


def _sum(logprobs: Sequence[float | None]) -> float | None:
    values = [value for value in logprobs if value is not None]
    return sum(values) if values and len(values) == len(logprobs) else None


def _sum_by_text(logprobs: Mapping[str, Any], start: int, end: int) -> float | None:
    pairs = zip(logprobs.get("text_offset") or (), logprobs.get("token_logprobs") or (), strict=False)
    return _sum([value for offset, value in pairs if start <= offset < end])
