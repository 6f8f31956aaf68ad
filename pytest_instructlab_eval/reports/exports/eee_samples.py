"""The samples of an Every Eval Ever record: one for each question and metric with a score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from pytest_instructlab_eval.records.evidence import Chat, Evidence
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.reports.answered_questions import (
    NO_EVIDENCE,
    AnsweredQuestion,
    chat_tokens,
    named_scores,
)
from pytest_instructlab_eval.settings import REFERENCE_JUDGE

Record = dict[str, object]


def records_of(question: AnsweredQuestion) -> Iterator[tuple[str, Record]]:
    """Yield the records of a question, each with its metric.

    The format needs a score in each, so unscored questions and errors have none.
    """
    if question.in_task is not None:
        score, sample = question.in_task
        if sample.value is not None:
            yield score.metric, _choice_record(question, score, sample)
        return
    for name, score in named_scores(question.result):
        if score.value is not None:
            yield name, _answer_record(question, name, score)


def _choice_record(question: AnsweredQuestion, score: Score, sample: Sample) -> Record:
    right, chosen = sample.answer or "", sample.choice or ""
    return {
        "sample_id": question.name,
        "sample_hash": _content_hash(sample.question, [right]),
        "interaction_type": "single_turn",
        "input": {
            "raw": sample.question, "reference": [right], "choices": list(sample.choices) or None
        },
        "output": {"raw": [chosen]},
        "answer_attribution": [_attribution(0, "output.raw", chosen, "highest_likelihood")],
        "evaluation": {"score": sample.value, "is_correct": sample.value == score.maximum, "num_turns": 1},
        "metadata": {"group": question.result.group, "measured_by": sample.way},
    }  # fmt: skip


def _answer_record(question: AnsweredQuestion, name: str, score: Score) -> Record:
    evidence, result = score.evidence or NO_EVIDENCE, question.result
    text, turn = evidence.question or question.text, evidence.turn or 1
    references = [evidence.reference] if evidence.reference else []
    record: Record = {
        "sample_id": question.name,
        "sample_hash": _content_hash(text, references),
        "input": {"raw": text, "reference": references},
        **_said(question, evidence, turn),
        "evaluation": {"score": score.value, "is_correct": score.value == score.maximum, "num_turns": turn},
        "metadata": {
            "group": result.group, "metric": name, "answers": str(len(question.answers)),
            "judge": result.judge or "", "explanation": score.explanation,
        },
    }  # fmt: skip
    if chats := result.chats:
        prompt, completion = chat_tokens(chats)
        record["token_usage"] = {
            "input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion
        }  # fmt: skip
        record["performance"] = {"latency_ms": 1000 * sum(chat.seconds for chat in chats)}
    return record


def _said(question: AnsweredQuestion, evidence: Evidence, turn: int) -> Record:
    """Return the answer: that to a first turn as the output, that to a later one as a conversation."""
    conversation = question.answers[0].conversation
    method = "custom" if question.result.judge in (None, REFERENCE_JUDGE) else "llm_judge"
    if 1 < turn <= len(conversation):
        return _said_later(conversation[turn - 1], method)
    texts: list[str] = []
    traces: list[str] = []
    for reply in evidence.replies:
        if reply.text is not None:
            texts.append(reply.text)
            traces += filter(None, [reply.reasoning])
    texts = texts or [chat.answer or "" for chat in conversation[-1:]] or [""]
    return {
        "interaction_type": "single_turn",
        "output": {"raw": texts, **({"reasoning_trace": traces} if traces else {})},
        "answer_attribution": [_attribution(0, "output.raw", texts[0], method)],
    }


def _said_later(chat: Chat, method: str) -> Record:
    """Return the conversation that ended with the answer of this chat."""
    messages = [*chat.messages, {"role": "assistant", "content": chat.answer}]
    turns = []
    for index, message in enumerate(messages):
        content: object = message.get("content")
        if content is not None and not isinstance(content, str):
            content = json.dumps(content)
        turns.append({"turn_idx": index, "role": str(message.get("role")), "content": content})
    source = "messages[turn_idx].content"
    return {
        "interaction_type": "multi_turn",
        "messages": turns,
        "answer_attribution": [_attribution(len(messages) - 1, source, chat.answer or "", method)],
    }


def _content_hash(text: str, references: Sequence[str]) -> str:
    return hashlib.sha256("".join((text, *references)).encode("utf-8", "replace")).hexdigest()


def _attribution(turn: int, source: str, value: str, method: str) -> Record:
    return {
        "turn_idx": turn, "source": source, "extracted_value": value, "extraction_method": method,
        "is_terminal": True,
    }  # fmt: skip
