"""The log-likelihoods of choices: tries several ways, and drops those that the server does not have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.choices.choice_requests import (
    ChoiceRequests,
    ChoiceWay,
    Complete,
    Tokenize,
)
from pytest_instructlab_eval.models.choices.echo import Echo, Note
from pytest_instructlab_eval.models.choices.token_ids import TokenIds
from pytest_instructlab_eval.models.choices.top_logprobs import TopLogprobs
from pytest_instructlab_eval.models.protocol import ChoiceLogprobs

WAYS = ("token_ids", "top_logprobs", "echo")
SERVER_FAULT = 500  # statuses from here on are the server's fault, not the request's
QUESTIONS_IN_VAIN = 3  # without log-probabilities, after which no more are asked
CHOICES_IN_VAIN = 30  # questions of which a choice was not among the likeliest tokens: others may have all


class NoLogprobsError(ModelError):
    """The server answered, and gave no log-probabilities of the choices in any way."""


class ChoiceScorer:
    """Scores choices with `complete`, which asks for one completion, and the server's `tokenize`.

    `tokenize` gives None where the server can't. `note` takes the name and the text of an adaptation. `ways`
    narrows what is tried, for tests. A way that the server turns out not to have is not tried again, once
    another has worked.
    """

    def __init__(
        self, complete: Complete, tokenize: Tokenize, note: Note, ways: Sequence[str] = WAYS
    ) -> None:
        self._asking = asking = ChoiceRequests(complete, tokenize)
        top = TopLogprobs(asking)
        all_ways: Mapping[str, ChoiceWay] = {
            "token_ids": TokenIds(asking), "top_logprobs": top, "echo": Echo(asking, top, note)
        }  # fmt: skip
        self._ways = {name: all_ways[name] for name in ways}
        self._proof: asyncio.Event | None = None
        self._proven = False
        self._in_vain: list[NoLogprobsError] = []

    async def logprobs(self, prompt: str, choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood (nats) of each choice; raises ModelError where the server has no way.

        Spaces at the end of the prompt are counted to the choices, as lm-eval does: with its word,
        a space is one token.
        """
        spaces = len(prompt) - len(prompt.rstrip(" "))
        if spaces:
            prompt, choices = prompt[:-spaces], [" " * spaces + choice for choice in choices]
        while not self._proven and self._proof is not None:
            await self._proof.wait()
        if self._proven:
            return await self._by_any_way(prompt, tuple(choices))
        self._proof = asyncio.Event()  # this question finds the way, the others wait and take it
        try:
            values = await self._by_any_way(prompt, tuple(choices))
            self._proven = True
            return values
        except NoLogprobsError:
            self._proven = self._in_vain == [] or self._hopeless
            raise
        except ModelError as error:
            # A server that doesn't answer would make each question in turn wait for it: let all ask.
            self._proven = error.status is None or error.status >= SERVER_FAULT
            raise
        finally:
            self._proof.set()
            self._proof = None

    @property
    def _hopeless(self) -> bool:
        """Return whether so many questions failed that no more are asked."""
        gives_some = "top_logprobs" in self._ways.keys() - self._asking.lacking
        return len(self._in_vain) >= (CHOICES_IN_VAIN if gives_some else QUESTIONS_IN_VAIN)

    async def _by_any_way(self, prompt: str, choices: tuple[str, ...]) -> list[float]:
        if self._hopeless:
            raise NoLogprobsError(str(self._in_vain[0]), prompt=prompt)
        asking = self._asking
        before = asking.answers
        for name, way in self._ways.items():  # as they were when the question began
            values = await way.logprobs(prompt, choices)
            if values is not None:
                asking.worked.add(name)
                if useless := (self._ways.keys() & asking.lacking) - asking.worked:
                    self._ways = {other: self._ways[other] for other in self._ways if other not in useless}
                return ChoiceLogprobs(values, name)
        refusals = f" ({'; '.join(dict.fromkeys(asking.refusals.values()))})" if asking.refusals else ""
        error = NoLogprobsError(
            "the server gives no log-probabilities of the choices: multiple choice needs a server whose "
            "/completions has logprobs, such as vLLM; name such a server, or leave MMLU out with "
            f"--eval-benchmark{refusals}",
            prompt=prompt,
        )
        if not asking.worked and asking.answers > before:  # else it may be the prompt that was refused
            self._in_vain.append(error)
        raise error
