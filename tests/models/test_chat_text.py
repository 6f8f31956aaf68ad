"""`chat` takes a text as well as messages, whichever model is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from pytest_instructlab_eval.judges import LLMJudge
from pytest_instructlab_eval.judges.separate_judging import RecordedAnswers
from pytest_instructlab_eval.models import Message, Model, ServedModel
from pytest_instructlab_eval.models.protocol import as_messages
from pytest_instructlab_eval.models.replicas import Replicas
from tests.scripted_server import ScriptedServer

from .conftest import with_model

QUESTION = "Why is the sky blue?"
MESSAGES: Sequence[Message] = [{"role": "user", "content": QUESTION}]
KINDS: dict[str, Callable[[ServedModel], Model]] = {
    "served": lambda served: served,
    "replicas": lambda served: Replicas([served]),
    "judge": LLMJudge,
}


def test_a_text_is_one_message_of_the_user_and_messages_stay_as_they_are() -> None:
    assert as_messages(QUESTION) == MESSAGES
    assert as_messages(MESSAGES) is MESSAGES


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_is_sent_the_same_for_a_text_as_for_its_message(server: ScriptedServer, kind: str) -> None:
    async def use(served: ServedModel) -> list[str]:
        model = KINDS[kind](served)
        return [(await model.chat(asked)).text for asked in (QUESTION, MESSAGES)]

    assert with_model(server, use) == [f"Answer to: {QUESTION}"] * 2
    first, second = server.chats
    assert first == second
    assert first["messages"] == MESSAGES


def test_a_recorded_answer_is_found_by_its_text() -> None:
    recorded = RecordedAnswers("tiny", {(QUESTION,): ["Scattering."]})
    assert asyncio.run(recorded.chat(QUESTION)).text == "Scattering."
