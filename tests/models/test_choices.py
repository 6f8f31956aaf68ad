"""Multiple choice: three ways to one figure, many questions in a request, chats through the template."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import accumulate

import pytest

from pytest_instructlab_eval.errors import ContextLengthError, ModelError
from pytest_instructlab_eval.models import Message, ServedModel
from pytest_instructlab_eval.models.choices import ECHO_PROBES
from pytest_instructlab_eval.models.exchange import Http
from pytest_instructlab_eval.models.replies import Failure, HttpReply
from tests.scripted_server import (
    ALL_FEATURES,
    COMPLETIONS,
    Altered,
    Body,
    Drop,
    Hang,
    ScriptedServer,
    Status,
    Tokenizer,
    prompts_of,
    rendered,
)

from .conftest import with_model

LETTERS = (" A", " B", " C", " D")
PROMPTS = [f"Question {number}: what comes next?\nAnswer:" for number in range(9)]
WAYS = ("token_ids", "top_logprobs", "echo")
CLOSE = 1e-6

Found = list[float]


def expected(prompt: str, choices: Sequence[str] = LETTERS) -> Found:
    """By definition: the log-probabilities of a choice's tokens, each after what precedes it, summed."""
    return [sum_of(prompt, choice) for choice in choices]


def sum_of(prompt: str, choice: str) -> float:
    tokens = Tokenizer().split(choice)
    heads = accumulate(tokens[:-1], initial=prompt)
    return sum(ScriptedServer.logprob(head, token) for head, token in zip(heads, tokens, strict=True))


def score(
    server: ScriptedServer,
    prompts: Sequence[str | Sequence[Message]] = PROMPTS,
    choices: Sequence[str] = LETTERS,
    *,
    ways: Sequence[str] = WAYS,
    budget: int = 64,
) -> list[Found]:
    """The log-likelihoods of all prompts, asked for at the same time."""

    async def use(model: ServedModel) -> list[Found]:
        return list(await asyncio.gather(*(model.choice_logprobs(prompt, choices) for prompt in prompts)))

    return with_model(server, use, ways=ways, budget=budget)


def assert_close(found: Sequence[Found], wanted: Sequence[Found]) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs, abs=CLOSE)


def with_token_ids(body: Body) -> bool:
    return "logprob_token_ids" in body


# --- the three ways ---


@pytest.mark.parametrize("way", WAYS)
def test_each_way_gives_the_log_likelihoods_of_the_choices(server: ScriptedServer, way: str) -> None:
    assert_close(score(server, ways=[way]), [expected(prompt) for prompt in PROMPTS])


@pytest.mark.parametrize(
    "features",
    [
        {"tokenize", "logprob_token_ids", "top_logprobs", "echo"},
        {"tokenize", "logprob_token_ids"},
        {"tokenize", "top_logprobs", "echo"},
        {"tokenize", "top_logprobs"},
        {"tokenize", "echo"},
        {"logprob_token_ids", "top_logprobs", "echo"},
        {"top_logprobs"},
        {"echo"},
    ],
    ids=lambda features: " ".join(sorted(features)),
)
def test_whatever_a_server_lacks_another_way_gives_the_same(features: set[str]) -> None:
    with ScriptedServer(features=frozenset(features)) as server:
        assert_close(score(server), [expected(prompt) for prompt in PROMPTS])


def test_a_server_that_gives_no_log_probabilities_is_told_so() -> None:
    with ScriptedServer(features=frozenset({"tokenize"})) as server, pytest.raises(
        ModelError, match="multiple choice needs a server whose /completions has logprobs"
    ):  # fmt: skip
        score(server, PROMPTS[:1])


def test_where_there_is_a_way_by_token_ids_it_is_a_request_a_question(server: ScriptedServer) -> None:
    score(server)
    assert all(with_token_ids(body) for body in server.completions)
    assert sorted(map(str, server.prompts)) == sorted(PROMPTS)


def test_the_tokens_of_the_choices_are_asked_for_once(server: ScriptedServer) -> None:
    score(server)
    assert server.count("/tokenize") == 1 + len(LETTERS)


def test_no_token_but_the_prompts_own_is_sent_and_one_is_generated(server: ScriptedServer) -> None:
    score(server, PROMPTS[:1])
    (body,) = server.completions
    assert (body["add_special_tokens"], body["max_tokens"], body["temperature"]) == (False, 1, 0)


@pytest.mark.parametrize("status", [400, 422])
def test_a_way_that_the_server_refuses_is_tried_once(server: ScriptedServer, status: int) -> None:
    server.fault(Status(status, "extra fields"), path=COMPLETIONS, times=None, when=with_token_ids)
    assert_close(score(server), [expected(prompt) for prompt in PROMPTS])
    assert sum(with_token_ids(body) for body in server.completions) == 1


def test_a_server_that_does_not_know_token_ids_is_asked_so_once() -> None:
    with ScriptedServer(features=ALL_FEATURES - {"logprob_token_ids"}) as server:
        score(server)
        assert sum(with_token_ids(body) for body in server.completions) == 1


def test_a_server_that_allows_five_top_logprobs_is_asked_for_five(server: ScriptedServer) -> None:
    server.fault(
        Status(400, "logprobs must be at most 5"),
        path=COMPLETIONS,
        times=None,
        when=lambda body: body.get("logprobs", 0) > 5,
    )
    ways = ["top_logprobs", "echo"]
    assert_close(score(server, ways=ways), [expected(prompt) for prompt in PROMPTS])
    assert sum(body["logprobs"] == 20 for body in server.completions) == 1


def test_a_choice_that_is_not_among_the_likeliest_is_scored_by_echo(server: ScriptedServer) -> None:
    choices = (" A", " walrus")
    found = score(server, PROMPTS[:2], choices, ways=["top_logprobs", "echo"])
    assert_close(found, [expected(prompt, choices) for prompt in PROMPTS[:2]])


def test_a_way_that_fails_for_another_reason_is_not_given_up(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> Found:
        await model.choice_logprobs(PROMPTS[0], LETTERS)
        server.fault(Status(500), path=COMPLETIONS)
        with pytest.raises(ModelError):
            await model.choice_logprobs(PROMPTS[1], LETTERS)
        return await model.choice_logprobs(PROMPTS[2], LETTERS)

    assert_close([with_model(server, use, retries=0)], [expected(PROMPTS[2])])
    assert all(with_token_ids(body) for body in server.completions)


def test_after_one_that_was_not_answered_questions_wait_side_by_side(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fault(Hang(30), path=COMPLETIONS, times=None)
    exchange, asked = Http.exchange, 0

    async def patient(http: Http, method: str, url: str, body: Body | None, _: float) -> HttpReply | Failure:
        nonlocal asked
        asked += (answers := url.endswith("/completions"))
        return await exchange(http, method, url, body, 0.2 if answers and asked == 1 else 30)

    monkeypatch.setattr(Http, "exchange", patient)

    async def use(model: ServedModel) -> None:
        await asyncio.gather(model.choice_logprobs(PROMPTS[0], LETTERS), return_exceptions=True)
        asking = [asyncio.ensure_future(model.choice_logprobs(prompt, LETTERS)) for prompt in PROMPTS[1:]]
        while server.in_flight_peak < 2:
            assert not any(question.done() for question in asking)
            await asyncio.sleep(0.01)
        for question in asking:
            question.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    with_model(server, use, retries=0)


def test_a_prompt_that_is_refused_by_itself_does_not_change_the_way_of_the_others(
    server: ScriptedServer,
) -> None:
    def odd(body: Body) -> bool:
        return PROMPTS[1] in body["prompt"] and with_token_ids(body)

    async def use(model: ServedModel) -> Found:
        await model.choice_logprobs(PROMPTS[0], LETTERS)
        server.fault(Status(400, "an odd prompt"), path=COMPLETIONS, times=None, when=odd)
        await asyncio.gather(model.choice_logprobs(PROMPTS[1], LETTERS), return_exceptions=True)
        return await model.choice_logprobs(PROMPTS[2], LETTERS)

    assert_close([with_model(server, use)], [expected(PROMPTS[2])])
    assert with_token_ids(server.completions[-1])


def test_tokens_that_could_not_be_asked_for_once_are_asked_for_again(server: ScriptedServer) -> None:
    server.fault(Status(429), path="/tokenize")

    async def use(model: ServedModel) -> Found:
        with pytest.raises(ModelError):
            await model.choice_logprobs(PROMPTS[0], LETTERS)
        return await model.choice_logprobs(PROMPTS[1], LETTERS)

    assert_close([with_model(server, use, retries=0)], [expected(PROMPTS[1])])


@pytest.mark.parametrize("reply", [{}, {"tokens": None}, {"tokens": [{"id": 1}]}], ids=str)
def test_a_server_whose_tokenize_is_of_another_kind_is_asked_in_another_way(
    server: ScriptedServer, reply: Body
) -> None:
    server.fault(Altered(lambda body: reply), path="/tokenize", times=None)
    assert_close(score(server), [expected(prompt) for prompt in PROMPTS])


# --- choices and prompts of other kinds ---

LONG = (" a long walk", " the sea", " A", " yes no")


@pytest.mark.parametrize("ways", [WAYS, ["echo"]], ids=["any way", "echo"])
@pytest.mark.parametrize("features", [ALL_FEATURES, ALL_FEATURES - {"tokenize"}], ids=["ids", "texts"])
def test_choices_of_several_tokens_are_scored_whole(features: frozenset[str], ways: Sequence[str]) -> None:
    with ScriptedServer(features=features) as server:
        found = score(server, PROMPTS[:3], LONG, ways=ways)
    assert_close(found, [expected(prompt, LONG) for prompt in PROMPTS[:3]])


def echoes(server: ScriptedServer) -> int:
    """How many prompts were echoed."""
    return sum(len(prompts_of(body)) for body in server.completions if body.get("echo"))


def test_choices_of_several_tokens_go_by_echo_which_is_checked_once(server: ScriptedServer) -> None:
    score(server, PROMPTS, LONG)
    assert echoes(server) == len(LONG) * len(PROMPTS) + ECHO_PROBES


def test_choices_that_begin_alike_are_told_apart(server: ScriptedServer) -> None:
    choices = (" the sea", " the shore")
    assert_close(score(server, PROMPTS[:1], choices), [expected(PROMPTS[0], choices)])


@pytest.mark.parametrize("way", WAYS)
def test_after_a_line_break_each_way_gives_the_likelihood_of_the_choice_alone(
    server: ScriptedServer, way: str
) -> None:
    prompts = ["<|user|>\nWhich?<|end|>\n<|assistant|>\n", "Pick one:\n"]
    choices = ("A", "B")
    assert_close(
        score(server, prompts, choices, ways=[way]), [expected(prompt, choices) for prompt in prompts]
    )


@pytest.mark.parametrize("ways", [WAYS, ["top_logprobs", "echo"], ["echo"]], ids=" ".join)
def test_a_blank_at_the_end_of_a_prompt_belongs_to_the_choice_it_is_one_token_with(
    server: ScriptedServer, ways: Sequence[str]
) -> None:
    found = score(server, ["Answer: "], ("A", "B"), ways=ways)
    assert_close(found, [expected("Answer:", (" A", " B"))])


def test_where_tokens_cannot_be_told_a_blank_at_the_end_is_found_in_the_echoed_text() -> None:
    with ScriptedServer(features=frozenset({"echo"})) as server:
        assert_close(score(server, ["Answer: "], ("A", "B")), [expected("Answer:", (" A", " B"))])


@pytest.mark.parametrize(
    "prompt", ["Answer:", "é 😀 Antwort:", "A. x\n\n\n\nAnswer:", "x" * 3000 + " Answer:"]
)
def test_prompts_of_any_text_are_scored_the_same_by_each_way(server: ScriptedServer, prompt: str) -> None:
    for way in WAYS:
        assert_close(score(server, [prompt], ways=[way]), [expected(prompt)])


def test_choices_are_scored_in_the_order_in_which_they_are_given(server: ScriptedServer) -> None:
    forward, backward = score(server, PROMPTS[:1], LETTERS), score(server, PROMPTS[:1], LETTERS[::-1])
    assert forward[0] == backward[0][::-1]


def test_choices_of_another_kind_find_a_way_of_their_own(server: ScriptedServer) -> None:
    server.fault(
        Status(400, "logprobs must be at most 5"),
        path=COMPLETIONS,
        times=None,
        when=lambda body: body.get("logprobs", 0) > 5,
    )

    async def use(model: ServedModel) -> list[Found]:
        return [await model.choice_logprobs(PROMPTS[0], choices) for choices in (LETTERS, LONG, LETTERS)]

    assert_close(
        [*with_model(server, use)], [expected(PROMPTS[0], each) for each in (LETTERS, LONG, LETTERS)]
    )


# --- many questions ---


def test_many_questions_are_asked_in_few_requests_and_answered_in_order(server: ScriptedServer) -> None:
    prompts = [f"Question {number}.\nAnswer:" for number in range(200)]
    assert_close(score(server, prompts), [expected(prompt) for prompt in prompts])
    assert len(server.completions) <= 1 + 200 / 16 + 8


def test_a_request_takes_a_quarter_of_the_budget_at_most(server: ScriptedServer) -> None:
    prompts = [f"Question {number}.\nAnswer:" for number in range(60)]
    score(server, prompts, budget=20)
    assert max(len(prompts_of(body)) for body in server.completions) == 5


def test_completions_in_another_order_are_put_in_order(server: ScriptedServer) -> None:
    def reverse(body: Body) -> Body:
        return {**body, "choices": body["choices"][::-1]}

    server.fault(Altered(reverse), path=COMPLETIONS, times=None)
    assert_close(score(server), [expected(prompt) for prompt in PROMPTS])


def test_questions_with_other_parameters_are_not_mixed_into_a_request(server: ScriptedServer) -> None:
    async def use(model: ServedModel) -> list[Found]:
        await model.choice_logprobs(PROMPTS[0], LETTERS)
        asked = [(prompt, LETTERS if n % 2 else LONG) for n, prompt in enumerate(PROMPTS)]
        return list(await asyncio.gather(*(model.choice_logprobs(*question) for question in asked)))

    found = with_model(server, use)
    assert_close(found, [expected(p, LETTERS if n % 2 else LONG) for n, p in enumerate(PROMPTS)])


# --- a prompt that is too long ---


def test_a_prompt_that_is_too_long_fails_alone_and_tells_its_tokens_and_the_limit() -> None:
    long = "word " * 60 + "Answer:"

    async def use(model: ServedModel) -> list[Found | BaseException]:
        prompts = [*PROMPTS[:4], long, *PROMPTS[4:]]
        await model.choice_logprobs("Answer:", LETTERS)
        return await asyncio.gather(
            *(model.choice_logprobs(prompt, LETTERS) for prompt in prompts), return_exceptions=True
        )

    with ScriptedServer(max_model_len=50) as server:
        *found, error = sorted(with_model(server, use), key=lambda one: isinstance(one, BaseException))
    assert_close([one for one in found if isinstance(one, list)], [expected(prompt) for prompt in PROMPTS])
    assert isinstance(error, ContextLengthError)
    count = len(Tokenizer().split(long))
    assert str(error) == (
        f"the prompt needs {count} tokens and the answer 1 more, and the model's context has 50"
    )
    assert error.prompt == long


def test_a_chat_that_is_too_long_tells_its_tokens_and_the_limit() -> None:
    messages: list[Message] = [{"role": "user", "content": "word " * 60}]
    with ScriptedServer(max_model_len=50) as server, pytest.raises(ContextLengthError) as caught:
        with_model(server, lambda model: model.chat(messages))
    count = len(Tokenizer().split(rendered([dict(message) for message in messages])))
    assert str(caught.value) == (
        f"the prompt needs {count} tokens and the answer 1,024 more, and the model's context has 50"
    )


def test_where_the_server_cannot_count_its_own_words_are_told() -> None:
    features = ALL_FEATURES - {"tokenize"}
    with ScriptedServer(max_model_len=50, features=features) as server, pytest.raises(
        ContextLengthError, match=r"does not fit .*maximum context length is 50 tokens"
    ):  # fmt: skip
        score(server, ["word " * 60 + "Answer:"])


def test_a_prompt_that_is_too_long_does_not_make_a_way_seem_missing() -> None:
    async def use(model: ServedModel) -> Found:
        with pytest.raises(ContextLengthError):
            await model.choice_logprobs("word " * 60 + "Answer:", LETTERS)
        return await model.choice_logprobs("Answer:", LETTERS)

    with ScriptedServer(max_model_len=50) as server:
        assert_close([with_model(server, use)], [expected("Answer:")])
        assert all(with_token_ids(body) for body in server.completions)


# --- chats ---


def chat(question: str, system: str = "You are terse.") -> list[Message]:
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def as_text(messages: Sequence[Message]) -> str:
    return rendered([dict(message) for message in messages])


def rendering_requests(server: ScriptedServer) -> int:
    return sum("messages" in received.body for received in server.requests if received.path == "/tokenize")


def test_a_chat_is_scored_as_the_text_that_its_template_makes(server: ScriptedServer) -> None:
    chats = [chat(f"Question {number}?\nAnswer:") for number in range(5)]
    letters = ("A", "B", "C", "D")
    assert_close(score(server, chats, letters), [expected(as_text(each), letters) for each in chats])


def test_the_template_is_rendered_once_for_all_questions_of_a_task(server: ScriptedServer) -> None:
    score(server, [chat(f"Question {number}?") for number in range(50)], ("A", "B"))
    assert rendering_requests(server) == 2
    assert server.count("/detokenize") == 2


def test_each_task_has_the_template_rendered_for_itself(server: ScriptedServer) -> None:
    chats = [chat(f"Question {number}?", f"System {number % 3}.") for number in range(30)]
    score(server, chats, ("A", "B"))
    assert rendering_requests(server) == 6
    assert_close(score(server, chats, ("A", "B")), [expected(as_text(each), ("A", "B")) for each in chats])


TEXTS = ["Plain?", "", "<|end|> in it", "placeholder-0f1e2d3c", "  blanks  ", "lines\n\nand é 😀"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_rendered_chat_equals_the_servers_own_rendering(server: ScriptedServer, text: str) -> None:
    async def use(model: ServedModel) -> list[str]:
        return [await model.render(chat("First?")), await model.render(chat(text))]

    assert with_model(server, use) == [as_text(chat("First?")), as_text(chat(text))]


def trimmed(body: Body) -> Body:
    """As by a template that trims what is said."""
    return {
        "prompt": re.sub(r"(<\|user\|>\n)\s*(.*?)\s*(<\|end\|>)", r"\1\2\3", body["prompt"], flags=re.DOTALL)
    }


def test_a_template_that_changes_a_message_is_rendered_for_each_that_it_changes(
    server: ScriptedServer,
) -> None:
    server.fault(Altered(trimmed), path="/detokenize", times=None)

    async def use(model: ServedModel) -> list[str]:
        return [await model.render(chat("First?")), await model.render(chat("  Second?  "))]

    assert with_model(server, use) == [as_text(chat("First?")), as_text(chat("Second?"))]


def test_a_template_that_changes_the_first_message_is_rendered_for_each(server: ScriptedServer) -> None:
    server.fault(Altered(trimmed), path="/detokenize", times=None)

    async def use(model: ServedModel) -> list[str]:
        return [await model.render(chat("  First?  ")), await model.render(chat("  Second?  "))]

    assert with_model(server, use) == [as_text(chat("First?")), as_text(chat("Second?"))]


def test_a_template_that_could_not_be_rendered_once_is_asked_for_again(server: ScriptedServer) -> None:
    server.fault(Drop(), path="/tokenize")

    async def use(model: ServedModel) -> str:
        with pytest.raises(ModelError):
            await model.render(chat("First?"))
        return await model.render(chat("Second?"))

    assert with_model(server, use, retries=0) == as_text(chat("Second?"))


def test_a_server_that_cannot_render_a_chat_is_told_with_the_option() -> None:
    with ScriptedServer(features=ALL_FEATURES - {"tokenize"}) as server, pytest.raises(
        ModelError, match=r"--eval-system-prompt: .* cannot render .*; leave the option out"
    ):  # fmt: skip
        score(server, [chat("Which?")])


def test_a_question_whose_first_asker_gave_up_is_still_answered_for_the_others(
    server: ScriptedServer,
) -> None:
    async def use(model: ServedModel) -> Found:
        first = asyncio.ensure_future(model.choice_logprobs(chat("First?"), ("A", "B")))
        second = asyncio.ensure_future(model.choice_logprobs(chat("Second?"), ("A", "B")))
        await asyncio.sleep(0.005)
        first.cancel()
        return await asyncio.wait_for(second, 5)

    assert_close([with_model(server, use)], [expected(as_text(chat("Second?")), ("A", "B"))])
