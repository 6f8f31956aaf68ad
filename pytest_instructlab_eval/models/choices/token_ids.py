"""Choices of one token each, whose log-probabilities vLLM gives by `logprob_token_ids`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.async_cache import AsyncCache
from pytest_instructlab_eval.models.choices.choice_requests import ChoiceRequests
from pytest_instructlab_eval.models.logprobs import Top, all_log_likelihoods, likeliest_tokens

NAME = "token_ids"


class TokenIds:
    """The `ChoiceWay` by the ids of the choices' tokens."""

    def __init__(self, asking: ChoiceRequests) -> None:
        self._asking = asking
        self._known: set[tuple[int, ...]] = set()  # ids that were shown to be the choices'
        self._tokens: AsyncCache[tuple[str, tuple[str, ...]], list[int] | None] = AsyncCache()

    async def logprobs(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        """Return the log-likelihood of each choice; see `ChoiceWay`."""
        tail = last_line(prompt)
        ids = await self._tokens.get((tail, choices), lambda: self._single_tokens(tail, choices))
        if ids is None:
            return None
        parameters = {"logprobs": 1, "logprob_token_ids": ids, "return_tokens_as_token_ids": False}
        # What text a token has in the reply shows once that it is the choice's.
        if tuple(ids) not in self._known:
            top = await self._likeliest(prompt, parameters)
            values = all_log_likelihoods(choices, top)
            # Some servers tell a choice's token without the blank that the text begins with.
            stripped = set(map(str.strip, top)).issuperset(map(str.strip, choices))
            if values or (stripped and not top.keys() & set(choices)):
                self._known.add(tuple(ids))
            if values:
                return values
        if tuple(ids) in self._known:
            top = await self._likeliest(prompt, {**parameters, "return_tokens_as_token_ids": True})
            if values := all_log_likelihoods([f"token_id:{token}" for token in ids], top):
                return values
        self._asking.lacking.add(NAME)
        return None

    async def _likeliest(self, prompt: str, parameters: Mapping[str, object]) -> Top:
        try:
            return likeliest_tokens(await self._asking.complete(prompt, parameters))
        except ModelError as error:
            self._asking.pass_by(NAME, error)
            return {}

    async def _single_tokens(self, tail: str, choices: tuple[str, ...]) -> list[int] | None:
        """Return the one token that each choice adds after the tail; None where it is more or not told."""
        head = await self._asking.tokenize(tail)
        if head is None:
            self._asking.lacking.add(NAME)
            return None
        ids = await asyncio.gather(*(self._asking.single_token(head, tail, choice) for choice in choices))
        tokens = [token for token in ids if token is not None]
        return tokens if len(set(tokens)) == len(choices) else None


def last_line(prompt: str) -> str:
    """Return the prompt's last line that isn't blank and what follows: what decides how a choice is split."""
    end = len(prompt.rstrip())
    return prompt[prompt.rfind("\n", 0, end) + 1 :][-400:]
