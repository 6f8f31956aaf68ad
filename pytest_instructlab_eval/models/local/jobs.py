"""The jobs of the model's thread; each ends in a result or in an error of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pytest_instructlab_eval.errors import EvalError, ModelError
from pytest_instructlab_eval.models.protocol import Completion, Message

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


@dataclasses.dataclass
class LocalJob(Generic[R_co]):
    """A request that waits for the thread; without a subclass it waits for the model to be loaded."""

    done: asyncio.Future[R_co]

    @property
    def text(self) -> str:
        """Return the question as errors quote it."""
        return ""

    @property
    def head(self) -> str:
        """Return the rendered text before an answer or a choice."""
        return ""


@dataclasses.dataclass
class ChoiceJob(LocalJob[list[float]]):
    """Choices to score; the text, and the tokens of the context and of each choice, are the encoder's."""

    prompt: str | Sequence[Message]
    choices: Sequence[str]
    rendered: str = ""
    context: list[int] = dataclasses.field(default_factory=list)
    continuations: list[list[int]] = dataclasses.field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the length, in tokens, of a row with the context and all choices."""
        return len(self.context) + sum(len(tokens) - 1 for tokens in self.continuations)

    @property
    def text(self) -> str:
        """Return the question as errors quote it."""
        return self.prompt if isinstance(self.prompt, str) else _last_content(self.prompt)

    @property
    def head(self) -> str:
        """Return the context, without the white space at its end, which belongs to the choices."""
        return self.rendered.rstrip()


@dataclasses.dataclass
class ChatJob(LocalJob[Completion]):
    """A chat to answer; the text and the tokens of the prompt are the encoder's."""

    messages: Sequence[Message]
    temperature: float
    max_tokens: int
    seed: int | None
    rendered: str = ""
    prompt: list[int] = dataclasses.field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the question as errors quote it."""
        return _last_content(self.messages)

    @property
    def head(self) -> str:
        """Return the whole prompt."""
        return self.rendered


def settle_jobs(jobs: Sequence[LocalJob[R]], results: Sequence[R]) -> None:
    """Deliver the results to the loops that wait for them."""
    for job, result in zip(jobs, results, strict=True):
        _in_loop(job, functools.partial(job.done.set_result, result))


def fail_jobs(jobs: Sequence[LocalJob[object]], error: EvalError) -> None:
    """Fail those of the jobs that have no result, each with an error of its own."""
    for job in jobs:
        own = type(error)(str(error))
        if isinstance(own, ModelError):
            own.prompt = job.text
        _in_loop(job, functools.partial(job.done.set_exception, own))


def _in_loop(job: LocalJob[object], settle: Callable[[], None]) -> None:
    def settle_once() -> None:
        if not job.done.done():
            settle()

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        job.done.get_loop().call_soon_threadsafe(settle_once)


def short_error(error: BaseException) -> str:
    """Return an error of another library in one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text if len(text) <= 300 else text[:300] + "…"


def _last_content(messages: Sequence[Message]) -> str:
    return messages[-1]["content"] if messages else ""
