"""The evidence of a score: the question, the model's replies, and the judgments of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Literal, TypedDict

from pytest_instructlab_eval.data.typed_json import MisfitError, read_as

Mark = Literal["judge", "answer", "repeat"]


@dataclass(frozen=True)
class ModelReply:
    """A reply of the model; its answer is None where it gave none.

    `finish_reason` is why the reply ended ("length" where it was cut off), `reasoning` what the model wrote
    before the answer.
    """

    text: str | None
    finish_reason: str = ""
    reasoning: str = ""

    @property
    def cut_off(self) -> bool:
        """True if the token limit ended the answer."""
        return self.text is not None and self.finish_reason == "length"


@dataclass(frozen=True, slots=True)  # a run can have hundreds of thousands
class Chat:
    """One chat of a test: the messages to the model, and its answer, None where the request failed.

    `temperature`, `max_tokens` and `seed` are the parameters of the request, `seconds` is its duration, and
    `error` why there is no answer.
    """

    messages: tuple[Mapping[str, object], ...] = ()
    answer: str | None = None
    finish_reason: str = ""
    reasoning: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    temperature: object = 0.0
    max_tokens: object = 0
    seed: object = None
    error: str | None = None


@dataclass(frozen=True)
class Judgment:
    """One judge's judgment of one answer; `rating` is None where it gave no usable rating.

    `judge`, `answer` and `repeat` identify it among several judgments of the same question, and are empty
    for a single one. `prompt` is the name of the prompt. `contradictory` has all ratings of a judgment that
    states several. `chrf` is the answer's similarity to its reference, for a judge that rates by that.
    """

    rating: float | None
    text: str
    judge: str = ""
    answer: str = ""
    repeat: str = ""
    prompt: str = ""
    finish_reason: str = ""
    reasoning: str = ""
    contradictory: tuple[float, ...] = ()
    chrf: float | None = None

    def marked(self, mark: Mark, name: str) -> Judgment:
        """Return the judgment with this judge, answer or repeat."""
        return Judgment(**{**vars(self), mark: name})


@dataclass(frozen=True)
class Origin:
    """A question's place in InstructLab's files: its category and id, and its file, line and Git ref."""

    category: str | None = None
    question_id: str | None = None
    qna_file: str | None = None
    ref: str | None = None
    qna_line: int | None = None


@dataclass(frozen=True)
class Evidence:
    """The evidence of one score of one question.

    `replies` has one entry for each repeat of the question, `judgments` one for each judge, answer and
    repeat. `user_prompt` is the judge's prompt, made from the template `judge_prompt`. `turn` is the number
    of the turn in a conversation, from 1. `answered` says that the answer is not judged yet. `maximum` is the
    highest rating of the judge's scale, None where it equals that of the score.
    """

    question: str | None = None
    reference: str | None = None
    replies: tuple[ModelReply, ...] = ()
    judgments: tuple[Judgment, ...] = ()
    judge_prompt: str | None = None
    user_prompt: str | None = None
    turn: int | None = None
    answered: bool = False
    origin: Origin = field(default_factory=Origin)
    maximum: float | None = None

    def judgments_of(self, answer: int) -> tuple[Judgment, ...]:
        """Return the judgments of the answer of this number, from 1, and those that are of no certain one."""
        return tuple(judgment for judgment in self.judgments if judgment.answer in ("", str(answer)))

    def to_plain(self, summary: str, maximum: float | None = None) -> dict[str, object]:
        """Return the evidence as entries of a score's metadata.

        `summary` is the text of several judgments together, `maximum` that of the score.
        """
        entries: dict[str, object] = {
            "question": self.question, "reference": self.reference, "judge_prompt": self.judge_prompt,
            "user_prompt": self.user_prompt, "turn": self.turn, "answered": self.answered or None,
            **vars(self.origin), "rating_maximum": None if self.maximum == maximum else self.maximum,
        }  # fmt: skip
        entries |= _reply_entries(self.replies)
        if any(getattr(judgment, mark) for judgment in self.judgments for mark in MARKS):
            entries["judgment"] = summary
            entries["judgments"] = [
                {"rating": judgment.rating, **_judgment_entries(judgment, OF_JUDGMENT | MARKS)}
                for judgment in self.judgments
            ]
        elif self.judgments:
            entries |= _judgment_entries(self.judgments[0], OF_JUDGMENT)
        return {name: value for name, value in entries.items() if value is not None}

    @classmethod
    def from_plain(cls, entries: Mapping[str, object], value: float | None = None) -> Evidence:
        """Return the inverse of `to_plain`; `value` is the score's. Raises Misfit.

        Unknown entries are left out.
        """
        read = read_as(_EvidenceEntries, {name: entry for name, entry in entries.items() if name in ENTRIES})
        judgments = [
            replace(
                _judgment(entry["rating"], entry["judgment"], entry),
                judge=entry.get("judge", ""),
                answer=entry.get("answer", ""),
                repeat=entry.get("repeat", ""),
            )
            for entry in read.get("judgments", ())
        ]
        if "judgments" not in read and (text := read.get("judgment")) is not None:
            judgments = [_judgment(value, text, read)]
        return cls(
            question=read.get("question"),
            reference=read.get("reference"),
            replies=tuple(_replies(read)),
            judgments=tuple(judgments),
            judge_prompt=read.get("judge_prompt"),
            user_prompt=read.get("user_prompt"),
            turn=read.get("turn"),
            answered=read.get("answered", False),
            origin=Origin(
                read.get("category"),
                read.get("question_id"),
                read.get("qna_file"),
                read.get("ref"),
                read.get("qna_line"),
            ),
            maximum=read.get("rating_maximum"),
        )


def split_evidence(
    data: Mapping[str, object], names: Collection[str] | None, value: float | None
) -> tuple[Evidence | None, dict[str, object]]:
    """Return the evidence in a score's data, and the rest, which is the test's own metadata.

    `names` are the entries that are evidence. None, as in old files, means all entries that an `Evidence`
    has, if they are valid. Raises Misfit for a named entry that is not valid.
    """
    entries = {
        name: entry for name, entry in data.items() if name in ENTRIES and (names is None or name in names)
    }
    if not entries:
        return None, dict(data)
    try:
        evidence = Evidence.from_plain(entries, value)
    except MisfitError:
        if names is not None:
            raise
        return None, dict(data)
    return evidence, {name: entry for name, entry in data.items() if name not in entries}


# --- the entries of a score's metadata in results.json ---

OF_REPLIES = {"answer": "text", "finish_reason": "finish_reason", "reasoning": "reasoning"}
MARKS = {name: name for name in ("judge", "answer", "repeat")}
OF_JUDGMENT = {
    "judgment": "text", "judge_prompt": "prompt", "chrf": "chrf", "contradictory_ratings": "contradictory",
    "judgment_finish_reason": "finish_reason", "judgment_reasoning": "reasoning",
}  # fmt: skip


class _OfJudgment(TypedDict, total=False):
    judge_prompt: str | None
    chrf: float | None
    contradictory_ratings: tuple[float, ...] | None
    judgment_finish_reason: str | None
    judgment_reasoning: str | None


class _Rated(_OfJudgment):
    rating: float | None
    judgment: str


class _OneOfSeveral(_Rated, total=False):
    judge: str
    answer: str
    repeat: str


class _EvidenceEntries(_OfJudgment, total=False):
    question: str | None
    reference: str | None
    answer: str | None
    answers: tuple[str | None, ...]
    finish_reason: str | None
    finish_reasons: tuple[str | None, ...]
    reasoning: str | None
    reasonings: tuple[str | None, ...]
    user_prompt: str | None
    turn: int | None
    answered: bool
    judgment: str | None
    rating_maximum: float | None
    judgments: tuple[_OneOfSeveral, ...]
    category: str | None
    question_id: str | None
    qna_file: str | None
    qna_line: int | None
    ref: str | None


ENTRIES = frozenset(_EvidenceEntries.__annotations__) | frozenset(_OfJudgment.__annotations__)


def _reply_entries(replies: Sequence[ModelReply]) -> dict[str, object]:
    """Return the entries of the first reply, and of all replies where there are several."""
    entries: dict[str, object] = {}
    for name, attribute in OF_REPLIES.items():
        values = [getattr(reply, attribute) for reply in replies]
        if attribute != "text":
            values = [value or None for value in values]
        entries[name] = values[0] if values else None
        if len(values) > 1 and set(values) != {None}:
            entries[f"{name}s"] = values
    return entries


def _judgment_entries(judgment: Judgment, names: Mapping[str, str]) -> dict[str, object]:
    """Return the known fields of a judgment, by the names of their entries."""
    values = {name: getattr(judgment, attribute) for name, attribute in names.items()}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {
        name: value for name, value in values.items() if name == "judgment" or value not in ("", [], None)
    }


def _judgment(rating: float | None, text: str, entry: _OfJudgment) -> Judgment:
    return Judgment(
        rating,
        text,
        prompt=entry.get("judge_prompt") or "",
        finish_reason=entry.get("judgment_finish_reason") or "",
        reasoning=entry.get("judgment_reasoning") or "",
        contradictory=entry.get("contradictory_ratings") or (),
        chrf=entry.get("chrf"),
    )


def _replies(entries: _EvidenceEntries) -> Iterator[ModelReply]:
    """Yield the replies of all repeats of a question, or its only reply."""
    texts = entries.get("answers") or (entries.get("answer"),)
    reasons = entries.get("finish_reasons") or (entries.get("finish_reason"),)
    reasonings = entries.get("reasonings") or (entries.get("reasoning"),)
    for text, reason, reasoning in zip_longest(texts, reasons, reasonings):
        if len(texts) > 1 or (text, reason, reasoning) != (None, None, None):
            yield ModelReply(text, reason or "", reasoning or "")
