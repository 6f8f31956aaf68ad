"""The part that all ways to a choice's log-likelihood share: requests to the server, and its refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from pytest_instructlab_eval.errors import ContextLengthError, ModelError
from pytest_instructlab_eval.models.batching import Prompt

FAILED = ("abort", "aborted", "cancelled", "content_filter", "error")  # why no model ends a token
NOT_FINITE = "Out of range float values are not JSON compliant"  # vLLM's words for NaN and infinity

Complete = Callable[[Prompt, Mapping[str, object]], Awaitable[Mapping[str, object]]]
Tokenize = Callable[[str], Awaitable["list[int] | None"]]


class ChoiceWay(Protocol):
    """A way to the log-likelihoods of choices."""

    async def logprobs(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        """Return the log-likelihood (nats) of each choice; None where the server has not this way."""
        ...


class ChoiceRequests:
    """Asks one server, and remembers its abilities.

    `send` asks for one completion; `tokenize` gives None where the server can't. `lacking` and `worked` are
    the names of ways, `refusals` what was said of each; `answers` counts the completions that came, with
    log-probabilities or without.
    """

    def __init__(self, send: Complete, tokenize: Tokenize) -> None:
        self.tokenize = tokenize
        self.lacking: set[str] = set()
        self.worked: set[str] = set()
        self.refusals: dict[str, str] = {}
        self.answers = 0
        self._send = send

    async def complete(self, prompt: Prompt, parameters: Mapping[str, object]) -> Mapping[str, object]:
        """Return a completion; raises ModelError."""
        try:
            completion = await self._send(prompt, parameters)
            ended = completion.get("finish_reason")
            if ended in FAILED:
                raise ModelError(f"the server ended its completion with finish_reason {ended!r}")
            self.answers += 1
            return completion
        except ModelError as error:
            if NOT_FINITE not in str(error):
                raise
            raise ModelError(
                "expected finite log-probabilities; check the model's weights, or serve it with a higher "
                f"precision ({error})",
                prompt=error.prompt,
            ) from None

    async def single_token(self, head: list[int], text: str, choice: str) -> int | None:
        """Return the one token that a choice adds after a text of these tokens; None where it is more."""
        whole = await self.tokenize(text + choice)
        return whole[-1] if whole and whole[:-1] == head else None

    def pass_by(self, way: str, error: ModelError) -> None:
        """Note that the server refused a way; raise the error where that way has worked before."""
        if way in self.worked or not is_refusal(error):
            raise error
        self.refusals[way] = str(error)


def is_refusal(error: ModelError) -> bool:
    """Return whether the server said that the request itself is wrong, so another way may work."""
    return error.status in (400, 404, 405, 422, 501) and not isinstance(error, ContextLengthError)
