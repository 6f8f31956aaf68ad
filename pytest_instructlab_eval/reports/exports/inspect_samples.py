"""The samples of an inspect log: one for each answer to a question; several answers are its epochs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

from pytest_instructlab_eval.records.evidence import Chat, Judgment
from pytest_instructlab_eval.records.scores import Sample, Score
from pytest_instructlab_eval.reports.answered_questions import AnsweredQuestion, MetricScore, QuestionAnswer

Plain = dict[str, object]

MOST_IN_SUMMARY = 1024  # characters of a text; inspect cuts the texts of its own summaries so, too
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
STOP_REASONS = {
    "stop": "stop", "eos_token": "stop", "length": "max_tokens", "content_filter": "content_filter"
}  # fmt: skip
ROLES = ("system", "user", "assistant")


def samples_of(
    question: AnsweredQuestion, sample_id: str, overall: str | None, log_id: str
) -> Iterator[tuple[Plain, Plain]]:
    """Yield each sample of a question with its summary, both as plain data.

    `overall` is the name of the mean over its metrics, None where it has only one. The samples' own ids are
    made from `log_id`, so that they differ from those of other logs.
    """
    whole = [
        (answer.number, _answer_sample(question, answer, overall), answer.seconds, len(answer.conversation))
        for answer in question.answers
    ]
    if question.in_task is not None:
        whole = [(1, _choice_sample(question, *question.in_task), 0.0, 1)]
    for epoch, fields, seconds, turns in whole:
        head: Plain = {"id": sample_id, "epoch": epoch}
        more = {
            "total_time": round(seconds, 3),
            "working_time": round(seconds, 3),
            "uuid": short_digest(log_id, sample_id, str(epoch)),
            "turn_count": turns,
        }
        sample = {**head, **fields, **more}
        yield sample, _summary(sample)


def short_digest(*parts: str) -> str:
    """Return 22 letters and digits made from these texts, as long as inspect's own ids are."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace"))
    return digest.hexdigest()[:22]


def _summary(sample: Plain) -> Plain:
    """Return the part of a sample that lists and data frames read, with long texts cut."""
    names = ("id", "epoch", "input", "choices", "target", "metadata", "scores", "model_usage", "total_time",
             "working_time", "uuid", "turn_count")  # fmt: skip
    summary: Plain = {name: _cut(sample[name]) for name in names if name in sample}
    error, messages = sample.get("error"), sample["messages"]
    if isinstance(error, dict):
        summary["error"] = _cut(error["message"])
    if isinstance(messages, list):
        summary["message_count"] = len(messages)
    return {**summary, "completed": True, "retries": 0}


def _cut(value: object) -> object:
    """Return the value with long texts cut, and without the judgments, which only the whole sample has."""
    if isinstance(value, str):
        return value if len(value) <= MOST_IN_SUMMARY else value[:MOST_IN_SUMMARY] + "..."
    if isinstance(value, dict):
        return {name: _cut(entry) for name, entry in value.items() if name != "judgments"}
    return [_cut(entry) for entry in value] if isinstance(value, list) else value


# --- multiple choice ---


def _choice_sample(question: AnsweredQuestion, score: Score, sample: Sample) -> Plain:
    messages: list[Plain] = [{"role": "user", "content": sample.question, "source": "input"}]
    fields: Plain = {
        "input": sample.question,
        "choices": list(sample.choices),
        "target": sample.answer or "",
        "messages": messages,
        "output": _output(question.result.model, None, "stop"),
        "scores": {},
        "metadata": _metadata(question, {"measured_by": sample.way, "passage": sample.passage}),
        "model_usage": {},
    }
    if sample.value is None:
        return {**fields, "error": _error(sample.error or "the question could not be asked")}
    answer: Plain = {"role": "assistant", "content": sample.choice or "", "source": "generate"}
    likelihoods = dict(zip(LETTERS, sample.logprobs, strict=False))
    fields["messages"] = [*messages, answer]
    fields["output"] = _output(question.result.model, answer, "stop")
    fields["scores"] = {
        score.metric: {
            "value": sample.value,
            "answer": sample.choice,
            "explanation": _likelihoods_text(likelihoods),
            "metadata": {"log_likelihoods": likelihoods},
        }
    }
    return fields


def _likelihoods_text(likelihoods: Mapping[str, float]) -> str:
    """Return the probability of each choice among the choices, from their log-likelihoods (nats)."""
    if not likelihoods:
        return ""
    highest = max(likelihoods.values())
    weights = {letter: math.exp(value - highest) for letter, value in likelihoods.items()}
    total = math.fsum(weights.values())
    return ", ".join(f"{letter} {weight / total:.1%}" for letter, weight in weights.items())


# --- answers in words ---


def _answer_sample(question: AnsweredQuestion, answer: QuestionAnswer, overall: str | None) -> Plain:
    model = question.result.model
    messages = _messages(question, answer)
    said = messages[-1] if messages[-1]["role"] == "assistant" else None
    scores = {part.metric: _score(part) for part in answer.scores if not part.failed}
    if overall is not None and scores:
        scores = {overall: _mean_score(answer.scores), **scores}
    fields: Plain = {
        "input": question.text,
        "target": [part.evidence.reference for part in answer.scores if part.evidence.reference] or "",
        "messages": messages,
        "output": _output(model, said, STOP_REASONS.get(_finish_reason(answer), "unknown")),
        "scores": scores,
        "metadata": _metadata(question, {}),
        "model_usage": {model: _usage(*answer.tokens)} if answer.chats else {},
    }
    if any(part.failed for part in answer.scores) or (question.outcome == "error" and not scores):
        fields["error"] = _error(question.error or "a request failed")
    return fields


def _finish_reason(answer: QuestionAnswer) -> str:
    """Return why the last reply of an answer ended, empty where that is unknown."""
    replies = [part.reply for part in answer.scores if part.reply is not None]
    ends = [chat.finish_reason for chat in answer.conversation]
    return replies[-1].finish_reason if replies else (ends or [""])[-1]


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}


def _messages(question: AnsweredQuestion, answer: QuestionAnswer) -> list[Plain]:
    """Return the conversation of an answer, or the question and its reply where no chat was recorded."""
    if answer.conversation:
        last = answer.conversation[-1]
        asked = [_message(message, answer.conversation) for message in last.messages]
        text, reasoning = last.answer, last.reasoning
    else:
        asked = [{"role": "user", "content": question.text, "source": "input"}]
        reply = next((part.reply for part in answer.scores if part.reply is not None), None)
        text, reasoning = (None, "") if reply is None else (reply.text, reply.reasoning)
    if text is None:
        return asked
    return [*asked, {"role": "assistant", "content": _content(text, reasoning), "source": "generate",
                     "model": question.result.model}]  # fmt: skip


def _message(message: Mapping[str, object], chain: Sequence[Chat]) -> Plain:
    """Return a message as inspect has it; a reply of the model has its reasoning."""
    role, text = message.get("role"), message.get("content")
    said = text if isinstance(text, str) else "" if text is None else str(text)
    if role != "assistant":
        return {"role": role if role in ROLES else "user", "content": said, "source": "input"}
    reasoning = next((chat.reasoning for chat in chain if chat.answer == said), "")
    return {"role": "assistant", "content": _content(said, reasoning), "source": "generate"}


def _content(text: str, reasoning: str) -> object:
    if not reasoning:
        return text
    return [{"type": "reasoning", "reasoning": reasoning}, {"type": "text", "text": text}]


def _score(part: MetricScore) -> Plain:
    """Return a score as inspect has it: an unscored answer has NaN there, which its means leave out."""
    value = math.nan if part.value is None else part.value
    entry: Plain = {
        "value": value,
        "answer": part.reply.text if part.reply is not None else None,
        "explanation": _explanation(part),
        "metadata": {
            "maximum": part.maximum,
            "judge_prompt": part.evidence.judge_prompt,
            "asked_judge": part.evidence.user_prompt,
            "judgments": [_judgment(entry) for entry in part.judgments],
        },
    }
    return entry if part.value is not None else {**entry, "reason": "grader_failed"}


def _explanation(part: MetricScore) -> str:
    """Return the judges' texts, each under its judge's name where there are several."""
    if len(part.judgments) < 2:
        return part.judgments[0].text if part.judgments else part.explanation
    return "\n\n".join(f"{entry.judge or 'judge'}: {entry.text}" for entry in part.judgments)


def _judgment(judgment: Judgment) -> Plain:
    entries = {
        "judge": judgment.judge, "rating": judgment.rating, "text": judgment.text,
        "reasoning": judgment.reasoning, "repeat": judgment.repeat, "chrf": judgment.chrf,
        "contradictory_ratings": list(judgment.contradictory), "finish_reason": judgment.finish_reason,
    }  # fmt: skip
    return {name: value for name, value in entries.items() if name in ("rating", "text") or value}


def _mean_score(parts: Sequence[MetricScore]) -> Plain:
    values = [part.value for part in parts if part.value is not None]
    if not values:
        return {"value": math.nan, "reason": "grader_failed"}
    return {"value": math.fsum(values) / len(values)}


# --- of both ---


def _metadata(question: AnsweredQuestion, more: Mapping[str, str]) -> Plain:
    result = question.result
    evidence = next((score.evidence for score in result.scores if score.evidence is not None), None)
    origin = {} if evidence is None else vars(evidence.origin)
    entries = {
        "question": result.question, "group": result.group, "outcome": question.outcome,
        "test": result.nodeid, "judge": result.judge, **origin, **more,
    }  # fmt: skip
    return {name: value for name, value in entries.items() if value}


def _output(model: str, message: Plain | None, reason: str) -> Plain:
    if message is None:
        return {"model": model, "choices": [], "completion": ""}
    content = message["content"]
    text = content if isinstance(content, str) else content[-1]["text"] if isinstance(content, list) else ""
    return {"model": model, "choices": [{"message": message, "stop_reason": reason}], "completion": text}


def _error(text: str) -> Plain:
    return {"message": text, "traceback": "", "traceback_ansi": ""}
