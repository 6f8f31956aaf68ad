"""The three ways to score choices agree on a real vLLM."""

import asyncio
from collections.abc import Sequence

import pytest

from pytest_instructlab_eval.models import Endpoint, ServedModel

from .vllm_environment import Server

LETTERS = [" A", " B", " C", " D"]
PROMPTS = [
    f"The number {number} is odd.\nA. true\nB. false\nC. both\nD. neither\nAnswer:" for number in range(9)
]


def logprobs(vllm: Server, ways: Sequence[str], choices: Sequence[str]) -> list[list[float]]:
    async def ask() -> list[list[float]]:
        endpoint = Endpoint(vllm.url)
        model = ServedModel(vllm.name, endpoint, ways=ways)
        try:
            return list(await asyncio.gather(*(model.choice_logprobs(prompt, choices) for prompt in PROMPTS)))
        finally:
            await endpoint.close()

    return asyncio.run(ask())


def test_letters_have_the_same_likelihood_by_token_ids_and_by_echo(vllm: Server) -> None:
    by_token_ids, by_echo = logprobs(vllm, ["token_ids"], LETTERS), logprobs(vllm, ["echo"], LETTERS)
    for first, second in zip(by_token_ids, by_echo, strict=True):
        assert first == pytest.approx(second, abs=1e-3)


def test_top_logprobs_fall_back_to_echo_for_unlikely_choices_and_agree(vllm: Server) -> None:
    by_top, by_echo = logprobs(vllm, ["top_logprobs", "echo"], LETTERS), logprobs(vllm, ["echo"], LETTERS)
    for first, second in zip(by_top, by_echo, strict=True):
        assert first == pytest.approx(second, abs=1e-3)


def test_choices_of_several_tokens_are_scored_whole(vllm: Server) -> None:
    choices = [" an odd number", " an even number of things", " é"]
    automatic, by_echo = (
        logprobs(vllm, ["token_ids", "top_logprobs", "echo"], choices),
        logprobs(vllm, ["echo"], choices),
    )
    for first, second in zip(automatic, by_echo, strict=True):
        assert first == pytest.approx(second, abs=1e-3)
