"""The blocking form of a model, for plain `def` tests."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.models.protocol import Completion, Message

P = ParamSpec("P")
T = TypeVar("T")


class BlockingModel(Protocol):
    """The model in a plain `def` test, as the fixture `served_model` gives it.

    It has the methods of `Model`, but they wait for their result, without `await`.
    """

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        ...

    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; see `Model.chat`."""
        ...

    def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice, in nats; see `Model.choice_logprobs`."""
        ...

    def close(self) -> None:
        """Close the connections, or free the memory."""
        ...


class BlockingCall(Protocol):
    """Runs a coroutine elsewhere and waits for its result."""

    def __call__(self, coroutine: Coroutine[object, None, T], /) -> T:
        """Return what the coroutine returns, or raise what it raises."""
        ...


def wait_for_result(method: Callable[P, Coroutine[object, None, T]], call: BlockingCall) -> Callable[P, T]:
    """Return a coroutine method as a function of the same parameters that waits for the result.

    A failed request's error comes without the plugin's own lines: pytest shows the test's and the message.
    """

    @functools.wraps(method)
    def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        try:
            return call(method(*args, **kwargs))
        except EvalError as error:
            failure = error.with_traceback(None)
        raise failure from None

    return wait


class Blocking:
    """The same object whose coroutine methods wait: `model.chat(...)` without `await`."""

    def __init__(self, target: object, call: BlockingCall) -> None:
        self._target = target
        self._call = call

    def __getattr__(self, name: str) -> Any:  # of a model a `BlockingModel`, of a judge its like
        attribute = getattr(self._target, name)
        return wait_for_result(attribute, self._call) if inspect.iscoroutinefunction(attribute) else attribute

    def __repr__(self) -> str:
        return f"Blocking({self._target!r})"
