"""The log-likelihood of the choices of a multiple-choice question, by the fastest way that a server has.

1. Every choice is one token after the prompt (MMLU's letters): one request a question, which asks
   for one token and, by vLLM's `logprob_token_ids`, for the log-probabilities of just the choices.
2. `top_logprobs`: one request a question, where all the choices are among the likeliest tokens; where one
   is not, a second that asks for many more of them.
3. `echo` with the log-probabilities of the prompt: one request a choice, of any number of tokens.

All three give what lm-eval's `local-completions` gives on the same server (tests/e2e compares them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from pytest_instructlab_eval.errors import ContextLengthError, ModelError
from pytest_instructlab_eval.models.batching import Prompt
from pytest_instructlab_eval.models.logprobs import (
    Top,
    echoed_text,
    echoed_tokens,
    likeliest,
    log_likelihood,
)

__all__ = ["WAYS", "ChoiceScorer", "last_line", "refused"]

WAYS = ("token_ids", "top_logprobs", "echo")
SERVER_FAULT = 500  # statuses from here on are the server's fault, not the request's
MOST_TOP_LOGPROBS = (20, 5)  # vLLM's and OpenAI's limits; the first that the server accepts is kept
MANY_TOP_LOGPROBS = 1000  # where a choice is not among those: llama.cpp has no limit; 100 kB a prompt
TOLERANCE = 0.05  # nats, between two ways to the log-probability of one token
ECHO_PROBES = 2  # tokens that are compared: one may agree by chance
QUESTIONS_IN_VAIN = 3  # without log-probabilities, after which no more are asked
CHOICES_IN_VAIN = 30  # questions of which a choice was not among the likeliest tokens: others may have all
FAILED = ("abort", "aborted", "cancelled", "content_filter", "error")  # why no model ends a token
NOT_FINITE = "Out of range float values are not JSON compliant"  # vLLM's words for NaN and infinity

Complete = Callable[[Prompt, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Tokenize = Callable[[str], Awaitable["list[int] | None"]]
Note = Callable[[str, str], None]
EchoVerdict = Literal["right", "wrong", "unchecked"]


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
        self._send = complete
        self._tokenize = tokenize
        self._note = note
        self._ways = list(ways)
        self._lacking: set[str] = set()
        self._worked: set[str] = set()
        self._top = list(MOST_TOP_LOGPROBS)
        self._allows_many: bool | None = None  # not known yet
        self._known_ids: set[tuple[int, ...]] = set()
        self._token_ids: dict[tuple[str, tuple[str, ...]], asyncio.Task[list[int] | None]] = {}
        self._echo_check: asyncio.Task[EchoVerdict | None] | None = None
        self._proof: asyncio.Event | None = None
        self._proven = False
        self._in_vain: list[NoLogprobsError] = []
        self._refusals: dict[str, str] = {}
        self._answers = 0  # completions that came, with log-probabilities or without

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
        """Whether so many questions were asked in vain that no more are."""
        gives_some = "top_logprobs" in set(self._ways) - self._lacking
        return len(self._in_vain) >= (CHOICES_IN_VAIN if gives_some else QUESTIONS_IN_VAIN)

    async def _by_any_way(self, prompt: str, choices: tuple[str, ...]) -> list[float]:
        if self._hopeless:
            raise NoLogprobsError(str(self._in_vain[0]), prompt=prompt)
        scorers = {
            "token_ids": self._by_token_ids,
            "top_logprobs": self._by_top_logprobs,
            "echo": self._by_echo,
        }
        before = self._answers
        for way in list(self._ways):
            found = await scorers[way](prompt, choices)
            if found is not None:
                self._worked.add(way)
                self._ways = [other for other in self._ways if other not in self._lacking - self._worked]
                return found
        said = f" ({'; '.join(dict.fromkeys(self._refusals.values()))})" if self._refusals else ""
        error = NoLogprobsError(
            "the server gives no log-probabilities of the choices: multiple choice needs a server whose "
            f"/completions has logprobs, such as vLLM{said}",
            prompt=prompt,
        )
        if not self._worked and self._answers > before:  # else it may be the prompt that was refused
            self._in_vain.append(error)
        raise error

    async def _complete(self, prompt: Prompt, parameters: Mapping[str, Any]) -> dict[str, Any]:
        try:
            completion = await self._send(prompt, parameters)
            ended = completion.get("finish_reason")
            if ended in FAILED:
                raise ModelError(f"the server ended its completion with finish_reason {ended!r}")
            self._answers += 1
            return completion
        except ModelError as error:
            if NOT_FINITE not in str(error):
                raise
            raise ModelError(
                "a log-probability is no finite number: the model's weights are broken, or its precision is "
                f"too low ({error})",
                prompt=error.prompt,
            ) from None

    # --- token ids ---

    async def _by_token_ids(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        ids = await self._single_tokens(last_line(prompt), choices)
        if ids is None:
            return None
        parameters = {"logprobs": 1, "logprob_token_ids": ids, "return_tokens_as_token_ids": False}
        # What text a token has in the reply shows once that it is the choice's.
        if tuple(ids) not in self._known_ids:
            top = await self._likeliest("token_ids", prompt, parameters)
            found = _of_all(choices, top)
            stripped = {token.strip() for token in top}  # as by tokenizers that begin each text with a blank
            if found or (stripped.issuperset(map(str.strip, choices)) and not top.keys() & set(choices)):
                self._known_ids.add(tuple(ids))
            if found:
                return found
        if tuple(ids) in self._known_ids:
            parameters["return_tokens_as_token_ids"] = True
            top = await self._likeliest("token_ids", prompt, parameters)
            if found := _of_all([f"token_id:{token}" for token in ids], top):
                return found
        self._lacking.add("token_ids")
        return None

    async def _single_tokens(self, tail: str, choices: tuple[str, ...]) -> list[int] | None:
        key = (tail, choices)
        if key not in self._token_ids:
            self._token_ids[key] = asyncio.ensure_future(self._find_single_tokens(tail, choices))
        try:
            return await asyncio.shield(self._token_ids[key])
        except Exception:
            self._token_ids.pop(key, None)  # the next question asks again
            raise

    async def _find_single_tokens(self, tail: str, choices: tuple[str, ...]) -> list[int] | None:
        """The one token that each choice adds after the tail; None where it is more or can't be told."""
        head = await self._tokenize(tail)
        if head is None:
            self._lacking.add("token_ids")
            return None
        ids = await asyncio.gather(*(self._single_token(head, tail, choice) for choice in choices))
        found = [token for token in ids if token is not None]
        return found if len(set(found)) == len(choices) else None

    async def _single_token(self, head: Sequence[int], text: str, choice: str) -> int | None:
        """The one token that a choice adds after a text of these tokens; None where it is more."""
        whole = await self._tokenize(text + choice)
        return whole[-1] if whole and whole[:-1] == head else None

    # --- the likeliest tokens ---

    async def _by_top_logprobs(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        top = await self._top_logprobs(prompt)
        if not top:
            self._lacking.add("top_logprobs")
            return None
        found = _of_all(choices, top)
        if found is None and self._allows_many is None:
            top = await self._many_top_logprobs(prompt, len(top))
            found = _of_all(choices, top)
        if found is None:
            self._refusals["top_logprobs"] = "a choice is not among the likeliest tokens that it names"
        return found

    async def _top_logprobs(self, prompt: str) -> Top:
        """As many of the likeliest tokens as the server is known to give; empty where it gives none."""
        while True:
            count = self._top[0]
            try:
                return likeliest(await self._complete(prompt, {"logprobs": count}))
            except ModelError as error:
                self._pass_by("top_logprobs", error)
            lower = [other for other in self._top if other < count]  # others may have got there first
            if not lower:
                return {}
            self._top = lower

    async def _many_top_logprobs(self, prompt: str, few: int) -> Top:
        """Many more of the likeliest tokens; empty where the server has a limit."""
        try:
            top = likeliest(await self._complete(prompt, {"logprobs": MANY_TOP_LOGPROBS}))
        except ModelError as error:
            if not refused(error):
                raise
            top = {}
        self._allows_many = len(top) > few
        if self._allows_many and MANY_TOP_LOGPROBS not in self._top:
            self._top.insert(0, MANY_TOP_LOGPROBS)  # one request a question from now on
        return top

    async def _likeliest(self, way: str, prompt: str, parameters: Mapping[str, Any]) -> Top:
        try:
            return likeliest(await self._complete(prompt, parameters))
        except ModelError as error:
            self._pass_by(way, error)
            return {}

    # --- echo ---

    async def _by_echo(self, prompt: str, choices: tuple[str, ...]) -> list[float] | None:
        verdict = await self._echo_verdict(prompt, choices)
        if verdict == "wrong":
            return None
        found = await asyncio.gather(*(self._echoed(prompt, choice) for choice in choices))
        values = [sum(value) for value in found if value is not None]
        if len(values) < len(choices):
            self._lacking.add("echo")
            self._refusals.setdefault("echo", "it does not echo a prompt with log-probabilities")
            return None
        if verdict != "right":
            self._note(
                "echo_unchecked",
                "choices were scored by an echo of the prompt, which could not be checked against other "
                "log-probabilities of the server",
            )
        return values

    async def _echoed(self, prompt: str, choice: str) -> list[float] | None:
        """The log-probabilities of the tokens of one choice, from those of the whole prompt.

        Where the server tells tokens, the choice is what it adds to those of the prompt, as lm-eval has it.
        """
        head, whole = await asyncio.gather(self._tokenize(prompt), self._tokenize(prompt + choice))
        if head is None or whole is None:
            return echoed_text(await self._echo(prompt + choice), prompt, choice)
        ids = head + whole[len(head) :]
        return echoed_tokens(await self._echo(ids), len(head), len(ids))

    async def _echo(self, prompt: Prompt) -> Mapping[str, Any]:
        try:
            return await self._complete(prompt, {"logprobs": 1, "echo": True})
        except ModelError as error:
            self._pass_by("echo", error)
            return {}

    async def _echo_verdict(self, prompt: str, choices: Sequence[str]) -> EchoVerdict | None:
        """Whether the server's echo can be trusted, asked once; None where it did not echo this prompt."""
        if self._echo_check is None:
            self._echo_check = asyncio.ensure_future(self._check_echo(prompt, choices))
        check, verdict = self._echo_check, None
        try:
            verdict = await asyncio.shield(check)
        finally:
            if verdict is None and check.done() and self._echo_check is check:
                self._echo_check = None  # the next question tries again
        return verdict

    async def _check_echo(self, prompt: str, choices: Sequence[str]) -> EchoVerdict | None:
        """Compare an echo's likelihood of likely next tokens with what the server says of them otherwise.

        A server may echo each token with the likelihood of the one after it (llama-cpp-python does).
        """
        head, top = await self._tokenize(prompt), await self._top_logprobs(prompt)
        tokens = sorted(top, key=lambda token: token not in choices)
        verdict: EchoVerdict | None = None if tokens else "unchecked"
        probes = 0
        for token in tokens:
            if head is not None and await self._single_token(head, prompt, token) is None:
                continue
            probes += 1
            echoed = await self._echoed(prompt, token)
            if echoed is not None and len(echoed) == 1:
                verdict = "right"
                if not self._agrees(token, echoed[0], log_likelihood(top[token])):
                    return "wrong"
            if probes == ECHO_PROBES:
                break
        return verdict

    def _agrees(self, token: str, echoed: float, expected: float) -> bool:
        if abs(echoed - expected) <= TOLERANCE:
            return True
        self._lacking.add("echo")
        self._refusals["echo"] = (
            f"its echo of the prompt is wrong: the token {token!r} has the log-probability {echoed:.2f} "
            f"there, and {expected:.2f} as the next token"
        )
        return False

    def _pass_by(self, way: str, error: ModelError) -> None:
        """Go on to another way where the server refused this one; if it has worked, it's the question."""
        if way in self._worked or not refused(error):
            raise error
        self._refusals[way] = str(error)


def last_line(prompt: str) -> str:
    """The prompt's last line that isn't blank and what follows it: what decides how a choice is split."""
    end = len(prompt.rstrip())
    return prompt[prompt.rfind("\n", 0, end) + 1 :][-400:]


def refused(error: ModelError) -> bool:
    """Whether the server said that the request itself is wrong, so another way may work."""
    return error.status in (400, 404, 405, 422, 501) and not isinstance(error, ContextLengthError)


def _of_all(names: Sequence[str], top: Top) -> list[float] | None:
    """The log-likelihood of each of these tokens; None where one is not there."""
    return [log_likelihood(top[name]) for name in names] if all(name in top for name in names) else None
