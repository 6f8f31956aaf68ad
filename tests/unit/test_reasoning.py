"""Reasoning and answer in one text, told apart."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import NoAnswerError
from pytest_instructlab_eval.judges.separate_judging import RecordedAnswers
from pytest_instructlab_eval.models import Completion, Message
from pytest_instructlab_eval.models.local import LocalModel
from pytest_instructlab_eval.models.reasoning import split_answer, split_judgment


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("Yellow.", "", "Yellow."),
        (" Yellow.\n", "", " Yellow.\n"),
        ("<think>A banana…</think>\nYellow.", "A banana…", "Yellow."),
        ("\n<THINK>\nA banana\n</THINK>\n\nYellow.", "A banana", "Yellow."),
        ("A banana</think>Yellow.", "A banana", "Yellow."),
        ("<think></think>Yellow.", "", "Yellow."),
        ("<think>A<think>B</think>C</think>Yellow.", "ABC", "Yellow."),
        ("<think>A</think><think>B</think>Yellow.", "AB", "Yellow."),
        ("<think>A banana", "A banana", ""),
        ("Write <think>a</think> for it.", "", "Write <think>a</think> for it."),
        ("Write <think> first.", "", "Write <think> first."),
        ("End it by `</think>`.", "", "End it by `</think>`."),
        ("<think>A</think>Write <think>b</think>.", "A", "Write <think>b</think>."),
        ("<b>Yellow</b>", "", "<b>Yellow</b>"),
        ("<think time=3>A</think>Yellow.", "A", "Yellow."),
        ("<thought>A</thought>Yellow.", "A", "Yellow."),
        ("<seed:think>A</seed:think>Yellow.", "A", "Yellow."),
        ("[THINK]A[/THINK]Yellow.", "A", "Yellow."),
        ("\u25c1think\u25b7A\u25c1/think\u25b7Yellow.", "A", "Yellow."),
        ("<unused94>thought\nA<unused95>Yellow.", "thought\nA", "Yellow."),
        (
            "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>Yellow.",
            "A<|end|><|start|>assistant",
            "Yellow.",
        ),
        ("<thoughtful>A</thoughtful>Yellow.", "", "<thoughtful>A</thoughtful>Yellow."),
    ],
)
def test_an_answer_is_what_follows_the_reasoning_before_it(text: str, reasoning: str, answer: str) -> None:
    assert split_answer(text) == (reasoning, answer)


@pytest.mark.parametrize(
    ("text", "reasoning", "rest"),
    [
        ("So <think>or not</think> it is.", "or not", "So  it is."),
        ("So it is. <think>Or", "Or", "So it is."),
        ("So it is `</think>` not", "So it is `", "` not"),
        ("Well. [THINK]Or[/THINK] It is.", "Or", "Well.  It is."),
    ],
)
def test_in_a_judgment_reasoning_counts_nowhere(text: str, reasoning: str, rest: str) -> None:
    assert split_judgment(text) == (reasoning, rest)


PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "a", " ", "`", "\n", "<", ">", "think"]), max_size=12
)


@given(PIECES.map("".join))
def test_no_letter_is_lost_or_told_twice(text: str) -> None:
    for split in (split_answer, split_judgment):
        reasoning, answer = split(text)
        assert (reasoning + answer).count("a") == text.count("a")
    if not re.search(r"think\s*>", text):
        assert split_answer(text) == ("", text)


@given(st.text("ab <>", max_size=20), st.text("cd <>", min_size=1, max_size=20))
def test_an_answer_after_reasoning_is_found_whole(reasoning: str, answer: str) -> None:
    assert split_answer(f"<think>{reasoning}</think>{answer}") == (reasoning.strip(), answer.strip())


# --- completions ---


def completion(text: str, finish_reason: str = "stop", reasoning: str = "") -> Completion:
    return Completion(text, finish_reason, 3, 1024, 0.5, reasoning).split("The server", "Why?")


def test_a_completion_has_its_reasoning_beside_its_text() -> None:
    found = completion("<think>A banana…</think>\nYellow.", reasoning="Hm.")
    assert (found.text, found.reasoning) == ("Yellow.", "Hm.\n\nA banana…")
    assert (found.finish_reason, found.completion_tokens) == ("stop", 1024)


@pytest.mark.parametrize(("text", "reasoning"), [("", "Let me think"), ("<think>Let me think", ""), ("", "")])
def test_tokens_that_all_went_into_reasoning_are_no_answer(text: str, reasoning: str) -> None:
    with pytest.raises(NoAnswerError, match=r"its reasoning.* took all 1,024 tokens") as caught:
        completion(text, "length", reasoning)
    assert (caught.value.reasoning, caught.value.prompt) == ("Let me think" * bool(text or reasoning), "Why?")


@pytest.mark.parametrize(
    ("text", "reasoning"), [("", "Hm."), ("<think>Hm.", ""), ("<think>Hm.</think>\n", "")]
)
def test_reasoning_without_an_answer_is_no_answer_either(text: str, reasoning: str) -> None:
    with pytest.raises(NoAnswerError, match="The server gave no answer: it stopped after its reasoning"):
        completion(text, "stop", reasoning)


def test_an_empty_answer_without_reasoning_is_an_answer() -> None:
    assert completion("").text == ""


# --- models that are not asked by a server ---

HELLO: list[Message] = [{"role": "user", "content": "Which colour?"}]


def test_a_recorded_answer_has_no_reasoning() -> None:
    recorded = RecordedAnswers("tiny", {("Which colour?",): ["<think>A banana…</think>Yellow."]})
    assert asyncio.run(recorded.chat(HELLO)).text == "Yellow."


def test_an_answer_of_a_model_in_this_process_has_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    async def written(model: LocalModel, job: object) -> Completion:
        return Completion("<think>A banana…</think>Yellow.", "stop", 3, 9, 0.1)

    monkeypatch.setattr(LocalModel, "_answer", written)
    found = asyncio.run(LocalModel("tiny").chat(HELLO))
    assert (found.text, found.reasoning) == ("Yellow.", "A banana…")
