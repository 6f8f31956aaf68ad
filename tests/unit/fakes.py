"""A model that answers as a test says, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.models import Completion, Message
from pytest_instructlab_eval.models.protocol import as_messages

Prompt = str | Sequence[Message]


@dataclass(frozen=True)
class Chat:
    """One chat that a model was asked for."""

    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    seed: int | None = None

    @property
    def last(self) -> str:
        return self.messages[-1]["content"]


class FakeModel:
    """A `Model`: `say` answers chats, `weigh` gives the log-likelihoods of choices."""

    def __init__(
        self,
        say: Callable[[Sequence[Message]], str] | None = None,
        weigh: Callable[[Prompt, Sequence[str]], list[float]] | None = None,
        *,
        name: str = "tiny",
    ) -> None:
        self._say = say or (lambda messages: f"answer to {messages[-1]['content']}")
        self._weigh = weigh or (lambda prompt, choices: [-float(n) for n in range(len(choices))])
        self._name = name
        self.chats: list[Chat] = []
        self.prompts: list[Prompt] = []
        self.closed = False

    @property
    def name(self) -> str:
        return self._name

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        messages = as_messages(messages)
        self.chats.append(Chat(tuple(messages), temperature, max_tokens, seed))
        return Completion(self._say(messages), "stop", 1, 1, 0.0)

    async def choice_logprobs(self, prompt: Prompt, choices: Sequence[str]) -> list[float]:
        self.prompts.append(prompt)
        return self._weigh(prompt, choices)

    async def close(self) -> None:
        self.closed = True
