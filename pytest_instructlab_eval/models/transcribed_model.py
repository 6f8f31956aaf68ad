"""A model whose chats in one test are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_instructlab_eval.errors import ModelError, NoAnswerError
from pytest_instructlab_eval.models.protocol import Completion, Message, Model, as_messages
from pytest_instructlab_eval.records.evidence import Chat


class TranscribedModel:
    """A `Model` that asks another, `model`, and adds each chat to the `chats` as it ends.

    `requests` gets the messages, or the prompt and its choices, of each request as it starts.
    """

    def __init__(self, model: Model, chats: list[Chat], requests: list[object] | None = None) -> None:
        self.model = model
        self._chats = chats
        self._requests = [] if requests is None else requests

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self.model.name

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; see `Model`."""
        sent = tuple({**message} for message in as_messages(messages))  # the test may go on with its list
        self._requests.append(sent)
        chat = Chat(sent, None, temperature=temperature, max_tokens=max_tokens, seed=seed)
        try:
            reply = await self.model.chat(messages, temperature=temperature, max_tokens=max_tokens, seed=seed)
        except ModelError as error:
            chat = replace(chat, error=str(error))
            if isinstance(error, NoAnswerError):
                chat = replace(chat, finish_reason=error.finish_reason, reasoning=error.reasoning)
            self._chats.append(chat)
            raise
        chat = replace(
            chat,
            answer=reply.text,
            finish_reason=reply.finish_reason,
            reasoning=reply.reasoning,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            seconds=reply.latency,
        )
        self._chats.append(chat)
        return reply

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice; see `Model`."""
        asked = prompt if isinstance(prompt, str) else tuple({**message} for message in prompt)
        self._requests.append((asked, tuple(choices)))
        return await self.model.choice_logprobs(prompt, choices)

    async def close(self) -> None:
        """Close the model."""
        await self.model.close()
