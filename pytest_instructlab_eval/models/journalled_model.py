"""A model that is asked each request once: what a journal has is not asked again."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pytest_instructlab_eval.data.typed_json import MisfitError, RecordRule, Rules, read_as
from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.adaptations import Role
from pytest_instructlab_eval.models.equal_requests import EqualRequests
from pytest_instructlab_eval.models.protocol import ChoiceLogprobs, Completion, Message, Model, as_messages
from pytest_instructlab_eval.models.transcribed_model import TranscribedModel
from pytest_instructlab_eval.records.journal import Journal
from pytest_instructlab_eval.records.run import ModelAdaptation

T = TypeVar("T")
RULES: Rules = {
    Completion: RecordRule(
        required=("text", "finish_reason", "prompt_tokens", "completion_tokens", "latency")
    )
}
CANONICAL = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True)
class AskingTest:
    """The test that asks: the `question` of a `benchmark` of this `version`.

    `location` tells apart tests of one's own that have one name; it is empty for a benchmark of the registry.
    `model` is the name of the evaluated model, so that the judgments of its answers are not those of another
    model that answered alike.
    """

    benchmark: str
    version: int
    location: str
    question: str
    model: str = ""


@dataclass(frozen=True)
class AskedModelName:
    """The model that is asked: its role in the run, its label, and its identity.

    The identity is a text that is another one wherever the model or the way of asking it is another. `judges`
    is one of the judges in that way, on whose ratings it depends how often an evaluated model is asked.
    """

    role: Role
    label: str
    identity: str
    judges: str = ""


class JournalledModel:
    """A `Model` that looks a request up in the journal, and else asks `model` and adds its reply.

    A request's key is a digest of all that its reply depends on: its body, the model's identity, the test,
    the benchmark's version, and which of the test's equal requests it is. Only replies are kept, so an error
    is asked again. `adaptations` returns those of requests to all models so far.
    """

    def __init__(
        self,
        model: Model,
        journal: Journal,
        *,
        test: AskingTest,
        name: AskedModelName,
        numbers: EqualRequests,
        adaptations: Callable[[], Iterable[ModelAdaptation]] = tuple,
    ) -> None:
        self.model = model
        self._journal = journal
        self._test = test
        self._name = name
        self._numbers = numbers
        self._adaptations = adaptations
        about = [name.role, name.identity, *vars(test).values()]
        self._about = hashlib.sha256(CANONICAL.encode(about).encode())
        self._keys: list[tuple[Completion, bytes]] = []  # by the replies of this test

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
        sent = as_messages(messages)
        body = {"messages": sent, "temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        return await self._reply(
            body,
            lambda record: read_as(Completion, record.get("chat"), RULES),
            lambda: self.model.chat(messages, temperature=temperature, max_tokens=max_tokens, seed=seed),
            lambda reply: {"chat": vars(reply)},
        )

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice; see `Model`."""
        return await self._reply(
            {"prompt": prompt, "choices": choices},
            partial(_logprobs_in, count=len(choices)),
            lambda: self.model.choice_logprobs(prompt, choices),
            lambda reply: {"choices": reply, "way": reply.way if isinstance(reply, ChoiceLogprobs) else ""},
        )

    async def close(self) -> None:
        """Close the model."""
        await self.model.close()

    def discard(self, replies: Iterable[Completion]) -> None:
        """Note that these replies are not to be used again, since no rating could be read from them.

        Raises ModelError where the journal cannot be written.
        """
        wanted = {id(reply) for reply in replies}
        for reply, key in self._keys:
            if id(reply) in wanted:
                self._write(partial(self._journal.discard, key))

    async def kept_number(self, about: object, decide: Callable[[], Awaitable[int]]) -> int:
        """Return how often this test asks, which is decided once: as the journal has it, or else by `decide`.

        `about` is what the decision rests on, as data for JSON. Raises ModelError where the journal cannot be
        written.
        """
        digest = self._about.copy()
        digest.update(CANONICAL.encode(["repeats", self._name.judges, about]).encode())
        key = digest.digest()
        record = self._journal.find(key)
        if record is not None and type(number := record[0].get("repeats")) is int and number > 0:
            return number
        number = await decide()
        self._write(partial(self._journal.add, key, {**self._asker, "repeats": number}))
        return number

    @property
    def _asker(self) -> dict[str, object]:
        """What a record of the journal says of who was asked, and by which test."""
        name, test = self._name, self._test
        return {
            "role": name.role,
            "model": name.label,
            "benchmark": test.benchmark,
            "question": test.question,
        }

    async def _reply(
        self,
        body: object,
        read: Callable[[Mapping[str, object]], T],
        ask: Callable[[], Awaitable[T]],
        record: Callable[[T], Mapping[str, object]],
    ) -> T:
        """Return the reply to a request, from the journal or, where that has none, from the model.

        `read` returns the reply in a record of the journal or raises MisfitError; `record` is the opposite.
        """
        try:
            request = self._about.copy()
            request.update(CANONICAL.encode(body).encode())
        except (TypeError, ValueError):  # nothing that could be sent, which the model will say
            return await ask()
        digest = request.digest()
        number = self._numbers.take(digest)
        key = hashlib.sha256(digest + number.to_bytes(8, "big")).digest()
        reply = self._found(key, read)
        if reply is None:
            try:
                reply = await ask()
            except BaseException:
                self._numbers.give_back(digest, number)
                raise
            entry = {**self._asker, **record(reply)}
            self._write(partial(self._journal.add, key, entry, self._adaptations()))
        if isinstance(reply, Completion):
            self._keys.append((reply, key))
        return reply

    def _found(self, key: bytes, read: Callable[[Mapping[str, object]], T]) -> T | None:
        """Return the reply that the journal has for a key; None where it has none that can be read."""
        record = self._journal.find(key)
        if record is None:
            return None
        try:
            reply = read(record[0])
        except MisfitError:
            self._journal.leave_out(key)
            return None
        self._journal.count_reused(record)
        return reply

    def _write(self, write: Callable[[], None]) -> None:
        """Write to the journal before the reply is used; raises ModelError where that cannot be done."""
        try:
            write()
        except OSError:
            raise ModelError(self._journal.problem or "the journal cannot be written") from None


async def kept_number(model: Model, about: object, decide: Callable[[], Awaitable[int]]) -> int:
    """Return a number that is decided once for a test: see `JournalledModel`; `decide` alone without one."""
    while isinstance(model, TranscribedModel):
        model = model.model
    return await (model.kept_number(about, decide) if isinstance(model, JournalledModel) else decide())


def _logprobs_in(record: Mapping[str, object], *, count: int) -> list[float]:
    values = read_as(tuple[float, ...], record.get("choices"))
    way = read_as(str, record.get("way"))
    if len(values) != count:
        raise MisfitError(f"must have {count} numbers (got {len(values)})", "choices")
    return ChoiceLogprobs(values, sys.intern(way))
