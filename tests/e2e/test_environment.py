"""What the plugin relies on in a real vLLM, each asked of it directly."""

from .vllm_environment import Server, ask

CHOICES = ("A", "B", "C", "D", " A", " B", " C", " D")


def token_id(vllm: Server, text: str) -> int:
    request = {"model": vllm.name, "prompt": text, "add_special_tokens": False}
    [token] = ask(f"{vllm.url.removesuffix('/v1')}/tokenize", request)["tokens"]
    assert isinstance(token, int)
    return token


def test_the_model_is_listed_with_its_context_length(vllm: Server) -> None:
    [model] = ask(f"{vllm.url}/models")["data"]

    assert model["id"] == vllm.name
    assert model["max_model_len"] >= 16384


def test_the_log_probabilities_of_chosen_tokens_come_for_each_of_several_prompts(vllm: Server) -> None:
    ids = [token_id(vllm, choice) for choice in CHOICES]

    answer = ask(
        f"{vllm.url}/completions",
        {
            "model": vllm.name,
            "prompt": ["The capital of France is\nAnswer:", "Two and two are\nAnswer:"],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "logprob_token_ids": ids,
            "return_tokens_as_token_ids": True,
        },
    )

    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    of_prompts = [choice["logprobs"]["top_logprobs"][0] for choice in answer["choices"]]
    for log_probabilities in of_prompts:
        assert log_probabilities.keys() >= {f"token_id:{token}" for token in ids}
        assert all(value < 0 for value in log_probabilities.values())
    assert of_prompts[0] != of_prompts[1]


def test_a_chat_is_answered(vllm: Server) -> None:
    answer = ask(
        f"{vllm.url}/chat/completions",
        {
            "model": vllm.name,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}],
            "max_tokens": 8,
            "temperature": 0,
        },
    )

    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] in {"stop", "length"}
