"""What a model is to a benchmark: something that can be asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict

from pytest_instructlab_eval.errors import NoAnswerError
from pytest_instructlab_eval.models.reasoning import split_answer


class Message(TypedDict):
    """One message of a chat; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


def as_messages(chat: str | Sequence[Message]) -> Sequence[Message]:
    """Return the messages of a chat; a text is one message of the user."""
    return [{"role": "user", "content": chat}] if isinstance(chat, str) else chat


@dataclasses.dataclass(frozen=True)
class Completion:
    """A model's answer: its text, why it ended ("stop" or "length"), tokens and seconds.

    `reasoning` is what it wrote before its answer, and is no part of the text.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency: float
    reasoning: str = ""

    def split(self, name: str, prompt: str) -> Completion:
        """Return the completion without the reasoning that its text has; raises NoAnswerError.

        `name` is what the error calls the model, `prompt` what it was asked.
        """
        before, answer = split_answer(self.text)
        reasoning = "\n\n".join(part for part in (self.reasoning.strip(), before) if part)
        if not answer.strip() and (reasoning or self.finish_reason == "length"):
            why = "it ended after its reasoning"
            if self.finish_reason == "length":
                count = f"all {self.completion_tokens:,} tokens" if self.completion_tokens else "all tokens"
                shown = "" if reasoning else " that is not shown"
                why = (
                    f"{count} up to the limit went into reasoning{shown}; turn its reasoning off or allow "
                    "more tokens"
                )
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
    """A model that can be asked; every method raises ModelError where it could not be."""

    @property
    def name(self) -> str:
        """As the user names it."""
        ...

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; a text is one message of the user."""
        ...

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood (nats) of each choice as the continuation of the prompt.

        A prompt of messages is put through the model's chat template first. No special token, such
        as a beginning-of-text one, is added: as lm-eval does for a served model.
        """
        ...

    async def close(self) -> None:
        """Let go of connections or memory."""
        ...
