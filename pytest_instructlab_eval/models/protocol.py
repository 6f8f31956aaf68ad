"""What a model is to a benchmark: something that can be asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, TypedDict

__all__ = ["Completion", "Message", "Model", "as_messages"]


class Message(TypedDict):
    """One message of a chat; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


def as_messages(chat: str | Sequence[Message]) -> Sequence[Message]:
    """Return the messages of a chat; a text is one message of the user."""
    return [{"role": "user", "content": chat}] if isinstance(chat, str) else chat


@dataclasses.dataclass(frozen=True)
class Completion:
    """A model's answer: its text, why it ended ("stop" or "length"), tokens and seconds."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency: float


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
        """The log-likelihood (nats) of each choice as the continuation of the prompt.

        A prompt of messages is put through the model's chat template first. No special token, such
        as a beginning-of-text one, is added: as lm-eval does for a served model.
        """
        ...

    async def close(self) -> None:
        """Let go of connections or memory."""
        ...
