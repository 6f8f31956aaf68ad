"""The tokens of a model's prompts, as far as its server gives them at /tokenize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_instructlab_eval.errors import ConfigurationError, ContextLengthError, ModelError
from pytest_instructlab_eval.models.address import ModelAddress
from pytest_instructlab_eval.models.batching import CompletionBatcher, Prompt
from pytest_instructlab_eval.models.choices import TOLERANCE
from pytest_instructlab_eval.models.endpoint import Endpoint
from pytest_instructlab_eval.models.logprobs import Top, likeliest_tokens, log_likelihood
from pytest_instructlab_eval.models.protocol import Message

ONE_TOKEN: Mapping[str, object] = {"max_tokens": 1, "temperature": 0}
BOS_PROBE = "The capital of France is"
TRY_AGAIN = (408, 409, 425, 429)  # statuses that say nothing of what a server has

BeginningToken = tuple[int, str]
"""A tokenizer's beginning-of-text token and its text."""


def token_ids(reply: Mapping[str, object]) -> list[int] | None:
    """Return the ids in a reply of /tokenize; None where it has none, or not as many as it counts."""
    tokens = reply.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        return None  # as another API's
    return tokens if tokens and reply.get("count", len(tokens)) == len(tokens) else None


class ServerTokenizer:
    """The tokenizer of a model at a server; `bos` is the token that every prompt is to begin with, if any."""

    def __init__(self, address: ModelAddress) -> None:
        self.bos: BeginningToken | None = None
        self._address = address
        self._answers: bool | None = None  # None: not known yet

    def adds_bos(self, prompt: Prompt) -> bool:
        """Return whether the server is to add the token: not to a text that has it already, as chats may."""
        return self.bos is not None and isinstance(prompt, str) and not prompt.startswith(self.bos[1])

    async def tokens(self, text: str) -> list[int] | None:
        """Return the tokens of a prompt as the model reads it; None where the server doesn't tell them.

        What lies at /tokenize can be another server's API, or a gateway that refuses it alone.
        """
        if self._answers is False:
            return None
        await self._address.known_name()
        if not text:
            return [] if self.bos is None else [self.bos[0]]
        body = {"prompt": text, "add_special_tokens": self.adds_bos(text)}
        try:
            reply = await self._address.root_post("/tokenize", body)
        except ModelError as error:
            if self._answers or error.status in TRY_AGAIN or self._address.is_away(error):
                raise
            reply = {}  # of a gateway that has no such path, 502 to 504 too: the server answers meanwhile
        tokens = token_ids(reply)
        if self._answers and tokens is None:
            server = self._address.endpoint
            raise ModelError(f"{server} gave no tokens of a text at /tokenize, although it did before")
        self._answers = tokens is not None
        return tokens

    async def measured(
        self, error: ContextLengthError, prompt: str | Sequence[Message], answer: int
    ) -> ContextLengthError:
        """Return the error with all lengths, `answer` tokens for the answer, where the server can count."""
        body = {"prompt": prompt} if isinstance(prompt, str) else {"messages": list(prompt)}
        try:
            reply = await self._address.root_post("/tokenize", body)
        except ModelError:
            return error
        count, limit = reply.get("count"), reply.get("max_model_len")
        if type(count) is not int or type(limit) is not int:
            return error
        if count + answer <= limit:  # the server counts otherwise: its own words are better
            return error
        return ContextLengthError(
            f"the prompt needs {count:,} tokens and the answer {answer:,} more, and the model's context has "
            f"{limit:,}",
            prompt=error.prompt,
            status=error.status,
        )


async def find_beginning_token(model: str, endpoint: Endpoint, batcher: CompletionBatcher) -> BeginningToken:
    """Return the beginning-of-text token; raises ConfigurationError where the server isn't shown to add it.

    `model` is the name that the server knows it by.
    """

    async def tokenized(add: bool) -> list[int]:
        reply = await endpoint.root_post(
            "/tokenize", {"model": model, "prompt": BOS_PROBE, "add_special_tokens": add}
        )
        return token_ids(reply) or []

    async def next_token(prompt: Prompt) -> Top:
        parameters = {**ONE_TOKEN, "model": model, "add_special_tokens": True, "logprobs": 1}
        return likeliest_tokens(await batcher.complete(prompt, parameters))

    try:
        plain, (bos, *rest) = await tokenized(False), await tokenized(True) or [-1]
        if not plain or rest != plain:
            raise ModelError("its /tokenize gives no beginning-of-text token")
        text = (await endpoint.root_post("/detokenize", {"model": model, "tokens": [bos]})).get("prompt")
        if not isinstance(text, str) or not text:
            raise ModelError("its /detokenize gives no text of the token")
        by_text, by_ids = await next_token(BOS_PROBE), await next_token([bos, *plain])
        if not any(
            abs(log_likelihood(by_text[token]) - log_likelihood(by_ids[token])) <= TOLERANCE
            for token in by_text.keys() & by_ids.keys()
        ):
            raise ModelError("its /completions does not add the token")
    except ModelError as error:
        raise ConfigurationError(
            f"--eval-add-bos: {endpoint} does not begin a prompt with the tokenizer's "
            f"beginning-of-text token, as vLLM can ({error}); leave the option out, or use another server"
        ) from None
    return bos, text
