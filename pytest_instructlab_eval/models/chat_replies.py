"""Reads the completion in a chat reply, whose content and reasons servers tell in many forms."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.endpoint import Endpoint
from pytest_instructlab_eval.models.protocol import Completion
from pytest_instructlab_eval.models.replies import as_list, as_object, first_of, token_count

REASONING = ("reasoning_content", "reasoning", "thinking")  # vLLM and DeepSeek, OpenRouter, Ollama
THOUGHTS = ("thinking", "reasoning")  # the types of a content's parts that are none of the answer
STOPPED = (  # an answer that is whole
    "stop", "eos_token", "eos", "end_turn", "stop_sequence", "complete", "stop_token", "end_of_turn", "end",
    "finished", "finishreason.stop",
)  # fmt: skip
CUT_OFF = ("length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length")  # one at its limit
REASONS = {**dict.fromkeys(STOPPED, "stop"), **dict.fromkeys(CUT_OFF, "length")}


def read_completion(reply: Mapping[str, object], latency: float, server: Endpoint, prompt: str) -> Completion:
    """Return the completion in a chat reply; raises ModelError for anything that is no whole answer."""
    choice = as_object(first_of(reply.get("choices")))
    message = as_object(choice.get("message"))
    reason = choice.get("finish_reason")
    reason = REASONS.get(str(reason).lower(), reason)
    if problem := _reply_problem(message, reason, server):
        raise ModelError(f"{server} {problem}", prompt=prompt)
    content, thought = _text_and_thought(message["content"])
    texts = ({"reasoning_content": thought, **message}.get(name) for name in REASONING)
    reasoning = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    if content is None and (reasoning or reason == "length"):
        content = ""
    if not isinstance(content, str):
        shown = server.safe(repr(content))
        raise ModelError(f"{server} answered without text (content is {shown})", prompt=prompt)
    completion = Completion(
        text=content.encode("utf-8", "replace").decode(),  # without lone surrogates
        finish_reason=str(reason),
        prompt_tokens=token_count(reply, "prompt_tokens"),
        completion_tokens=token_count(reply, "completion_tokens"),
        latency=latency,
        reasoning=reasoning.encode("utf-8", "replace").decode(),
    )
    return completion.split(str(server), prompt)


def _reply_problem(message: Mapping[str, object], reason: object, server: Endpoint) -> str | None:
    """Return what the server did where the message, which ended for the reason, is no whole answer."""
    refusal = message.get("refusal")
    if message.get("content") is None and isinstance(refusal, str):
        return f"refused to answer: {server.safe(refusal)}"
    if "content" not in message:
        return "answered without a completion"
    if reason is None:
        return "did not say why its answer ended (no finish_reason), so the answer may be cut off"
    if reason not in ("stop", "length"):
        return f"ended its answer with finish_reason {server.safe(repr(reason))}"
    return None


def _text_and_thought(content: object) -> tuple[object, str]:
    """Return a content's text, and what is thought in it; one of other parts than text is as it came."""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return content, ""
    texts, thoughts = [], []
    for part in content:
        if part.get("type") not in THOUGHTS:
            texts.append(part.get("text"))
            continue
        thought = part.get("thinking", part.get("text"))
        inner_parts = map(as_object, as_list(thought))  # as Mistral's thoughts have them
        inner_texts = [str(inner.get("text", "")) for inner in inner_parts]
        thoughts += [thought] if isinstance(thought, str) else inner_texts
    if not all(isinstance(text, str) for text in texts):  # a picture, or a call of a tool
        return content, ""
    return "".join(texts), "".join(thoughts)
