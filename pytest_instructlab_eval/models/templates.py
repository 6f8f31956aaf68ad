"""A model's chat template, which its server renders."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.address import ModelAddress
from pytest_instructlab_eval.models.async_cache import AsyncCache
from pytest_instructlab_eval.models.protocol import Message
from pytest_instructlab_eval.models.reply_reader import REFUSED_KEY
from pytest_instructlab_eval.models.tokens import token_ids

PLACEHOLDER = "placeholder-0f1e2d3c"  # stands for the last message while a chat template is rendered


class ChatTemplate:
    """The texts that a model's chat template makes of messages.

    The server renders the template once for all chats that differ in the last message alone.
    """

    def __init__(self, address: ModelAddress) -> None:
        self._address = address
        self._ends: AsyncCache[str, tuple[str, str] | None] = AsyncCache()

    async def render(self, messages: Sequence[Message]) -> str:
        """Return the text of the messages, ready for an answer; raises ModelError where it can't be had."""
        *earlier, last = messages
        key = repr((earlier, last["role"]))
        ends = await self._ends.get(key, lambda: self._find_ends(earlier, last))
        if ends is None or last["content"] != last["content"].strip():  # templates like to strip
            return await self._rendered(messages)
        return ends[0] + last["content"] + ends[1]

    async def _find_ends(self, earlier: Sequence[Message], last: Message) -> tuple[str, str] | None:
        """Return what the template puts around the last message; None where it changes the message."""
        with_placeholder: list[Message] = [*earlier, {"role": last["role"], "content": PLACEHOLDER}]
        head, placeholder, tail = (await self._rendered(with_placeholder)).rpartition(PLACEHOLDER)
        if placeholder and await self._rendered([*earlier, last]) == head + last["content"] + tail:
            return head, tail
        return None

    async def _rendered(self, messages: Sequence[Message]) -> str:
        try:
            tokens = token_ids(await self._address.root_post("/tokenize", {"messages": list(messages)}))
            if tokens is None:
                raise ModelError("its /tokenize gives no tokens of a chat")
            text = (await self._address.root_post("/detokenize", {"tokens": tokens})).get("prompt")
            if not isinstance(text, str) or _letters(messages[-1]["content"]) not in _letters(text):
                raise ModelError("its /detokenize gives no text that has the question")
            return text
        except ModelError as error:
            refused = f"it answered {error.status}" if error.status in REFUSED_KEY else error  # not the key
            raise ModelError(
                f"--eval-system-prompt: {self._address.endpoint} cannot render the model's chat template at "
                f"/tokenize, which multiple choice needs ({refused}); leave the option out, or use another "
                "server, such as vLLM"
            ) from None


def _letters(text: str) -> str:
    """Return the letters and digits of a text: what a tokenizer keeps of it that is the same both ways."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))
