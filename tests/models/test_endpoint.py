"""One server: its budget, its retries, and the one sentence that each of its failures becomes."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, ContextLengthError, ModelError, NoAnswerError
from pytest_instructlab_eval.models import Completion, Endpoint, ServedModel
from pytest_instructlab_eval.models.endpoint import Budget
from tests.raw_server import RawServer, http
from tests.scripted_server import (
    CHATS,
    COMPLETIONS,
    Altered,
    Body,
    BrokenJSON,
    Drop,
    Fault,
    Finish,
    Hang,
    NoChoices,
    NotJSON,
    NullContent,
    Reply,
    ScriptedServer,
    Status,
    Until,
)

from .conftest import with_model

LETTERS = [" A", " B", " C", " D"]
MODELS = "/v1/models"
KEY = "sk-0123456789-secret"


async def ask(model: ServedModel, text: str = "Hi") -> Completion:
    return await model.chat([{"role": "user", "content": text}])


async def ask_many(model: ServedModel, count: int) -> list[Completion | BaseException]:
    return await asyncio.gather(*(ask(model, f"Hi {n}") for n in range(count)), return_exceptions=True)


async def choose_many(model: ServedModel, count: int) -> list[list[float] | BaseException]:
    prompts = [f"Question {n}.\nAnswer:" for n in range(count)]
    return await asyncio.gather(
        *(model.choice_logprobs(prompt, LETTERS) for prompt in prompts), return_exceptions=True
    )


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (another thread makes it true)
        await asyncio.sleep(0.002)


def failure(server: ScriptedServer, use: Callable[[ServedModel], Awaitable[object]] = ask) -> ModelError:
    """The error of a request that isn't tried again."""
    with pytest.raises(ModelError) as caught:
        with_model(server, use, retries=0)
    return caught.value


# --- the budget ---


@pytest.mark.parametrize("budget", [1, 3])
def test_no_more_chats_are_in_flight_than_the_budget_and_no_fewer(budget: int) -> None:
    with ScriptedServer() as server:
        server.fault(Until(lambda: server.in_flight_peak >= budget), times=None)
        with_model(server, lambda model: ask_many(model, 12), budget=budget)
        assert server.in_flight_peak == budget


@pytest.mark.parametrize("budget", [1, 3, 8])
def test_no_more_prompts_are_in_flight_than_the_budget(budget: int) -> None:
    with ScriptedServer(latency=0.005) as server:
        with_model(server, lambda model: choose_many(model, 30), budget=budget)
        assert server.in_flight_peak <= budget


def test_chats_and_prompts_share_the_budget() -> None:
    async def use(model: ServedModel) -> None:
        await asyncio.gather(ask_many(model, 20), choose_many(model, 20))

    with ScriptedServer() as server:
        server.fault(Until(lambda: server.in_flight_peak >= 4), times=None)
        with_model(server, use, budget=4)
        assert server.in_flight_peak == 4


def test_the_models_of_a_server_share_its_budget() -> None:
    async def use(model: ServedModel) -> None:
        other = ServedModel("other", model.endpoint)
        await asyncio.gather(ask_many(model, 10), ask_many(other, 10))

    with ScriptedServer(models=["tiny", "other"]) as server:
        server.fault(Until(lambda: server.in_flight_peak >= 3), times=None)
        with_model(server, use, budget=3)
        assert server.in_flight_peak == 3


def test_a_request_that_fails_gives_its_place_back(server: ScriptedServer) -> None:
    server.fault(Status(400), times=5)
    server.fault(Status(400), path=COMPLETIONS, times=5)

    async def use(model: ServedModel) -> list[float]:
        await ask_many(model, 5)
        await choose_many(model, 5)
        await asyncio.wait_for(ask(model), 60)
        return await asyncio.wait_for(model.choice_logprobs("Answer:", LETTERS), 60)

    assert len(with_model(server, use, budget=1)) == 4


def test_a_request_that_is_cancelled_gives_its_place_back(server: ScriptedServer) -> None:
    server.fault(Hang(30), times=None, when=lambda body: body["messages"][0]["content"] == "Hang")

    async def use(model: ServedModel) -> str:
        for _ in range(2):
            before = server.count(CHATS)
            asking = asyncio.ensure_future(ask(model, "Hang"))
            await until(lambda before=before: server.count(CHATS) > before)  # type: ignore[misc]
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        return (await asyncio.wait_for(ask(model), 60)).text

    assert with_model(server, use, budget=1) == "Answer to: Hi"


def test_a_question_that_is_abandoned_is_not_sent() -> None:
    async def use(model: ServedModel) -> None:
        await model.choice_logprobs("Answer:", LETTERS)
        server.fault(Until(abandoned.is_set), path=COMPLETIONS)
        busy = asyncio.ensure_future(model.choice_logprobs("Busy answer:", LETTERS))
        await until(lambda: len(server.prompts) == 2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.choice_logprobs("Abandoned answer:", LETTERS), 0.01)
        abandoned.set()
        await busy

    abandoned = threading.Event()
    with ScriptedServer() as server:
        with_model(server, use, budget=1)
        assert server.prompts == ["Answer:", "Busy answer:"]


def test_several_places_are_waited_for_and_two_that_want_many_do_not_wait_for_each_other() -> None:
    async def use() -> list[str]:
        budget, order = Budget(5), []

        async def want(name: str, places: int) -> None:
            await budget.take(places)
            order.append(name)
            await asyncio.sleep(0.01)
            budget.give_back(places)

        await asyncio.wait_for(asyncio.gather(want("a", 4), want("b", 4), want("c", 3)), 60)
        return order

    assert asyncio.run(use()) == ["a", "b", "c"]


def test_places_that_were_waited_for_in_vain_are_given_back() -> None:
    async def use() -> None:
        budget = Budget(3)
        await budget.take(2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(budget.take(2), 0.01)
        budget.give_back(2)
        await asyncio.wait_for(budget.take(3), 60)

    asyncio.run(use())


def test_what_went_over_the_wire_is_counted(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> tuple[int, int]:
        completion = await ask(model)
        await choose_many(model, 3)
        traffic = model.endpoint.traffic
        return traffic.requests, traffic.tokens - completion.prompt_tokens - completion.completion_tokens

    requests, tokens = with_model(server, use)
    assert requests == 4
    assert tokens > 0


# --- retries ---


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_a_failure_of_the_moment_is_tried_again(server: ScriptedServer, status: int) -> None:
    server.fault(Status(status), times=2)
    assert with_model(server, ask).text == "Answer to: Hi"
    assert server.count(CHATS) == 3


def test_a_connection_that_was_dropped_is_tried_again(server: ScriptedServer) -> None:
    server.fault(Drop(), times=2)
    assert with_model(server, ask).text == "Answer to: Hi"
    assert server.count(CHATS) == 3


def test_a_request_that_took_too_long_is_tried_again(server: ScriptedServer) -> None:
    server.fault(Hang(30))
    assert with_model(server, ask, timeout=0.5).text == "Answer to: Hi"
    assert server.count(CHATS) >= 2  # on a busy machine more are too late


def test_prompts_are_tried_again_as_chats_are(server: ScriptedServer) -> None:
    server.fault(Status(503), path=COMPLETIONS, times=2)
    assert with_model(server, lambda model: choose_many(model, 1)) == [logprobs_of("Question 0.\nAnswer:")]


def logprobs_of(prompt: str) -> list[float]:
    return [ScriptedServer.logprob(prompt, letter) for letter in LETTERS]


def test_a_server_that_says_when_to_come_back_is_asked_again_then(server: ScriptedServer) -> None:
    server.fault(Status(429, headers={"Retry-After": "1"}))
    assert with_model(server, ask).text == "Answer to: Hi"
    first, second = (received.time for received in server.requests if received.path == CHATS)
    assert second - first > 0.95


def test_a_server_that_says_at_once_is_asked_again_at_once(server: ScriptedServer) -> None:
    server.fault(Status(503, headers={"Retry-After": "0"}))
    assert with_model(server, ask).text == "Answer to: Hi"
    first, second = (received.time for received in server.requests if received.path == CHATS)
    assert second - first < 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_not_tried_again(server: ScriptedServer, status: int) -> None:
    server.fault(Status(status, "no"), times=None)
    with pytest.raises(ModelError) as caught:
        with_model(server, ask)
    assert caught.value.status == status
    assert server.count(CHATS) == 1


@pytest.mark.parametrize("fault", [Status(503, "busy"), Drop()], ids=["503", "drop"])
def test_a_failure_that_stays_is_told_after_the_last_try(server: ScriptedServer, fault: Fault) -> None:
    server.fault(fault, times=None)
    with pytest.raises(ModelError):
        with_model(server, ask, retries=2)
    assert server.count(CHATS) == 3


# --- a dead server ---


def test_a_dead_server_costs_one_round_of_retries_and_not_one_a_question(server: ScriptedServer) -> None:
    server.fault(Drop(), times=None)
    found = with_model(server, lambda model: ask_many(model, 30), budget=2, retries=4)
    assert all(isinstance(error, ModelError) for error in found)
    assert server.count(CHATS) <= 30 + 2 * 4


def test_a_server_that_dies_under_questions_costs_one_round_of_retries(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> list[list[float] | BaseException]:
        await choose_many(model, 1)
        server.fault(Drop(), path=COMPLETIONS, times=None)
        return await choose_many(model, 30)

    found = with_model(server, use, budget=2, retries=4)
    assert all(isinstance(error, ModelError) for error in found)
    assert server.count(COMPLETIONS) <= 1 + 30 + 2 * 4


def test_a_server_that_came_back_is_tried_again_as_before(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> str:
        server.fault(Drop(), times=3)
        await ask_many(model, 1)
        await ask(model)
        server.fault(Drop(), times=2)
        return (await ask(model)).text

    assert with_model(server, use, retries=2) == "Answer to: Hi"


# --- one sentence a failure ---

COMPLETE_FAILURES: dict[str, tuple[Fault, str]] = {
    "an error of the server": (Status(500, "out of\nmemory"), "answered 500: out of memory"),
    "a refusal": (Status(422, "seed must be positive"), "answered 422: seed must be positive"),
    "a page": (NotJSON(), "gave a reply that is not JSON: <html>busy</html>"),
    "broken JSON": (BrokenJSON(), "gave a reply that is not JSON"),
    "a list": (NotJSON("[]", "application/json"), "gave a reply that is not a JSON object: []"),
}
CHAT_FAILURES: dict[str, tuple[Fault, str]] = {
    **COMPLETE_FAILURES,
    "no choices": (NoChoices(), "answered without a completion"),
    "null choices": (Altered(lambda body: {**body, "choices": None}), "answered without a completion"),
    "a choice that is null": (
        Altered(lambda body: {**body, "choices": [None]}),
        "answered without a completion",
    ),
    "no message": (Altered(lambda body: {**body, "choices": [{}]}), "answered without a completion"),
    "null content": (NullContent(), "answered without text (content is None)"),
    "a filter": (Finish("content_filter"), "ended its answer with finish_reason 'content_filter'"),
    "a tool call": (Finish("tool_calls"), "ended its answer with finish_reason 'tool_calls'"),
}


@pytest.mark.parametrize(("fault", "reason"), CHAT_FAILURES.values(), ids=CHAT_FAILURES)
def test_a_chat_that_fails_says_where_and_why(server: ScriptedServer, fault: Fault, reason: str) -> None:
    server.fault(fault)
    error = failure(server)
    assert str(error).startswith(f"the server at {server.url} {reason}")
    assert "\n" not in str(error)


def said(message: Body, finish_reason: str = "stop") -> Altered:
    """The usual reply with this message."""
    return Altered(lambda body: {**body, "choices": [{"message": message, "finish_reason": finish_reason}]})


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_told_from_the_answer_by_whichever_name(server: ScriptedServer, name: str) -> None:
    server.fault(said({"content": "Yellow.", name: "A ripe banana…"}))
    completion = with_model(server, lambda model: model.chat([{"role": "user", "content": "Hi"}]))
    assert (completion.text, completion.reasoning) == ("Yellow.", "A ripe banana…")


def test_reasoning_in_the_text_is_told_from_the_answer(server: ScriptedServer) -> None:
    server.fault(said({"content": "<think>A ripe banana…</think>\nYellow.", "reasoning_content": None}))
    completion = with_model(server, lambda model: model.chat([{"role": "user", "content": "Hi"}]))
    assert (completion.text, completion.reasoning) == ("Yellow.", "A ripe banana…")


@pytest.mark.parametrize("content", ["", None, "<think>Let me"])
@pytest.mark.parametrize("reasoning", ["Let me think about", None, 7])
def test_a_chat_whose_tokens_all_went_into_reasoning_has_no_answer(
    server: ScriptedServer, content: str | None, reasoning: object
) -> None:
    server.fault(said({"content": content, "reasoning_content": reasoning}, "length"))
    error = failure(server)
    assert isinstance(error, NoAnswerError)
    assert str(error).startswith(f"the server at {server.url} gave no answer: its reasoning")
    assert "took all " in str(error)


@pytest.mark.parametrize(("fault", "reason"), COMPLETE_FAILURES.values(), ids=COMPLETE_FAILURES)
def test_a_choice_that_fails_says_where_and_why(server: ScriptedServer, fault: Fault, reason: str) -> None:
    async def use(model: ServedModel) -> None:
        await model.choice_logprobs("First answer:", LETTERS)
        server.fault(fault, path=COMPLETIONS, times=None)
        await model.choice_logprobs("Answer:", LETTERS)

    assert reason.partition(":")[0] in str(failure(server, use))


DAMAGED_CHOICES: dict[str, Callable[[Body], object]] = {
    "too few": lambda body: body["choices"][1:],
    "too many": lambda body: body["choices"] * 2,
    "null": lambda body: None,
    "without an index": lambda body: [{**choice, "index": None} for choice in body["choices"]],
    "nulls": lambda body: [None for _ in body["choices"]],
}


@pytest.mark.parametrize("damage", DAMAGED_CHOICES.values(), ids=DAMAGED_CHOICES)
def test_completions_that_are_not_as_many_or_not_as_they_should_be_are_an_error(
    server: ScriptedServer, damage: Callable[[Body], object]
) -> None:
    server.fault(Altered(lambda body: {**body, "choices": damage(body)}), path=COMPLETIONS, times=None)

    async def use(model: ServedModel) -> None:
        await asyncio.wait_for(model.choice_logprobs("Answer:", LETTERS), 30)

    failure(server, use)


def test_a_message_is_not_longer_than_a_paragraph(server: ScriptedServer) -> None:
    server.fault(Status(400, "x" * 5000))
    assert len(str(failure(server))) < 700


def test_an_error_has_the_prompt_and_the_status(server: ScriptedServer) -> None:
    server.fault(Status(400, "no"))
    error = failure(server)
    assert (error.prompt, error.status) == ("Hi", 400)


def test_a_server_that_gives_no_answer_is_told_with_the_option(server: ScriptedServer) -> None:
    server.fault(Hang(30))
    with pytest.raises(ModelError) as caught:
        with_model(server, ask, timeout=0.15, retries=0)
    assert str(caught.value) == (
        f"the server at {server.url} gave no complete reply within 0.15 s; allow more with "
        "--eval-request-timeout SECONDS"
    )


def test_a_connection_that_is_dropped_is_not_called_a_timeout(server: ScriptedServer) -> None:
    server.fault(Drop(), times=None)
    error = failure(server)
    assert str(error).startswith(f"the server at {server.url} cannot be reached (")


def test_a_server_that_is_not_there_cannot_be_reached() -> None:
    with ScriptedServer() as gone:
        pass
    with pytest.raises(ModelError, match=re.escape(f"the server at {gone.url} cannot be reached (")):
        with_model(gone, ask, retries=0)


def test_an_answer_that_was_cut_at_its_length_is_an_answer(server: ScriptedServer) -> None:
    server.fault(Finish("length"))
    completion = with_model(server, ask)
    assert (completion.text, completion.finish_reason) == ("Answer to: Hi", "length")


# --- the key ---


def test_the_key_is_sent_as_the_api_has_it() -> None:
    with ScriptedServer(api_key=KEY) as server:
        assert with_model(server, ask, api_key=KEY).text == "Answer to: Hi"
        assert {received.headers["authorization"] for received in server.requests} == {f"Bearer {KEY}"}


def test_the_key_is_sent_as_it_is_in_another_header() -> None:
    with ScriptedServer(api_key=KEY) as server:
        server.key_header = "api-key"
        assert with_model(server, ask, api_key=KEY, key_header="api-key").text == "Answer to: Hi"
        assert {received.headers["api-key"] for received in server.requests} == {KEY}
        assert not any("authorization" in received.headers for received in server.requests)


def test_authorization_is_the_default_however_it_is_written() -> None:
    with ScriptedServer(api_key=KEY) as server:
        assert with_model(server, ask, api_key=KEY, key_header="authorization").text == "Answer to: Hi"


def test_a_server_that_wants_a_key_names_the_option_that_gives_one() -> None:
    with ScriptedServer(api_key=KEY) as server, pytest.raises(ConfigurationError) as caught:
        with_model(server, lambda model: model.find())
    assert str(caught.value) == (
        f"the server at {server.url} asks for a key (401), and none was sent: name the environment variable "
        "that holds a key with --eval-api-key-env; the server said: Unauthorized"
    )


def test_a_server_that_refuses_the_key_is_told_with_where_the_key_is_from() -> None:
    with ScriptedServer(api_key="another") as server, pytest.raises(ConfigurationError) as caught:
        with_model(
            server, lambda model: model.find(), api_key=KEY, key_source="--eval-judge-api-key-env JUDGE_KEY"
        )
    assert str(caught.value) == (
        f"the server at {server.url} refused the key (401): check the variable that holds it "
        "(--eval-judge-api-key-env JUDGE_KEY); it was sent as 'Authorization: Bearer [key]', and "
        "--eval-judge-api-key-header NAME sends it in another header; the server said: Unauthorized"
    )


def test_a_key_in_another_header_that_is_refused_is_told_with_that_header() -> None:
    with ScriptedServer(api_key=KEY) as server, pytest.raises(ConfigurationError) as caught:
        with_model(server, lambda model: model.find(), api_key=KEY, key_header="api-key")
    assert "it was sent as 'api-key: [key]', and --eval-api-key-header NAME sends it" in str(caught.value)


def test_a_variable_that_is_empty_is_told_as_no_key() -> None:
    with ScriptedServer(api_key=KEY) as server, pytest.raises(ConfigurationError) as caught:
        with_model(server, lambda model: model.find(), api_key="", key_source="--eval-api-key-env THE_KEY")
    assert (
        "asks for a key (401), and none was sent: the variable that should hold it is empty "
        "(--eval-api-key-env THE_KEY); export the key"
    ) in str(caught.value)


def test_what_a_server_says_of_a_refused_key_is_shortened(server: ScriptedServer) -> None:
    server.fault(Status(403, "no " * 500))
    assert str(failure(server)).endswith("; the server said: " + "no " * 66 + "no…")


def test_a_key_that_is_refused_later_is_told_in_the_same_way(server: ScriptedServer) -> None:
    server.fault(Status(403, "expired"))
    assert "asks for a key (403)" in str(failure(server))


ECHOES: dict[str, Fault] = {
    "a refusal": Status(400, f"the key {KEY} may not do this"),
    "an error": Status(500, f"failed for {KEY}"),
    "the key refused": Status(401, f"Incorrect API key provided: {KEY}"),
    "a page": NotJSON(f"<html>{KEY}</html>"),
    "a reason": Finish(KEY),
    "content that is no text": Altered(lambda body: content(body, [KEY])),
}


def content(body: Body, value: object) -> Body:
    (choice,) = body["choices"]
    return {**body, "choices": [{**choice, "message": {"role": "assistant", "content": value}}]}


@pytest.mark.parametrize("fault", ECHOES.values(), ids=ECHOES)
def test_a_server_that_tells_the_key_does_not_get_it_into_the_message(
    server: ScriptedServer, fault: Fault
) -> None:
    server.fault(fault)
    with pytest.raises(ModelError) as caught:
        with_model(server, ask, api_key=KEY, retries=0)
    assert KEY not in str(caught.value)
    assert server.count(CHATS) == 1


def test_a_message_of_the_server_cannot_act_upon_the_terminal(server: ScriptedServer) -> None:
    server.fault(Status(400, "no \x1b[2J \ud83d"))
    with pytest.raises(ModelError, match=r"answered 400: no \\x1b\[2J \\ud83d$"):
        with_model(server, ask)
    server.models = ("\x1b[2J",)
    with pytest.raises(ConfigurationError, match=r"it has: \\x1b\[2J$"):
        with_model(server, lambda model: model.find())


def test_a_long_message_is_not_cut_in_the_middle_of_the_key(server: ScriptedServer) -> None:
    server.fault(Status(400, "x" * 490 + KEY + "y" * 100))
    with pytest.raises(ModelError) as caught:
        with_model(server, ask, api_key=KEY)
    assert KEY[:8] not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-\u00e9t\u00e9", "sk-two\nlines"], ids=ascii)
def test_a_key_that_cannot_be_sent_is_told_with_its_option_and_not_shown(
    server: ScriptedServer, key: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_model(server, lambda model: model.find(), api_key=key)
    assert "--eval-api-key-env" in str(caught.value)
    assert "sk-" not in str(caught.value)


# --- which models there are ---


def test_a_model_is_found_under_its_name() -> None:
    async def use(model: ServedModel) -> None:
        await model.find()
        await ask(model)

    with ScriptedServer(models=["other", "tiny"]) as server:
        with_model(server, use)
        assert [chat["model"] for chat in server.chats] == ["tiny"]


def test_a_bare_name_is_found_under_instructlab() -> None:
    async def use(model: ServedModel) -> None:
        await model.find()
        await ask(model)
        await model.choice_logprobs("Answer:", LETTERS)

    with ScriptedServer(models=["instructlab/granite-7b-lab"]) as server:
        with_model(server, use, name="granite-7b-lab")
        assert {body["model"] for body in server.chats + server.completions} == {"instructlab/granite-7b-lab"}


def test_the_bare_name_itself_goes_before() -> None:
    with ScriptedServer(models=["instructlab/tiny", "tiny"]) as server:
        with_model(server, ask)
        assert server.chats[0]["model"] == "tiny"


def test_an_unknown_model_is_told_with_what_the_server_has() -> None:
    with ScriptedServer(models=["tiny", "other"]) as server, pytest.raises(ConfigurationError) as caught:
        with_model(server, lambda model: model.find(), name="granite")
    assert str(caught.value) == f"the server at {server.url} has no model 'granite'; it has: tiny, other"


def test_a_server_without_any_model_says_so() -> None:
    with ScriptedServer(models=[]) as server, pytest.raises(ConfigurationError, match="it has: none"):
        with_model(server, lambda model: model.find())


def test_a_model_that_was_not_looked_for_is_found_when_it_is_first_asked(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> None:
        await ask(model)
        await ask(model, "Hi again")

    with_model(server, use)
    assert server.count(MODELS) == 1


def test_however_many_ask_a_model_at_first_it_is_looked_for_once(server: ScriptedServer) -> None:
    with_model(server, lambda model: asyncio.gather(ask_many(model, 10), choose_many(model, 10)))
    assert server.count(MODELS) == 1


def test_an_unknown_model_that_is_asked_is_a_model_error(server: ScriptedServer) -> None:
    with pytest.raises(ModelError, match="has no model 'granite'; it has: tiny"):
        with_model(server, ask, name="granite")


# --- waiting for the server ---


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_comes_up_late_is_waited_for() -> None:
    port = free_port()
    server = ScriptedServer(port=port)
    starting = threading.Timer(0.15, server.__enter__)
    starting.start()
    try:
        with_model(f"http://127.0.0.1:{port}/v1", lambda model: model.find(60.0))
    finally:
        starting.join()
        server.__exit__(None, None, None)
    assert server.count(MODELS) == 1


def test_a_server_that_is_still_loading_is_waited_for(server: ScriptedServer) -> None:
    server.fault(Status(503, "loading"), path=MODELS, times=3)
    with_model(server, lambda model: model.find(60.0))
    assert server.count(MODELS) == 4


def test_a_server_that_does_not_come_up_is_told_after_the_wait() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"cannot be reached \(.*\) after 0\.1 s of waiting$"):
        with_model(url, lambda model: model.find(0.1))
    assert time.monotonic() - started >= 0.1


def test_without_a_wait_it_is_told_what_can_be_done() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(
        ConfigurationError,
        match=r"start the server, correct the URL, or wait for it with --eval-wait SECONDS$",
    ):
        with_model(url, lambda model: model.find())


@pytest.mark.parametrize(
    "fault",
    [
        NotJSON("[]", "application/json"),
        NotJSON('{"data": [{}]}', "application/json"),
        NotJSON('{"models": []}', "application/json"),
    ],
    ids=["list", "no ids", "other keys"],
)
def test_a_server_of_another_kind_is_told_so(server: ScriptedServer, fault: Fault) -> None:
    server.fault(fault, path=MODELS)
    with pytest.raises(ConfigurationError, match=r"gave no list of models, .*; check the path before /v1: "):
        with_model(server, lambda model: model.find())


@pytest.mark.parametrize("fault", [NotJSON(), BrokenJSON()], ids=["page", "broken"])
def test_a_list_of_models_that_is_no_json_is_shown(server: ScriptedServer, fault: Fault) -> None:
    server.fault(fault, path=MODELS)
    with pytest.raises(
        ConfigurationError,
        match=r"not JSON: [<{].*; check the path before /v1: .* as in https://HOST/PATH/v1$",
    ):
        with_model(server, lambda model: model.find())


def test_a_url_without_its_v1_that_is_no_server_of_models_is_told_how_urls_end(
    server: ScriptedServer,
) -> None:
    server.fault(NotJSON(), path=MODELS, times=None)
    with pytest.raises(ConfigurationError, match=r"; the URL usually ends in /v1$"):
        with_model(server.url.removesuffix("/v1"), lambda model: model.find())


def test_a_url_without_its_v1_is_told_at_once(server: ScriptedServer) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"answered 404 to /models: Not Found; did you mean {server.url}\?$"
    ):
        with_model(server.url.removesuffix("/v1"), lambda model: model.find(60.0))


# --- chats ---


def test_a_chat_asks_for_what_it_was_told_and_no_more(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> None:
        await model.chat([{"role": "user", "content": "Hi"}], temperature=0.7, max_tokens=9)

    with_model(server, use)
    assert server.chats == [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "Hi"}],
            "n": 1,
            "temperature": 0.7,
            "max_tokens": 9,
        }
    ]


def test_a_seed_is_sent_where_one_is_given(server: ScriptedServer) -> None:
    with_model(server, lambda model: model.chat([{"role": "user", "content": "Hi"}], seed=7))
    assert server.chats[0]["seed"] == 7


def test_a_completion_has_its_tokens_and_its_own_seconds() -> None:
    with ScriptedServer(latency=0.03) as server:
        started = time.monotonic()
        found = with_model(server, lambda model: ask_many(model, 5), budget=1)
        took = time.monotonic() - started
    seconds = 0.0
    for completion in found:
        assert isinstance(completion, Completion)
        assert completion.prompt_tokens > 0
        assert completion.completion_tokens > 0
        assert completion.latency >= 0.03
        seconds += completion.latency
    assert seconds <= took  # no one's has the others' in it


def test_a_reply_without_usage_is_an_answer(server: ScriptedServer) -> None:
    server.fault(Altered(lambda body: {**body, "usage": None}))
    assert with_model(server, ask).prompt_tokens == 0


def test_half_a_surrogate_pair_in_an_answer_becomes_a_question_mark(server: ScriptedServer) -> None:
    server.reply = lambda body: Reply("a\ud800b")
    assert with_model(server, ask).text == "a?b"


def test_an_empty_answer_is_an_answer(server: ScriptedServer) -> None:
    server.reply = lambda body: ""
    assert with_model(server, ask).text == ""


def test_nothing_is_asked_twice(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> None:
        await asyncio.gather(ask_many(model, 30), choose_many(model, 30))

    with_model(server, use)
    assert server.duplicates == 0


def test_the_endpoint_is_named_by_its_url() -> None:
    async def use() -> str:
        endpoint = Endpoint("http://models.example.com/v1", api_key=KEY)
        await endpoint.close()
        return f"{endpoint} {ServedModel('tiny', endpoint)!r}"

    assert asyncio.run(use()) == (
        "the server at http://models.example.com/v1 ServedModel('tiny', 'http://models.example.com/v1')"
    )


TOO_LONG: dict[str, tuple[int, Any]] = {
    "llama.cpp": (400, {"message": "the request exceeds the available context size, try increasing it"}),
    "TGI": (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 3000"}),
    "Anthropic": (400, {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
    "Anthropic's limit": (400, {"error": {"message": "input length and `max_tokens` exceed context limit"}}),
    "Gemini": (
        400,
        [{"error": {"message": "The input token count (9) exceeds the maximum"}}],
    ),
    "Cohere": (400, {"message": "too many tokens: size limit exceeded by 500 tokens"}),
    "a code": (400, {"error": {"message": "Please shorten it.", "code": "context_length_exceeded"}}),
    "TensorRT": (400, {"message": "Prompt length (5000) exceeds maximum input length (4096)."}),
    "TensorRT's sum": (400, {"message": "prompt length (4000) and max_tokens should not exceed max_seq_len"}),
    "MLC": (
        400,
        {"message": "prompt has 5000 tokens, larger than the model input length limit 4096."},
    ),
    "Bedrock": (400, {"message": "Input is too long for requested model."}),
    "LiteLLM": (400, {"error": {"message": "litellm.ContextWindowExceededError: too big"}}),
}


@pytest.mark.parametrize(("status", "body"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_from_each_servers_words(status: int, body: object) -> None:
    with (
        RawServer(http(body, status=f"{status} No")) as server,
        pytest.raises(ContextLengthError, match="the prompt does not fit the model's context: "),
    ):
        with_model(server.url, lambda model: model.chat("Hi"))


def test_a_limit_of_tokens_a_minute_is_waited_for_whatever_it_says(server: ScriptedServer) -> None:
    server.fault(Status(429, "tokens per minute: the context window is too large"), times=1)
    assert with_model(server, lambda model: model.chat("Hi")).text


def test_a_context_that_the_counts_do_not_explain_is_told_in_the_servers_words(
    server: ScriptedServer,
) -> None:
    server.fault(Status(400, "the context size is exceeded"), times=None)
    with pytest.raises(ContextLengthError, match="does not fit the model's context: the context size is ex"):
        with_model(server, lambda model: model.chat("Hi", max_tokens=9))
