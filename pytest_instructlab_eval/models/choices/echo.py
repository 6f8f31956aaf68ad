"""Choices of any number of tokens, by an echo of the prompt with its log-probabilities."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.batching import Prompt
from pytest_instructlab_eval.models.choices.choice_requests import ChoiceRequests
from pytest_instructlab_eval.models.choices.top_logprobs import TopLogprobs
from pytest_instructlab_eval.models.logprobs import echoed_text, echoed_tokens, log_likelihood

NAME = "echo"
TOLERANCE = 0.05  # nats, between two ways to the log-probability of one token
ECHO_PROBES = 2  # tokens that are compared: one may agree by chance

Note = Callable[[str, str], None]
Verdict = Literal["right", "wrong", "unchecked"]


class Echo:
    """The `ChoiceWay` by an echo, which is checked once against what the server says of the likeliest tokens.

    `note` takes the name and the text of an adaptation.
    """

    def __init__(self, asking: ChoiceRequests, top: TopLogprobs, note: Note) -> None:
        self._asking = asking
        self._top = top
        self._note = note
        self._check: asyncio.Task[Verdict | None] | None = None

    async def logprobs(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        """Return the log-likelihood of each choice; see `ChoiceWay`."""
        verdict = await self._verdict(prompt, choices)
        if verdict == "wrong":
            return None
        echoes = await asyncio.gather(*(self._echoed(prompt, choice) for choice in choices))
        values = [sum(value) for value in echoes if value is not None]
        if len(values) < len(choices):
            self._asking.lacking.add(NAME)
            self._asking.refusals.setdefault(NAME, "it does not echo a prompt with log-probabilities")
            return None
        if verdict != "right":
            self._note(
                "echo_unchecked",
                "choices were scored by an echo of the prompt, which could not be checked against other "
                "log-probabilities of the server",
            )
        return values

    async def _echoed(self, prompt: str, choice: str) -> list[float] | None:
        """Return the log-probabilities of the tokens of one choice, from those of the whole prompt.

        Where the server tells tokens, the choice is what it adds to those of the prompt, as lm-eval has it.
        """
        tokenize = self._asking.tokenize
        head, whole = await asyncio.gather(tokenize(prompt), tokenize(prompt + choice))
        if head is None or whole is None:
            return echoed_text(await self._echo(prompt + choice), prompt, choice)
        ids = head + whole[len(head) :]
        return echoed_tokens(await self._echo(ids), len(head), len(ids))

    async def _echo(self, prompt: Prompt) -> Mapping[str, object]:
        try:
            return await self._asking.complete(prompt, {"logprobs": 1, "echo": True})
        except ModelError as error:
            self._asking.pass_by(NAME, error)
            return {}

    async def _verdict(self, prompt: str, choices: tuple[str, ...]) -> Verdict | None:
        """Return whether the echo can be trusted, asked once; None where it did not echo this prompt."""
        if self._check is None:
            self._check = asyncio.ensure_future(self._compare(prompt, choices))
        check, verdict = self._check, None
        try:
            verdict = await asyncio.shield(check)
        finally:
            if verdict is None and check.done() and self._check is check:
                self._check = None  # the next question tries again
        return verdict

    async def _compare(self, prompt: str, choices: tuple[str, ...]) -> Verdict | None:
        """Return whether an echo agrees with the server's other log-probabilities of the next token.

        A server may echo each token with the likelihood of the one after it (llama-cpp-python does).
        """
        head, top = await self._asking.tokenize(prompt), await self._top.likeliest(prompt)
        tokens = sorted(top, key=lambda token: token not in choices)
        verdict: Verdict | None = None if tokens else "unchecked"
        probes = 0
        for token in tokens:
            if head is not None and await self._asking.single_token(head, prompt, token) is None:
                continue
            probes += 1
            echoed = await self._echoed(prompt, token)
            if echoed is not None and len(echoed) == 1:
                verdict = "right"
                expected = log_likelihood(top[token])
                if not abs(echoed[0] - expected) <= TOLERANCE:
                    self._asking.lacking.add(NAME)
                    self._asking.refusals[NAME] = (
                        f"its echo of the prompt is wrong: the token {token!r} has the log-probability "
                        f"{echoed[0]:.2f} there, and {expected:.2f} as the next token"
                    )
                    return "wrong"
            if probes == ECHO_PROBES:
                break
        return verdict
