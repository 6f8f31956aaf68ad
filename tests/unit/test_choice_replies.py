"""Whatever a server answers, a question ends: with its true log-likelihoods, or with an error."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ConfigurationError, ModelError, UnreachableError
from pytest_instructlab_eval.models import ServedModel
from pytest_instructlab_eval.models.endpoint import Budget, Endpoint, Traffic
from tests.odd_replies import mutated
from tests.scripted_server import ALL_FEATURES, ApiError, Body, ScriptedServer, Tokenizer, prompts_of

T = TypeVar("T")
Alter = Callable[[str, Body, Body], Any]  # of the path, the request and the true reply

LETTERS = (" A", " B", " C", " D")
LONG = (" a long walk", " the sea")
PROMPTS = [f"Question {number}: what comes next?\nAnswer:" for number in range(12)]
COMPLETIONS = "/completions"


def as_it_is(path: str, request: Body, reply: Body) -> Any:
    return reply


class FakeEndpoint:
    """A server without a network: it answers as the scripted one does, and `alter` changes the replies.

    `alter` may raise what a request raises.
    """

    base_url = "http://server/v1"
    given_up: str | None = None
    patience = 0.0

    def __init__(
        self, alter: Alter = as_it_is, features: frozenset[str] = ALL_FEATURES, budget: int = 16
    ) -> None:
        self.alter = alter
        self.budget = Budget(budget)
        self.traffic = Traffic()
        self.requests: list[tuple[str, Body]] = []
        self._server = ScriptedServer(features=features)

    async def post(self, path: str, body: Mapping[str, Any], *, prompt: str = "") -> Any:
        return await self._answer(path, f"/v1{path}", dict(body))

    async def root_post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._answer(path, path, dict(body))

    async def _answer(self, path: str, route: str, body: Body) -> Any:
        self.requests.append((path, body))
        await asyncio.sleep(0)
        try:
            answer = self._server._endpoints.get(f"POST {route}")
            if answer is None:
                raise ApiError(404, "not found")
            reply = answer(body)
        except ApiError as error:
            raise ModelError(str(error), status=error.code) from None
        found = self.alter(path, body, reply)
        return json.loads(json.dumps(found))

    async def models(self, wait: float = 0.0) -> dict[str, dict[str, object]]:
        return {"tiny": {}}

    def safe(self, value: object) -> str:
        return str(value)[:500]

    def prompts(self) -> list[Any]:
        """The `prompt` of each completion request, as it was sent."""
        return [body["prompt"] for path, body in self.requests if path == COMPLETIONS]


def served(endpoint: FakeEndpoint, **options: Any) -> ServedModel:
    return ServedModel("tiny", cast(Endpoint, endpoint), **options)


async def asked(
    model: ServedModel, prompts: Sequence[str] = PROMPTS, choices: Sequence[str] = LETTERS
) -> list[list[float] | BaseException]:
    questions = (model.choice_logprobs(prompt, choices) for prompt in prompts)
    return list(await asyncio.wait_for(asyncio.gather(*questions, return_exceptions=True), 20))


def score(
    endpoint: FakeEndpoint, prompts: Sequence[str] = PROMPTS, choices: Sequence[str] = LETTERS, **options: Any
) -> list[list[float] | BaseException]:
    return asyncio.run(asked(served(endpoint, **options), prompts, choices))


def truth(prompt: str, choices: Sequence[str] = LETTERS) -> list[float]:
    found = []
    for choice in choices:
        text, total = prompt, 0.0
        for token in Tokenizer().split(choice):
            total += ScriptedServer.logprob(text, token)
            text += token
        found.append(total)
    return found


def right(found: object, prompt: str, choices: Sequence[str] = LETTERS) -> bool:
    return isinstance(found, list) and found == pytest.approx(truth(prompt, choices), abs=1e-6)


def assert_right(
    found: Sequence[object], prompts: Sequence[str] = PROMPTS, choices: Sequence[str] = LETTERS
) -> None:
    assert len(found) == len(prompts)
    for one, prompt in zip(found, prompts, strict=True):
        assert right(one, prompt, choices), one


def messages(found: Sequence[object]) -> set[str]:
    assert all(isinstance(one, ModelError) for one in found), found
    return {str(one) for one in found}


def completions(change: Callable[[Body, Body], Any]) -> Alter:
    """Change the replies of /completions alone, by the request and the reply."""
    return lambda path, request, reply: change(request, reply) if path == COMPLETIONS else reply


# --- the property ---

FAILURES: tuple[Callable[[], Exception], ...] = (
    *(lambda status=status: ModelError("no", status=status) for status in
      (None, 400, 401, 403, 404, 408, 413, 422, 429, 500, 501, 502, 503)),
    lambda: UnreachableError("away"),
    lambda: ValueError("a fault of a library"),
    lambda: RecursionError("too deep"),
)  # fmt: skip
FEATURES = (
    ALL_FEATURES,
    frozenset({"tokenize", "echo", "top_logprobs"}),
    frozenset({"tokenize", "echo"}),
    frozenset({"top_logprobs"}),
    frozenset({"echo"}),
)


@given(
    seed=st.integers(0, 2**32),
    features=st.sampled_from(FEATURES),
    choices=st.sampled_from([LETTERS, LONG]),
    before=st.integers(0, 12),
    damaged=st.integers(1, 4),
)
def test_each_question_ends_with_its_true_likelihoods_or_an_error_and_the_next_is_right(
    seed: int, features: frozenset[str], choices: tuple[str, ...], before: int, damaged: int
) -> None:
    choices = LETTERS if features == {"top_logprobs"} else choices
    chance = random.Random(seed)
    count = 0

    def alter(path: str, request: Body, reply: Body) -> Any:
        nonlocal count
        count += 1
        if not before < count <= before + damaged:
            return reply
        if chance.random() < 0.25:
            raise chance.choice(FAILURES)()
        return mutated(chance, reply)

    async def use() -> tuple[list[list[float] | BaseException], list[list[float] | BaseException]]:
        endpoint = FakeEndpoint(alter, features)
        model = served(endpoint)
        found = await asked(model, PROMPTS[:5], choices)
        endpoint.alter = as_it_is
        return found, await asked(model, PROMPTS[5:7], choices)

    found, later = asyncio.run(use())
    for one, prompt in zip(found, PROMPTS, strict=False):
        assert isinstance(one, ModelError) or right(one, prompt, choices), one
        own_fault = re.search(r"cannot be read \((?!ValueError|RecursionError)", str(one))
        assert own_fault is None, one  # these two are what a library was made to raise
    assert_right(later, PROMPTS[5:7], choices)


# --- numbers that are no measurement ---


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "-1.2", True, [-1.0], -9999.0], ids=repr)
@pytest.mark.parametrize("ways", [["token_ids"], ["top_logprobs"]], ids="".join)
def test_a_log_probability_that_is_no_number_is_an_error_on_its_question_alone(
    value: object, ways: list[str]
) -> None:
    def change(request: Body, reply: Body) -> Body:
        for prompt, choice in zip(prompts_of(request), reply["choices"], strict=True):
            (top,) = choice["logprobs"]["top_logprobs"]
            if prompt == PROMPTS[3]:
                top.update(dict.fromkeys([name for name in top if name in (" C", "token_id:2")], value))
        return reply

    found = score(FakeEndpoint(completions(change)), ways=ways)
    assert "expected a finite log-probability" in messages([found.pop(3)]).pop()
    assert_right(found, PROMPTS[:3] + PROMPTS[4:])


def test_vllms_refusal_of_nan_is_named_as_what_it_is() -> None:
    def change(request: Body, reply: Body) -> Body:
        if PROMPTS[3] in prompts_of(request):
            raise ModelError(
                "answered 400: Out of range float values are not JSON compliant: nan", status=400
            )
        return reply

    found = score(FakeEndpoint(completions(change)))
    (message,) = messages([found.pop(3)])
    assert message.startswith(
        "expected finite log-probabilities; check the model's weights, or serve it with a hig"
    )
    assert_right(found, PROMPTS[:3] + PROMPTS[4:])


# --- batches ---


@pytest.mark.parametrize(
    "indices",
    [[0, 0], [1, 2], [True, False], [0.0, 1.0], ["0", "1"], [0, None], [0, math.inf], [-1, 0], [0, [1]]],
    ids=repr,
)
def test_completions_that_are_not_numbered_by_prompt_are_errors_on_each_question(indices: list[Any]) -> None:
    def change(request: Body, reply: Body) -> Body:
        if len(reply["choices"]) == 2:
            for choice, index in zip(reply["choices"], indices, strict=True):
                choice["index"] = index
        return reply

    async def use() -> list[list[float] | BaseException]:
        model = served(FakeEndpoint(completions(change), budget=8))
        assert_right(await asked(model, PROMPTS[:1]), PROMPTS[:1])
        return await asked(model, PROMPTS[:2])

    (message,) = messages(asyncio.run(use()))
    assert "must number its completions 0 to 1, one for each prompt" in message


def one_completion(request: Body, reply: Body) -> Body:
    return {**reply, "choices": reply["choices"][:1]}


def refusing_lists(status: int) -> Callable[[Body, Body], Body]:
    def change(request: Body, reply: Body) -> Body:
        if not isinstance(request["prompt"], str):
            raise ModelError("one prompt a request", status=status)
        return reply

    return change


@pytest.mark.parametrize(
    "change",
    [one_completion, *map(refusing_lists, (400, 413, 422, 500))],
    ids=["one", "400", "413", "422", "500"],
)
def test_a_server_that_takes_one_prompt_is_asked_one_by_one_from_then_on(
    change: Callable[[Body, Body], Body],
) -> None:
    async def use() -> FakeEndpoint:
        endpoint = FakeEndpoint(completions(change))
        model = served(endpoint)
        assert_right(await asked(model))
        before = len(endpoint.requests)
        assert_right(await asked(model))
        assert all(isinstance(prompt, str) for prompt in endpoint.prompts()[-len(PROMPTS) :])
        assert len(endpoint.requests) == before + len(PROMPTS)
        assert "one_prompt_a_request" in model.adaptations
        return endpoint

    asyncio.run(use())


def test_a_single_prompt_is_sent_as_a_text_and_its_tokens_as_tokens() -> None:
    endpoint = FakeEndpoint()
    assert_right(score(endpoint, PROMPTS[:1]), PROMPTS[:1])
    assert endpoint.prompts() == PROMPTS[:1]
    echoing = FakeEndpoint(features=frozenset({"tokenize", "echo"}), budget=1)
    assert_right(score(echoing, PROMPTS[:1], LONG), PROMPTS[:1], LONG)
    assert all(type(token) is int for prompt in echoing.prompts() if prompt != PROMPTS[0] for token in prompt)


def test_a_fault_of_the_whole_server_does_not_multiply_requests() -> None:
    def change(request: Body, reply: Body) -> Body:
        raise ModelError("internal error", status=500)

    async def use() -> int:
        endpoint = FakeEndpoint(budget=32)
        model = served(endpoint)
        assert_right(await asked(model, PROMPTS[:1]), PROMPTS[:1])
        endpoint.alter = completions(change)
        before = len(endpoint.requests)
        for _ in range(5):
            assert messages(await asked(model)) == {"internal error"}
        return len(endpoint.requests) - before

    batches = 5 * 2  # of 8 prompts and of 4
    assert asyncio.run(use()) <= batches + 2 * 2


def test_a_prompt_at_which_the_server_fails_takes_no_other_with_it() -> None:
    def change(request: Body, reply: Body) -> Body:
        if PROMPTS[1] in prompts_of(request):
            raise ModelError("internal error", status=500)
        return reply

    async def use() -> list[list[float] | BaseException]:
        model = served(FakeEndpoint(completions(change)))
        assert_right(await asked(model, PROMPTS[6:]), PROMPTS[6:])
        found = await asked(model)
        assert "one_prompt_a_request" not in model.adaptations
        return found

    found = asyncio.run(use())
    assert messages([found.pop(1)]) == {"internal error"}
    assert_right(found, PROMPTS[:1] + PROMPTS[2:])


def test_a_question_ends_when_the_task_that_asks_for_it_is_cancelled() -> None:
    async def use() -> None:
        model = served(FakeEndpoint())
        assert_right(await asked(model, PROMPTS[:1]), PROMPTS[:1])
        waiting = asyncio.ensure_future(asked(model))
        await asyncio.sleep(0)
        for _ in range(4):
            for task in set(model._batcher._tasks):
                task.cancel()
            await asyncio.sleep(0)
        assert all(isinstance(one, (list, ModelError)) for one in await waiting)

    asyncio.run(use())


# --- the echo ---

ECHO_AND_TOP = frozenset({"tokenize", "echo", "top_logprobs"})


def shifted(request: Body, reply: Body) -> Body:
    """Each token with the likelihood of the one after it, as llama-cpp-python has it; the first is null."""
    for choice in reply["choices"] if request.get("echo") else ():
        values = choice["logprobs"]["token_logprobs"]
        values[1:] = [*values[2:], values[-1]]
    return reply


@pytest.mark.parametrize("features", [ECHO_AND_TOP, ECHO_AND_TOP - {"tokenize"}], ids=["ids", "texts"])
def test_an_echo_that_is_shifted_by_a_token_is_refused_by_name(features: frozenset[str]) -> None:
    endpoint = FakeEndpoint(completions(shifted), features)
    (message, *_) = messages(score(endpoint, PROMPTS, LONG))
    assert "its echo of the prompt is wrong: the token " in message
    echoed = [body for path, body in endpoint.requests if body.get("echo")]
    assert len(echoed) <= 2  # found out once, for all questions


@pytest.mark.parametrize("features", [ECHO_AND_TOP, ECHO_AND_TOP - {"tokenize"}], ids=["ids", "texts"])
def test_a_right_echo_is_checked_and_used(features: frozenset[str]) -> None:
    async def use() -> None:
        model = served(FakeEndpoint(features=features))
        assert_right(await asked(model, choices=LONG), choices=LONG)
        assert "echo_unchecked" not in model.adaptations

    asyncio.run(use())


def test_an_echo_that_nothing_can_check_is_used_and_that_is_said() -> None:
    async def use() -> None:
        model = served(FakeEndpoint(features=frozenset({"echo"})))
        assert_right(await asked(model, choices=LONG), choices=LONG)
        (adaptation,) = model.adaptations
        assert "could not be checked" in adaptation.text

    asyncio.run(use())


def test_a_check_that_fails_by_the_network_is_made_again() -> None:
    failing = True

    def change(request: Body, reply: Body) -> Body:
        if failing and request.get("echo"):
            raise UnreachableError("away")
        return shifted(request, reply)

    async def use() -> None:
        nonlocal failing
        model = served(FakeEndpoint(completions(change), ECHO_AND_TOP))
        assert messages(await asked(model, choices=LONG)) == {"away"}
        failing = False
        assert all(
            "its echo of the prompt is wrong" in one for one in messages(await asked(model, choices=LONG))
        )

    asyncio.run(use())


# --- the likeliest tokens ---


def in_chat_form(request: Body, reply: Body) -> Body:
    """As llama.cpp's server has it, which has no echo."""
    for choice in reply["choices"]:
        (top,) = choice["logprobs"]["top_logprobs"]
        ranked = sorted(top.items(), key=lambda entry: -entry[1])[: request["logprobs"]]
        entries = [
            {"id": n, "token": token, "bytes": [], "logprob": value}
            for n, (token, value) in enumerate(ranked)
        ]
        choice["logprobs"] = {"content": [{**entries[0], "top_logprobs": entries}]}
    return reply


def test_the_chat_form_on_completions_is_read() -> None:
    assert_right(score(FakeEndpoint(completions(in_chat_form), frozenset({"top_logprobs"}))))


def test_where_a_choice_is_not_among_the_likeliest_many_more_are_asked_for() -> None:
    def few(request: Body, reply: Body) -> Body:
        for choice in reply["choices"] if request["logprobs"] <= 20 else ():
            del choice["logprobs"]["top_logprobs"][0][" D"]
        return reply

    endpoint = FakeEndpoint(completions(few), frozenset({"top_logprobs"}))
    assert_right(score(endpoint))
    assert {body["logprobs"] for path, body in endpoint.requests if path == COMPLETIONS} == {20, 1000}


def test_a_choice_that_is_nowhere_is_an_error_and_no_guess() -> None:
    def without(request: Body, reply: Body) -> Body:
        for choice in reply["choices"]:
            del choice["logprobs"]["top_logprobs"][0][" D"]
        return reply

    endpoint = FakeEndpoint(completions(without), frozenset({"top_logprobs"}))
    assert all("no log-probabilities of the choices" in message for message in messages(score(endpoint)))
    assert any(body.get("logprobs") == 1000 for _, body in endpoint.requests)


def test_a_server_that_never_gives_log_probabilities_is_not_asked_for_all_questions() -> None:
    endpoint = FakeEndpoint(features=frozenset())
    prompts = [f"Question {number}?\nAnswer:" for number in range(100)]
    assert len(messages(score(endpoint, prompts))) == 1
    assert len(endpoint.requests) < 60


# --- the tokenizer ---


@pytest.mark.parametrize(
    "reply",
    [{"tokens": []}, {}, {"tokens": None}, {"tokens": ["a"]}, {"tokens": [True]}, {"count": 3}],
    ids=repr,
)
def test_a_foreign_tokenize_is_no_tokenizer(reply: Body) -> None:
    endpoint = FakeEndpoint(lambda path, request, true: reply if path == "/tokenize" else true)
    assert_right(score(endpoint))
    assert sum(path == "/tokenize" for path, _ in endpoint.requests) == 1


@pytest.mark.parametrize("status", [None, 400, 401, 403, 404, 405, 422, 500, 501])
def test_a_tokenize_that_is_refused_is_no_tokenizer(status: int | None) -> None:
    def refuse(path: str, request: Body, reply: Body) -> Body:
        if path == "/tokenize":
            raise ModelError("the server refused the key", status=status)
        return reply

    assert_right(score(FakeEndpoint(refuse)))


def test_the_tokens_of_another_models_tokenizer_are_not_taken_for_the_choices() -> None:
    def other(path: str, request: Body, reply: Body) -> Body:
        return {"tokens": [token + 3 for token in reply["tokens"]]} if "tokens" in reply else reply

    endpoint = FakeEndpoint(other)
    assert_right(score(endpoint))


# --- the beginning-of-text token ---


def with_bos(endpoint: FakeEndpoint, *, ignored: bool = False) -> FakeEndpoint:
    """A server whose tokenizer begins a text with <s> where it is asked to; its completions may not."""
    tokenizer = endpoint._server._tokenizer
    plain, split = tokenizer.tokens, tokenizer.split
    tokenizer.split = lambda text: ["<s>", *split(text[3:])] if text.startswith("<s>") else split(text)  # type: ignore[method-assign]
    answer = endpoint._answer

    async def begun(path: str, route: str, body: Body) -> Any:
        if body.get("add_special_tokens") and not (ignored and path == COMPLETIONS):
            prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
            if all(isinstance(prompt, str) for prompt in prompts):
                body = {**body, "prompt": [f"<s>{prompt}" for prompt in prompts]}
                body["prompt"] = body["prompt"] if path == COMPLETIONS else body["prompt"][0]
        return await answer(path, route, body)

    endpoint._answer = begun  # type: ignore[method-assign]
    assert plain("<s>x") == ["<s>", "x"]
    return endpoint


@pytest.mark.parametrize("way", ["token_ids", "top_logprobs", "echo"])
def test_with_bos_each_way_gives_the_likelihood_after_the_beginning_token(way: str) -> None:
    found = score(with_bos(FakeEndpoint()), add_bos=True, ways=[way])
    for one, prompt in zip(found, PROMPTS, strict=True):
        assert right(one, f"<s>{prompt}"), one


def test_a_prompt_that_begins_with_the_token_gets_no_second() -> None:
    prompt = f"<s>{PROMPTS[0]}"
    (found,) = score(with_bos(FakeEndpoint()), [prompt], add_bos=True)
    assert right(found, prompt)


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (FakeEndpoint(), "its /tokenize gives no beginning-of-text token"),
        (FakeEndpoint(features=frozenset({"top_logprobs"})), "not found"),
        (with_bos(FakeEndpoint(), ignored=True), "its /completions does not add the token"),
    ],
    ids=["no such token", "no /tokenize", "ignored"],
)
def test_a_server_that_cannot_be_shown_to_add_the_token_is_refused(
    endpoint: FakeEndpoint, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match="--eval-add-bos: ") as caught:
        asyncio.run(served(endpoint, add_bos=True).find())
    assert reason in str(caught.value)
