"""A server that answers a few requests with anything, at each of its endpoints, over a real connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models import Completion, ServedModel
from pytest_instructlab_eval.models.protocol import Message
from tests.odd_replies import RESPONSES, mutated
from tests.raw_server import RawServer, Writer, as_scripted
from tests.scripted_server import ALL_FEATURES, ScriptedServer, Tokenizer, rendered

from .conftest import with_model

LETTERS, LONG = (" A", " B", " C", " D"), (" a long walk", " the sea")
ENDPOINTS = ("/v1/models", "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize")
FEATURES = (
    ALL_FEATURES,
    frozenset({"tokenize", "echo", "top_logprobs"}),
    frozenset({"tokenize", "echo"}),
    frozenset({"echo"}),
)
Found = Sequence["list[float] | Completion | BaseException"]


class Questions:
    """A few questions of each kind, and which outcomes of them are right."""

    def __init__(self, name: str, choices: tuple[str, ...]) -> None:
        self.texts = [f"{name}, question {number}: what comes next?\nAnswer:" for number in range(3)]
        self.chats: list[list[Message]] = [
            [{"role": "system", "content": "Choose."}, {"role": "user", "content": f"{text} (chat)"}]
            for text in self.texts
        ]
        self.choices = choices

    async def ask(self, model: ServedModel, *, by_template: bool) -> Found:
        chats = self.chats if by_template else []
        return await asyncio.wait_for(
            asyncio.gather(
                *(model.choice_logprobs(text, self.choices) for text in self.texts),
                *(model.choice_logprobs(chat, self.choices) for chat in chats),
                *(model.chat(chat) for chat in self.chats),
                return_exceptions=True,
            ),
            60,
        )

    def assert_right(self, found: Found, *, errors: bool, by_template: bool) -> None:
        """Each has its true likelihoods or an answer; with `errors`, an error of ours is right too."""
        prompts = [*self.texts, *([rendered([dict(m) for m in chat]) for chat in self.chats] * by_template)]
        assert len(found) == len(prompts) + len(self.chats)
        for place, one in enumerate(found):
            if isinstance(one, BaseException):
                assert errors, one
                assert isinstance(one, ModelError)
                assert "cannot be read (" not in str(one), "a fault of ours was taken for one of the server"
            elif isinstance(one, list):
                assert one == pytest.approx(self._truth(prompts[place]), abs=1e-6)
            else:
                assert one.finish_reason in ("stop", "length")
                assert errors or one.text.startswith("Answer to: ")

    def _truth(self, prompt: str) -> list[float]:
        found = []
        for choice in self.choices:
            text, total = prompt, 0.0
            for token in Tokenizer().split(choice):
                total += ScriptedServer.logprob(text, token)
                text += token
            found.append(total)
        return found


class Damaged:
    """A server that answers some requests to some endpoints otherwise than it should."""

    def __init__(self) -> None:
        self.server = RawServer(self._answer, every=True)

    def begin(self, features: frozenset[str], damages: Sequence[bytes | int], paths: Sequence[str]) -> None:
        self._true = ScriptedServer(features=features)
        self._damages = list(damages)
        self._paths = paths

    async def _answer(self, path: str, writer: Writer) -> None:
        body = self.server.body
        damage = self._damages.pop() if self._damages and path in self._paths else None
        if isinstance(damage, bytes):
            writer.write(damage)
            await writer.drain()
            writer.close()  # some of these have no end of their own
            return
        if damage is None:
            writer.write(as_scripted(self._true, path, body))
        else:
            chance = random.Random(damage)
            writer.write(as_scripted(self._true, path, body, lambda reply: mutated(chance, reply)))


@pytest.fixture(scope="module")
def damaged() -> Iterator[Damaged]:
    damaged = Damaged()
    with damaged.server:
        yield damaged


@given(
    features=st.sampled_from(FEATURES),
    choices=st.sampled_from([LETTERS, LONG]),
    damages=st.lists(st.integers(0, 2**32) | RESPONSES, min_size=1, max_size=5),
    paths=st.sampled_from([*((path,) for path in ENDPOINTS), ENDPOINTS]),
    known=st.booleans(),
    budget=st.sampled_from([1, 4, 64]),
)
def test_each_question_ends_rightly_or_with_an_error_and_the_next_ones_are_right(
    damaged: Damaged,
    features: frozenset[str],
    choices: tuple[str, ...],
    damages: list[bytes | int],
    paths: tuple[str, ...],
    known: bool,
    budget: int,
) -> None:
    by_template = "tokenize" in features

    async def use(model: ServedModel) -> None:
        for name, sent in (("before", []), ("meanwhile", damages), ("after", [])):
            if name == "before" and not known:
                continue
            damaged.begin(features, sent, paths)
            questions = Questions(name, choices)
            found = await questions.ask(model, by_template=by_template)
            questions.assert_right(found, errors=bool(sent), by_template=by_template)

    with_model(damaged.server.url, use, retries=2, timeout=20.0, patience=60.0, budget=budget)
