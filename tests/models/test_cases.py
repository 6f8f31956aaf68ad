"""Replies that people met (shared/cases/replies.jsonl): what becomes of each, beside other questions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models import Completion, ServedModel
from pytest_instructlab_eval.models.protocol import Message
from tests.raw_server import KEY, RawServer, Writer, as_scripted, http
from tests.scripted_server import ALL_FEATURES, COMPLETIONS, ScriptedServer, prompts_of

from .conftest import with_model

CASES = Path(__file__).parents[3] / "shared" / "cases" / "replies.jsonl"
LETTERS = (" A", " B", " C", " D")
PROMPTS = [f"Question {number}: what comes next?\nAnswer:" for number in range(6)]
SYSTEM: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]

Body = dict[str, Any]


def cases() -> list[Body]:
    return [json.loads(line) for line in CASES.read_text("utf-8").splitlines()] if CASES.exists() else []


class Case:
    """A server that gives the reply of a case to the requests to its path for which `met` holds."""

    def __init__(self, case: Body) -> None:
        raw = case.get("raw")
        self.closes = raw is not None
        self.reply = raw.encode() if raw else http(case["body"], status=f"{case['status']} Status")
        self.path = case["path"]
        self.met: Callable[[Body], bool] = lambda body: True
        self.features = ALL_FEATURES
        self.bodies: list[Body] = []

    async def _answer(self, path: str, writer: Writer) -> None:
        body = self.server.body
        if path != self.path or not self.met(body):
            writer.write(as_scripted(self.true, path, body))
            return
        self.bodies.append(body)
        writer.write(self.reply)
        if self.closes:
            await writer.drain()
            writer.close()

    def use(self, use: Callable[[ServedModel], Any], **options: Any) -> Any:
        self.true = ScriptedServer(features=self.features)
        with RawServer(self._answer, every=True) as self.server:
            return with_model(self.server.url, use, api_key=KEY, retries=1, **options)

    def scores(self, rounds: Sequence[Sequence[str]], **options: Any) -> list[Any]:
        """The log-likelihoods, or the errors, of the prompts, which are asked in rounds; and the model."""

        async def use(model: ServedModel) -> list[Any]:
            found: list[Any] = []
            for prompts in rounds:
                questions = (model.choice_logprobs(prompt, LETTERS) for prompt in prompts)
                found += await asyncio.gather(*questions, return_exceptions=True)
            return [*found, model]

        return list(self.use(use, **options))

    def chat(self) -> tuple[Completion, ServedModel]:
        async def use(model: ServedModel) -> tuple[Completion, ServedModel]:
            return await model.chat(SYSTEM, max_tokens=9), model

        found: tuple[Completion, ServedModel] = self.use(use)
        return found

    def error(self) -> str:
        with pytest.raises(ModelError) as caught:
            self.chat()
        return str(caught.value)


def assert_true(found: Sequence[object], prompts: Sequence[str]) -> None:
    for one, prompt in zip(found, prompts, strict=True):
        assert one == pytest.approx([ScriptedServer.logprob(prompt, letter) for letter in LETTERS]), one


# --- what becomes of them ---


def of_one_question(case: Case) -> object:
    """What becomes of one question of six that meets the reply; the others have their scores."""
    case.met = lambda body: PROMPTS[2] in prompts_of(body)
    *found, _ = case.scores([PROMPTS], budget=1)
    met = found.pop(2)
    assert_true(found, PROMPTS[:2] + PROMPTS[3:])
    assert case.bodies
    return met


def no_finite_number(case: Case) -> None:
    for features in (ALL_FEATURES, frozenset({"top_logprobs"})):
        case.features = features
        error = of_one_question(case)
        assert isinstance(error, ModelError)
        assert "expected a finite log-probability" in str(error)


def no_permutation(case: Case) -> None:
    case.met = lambda body: len(prompts_of(body)) == 2
    *found, _ = case.scores([PROMPTS[:1], PROMPTS[1:3], PROMPTS[3:4]], budget=8)
    assert_true([found[0], found[3]], [PROMPTS[0], PROMPTS[3]])
    assert all("must number its completions 0 to 1" in str(error) for error in found[1:3]), found


def one_by_one(case: Case) -> None:
    case.met = lambda body: len(prompts_of(body)) > 1
    *found, model = case.scores([PROMPTS[:1], PROMPTS[1:]], budget=20)
    assert_true(found, PROMPTS)
    assert [len(body["prompt"]) for body in case.bodies] == [5]
    assert case.server.paths.count(COMPLETIONS) == 1 + 1 + 5
    assert "one_prompt_a_request" in model.adaptations


def scores_as_usual(case: Case) -> None:
    case.features = frozenset({"top_logprobs"})
    assert of_one_question(case) == [-1.0, -2.0, -3.0, -4.0]


def no_http(case: Case) -> None:
    error = of_one_question(case)
    assert isinstance(error, ModelError)
    assert "its reply is not HTTP" in str(error)


def chat_form(case: Case) -> None:
    case.features = frozenset({"top_logprobs"})
    assert of_one_question(case) == [-0.1, -3.0, -4.0, -5.0]


def another_way(case: Case) -> None:
    *found, model = case.scores([PROMPTS])
    assert_true(found, PROMPTS)
    assert len(case.bodies) == 1
    assert list(model.adaptations) == []


def all_reasoning(case: Case) -> None:
    assert "took all tokens;" in case.error()


def reasoning_apart(case: Case) -> None:
    completion, _ = case.chat()
    assert (completion.text, completion.reasoning) == ("Yellow.", "A ripe banana…")


def an_answer(case: Case) -> None:
    completion, _ = case.chat()
    assert (completion.text, completion.finish_reason) == ("Yellow.", "stop")


def tried_again(case: Case) -> None:
    assert "answered 429: Provider returned error" in case.error()
    assert len(case.bodies) == 2


def other_limit(case: Case) -> None:
    case.met = lambda body: "max_tokens" in body
    _, model = case.chat()
    assert [(noted.name, noted.changes_answers) for noted in model.adaptations] == [
        ("max_completion_tokens", False)
    ]


def merged_system(case: Case) -> None:
    case.met = lambda body: body["messages"][0]["role"] == "system"
    completion, model = case.chat()
    assert completion.text.startswith("Answer to: Be brief.")
    assert [(noted.name, noted.changes_answers) for noted in model.adaptations] == [
        ("merged_system_message", True)
    ]


def servers_words(case: Case) -> None:
    error = case.error()
    assert error.endswith("answered 422: Unexpected fields in the request: {'add_special_tokens'}"), error


def a_wildcard(case: Case) -> None:
    async def use(model: ServedModel) -> str:
        model = ServedModel("openai/gpt-4", model.endpoint)
        await model.find()
        return await model.address.known_name()

    assert case.use(use) == "openai/gpt-4"


OUTCOMES: dict[str, Callable[[Case], None]] = {
    "an error on that question that says a log-probability is no finite": no_finite_number,
    "the same": no_finite_number,
    "an error on each question of the request: the indices are no perm": no_permutation,
    "the questions are asked again one prompt a request, as a text": one_by_one,
    "scores as usual": scores_as_usual,
    "an error on the questions of the request within the retries' time": no_http,
    "read as log-probabilities": chat_form,
    "not taken for a tokenization": another_way,
    "another way of scoring is used": another_way,
    "an error: all tokens went into reasoning": all_reasoning,
    "the answer is 'Yellow.'; the reasoning is kept apart": reasoning_apart,
    "an answer: eos_token, eos, end_turn and stop_sequence mean stop": an_answer,
    "tried again as the 429 it is": tried_again,
    "asked once more with max_completion_tokens": other_limit,
    "the system message is sent inside the first user message": merged_system,
    "the server's words are shown": servers_words,
    "a wildcard that fits the name is enough": a_wildcard,
}
"""By how `right` of a case begins: what checks it."""


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502, 503, 504])
def test_a_path_that_a_gateway_does_not_pass_on_costs_no_question_and_blames_no_key(status: int) -> None:
    case = Case({"path": "/tokenize", "status": status, "body": {"error": "no"}})
    *found, _ = case.scores([PROMPTS])
    assert_true(found, PROMPTS)

    async def render(model: ServedModel) -> str:
        return await model.render(SYSTEM)

    with pytest.raises(ModelError, match="cannot render the model's chat template") as caught:
        case.use(render)
    assert "key" not in str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        {"prompt": ""},
        {"prompt": "x"},
        {"prompt": None},
        {"content": "Hi"},
        {},
        {"prompt": "<|user|>\n<|end|>"},
    ],
    ids=repr,
)
def test_a_chat_that_is_rendered_without_its_question_is_an_error(reply: Body) -> None:
    async def score(model: ServedModel) -> list[float]:
        return await model.choice_logprobs(SYSTEM, LETTERS)

    with pytest.raises(ModelError, match="gives no text that has the question"):
        Case({"path": "/detokenize", "status": 200, "body": reply}).use(score)


@pytest.mark.parametrize("ended", ["error", "abort", "content_filter"])
def test_a_completion_that_was_broken_off_is_no_measurement(ended: str) -> None:
    likeliest = {letter: -1.0 - number for number, letter in enumerate(LETTERS)}
    choice = {"index": 0, "text": "", "finish_reason": ended, "logprobs": {"top_logprobs": [likeliest]}}
    case = Case({"path": COMPLETIONS, "status": 200, "body": {"choices": [choice]}})
    assert f"ended its completion with finish_reason '{ended}'" in str(of_one_question(case))


def test_questions_without_a_choice_among_the_likeliest_cost_no_other() -> None:
    likeliest = dict.fromkeys(LETTERS[:3], -1.0)
    choice = {"index": 0, "text": "", "logprobs": {"top_logprobs": [likeliest]}}
    case = Case({"path": COMPLETIONS, "status": 200, "body": {"choices": [choice]}})
    case.features = frozenset({"top_logprobs"})
    case.met = lambda body: not set(PROMPTS[:4]).isdisjoint(prompts_of(body))
    *found, _ = case.scores([PROMPTS], budget=1)
    assert all("is not among the likeliest tokens" in str(error) for error in found[:4]), found
    assert_true(found[4:], PROMPTS[4:])


@pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is not here")
@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case.get("note", case["right"]))[:50])
def test_a_reply_that_people_met_has_its_outcome(case: Body) -> None:
    (check,) = [check for right, check in OUTCOMES.items() if case["right"].startswith(right)]
    check(Case(case))
