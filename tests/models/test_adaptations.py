"""What a server refuses is asked for in another way, remembered, and noted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, ModelError
from pytest_instructlab_eval.models import Completion, ServedModel
from pytest_instructlab_eval.models.adaptations import Adaptation
from pytest_instructlab_eval.models.protocol import Message
from tests.raw_server import RawServer, chat, http
from tests.scripted_server import CHATS, Altered, Body, Finish, NotJSON, ScriptedServer, Status

from .conftest import with_model

SYSTEM: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
LATER: list[Message] = [
    *SYSTEM,
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Why?"},
]


async def ask(model: ServedModel, **options: Any) -> Completion:
    return await model.chat(SYSTEM, temperature=0.7, max_tokens=9, **options)


def has(name: str) -> Callable[[Body], bool]:
    return lambda body: name in body


def has_system(body: Body) -> bool:
    return bool(body["messages"][0]["role"] == "system")


def adapted(server: ScriptedServer, *, merge_system: bool = False, **options: Any) -> list[Adaptation]:
    """What was noted after two chats."""

    async def use(model: ServedModel) -> list[Adaptation]:
        model = ServedModel("tiny", model.endpoint, merge_system=merge_system)
        for _ in range(2):
            await ask(model, **options)
        return list(model.adaptations)

    return with_model(server, use)


REFUSED: dict[str, tuple[str, Mapping[str, Any], bool, list[str]]] = {
    "max_tokens": (
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead.",
        {},
        False,
        ["Use max_completion_tokens, max_tokens is deprecated"],
    ),
    "temperature": (
        "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is.",
        {},
        True,
        ["Unsupported parameter: 'temperature'", "`temperature` must be strictly positive"],
    ),
    "seed": ("body.seed: Extra inputs are not permitted", {"seed": 3}, False, ["unknown field 'seed'"]),
    "n": ("body.n: Extra inputs are not permitted", {}, False, ["Unrecognized request argument: 'n'"]),
}
NAMES = {"max_tokens": "max_completion_tokens"}


@pytest.mark.parametrize(
    ("parameter", "message"),
    [(name, message) for name, (first, _, _, others) in REFUSED.items() for message in (first, *others)],
)
def test_a_parameter_that_is_refused_is_left_out_remembered_and_noted(
    server: ScriptedServer, parameter: str, message: str
) -> None:
    _, options, changes, _ = REFUSED[parameter]
    server.fault(Status(400, message), times=None, when=has(parameter))
    (noted,) = adapted(server, **options)
    assert noted.name == NAMES.get(parameter, f"no_{parameter}")
    assert noted.changes_answers is changes
    assert [parameter in body for body in server.chats] == [True, False, False]
    if parameter == "max_tokens":
        assert [body.get("max_completion_tokens") for body in server.chats] == [None, 9, 9]


NO_SYSTEM = {
    "Gemma": "System role not supported",
    "Mistral": "Conversation roles must alternate user/assistant/user/assistant/...",
    "old Mistral": "Only user and assistant roles are supported!",
    "o1": "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "Gemini": "Developer instruction is not enabled for models/gemma-3-27b-it",
    "words": "This model does not support system messages",
    "FastAPI": "body.messages.0.role: Input should be 'user' or 'assistant'",
    "TGI": "Template error: After the optional system message, conversation roles must alternate",
}


@pytest.mark.parametrize("message", NO_SYSTEM.values(), ids=NO_SYSTEM)
@pytest.mark.parametrize("status", [400, 422])
def test_a_system_message_that_is_refused_is_sent_with_the_users(
    server: ScriptedServer, message: str, status: int
) -> None:
    server.fault(Status(status, message), times=None, when=has_system)
    (noted,) = adapted(server)
    assert (noted.name, noted.changes_answers) == ("merged_system_message", True)
    assert [len(body["messages"]) for body in server.chats] == [2, 1, 1]
    assert server.chats[-1]["messages"] == [{"role": "user", "content": "Be brief.\nHi"}]


def test_only_the_first_user_message_gets_it(server: ScriptedServer) -> None:
    server.fault(Status(400, "System role not supported"), times=None, when=has_system)
    with_model(server, lambda model: model.chat(LATER))
    assert server.chats[-1]["messages"] == [{"role": "user", "content": "Be brief.\nHi"}, *LATER[2:]]


def test_an_error_of_the_servers_own_is_not_taken_for_a_refusal(server: ScriptedServer) -> None:
    server.fault(Status(500, "internal system error"), times=3)
    with pytest.raises(ModelError, match="answered 500"):
        with_model(server, ask, retries=2)
    assert all(has_system(body) for body in server.chats)


def test_the_option_sends_it_so_at_once_and_is_noted_where_there_is_one(server: ScriptedServer) -> None:
    (noted,) = adapted(server, merge_system=True)
    assert noted.name == "merged_system_message"
    assert not any(has_system(body) for body in server.chats)

    async def use(model: ServedModel) -> list[Adaptation]:
        model = ServedModel("tiny", model.endpoint, merge_system=True)
        await model.chat([{"role": "user", "content": "Hi"}])
        return list(model.adaptations)

    assert with_model(server, use) == []


def test_several_refusals_are_met_one_after_the_other(server: ScriptedServer) -> None:
    for name in ("temperature", "seed"):
        server.fault(Status(400, f"'{name}' is not supported"), times=None, when=has(name))
    server.fault(Status(400, "use max_completion_tokens"), times=None, when=has("max_tokens"))
    server.fault(Status(400, "System role not supported"), times=None, when=has_system)
    noted = [adaptation.name for adaptation in adapted(server, seed=1)]
    assert sorted(noted) == ["max_completion_tokens", "merged_system_message", "no_seed", "no_temperature"]
    assert len(server.chats) == 6


def test_a_refusal_that_stays_is_an_error_and_nothing_is_remembered(server: ScriptedServer) -> None:
    server.fault(Status(400, "temperature and all else is refused"), times=2)

    async def use(model: ServedModel) -> list[Adaptation]:
        with pytest.raises(ModelError, match="all else is refused"):
            await ask(model)
        await ask(model)
        return list(model.adaptations)

    assert with_model(server, use) == []
    assert server.chats[-1]["temperature"] == 0.7


def test_a_prompt_that_is_too_long_is_no_refusal(server: ScriptedServer) -> None:
    server.fault(Status(400, "maximum context length is 9; temperature"), times=None)
    with pytest.raises(ModelError):
        with_model(server, ask)
    assert server.count(CHATS) == 1


@pytest.mark.parametrize(
    "message",
    [
        "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens`",
        "max_tokens is too large: 2048. This model supports at most 1024 completion tokens",
    ],
)
def test_a_limit_that_is_too_high_is_an_error(server: ScriptedServer, message: str) -> None:
    server.fault(Status(400, message), times=None)
    with pytest.raises(ModelError, match="max_tokens"):
        with_model(server, ask)
    assert server.count(CHATS) == 1


# --- why an answer ended ---


@pytest.mark.parametrize(
    ("reason", "known"),
    [
        *((reason, "stop") for reason in ("stop", "eos_token", "eos", "end_turn", "stop_sequence", "STOP")),
        *((reason, "length") for reason in ("length", "max_tokens", "model_length")),
    ],
)
def test_why_an_answer_ended_is_read_from_other_words(
    server: ScriptedServer, reason: str, known: str
) -> None:
    server.fault(Finish(reason))
    assert with_model(server, ask).finish_reason == known


@pytest.mark.parametrize("reason", ["content_filter", "tool_calls", "error", "abort", "", 0, ["stop"]])
def test_any_other_end_is_an_error(server: ScriptedServer, reason: Any) -> None:
    server.fault(Finish(reason))
    with pytest.raises(ModelError, match="ended its answer with finish_reason"):
        with_model(server, ask)


def dropped(choice: Body) -> Body:
    return {name: value for name, value in choice.items() if name != "finish_reason"}


@pytest.mark.parametrize("change", [lambda choice: {**choice, "finish_reason": None}, dropped])
def test_an_answer_whose_end_is_not_told_is_an_error(
    server: ScriptedServer, change: Callable[[Body], Body]
) -> None:
    server.fault(Altered(lambda body: {**body, "choices": [change(body["choices"][0])]}))
    with pytest.raises(ModelError, match="did not say why its answer ended"):
        with_model(server, ask)


# --- content ---


def said(message: Body) -> bytes:
    return http(
        {"choices": [{"message": message, "finish_reason": "stop"}, {"message": {"content": "other"}}]}
    )


CONTENTS: dict[str, tuple[Body, str]] = {
    "no role": ({"content": "Yes."}, "Yes."),
    "parts": ({"content": [{"type": "text", "text": "Ye"}, {"type": "text", "text": "s."}]}, "Yes."),
    "reasoning": (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"text": "Yes."}]},
        "Yes.",
    ),
    "a refusal that is null": ({"content": "Yes.", "refusal": None}, "Yes."),
}


@pytest.mark.parametrize(("message", "text"), CONTENTS.values(), ids=CONTENTS)
def test_an_answer_is_read_in_each_form(message: Body, text: str) -> None:
    with RawServer(said(message)) as server:
        assert with_model(server.url, ask).text == text


NO_ANSWERS: dict[str, tuple[Body, str]] = {
    "a refusal": ({"content": None, "refusal": "I can't."}, "refused to answer: I can't."),
    "a picture": ({"content": [{"type": "image_url", "image_url": {}}]}, "without text"),
    "parts of another kind": ({"content": ["Yes."]}, "without text"),
    "null": ({"content": None, "refusal": None}, "without text"),
}


@pytest.mark.parametrize(("message", "reason"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_text_is_no_answer(message: Body, reason: str) -> None:
    with RawServer(said(message)) as server, pytest.raises(ModelError, match=reason):
        with_model(server.url, ask)


# --- names ---

LISTS: dict[str, tuple[object, str, str]] = {
    "a wildcard": ({"data": [{"id": "openai/*"}]}, "openai/gpt-4", "openai/gpt-4"),
    "any": ({"data": [{"id": "*"}]}, "tiny", "tiny"),
    "Together's": ([{"id": "tiny"}], "tiny", "tiny"),
    "Ollama's": ({"data": [{"id": "llama3:latest"}]}, "llama3", "llama3:latest"),
    "Gemini's": ({"data": [{"id": "models/gemini"}]}, "gemini", "models/gemini"),
    "some damaged": ({"data": [None, {"id": 7}, {"id": "tiny"}]}, "tiny", "tiny"),
}


@pytest.mark.parametrize(("listed", "name", "served"), LISTS.values(), ids=LISTS)
def test_a_model_is_found_in_each_list(listed: object, name: str, served: str) -> None:
    async def use(model: ServedModel) -> str:
        await model.find()
        return await model.address.known_name()

    with RawServer(http(listed), every=True) as server:
        assert with_model(server.url, use, name=name) == served


@pytest.mark.parametrize(
    ("listed", "name"),
    [({"data": [{"id": "openai/*"}]}, "mistral/x"), ({"data": [{"id": "t?ny"}, {"id": "[t]iny"}]}, "tiny")],
)
def test_a_wildcard_of_others_does_not_fit(listed: object, name: str) -> None:
    with (
        RawServer(http(listed), every=True) as server,
        pytest.raises(ConfigurationError, match="has no model"),
    ):
        with_model(server.url, lambda model: model.find(), name=name)


def test_a_server_that_lists_null_has_no_models(server: ScriptedServer) -> None:
    server.fault(NotJSON('{"object": "list", "data": null}', "application/json"), path="/v1/models")
    with pytest.raises(ConfigurationError, match="has no model 'tiny'; it has: none"):
        with_model(server, lambda model: model.find())


def test_many_that_are_refused_at_once_are_all_answered(server: ScriptedServer) -> None:
    server.fault(Status(400, "System role not supported"), times=None, when=has_system)

    async def use(model: ServedModel) -> list[Completion]:
        return list(await asyncio.gather(*(ask(model) for _ in range(20))))

    assert len(with_model(server, use)) == 20


def test_a_reply_with_an_error_beside_an_answer_is_no_answer() -> None:
    with RawServer(http(chat("x", error={"message": "no"}))) as server, pytest.raises(ModelError):
        with_model(server.url, ask)
