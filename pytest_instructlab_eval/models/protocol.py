"""The model as a benchmark sees it: what it can be asked, and how it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict

from pytest_instructlab_eval.errors import NoAnswerError
from pytest_instructlab_eval.models.reasoning import split_answer


class Message(TypedDict):
    """One message of a chat, as a dictionary: `role` is "system", "user" or "assistant"."""

    role: str
    content: str


def as_messages(chat: str | Sequence[Message]) -> Sequence[Message]:
    """Return the messages of a chat; a text is one message of the user."""
    return [{"role": "user", "content": chat}] if isinstance(chat, str) else chat


@dataclasses.dataclass(frozen=True)
class Completion:
    """A model's answer to a chat.

    - `text` is the answer, and `reasoning` what the model wrote before it.
    - `finish_reason` is why the answer ended: "stop", or "length" where the token limit cut it off.
    - `prompt_tokens` and `completion_tokens` are counts, 0 where the server gives none.
    - `latency` is how long the request took, in seconds.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency: float
    reasoning: str = ""

    def split(self, name: str, prompt: str) -> Completion:
        """Return the completion with the reasoning in its text moved to `reasoning`.

        `name` is what an error calls the model, `prompt` what it was asked. Raises NoAnswerError where only
        reasoning is left.
        """
        before, answer = split_answer(self.text)
        reasoning = "\n\n".join(part for part in (self.reasoning.strip(), before) if part)
        if not answer.strip() and (reasoning or self.finish_reason == "length"):
            why = "it stopped after its reasoning"
            if self.finish_reason == "length":
                count = f"all {self.completion_tokens:,} tokens" if self.completion_tokens else "all tokens"
                hidden = "" if reasoning else ", which the server does not show,"
                why = f"its reasoning{hidden} took {count}; turn reasoning off, or allow more tokens"
            raise NoAnswerError(
                f"{name} gave no answer: {why}",
                prompt=prompt,
                reasoning=reasoning,
                finish_reason=self.finish_reason,
            )
        return dataclasses.replace(self, text=answer, reasoning=reasoning)


class ChoiceLogprobs(list[float]):
    """The log-likelihoods of choices, and the `way` in which they were had, such as "token_ids"."""

    def __init__(self, values: Iterable[float], way: str) -> None:
        super().__init__(values)
        self.way = way


class Model(Protocol):
    """The model in an `async def` test, as the fixture `served_model` gives it.

    Every method raises ModelError where the request fails. The test then fails as an *error*, so there is no
    need to catch it.
    """

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        ...

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; a text is one message of the user.

        `max_tokens` limits the answer. At a temperature above 0 another `seed` gives another answer.
        """
        ...

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice as the continuation of the prompt, in nats.

        The list has one number for each choice, in their order. A prompt of messages is put through the
        model's chat template first. No special token, such as a beginning-of-text token, is added, as in
        lm-eval.
        """
        ...

    async def close(self) -> None:
        """Close the connections, or free the memory."""
        ...
