"""Choices that are among the likeliest tokens, which most servers name."""

from __future__ import annotations

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.choices.choice_requests import ChoiceRequests, is_refusal
from pytest_instructlab_eval.models.logprobs import Top, all_log_likelihoods, likeliest_tokens

NAME = "top_logprobs"
MOST = (20, 5)  # vLLM's and OpenAI's limits; the first that the server accepts is kept
MANY = 1000  # where a choice is not among those: llama.cpp has no limit; 100 kB a prompt


class TopLogprobs:
    """The `ChoiceWay` by the likeliest next tokens."""

    def __init__(self, asking: ChoiceRequests) -> None:
        self._asking = asking
        self._counts = list(MOST)
        self._allows_many: bool | None = None  # not known yet

    async def logprobs(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        """Return the log-likelihood of each choice; see `ChoiceWay`."""
        top = await self.likeliest(prompt)
        if not top:
            self._asking.lacking.add(NAME)
            return None
        values = all_log_likelihoods(choices, top)
        if values is None and self._allows_many is None:
            few = len(top)
            try:
                top = likeliest_tokens(await self._asking.complete(prompt, {"logprobs": MANY}))
            except ModelError as error:
                if not is_refusal(error):
                    raise
                top = {}  # the server has a limit
            self._allows_many = len(top) > few
            if self._allows_many and MANY not in self._counts:
                self._counts.insert(0, MANY)  # one request a question from now on
            values = all_log_likelihoods(choices, top)
        if values is None:
            self._asking.refusals[NAME] = "a choice is not among the likeliest tokens that it names"
        return values

    async def likeliest(self, prompt: str) -> Top:
        """Return as many of the likeliest tokens as the server gives; empty where it gives none."""
        while True:
            count = self._counts[0]
            try:
                return likeliest_tokens(await self._asking.complete(prompt, {"logprobs": count}))
            except ModelError as error:
                self._asking.pass_by(NAME, error)
            lower = [other for other in self._counts if other < count]  # others may have got there first
            if not lower:
                return {}
            self._counts = lower
