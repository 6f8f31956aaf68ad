"""The samples of an inspect log: one for each answer to a question; several answers are its epochs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_instructlab_eval.records.evidence import Chat, Judgment
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.reports.answered_questions import (
    NO_EVIDENCE,
    AnsweredQuestion,
    MetricScore,
    QuestionAnswer,
)

Plain = dict[str, object]

MOST_IN_SUMMARY = 1024  # characters of a text; inspect cuts the texts of its own summaries so, too
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
STOP_REASONS = {
    "stop": "stop", "eos_token": "stop", "length": "max_tokens", "content_filter": "content_filter"
}  # fmt: skip
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class InspectSample:
    """One sample: an answer (`epoch`, from 1) to the question of this id, with its scores by scorer.

    `usage` are the tokens, empty where they are unknown, and `error` is why there is no answer.
    """

    id: str
    input: str
    target: str | list[str]
    messages: list[Plain]
    output: Plain
    scores: dict[str, Plain]
    metadata: dict[str, str]
    choices: tuple[str, ...] = ()
    usage: dict[str, dict[str, int]] = field(default_factory=dict)
    error: str | None = None
    epoch: int = 1
    seconds: float = 0.0
    turns: int = 1

    def entries(self, log_id: str) -> tuple[Plain, Plain]:
        """Return all of the sample, and the part that lists and data frames read.

        `log_id` makes its own id differ from those of other logs.
        """
        head: Plain = {
            "id": self.id,
            "epoch": self.epoch,
            "choices": self.choices or None,
            "model_usage": self.usage,
            "total_time": round(self.seconds, 3),
            "working_time": round(self.seconds, 3),
            "uuid": short_digest(log_id, self.id, str(self.epoch)),
            "turn_count": self.turns,
        }
        whole: Plain = {
            "input": self.input,
            "target": self.target,
            "messages": self.messages,
            "output": self.output,
            "scores": self.scores,
            "metadata": self.metadata,
            "error": None if self.error is None else failure(self.error),
        }
        return {**head, **whole}, {**head, **self._summary()}

    def _summary(self) -> Plain:
        """Return the sample with long texts cut."""
        target = self.target
        return {
            "input": _cut(self.input),
            "target": _cut(target) if isinstance(target, str) else [_cut(entry) for entry in target],
            "scores": {
                name: {part: _cut(entry) for part, entry in score.items() if part != "metadata"}
                for name, score in self.scores.items()
            },
            "metadata": {name: _cut(entry) for name, entry in self.metadata.items()},
            "error": _cut(self.error),
            "message_count": len(self.messages),
            "completed": True,
        }


def samples_of(question: AnsweredQuestion, sample_id: str, overall: str | None) -> list[InspectSample]:
    """Return the samples of a question.

    `overall` is the name of the mean over its metrics, None where it has only one.
    """
    if question.in_task is not None:
        return [_choice_sample(question, sample_id, *question.in_task)]
    return [_answer_sample(question, sample_id, answer, overall) for answer in question.answers]


def short_digest(*parts: str) -> str:
    """Return 22 letters and digits made from these texts, as long as inspect's own ids are."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace"))
    return digest.hexdigest()[:22]


def failure(text: str) -> Plain:
    """Return an error as inspect has it."""
    return {"message": text, "traceback": "", "traceback_ansi": ""}


def _cut(value: object) -> object:
    """Return a text cut, and any other value as it is."""
    if isinstance(value, str) and len(value) > MOST_IN_SUMMARY:
        return value[:MOST_IN_SUMMARY] + "..."
    return value


# --- multiple choice ---


def _choice_sample(question: AnsweredQuestion, sample_id: str, score: Score, sample: Sample) -> InspectSample:
    likelihoods = {
        letter: round(value, 6) for letter, value in zip(LETTERS, sample.logprobs, strict=False)
    }  # more digits would take a third of the file
    asked: Plain = {"role": "user", "content": sample.question, "source": "input"}
    answer: Plain = {"role": "assistant", "content": sample.choice or "", "source": "generate"}
    is_scored = sample.value is not None
    return InspectSample(
        sample_id,
        sample.question,
        sample.answer or "",
        [asked, answer] if is_scored else [asked],
        _output(question.result.model, sample.choice or "" if is_scored else None, [answer], "stop"),
        {
            score.metric: {
                "value": sample.value,
                "answer": sample.choice,
                "explanation": _likelihoods_text(likelihoods),
                "metadata": {"log_likelihoods": likelihoods},
            }
        }
        if is_scored
        else {},
        _metadata(question, {"measured_by": sample.way, "passage": sample.passage}),
        sample.choices,
        error=None if is_scored else sample.error or "the question could not be asked",
    )


def _likelihoods_text(likelihoods: Mapping[str, float]) -> str:
    """Return the probability of each choice among the choices, from their log-likelihoods (nats)."""
    if not likelihoods:
        return ""
    highest = max(likelihoods.values())
    weights = {letter: math.exp(value - highest) for letter, value in likelihoods.items()}
    total = math.fsum(weights.values())
    return ", ".join(f"{letter} {weight / total:.1%}" for letter, weight in weights.items())


# --- answers in words ---


def _answer_sample(
    question: AnsweredQuestion, sample_id: str, answer: QuestionAnswer, overall: str | None
) -> InspectSample:
    model = question.result.model
    messages, text = _conversation(question, answer)
    scores = {part.metric: _answer_score(part) for part in answer.scores if not part.failed}
    if overall is not None and scores:
        scores = {overall: _overall_score(answer.scores), **scores}
    read, written = answer.tokens
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return InspectSample(
        sample_id,
        question.text,
        [entry.reference for entry in question.evidence if entry.reference] or "",
        messages,
        _output(model, text, messages[-1:], STOP_REASONS.get(answer.finish_reason, "unknown")),
        scores,
        _metadata(question, {}),
        usage={model: usage} if answer.chats else {},
        error=question.error_of(answer),
        epoch=answer.number,
        seconds=answer.seconds,
        turns=len(answer.conversation),
    )


def _conversation(question: AnsweredQuestion, answer: QuestionAnswer) -> tuple[list[Plain], str | None]:
    """Return the conversation of an answer, and its last text, None without one.

    Without a recorded chat they are the question and its reply.
    """
    if answer.conversation:
        last = answer.conversation[-1]
        asked = [_plain_message(message, answer.conversation) for message in last.messages]
        text, reasoning = last.answer, last.reasoning
    else:
        asked = [{"role": "user", "content": question.text, "source": "input"}]
        reply = next((part.reply for part in answer.scores if part.reply is not None), None)
        text, reasoning = (None, "") if reply is None else (reply.text, reply.reasoning)
    if text is None:
        return asked, None
    return [*asked, {"role": "assistant", "content": _content(text, reasoning), "source": "generate"}], text


def _plain_message(message: Mapping[str, object], chain: Sequence[Chat]) -> Plain:
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


def _answer_score(part: MetricScore) -> Plain:
    """Return a score as inspect has it: an unscored answer has NaN there, which its means leave out."""
    evidence = part.score.evidence or NO_EVIDENCE
    explanation = part.judgments[0].text if part.judgments else part.score.explanation
    if len(part.judgments) > 1:
        explanation = "\n\n".join(f"{entry.judge or 'judge'}: {entry.text}" for entry in part.judgments)
    score: Plain = {
        "value": math.nan if part.value is None else part.value,
        "answer": part.reply.text if part.reply is not None else None,
        "explanation": explanation,
        "metadata": {
            "maximum": part.score.maximum,
            "judge_prompt": evidence.judge_prompt,
            "asked_judge": evidence.user_prompt,
            "judgments": [_plain_judgment(entry) for entry in part.judgments],
        },
    }
    return score if part.value is not None else {**score, "reason": "grader_failed"}


def _plain_judgment(judgment: Judgment) -> Plain:
    entries = {
        "judge": judgment.judge, "rating": judgment.rating, "text": judgment.text,
        "reasoning": judgment.reasoning, "repeat": judgment.repeat, "chrf": judgment.chrf,
        "contradictory_ratings": list(judgment.contradictory), "finish_reason": judgment.finish_reason,
    }  # fmt: skip
    return {name: value for name, value in entries.items() if name in ("rating", "text") or value}


def _overall_score(parts: Sequence[MetricScore]) -> Plain:
    values = [part.value for part in parts if part.value is not None]
    if not values:
        return {"value": math.nan, "reason": "grader_failed"}
    answer = next((part.reply.text for part in reversed(parts) if part.reply is not None), None)
    return {"value": math.fsum(values) / len(values), "answer": answer}


# --- of both ---


def _metadata(question: AnsweredQuestion, more: Mapping[str, str]) -> dict[str, str]:
    result = question.result
    origin: Mapping[str, str | None] = vars(question.evidence[0].origin) if question.evidence else {}
    entries: dict[str, str | None] = {
        "question": result.question, "group": result.group, "outcome": question.outcome,
        "test": result.nodeid, "judge": result.judge, **origin, **more,
    }  # fmt: skip
    return {name: value for name, value in entries.items() if value}


def _output(model: str, text: str | None, last: Sequence[Plain], reason: str) -> Plain:
    """Return inspect's ModelOutput; `last` is the last message, where there is one."""
    choices = [{"message": message, "stop_reason": reason} for message in last if text is not None]
    return {"model": model, "choices": choices, "completion": text or ""}
