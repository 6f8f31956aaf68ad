"""A real llama.cpp server: what it answers, and that multiple choice on it is scored as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, ModelError
from pytest_instructlab_eval.models import Endpoint, ServedModel

from . import llama_cpp
from .vllm_environment import ask

LETTERS = (" A", " B", " C", " D")
PROMPTS = [
    f"{question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer:"
    for question, a, b, c, d in (
        ("What is the capital of France?", "Rome", "Paris", "Oslo", "Bonn"),
        ("How many legs does a spider have?", "2", "4", "6", "8"),
        ("Which planet is the largest?", "Mars", "Venus", "Jupiter", "Earth"),
        ("What is ice?", "frozen water", "hot air", "dry sand", "red wine"),
        ("Who wrote Hamlet?", "Goethe", "Dante", "Homer", "Shakespeare"),
    )
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with llama_cpp.server(tmp_path_factory.mktemp("llama") / "server.log") as url:
        yield url


def native(url: str, path: str, **body: Any) -> Any:
    """The answer of llama.cpp's own API."""
    return ask(url.removesuffix("/v1") + path, body)


def complete(url: str, **body: Any) -> Any:
    return ask(f"{url}/completions", {"model": "smollm2", "max_tokens": 1, "temperature": 0, **body})[
        "choices"
    ]


async def scored(url: str, *, choices: tuple[str, ...] = LETTERS) -> list[Any]:
    endpoint = Endpoint(url)
    model = ServedModel("smollm2", endpoint)
    try:
        asked = (model.choice_logprobs(prompt, choices) for prompt in PROMPTS)
        return await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await endpoint.close()


def test_log_probabilities_come_in_the_chat_form_for_each_of_several_prompts(url: str) -> None:
    found = complete(url, prompt=PROMPTS[:2], logprobs=3)
    assert [choice["index"] for choice in found] == [0, 1]
    for choice in found:
        (token,) = choice["logprobs"]["content"]
        assert [set(entry) for entry in token["top_logprobs"]] == [{"id", "token", "bytes", "logprob"}] * 3


def test_more_than_twenty_are_given(url: str) -> None:
    (choice,) = complete(url, prompt=PROMPTS[0], logprobs=1000)
    assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 1000


def test_a_prompt_is_not_echoed_and_that_is_not_said(url: str) -> None:
    (choice,) = complete(url, prompt=PROMPTS[0], logprobs=1, echo=True)
    assert PROMPTS[0] not in choice["text"]
    assert len(choice["logprobs"]["content"]) == 1


def test_tokenize_is_of_another_kind_than_vllms(url: str) -> None:
    assert native(url, "/tokenize", prompt="Answer:", add_special_tokens=False) == {"tokens": []}
    assert native(url, "/tokenize", content="Answer: A")["tokens"]


def test_letters_are_scored_with_the_likelihood_that_their_tokens_have(url: str) -> None:
    """By llama.cpp's own API: the whole distribution after the tokens of the prompt, by their numbers."""
    found = asyncio.run(scored(url))
    ids = [native(url, "/tokenize", content=letter)["tokens"] for letter in LETTERS]
    assert [len(tokens) for tokens in ids] == [1] * 4
    for prompt, logprobs in zip(PROMPTS, found, strict=True):
        tokens = native(url, "/tokenize", content=prompt, add_special=True)["tokens"]
        reply = native(url, "/completion", prompt=tokens, n_predict=1, temperature=0, n_probs=49152)
        top = {
            entry["id"]: entry["logprob"] for entry in reply["completion_probabilities"][0]["top_logprobs"]
        }
        # It rounds otherwise where it has more of a prompt in its cache.
        assert logprobs == pytest.approx([top[token] for (token,) in ids], abs=0.05)


def test_choices_of_several_tokens_are_errors_and_no_guess(url: str) -> None:
    for error in asyncio.run(scored(url, choices=(" the city of Paris", " Rome, in Italy"))):
        assert isinstance(error, ModelError)
        assert "it does not echo a prompt" in str(error)


def test_a_beginning_token_that_cannot_be_added_is_refused(url: str) -> None:
    async def use() -> None:
        endpoint = Endpoint(url)
        try:
            await ServedModel("smollm2", endpoint, add_bos=True).find()
        finally:
            await endpoint.close()

    with pytest.raises(ConfigurationError, match="--eval-add-bos"):
        asyncio.run(use())
