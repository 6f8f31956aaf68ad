"""A model behind an OpenAI-compatible server."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pytest_instructlab_eval.errors import ContextLengthError, EvalError, ModelError
from pytest_instructlab_eval.models.adaptations import Adaptations
from pytest_instructlab_eval.models.address import ModelAddress
from pytest_instructlab_eval.models.batching import CompletionBatcher, Prompt
from pytest_instructlab_eval.models.chat_replies import read_completion
from pytest_instructlab_eval.models.choices import WAYS, ChoiceScorer
from pytest_instructlab_eval.models.endpoint import Endpoint, Traffic
from pytest_instructlab_eval.models.identity import MOST_LISTED, add_fingerprint, listed_identity
from pytest_instructlab_eval.models.logprobs import Top, likeliest_tokens
from pytest_instructlab_eval.models.protocol import Completion, Message, as_messages
from pytest_instructlab_eval.models.replies import as_object, first_of
from pytest_instructlab_eval.models.requests import (
    CHANGES,
    MERGED_SYSTEM,
    RequestChange,
    change_request,
    fitting_change,
)
from pytest_instructlab_eval.models.templates import ChatTemplate
from pytest_instructlab_eval.models.tokens import ONE_TOKEN, ServerTokenizer, find_beginning_token
from pytest_instructlab_eval.records.model_identity import ModelIdentity


class ServedModel:
    """A `Model` that an endpoint serves under `name`, or under `instructlab/name`.

    `merge_system` sends the system message at the head of the first user message, for a chat template without
    a system role; where a server refuses one, that is found without it. `add_bos` begins each prompt of
    multiple choice with the tokenizer's beginning-of-text token; a server that can't be shown to do so is
    refused by `find`.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        ways: Sequence[str] = WAYS,
        merge_system: bool = False,
        add_bos: bool = False,
    ) -> None:
        self.address = ModelAddress(name, endpoint, self._check)
        self.adaptations = Adaptations()
        self.traffic = Traffic()
        self._batcher = CompletionBatcher(endpoint, self.adaptations, self.traffic)
        self._tokenizer = ServerTokenizer(self.address)
        self._template = ChatTemplate(self.address)
        self._scorer = ChoiceScorer(self._complete, self._tokenizer.tokens, self.adaptations.note, ways)
        self._changes: tuple[RequestChange, ...] = (MERGED_SYSTEM,) if merge_system else ()
        self._add_bos = add_bos

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self.address.name

    @property
    def endpoint(self) -> Endpoint:
        """Return the model's server."""
        return self.address.endpoint

    async def close(self) -> None:
        """Do nothing: the endpoint owns the connections."""

    async def find(self, wait: float = 0.0) -> None:
        """Find the server's name of the model, waiting `wait` seconds for the server.

        Raises ConfigurationError, with what the server has, where it hasn't this one.
        """
        await self.address.find(wait)

    async def listed(self) -> ModelIdentity:
        """Return what the server listed of the model when it was found last; it is found first if need be."""
        name = await self.address.known_name()
        return listed_identity(name, self.address.card)

    async def looked_at(self) -> ModelIdentity:
        """Return that with the model's fingerprint; this asks 16 prompts for one token each."""
        ways = {"completions": self._likeliest_next, "chat": self._likeliest_reply}
        return await add_fingerprint(await self.listed(), ways)

    async def _likeliest_next(self, prompt: str) -> Top:
        name = await self.address.known_name()
        return likeliest_tokens(
            await self._batcher.complete(prompt, {**ONE_TOKEN, "model": name, "logprobs": MOST_LISTED})
        )

    async def _likeliest_reply(self, prompt: str) -> Top:
        body = {
            "messages": as_messages(prompt), **ONE_TOKEN, "logprobs": True, "top_logprobs": MOST_LISTED,
        }  # fmt: skip
        async with self.endpoint.request_slot():
            reply = await self.address.post("/chat/completions", body, prompt)
        self.endpoint.traffic.requests += 1
        return likeliest_tokens(as_object(first_of(reply.get("choices"))))

    async def _check(self, served_name: str) -> None:
        if self._add_bos and self._tokenizer.bos is None:
            self._tokenizer.bos = await find_beginning_token(served_name, self.endpoint, self._batcher)

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
        schema: Mapping[str, object] | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; see `Model`.

        `schema` is the JSON schema of the answer. A server that doesn't know how to keep a model to one
        is asked without, so whoever gives a schema still has to look at the text.
        """
        messages = as_messages(messages)
        body: dict[str, object] = {
            "messages": list(messages), "n": 1, "temperature": temperature, "max_tokens": max_tokens,
        }  # fmt: skip
        if seed is not None:
            body["seed"] = seed
        if schema is not None:
            named = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        prompt = str(messages[-1]["content"]) if messages else ""
        async with self.endpoint.request_slot():
            started = time.perf_counter()
            try:
                reply = await self._reply(body, prompt)
            except ContextLengthError as error:
                raise await self._tokenizer.measured(error, messages, max_tokens) from None
            latency = time.perf_counter() - started
        self.endpoint.traffic.requests += 1
        self.traffic.add(reply, 1)
        return read_completion(reply, latency, self.endpoint, prompt)

    async def _reply(self, body: Mapping[str, object], prompt: str) -> dict[str, object]:
        """Return the reply to a chat, asked again without what the server refuses.

        What helped is remembered for later requests, and told with the results.
        """
        changes = self._changes
        while True:
            sent = change_request(body, changes)
            try:
                reply = await self.address.post("/chat/completions", sent, prompt)
                break
            except ModelError as error:
                change = fitting_change(error, sent, changes)
                if change is None:
                    raise
            changes = (*changes, change)
        self._changes = tuple(change for change in CHANGES if change in {*self._changes, *changes})
        for change in changes:
            if change.applies(body):
                self.adaptations.note(change.name, change.text, changes_answers=change.changes_answers)
        return reply

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice; see `Model`."""
        text = prompt if isinstance(prompt, str) else await self.render(prompt)
        try:
            return await self._scorer.logprobs(text, choices)
        except ContextLengthError as error:
            raise await self._tokenizer.measured(error, text, 1) from None
        except EvalError:
            raise
        except Exception as error:  # of a library: it ends this question, and no other
            raise ModelError(
                f"{self.endpoint} gave a reply that cannot be read ({type(error).__name__})", prompt=text
            ) from None

    async def render(self, messages: Sequence[Message]) -> str:
        """Return the text that the model's chat template makes of the messages, ready for an answer."""
        return await self._template.render(messages)

    async def _complete(self, prompt: Prompt, parameters: Mapping[str, object]) -> dict[str, object]:
        model = await self.address.known_name()
        fixed = {**ONE_TOKEN, "model": model, "add_special_tokens": self._tokenizer.adds_bos(prompt)}
        return await self._batcher.complete(prompt, {**fixed, **parameters})

    def __str__(self) -> str:
        return f"{self.name} at {self.endpoint.base_url}"

    def __repr__(self) -> str:
        return f"ServedModel({self.name!r}, {self.endpoint.base_url!r})"
