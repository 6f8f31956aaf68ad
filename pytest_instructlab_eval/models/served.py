"""A model behind an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import fnmatch
import time
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_instructlab_eval.errors import (
    ConfigurationError,
    ContextLengthError,
    EvalError,
    ModelError,
    UnreachableError,
)
from pytest_instructlab_eval.models.adaptations import Adaptations
from pytest_instructlab_eval.models.batching import CompletionBatcher, Prompt
from pytest_instructlab_eval.models.choices import TOLERANCE, WAYS, ChoiceScorer
from pytest_instructlab_eval.models.endpoint import REFUSED_KEY, Endpoint
from pytest_instructlab_eval.models.logprobs import Top, likeliest, log_likelihood
from pytest_instructlab_eval.models.protocol import Completion, Message, as_messages
from pytest_instructlab_eval.models.replies import token_count
from pytest_instructlab_eval.models.requests import CHANGES, MERGED_SYSTEM, Change, changed, fitting_change

__all__ = ["ServedModel"]

PLACEHOLDER = "placeholder-0f1e2d3c"  # stands for the last message while a chat template is rendered
REASONING = ("reasoning_content", "reasoning", "thinking")  # vLLM and DeepSeek, OpenRouter, Ollama
ONE_TOKEN = {"max_tokens": 1, "temperature": 0}
BOS_PROBE = "The capital of France is"
TRY_AGAIN = (408, 409, 425, 429)  # statuses that say nothing of what a server has
STOPPED = (  # an answer that is whole
    "stop", "eos_token", "eos", "end_turn", "stop_sequence", "complete", "stop_token", "end_of_turn", "end",
    "finished", "finishreason.stop",
)  # fmt: skip
CUT_OFF = ("length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length")  # one at its limit


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
        self._name = name
        self._endpoint = endpoint
        self._served_name: str | None = None
        self.adaptations = Adaptations()
        self._batcher = CompletionBatcher(endpoint, self.adaptations)
        self._scorer = ChoiceScorer(self._complete, self._tokenize, self.adaptations.note, ways)
        self._templates: dict[str, asyncio.Task[tuple[str, str] | None]] = {}
        self._tokenizes: bool | None = None  # None: not known yet
        self._changes: tuple[Change, ...] = (MERGED_SYSTEM,) if merge_system else ()
        self._finding = asyncio.Lock()
        self._add_bos = add_bos
        self._bos: tuple[int, str] | None = None  # the beginning-of-text token and its text, once known

    @property
    def name(self) -> str:
        """As the user names it."""
        return self._name

    @property
    def endpoint(self) -> Endpoint:
        """The server that is asked."""
        return self._endpoint

    async def close(self) -> None:
        """Nothing to do: the endpoint owns the connections."""

    async def find(self, wait: float = 0.0) -> None:
        """Learn the name that the server knows the model by, waiting `wait` seconds for the server.

        Raises ConfigurationError, with what the server has, where it hasn't this one.
        """
        names = await self._endpoint.models(wait)
        usual = (self._name, f"instructlab/{self._name}", f"{self._name}:latest", f"models/{self._name}")
        found = next((candidate for candidate in usual if candidate in names), None)
        if found is None and any("*" in name and _wildcard_fits(name, self._name) for name in names):
            found = self._name
        if found is not None:
            if self._add_bos and self._bos is None:
                self._bos = await self._find_bos(found)
            self._served_name = found
            return
        served = self._endpoint.safe(", ".join(names)) or "none"
        raise ConfigurationError(f"{self._endpoint} has no model {self._name!r}; it has: {served}")

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        """The model's answer to a chat; see `Model`.

        `schema` is the JSON schema of the answer. A server that doesn't know how to keep a model to one
        is asked without, so whoever gives a schema still has to look at the text.
        """
        messages = as_messages(messages)
        body: dict[str, Any] = {
            "messages": list(messages), "n": 1, "temperature": temperature, "max_tokens": max_tokens,
        }  # fmt: skip
        if seed is not None:
            body["seed"] = seed
        if schema is not None:
            named = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        asked = str(messages[-1]["content"]) if messages else ""
        async with self._endpoint.place():
            started = time.perf_counter()
            try:
                reply = await self._answer(body, asked)
            except ContextLengthError as error:
                raise await self._measured(error, messages, max_tokens) from None
            latency = time.perf_counter() - started
        self._endpoint.traffic.requests += 1
        return _completion(reply, latency, self._endpoint, asked)

    async def _answer(self, body: Mapping[str, Any], asked: str) -> dict[str, Any]:
        """The reply to a chat, asked again without what the server refuses.

        What helped is remembered for later requests, and told with the results.
        """
        changes = self._changes
        while True:
            sent = changed(body, changes)
            try:
                reply = await self._post("/chat/completions", sent, asked)
                break
            except ModelError as error:
                change = fitting_change(error, sent, changes)
                if change is None:
                    raise
            changes = (*changes, change)
        self._changes = tuple(change for change in CHANGES if change in {*self._changes, *changes})
        for change in changes:
            if change.applies(dict(body)):
                self.adaptations.note(change.name, change.text, changes_answers=change.changes_answers)
        return _usual(reply, self._endpoint, asked)

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """The log-likelihood of each choice; see `Model`."""
        text = prompt if isinstance(prompt, str) else await self.render(prompt)
        try:
            return await self._scorer.logprobs(text, choices)
        except ContextLengthError as error:
            raise await self._measured(error, text, 1) from None
        except EvalError:
            raise
        except Exception as error:  # of a library: it ends this question, and no other
            raise ModelError(
                f"{self._endpoint} gave a reply that cannot be read ({type(error).__name__})", prompt=text
            ) from None

    async def render(self, messages: Sequence[Message]) -> str:
        """The text that the model's chat template makes of the messages, ready for an answer.

        The server renders the template once for all chats that differ in the last message alone.
        """
        *earlier, last = messages
        key = repr((earlier, last["role"]))
        if key not in self._templates:
            self._templates[key] = asyncio.ensure_future(self._template(earlier, last))
        try:
            ends = await asyncio.shield(self._templates[key])
        except ModelError:
            self._templates.pop(key, None)  # the next question asks again
            raise
        if ends is None or last["content"] != last["content"].strip():  # templates like to strip
            return await self._rendered(messages)
        return ends[0] + last["content"] + ends[1]

    async def _template(self, earlier: Sequence[Message], last: Message) -> tuple[str, str] | None:
        """What the template puts before and after the last message; None where it changes the message."""
        with_placeholder: list[Message] = [*earlier, {"role": last["role"], "content": PLACEHOLDER}]
        head, found, tail = (await self._rendered(with_placeholder)).rpartition(PLACEHOLDER)
        if found and await self._rendered([*earlier, last]) == head + last["content"] + tail:
            return head, tail
        return None

    async def _rendered(self, messages: Sequence[Message]) -> str:
        try:
            tokens = _token_ids(await self._root_post("/tokenize", {"messages": list(messages)}))
            if not tokens:
                raise ModelError("its /tokenize gives no tokens of a chat")
            text = (await self._root_post("/detokenize", {"tokens": tokens})).get("prompt")
            if not isinstance(text, str) or _letters(messages[-1]["content"]) not in _letters(text):
                raise ModelError("its /detokenize gives no text that has the question")
            return text
        except ModelError as error:
            refused = f"it answered {error.status}" if error.status in REFUSED_KEY else error  # not the key
            raise ModelError(
                f"{self._endpoint} can't render its model's chat template through /tokenize, which "
                f"--eval-system-prompt needs for multiple choice; vLLM can ({refused})"
            ) from None

    async def _find_bos(self, model: str) -> tuple[int, str]:
        """The beginning-of-text token and its text; raises ConfigurationError where the server adds none."""

        async def tokenized(add: bool) -> list[int]:
            reply = await self._endpoint.root_post(
                "/tokenize", {"model": model, "prompt": BOS_PROBE, "add_special_tokens": add}
            )
            return _token_ids(reply) or []

        async def next_token(prompt: Prompt) -> Top:
            parameters = {**ONE_TOKEN, "model": model, "add_special_tokens": True, "logprobs": 1}
            return likeliest(await self._batcher.complete(prompt, parameters))

        try:
            plain, (bos, *rest) = await tokenized(False), await tokenized(True) or [-1]
            if not plain or rest != plain:
                raise ModelError("its /tokenize tells no token that begins a text")
            text = (await self._endpoint.root_post("/detokenize", {"model": model, "tokens": [bos]})).get(
                "prompt"
            )
            if not isinstance(text, str) or not text:
                raise ModelError("its /detokenize tells no text of the token")
            by_text, by_ids = await next_token(BOS_PROBE), await next_token([bos, *plain])
            shared = by_text.keys() & by_ids.keys()
            if not any(
                abs(log_likelihood(by_text[token]) - log_likelihood(by_ids[token])) <= TOLERANCE
                for token in shared
            ):
                raise ModelError("its /completions does not add the token")
        except ModelError as error:
            raise ConfigurationError(
                f"--eval-add-bos: {self._endpoint} can't be shown to begin a prompt with the tokenizer's "
                f"beginning-of-text token, as vLLM can ({error}); leave the option out, or use another server"
            ) from None
        return bos, text

    def _adds_bos(self, prompt: Prompt) -> bool:
        """Whether the server is to add the token: not to a text that begins with it, as chats may."""
        return self._bos is not None and isinstance(prompt, str) and not prompt.startswith(self._bos[1])

    async def _complete(self, prompt: Prompt, parameters: Mapping[str, Any]) -> dict[str, Any]:
        model = await self._model()
        fixed = {**ONE_TOKEN, "model": model, "add_special_tokens": self._adds_bos(prompt)}
        return await self._batcher.complete(prompt, {**fixed, **parameters})

    async def _tokenize(self, text: str) -> list[int] | None:
        """The tokens of a prompt as the model reads it; None where the server doesn't tell them.

        What lies at /tokenize can be another server's API, or a gateway that refuses it alone.
        """
        if self._tokenizes is False:
            return None
        await self._model()
        if not text:
            return [] if self._bos is None else [self._bos[0]]
        body = {"prompt": text, "add_special_tokens": self._adds_bos(text)}
        try:
            reply = await self._root_post("/tokenize", body)
        except ModelError as error:
            away = isinstance(error, UnreachableError) and (error.status is None or self._endpoint.given_up)
            if self._tokenizes or away or error.status in TRY_AGAIN:
                raise
            reply = {}  # of a gateway that has no such path, 502 to 504 too: the server answers meanwhile
        tokens = _token_ids(reply)
        if tokens:
            self._tokenizes = True
            return tokens
        if self._tokenizes:
            raise ModelError(f"{self._endpoint} gave no tokens of a text at /tokenize, as it did before")
        self._tokenizes = False
        return None

    async def _measured(
        self, error: ContextLengthError, prompt: str | Sequence[Message], answer: int
    ) -> ContextLengthError:
        """The error with all lengths, `answer` tokens for the answer, where the server can count tokens."""
        body = {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}
        try:
            reply = await self._root_post("/tokenize", body)
            count, limit = int(reply["count"]), int(reply["max_model_len"])
        except (ModelError, LookupError, TypeError, ValueError, OverflowError):
            return error
        if count + answer <= limit:  # the server counts otherwise: its own words are better
            return error
        return ContextLengthError(
            f"the prompt has {count:,} tokens, {answer:,} more {'is' if answer == 1 else 'are'} for the "
            f"answer, and the model's context is {limit:,}",
            prompt=error.prompt,
            status=error.status,
        )

    async def _post(self, path: str, body: Mapping[str, Any], asked: str) -> dict[str, Any]:
        return await self._endpoint.post(path, {"model": await self._model(), **body}, prompt=asked)

    async def _root_post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._endpoint.root_post(path, {"model": await self._model(), **body})

    async def _model(self) -> str:
        async with self._finding:
            if self._served_name is None:
                if self._endpoint.given_up is not None:
                    raise UnreachableError(self._endpoint.given_up)
                try:
                    await self.find(self._endpoint.patience)
                except ConfigurationError as error:
                    raise UnreachableError(str(error)) from None
        assert self._served_name is not None  # noqa: S101  (find() sets it or raises)
        return self._served_name

    def __str__(self) -> str:
        return f"{self._name} at {self._endpoint.base_url}"

    def __repr__(self) -> str:
        return f"ServedModel({self._name!r}, {self._endpoint.base_url!r})"


def _wildcard_fits(pattern: str, name: str) -> bool:
    """Whether a gateway's wildcard, such as openai/*, stands for the model of this name."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))


def _thought(part: Mapping[str, Any]) -> str:
    """The text of a part that is reasoning: Mistral's has parts itself."""
    inner = part.get("thinking", part.get("text"))
    if isinstance(inner, list):
        return "".join(str(entry.get("text", "")) for entry in inner if isinstance(entry, dict))
    return inner if isinstance(inner, str) else ""


def _usual(reply: dict[str, Any], server: Endpoint, asked: str) -> dict[str, Any]:
    """The reply with its content and finish_reason in OpenAI's form; raises ModelError for a refusal.

    A content of parts becomes the text of its text parts, and what is thought in it `reasoning_content`.
    """
    try:
        choice = reply["choices"][0]
        message = dict(choice["message"])
    except (LookupError, TypeError, ValueError):
        return reply  # no completion
    reason = choice.get("finish_reason")
    known = reason.lower() if isinstance(reason, str) else ""
    reason = "stop" if known in STOPPED else "length" if known in CUT_OFF else reason
    content = message.get("content")
    if content is None and isinstance(message.get("refusal"), str):
        raise ModelError(f"{server} refused to answer: {server.safe(message['refusal'])}", prompt=asked)
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        thought = [part for part in content if part.get("type") in ("thinking", "reasoning")]
        texts = [part.get("text") for part in content if part not in thought]
        if all(isinstance(text, str) for text in texts):  # no picture, no call of a tool
            message["content"] = "".join(map(str, texts))
            message.setdefault("reasoning_content", "".join(map(_thought, thought)) or None)
    return {**reply, "choices": [{**choice, "message": message, "finish_reason": reason}]}


def _token_ids(reply: Mapping[str, Any]) -> list[int] | None:
    """The ids in a reply of /tokenize; None where it is another API's, or has not as many as it counts."""
    tokens = reply.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        return None
    return tokens if reply.get("count", len(tokens)) == len(tokens) else None


def _letters(text: str) -> str:
    """The letters and digits of a text: what a tokenizer keeps of it that is not the same both ways."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def _completion(reply: Mapping[str, Any], latency: float, server: Endpoint, asked: str) -> Completion:
    """The completion in a chat reply; raises ModelError for anything that is no whole answer."""
    try:
        choice = reply["choices"][0]
        content, reason = choice["message"]["content"], choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        raise ModelError(f"{server} answered without a completion", prompt=asked) from None
    if reason is None:
        raise ModelError(
            f"{server} did not say why its answer ended (finish_reason), so that it may be cut off",
            prompt=asked,
        )
    if reason not in ("stop", "length"):
        raise ModelError(
            f"{server} ended its answer with finish_reason {server.safe(repr(reason))}", prompt=asked
        )
    reasoning = _reasoning(choice["message"])
    if content is None and (reasoning or reason == "length"):
        content = ""
    if not isinstance(content, str):
        raise ModelError(
            f"{server} answered without content (it is {server.safe(repr(content))})", prompt=asked
        )
    completion = Completion(
        text=content.encode("utf-8", "replace").decode(),  # without lone surrogates
        finish_reason=reason,
        prompt_tokens=token_count(reply, "prompt_tokens"),
        completion_tokens=token_count(reply, "completion_tokens"),
        latency=latency,
        reasoning=reasoning.encode("utf-8", "replace").decode(),
    )
    return completion.split(str(server), asked)


def _reasoning(message: Mapping[str, Any]) -> str:
    """The reasoning that a server tells apart from the answer, by whichever of its names."""
    found = (message.get(name) for name in REASONING)
    return next((text for text in found if isinstance(text, str) and text.strip()), "")
