"""The blocking form of a model."""

from __future__ import annotations

import asyncio

import pytest

from pytest_instructlab_eval.models import Blocking, Endpoint, ServedModel
from pytest_instructlab_eval.session.engine import Engine
from tests.scripted_server import ScriptedServer


class Target:
    name = "tiny"

    async def double(self, value: int, *, plus: int = 0) -> int:
        """Twice the value."""
        await asyncio.sleep(0)
        return 2 * value + plus

    async def fail(self) -> None:
        raise ValueError("no")

    def plain(self) -> str:
        return "plain"

    def __repr__(self) -> str:
        return "Target()"


def blocking() -> Blocking:
    return Blocking(Target(), asyncio.run)


def test_a_coroutine_method_waits_for_its_result() -> None:
    assert blocking().double(3, plus=1) == 7


def test_a_coroutine_method_raises_its_error() -> None:
    with pytest.raises(ValueError, match="no"):
        blocking().fail()


def test_what_is_no_coroutine_is_as_it_was() -> None:
    assert (blocking().name, blocking().plain()) == ("tiny", "plain")


def test_a_waiting_method_keeps_its_name_and_docstring() -> None:
    method = blocking().double
    assert (method.__name__, method.__doc__) == ("double", "Twice the value.")


def test_what_is_not_there_is_missed_under_its_name() -> None:
    with pytest.raises(AttributeError, match="triple"):
        _ = blocking().triple


def test_it_says_what_it_is_the_blocking_form_of() -> None:
    assert repr(blocking()) == "Blocking(Target())"


def test_a_served_model_answers_without_await(server: ScriptedServer) -> None:
    engine = Engine()
    endpoint = Endpoint(server.url)
    engine.on_close(endpoint.close)
    model = Blocking(ServedModel("tiny", endpoint), engine.call)
    try:
        assert model.chat([{"role": "user", "content": "Hi"}]).text == "Answer to: Hi"
        assert model.chat("Hello").text == "Answer to: Hello"
        assert model.choice_logprobs("Answer:", [" A"]) == [
            pytest.approx(server.logprob("Answer:", " A"), abs=1e-6)
        ]
    finally:
        engine.close()
