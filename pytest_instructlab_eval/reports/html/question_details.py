"""What the page shows of an opened question, as plain data: texts, replies, judgments, choices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Union

from pytest_instructlab_eval.escaping import UNSAFE
from pytest_instructlab_eval.records.evidence import Chat, Judgment, ModelReply
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.reports.html.question_table import Finding, QuestionRow

Plain = Union[None, bool, int, float, str, "Sequence[Plain]", "Mapping[str, Plain]"]

LONGEST = 100_000  # characters of one text; results.json has the rest
LONGEST_NAME = 300


def visible(text: str | None, most: int = LONGEST) -> str | None:
    """Return a text as the page shows it: cut, and with what hides or reorders text written out."""
    if text is None:
        return None
    cut = text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters; see results.json)"
    if cut.isprintable():
        return cut
    return UNSAFE.sub(
        lambda match: match[0].encode("unicode_escape").decode("ascii"), cut.replace("\r\n", "\n")
    )


def details_of(row: QuestionRow) -> dict[str, Plain]:
    """Return all that is known of a question but its scores: its own texts, and each side's by its index."""
    sides = {str(side): _side(found) for side, found in enumerate(row.findings) if found is not None}
    samples = row.samples
    asked = next((sample for sample in samples if sample.question), samples[0] if samples else None)
    of_task: dict[str, Plain] = {}
    if asked is not None:
        of_task = _present(
            question=visible(asked.question),
            choices=[visible(choice) for choice in asked.choices],
            right=visible(asked.answer),
        )
    return {**of_task, "sides": {name: side for name, side in sides.items() if side}}


def _present(**fields: Plain) -> dict[str, Plain]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, "", 0, [], {}, False)}


def _side(finding: Finding) -> dict[str, Plain]:
    if (sample := finding.sample) is not None:
        return _present(
            choice=visible(sample.choice),
            logprobs=[round(value, 3) for value in sample.logprobs],
            way=visible(sample.way),
            error=visible(sample.error),
            metrics={
                visible(score.metric) or "": own.value
                for score, own in zip(finding.scores, finding.samples, strict=True)
            }
            if len(finding.samples) > 1
            else {},
        )
    result = finding.result
    chats = tuple(result.chats)
    return _present(
        error=visible(result.error),
        seconds=round(result.duration, 2),
        judge=visible(result.judge),
        scores=[_score(score, chats) for score in finding.scores],
        chats=[_chat(chat) for chat in chats],
    )


def _score(score: Score, chats: Sequence[Chat]) -> dict[str, Plain]:
    fields = _present(
        metric=visible(score.metric),
        value=None if score.value is None else round(score.value, 4),
        maximum=score.maximum,
        error=visible(score.error),
        answers=list(score.answers),
        same=score.same_answers,
        metadata=visible(json.dumps(plain_data(score.metadata), ensure_ascii=False, indent=1))
        if score.metadata
        else None,
    )
    if score.value == 0:
        fields["value"] = 0
    evidence = score.evidence
    if evidence is None or not evidence.judgments:
        fields |= _present(explanation=visible(score.explanation))
    if evidence is not None:
        fields |= _present(
            question=visible(evidence.question),
            reference=visible(evidence.reference),
            turn=evidence.turn,
            prompt=visible(evidence.judge_prompt),
            judged=visible(evidence.user_prompt),
            waiting=evidence.answered,
            file=visible(evidence.origin.qna_file),
            ref=visible(evidence.origin.ref),
            top=evidence.maximum,
            replies=[dict(_reply(reply, chats)) for reply in evidence.replies],
            judgments=[_judgment_fields(judgment) for judgment in evidence.judgments],
        )
    return fields


def _reply(reply: ModelReply, chats: Sequence[Chat]) -> Iterator[tuple[str, Plain]]:
    """Yield a reply's fields; `chat` is the index of the chat that it ended, and then has its text."""
    chat = next((number for number, chat in enumerate(chats) if chat.answer == reply.text), None)
    if chat is not None and reply.text is not None:
        yield "chat", chat
        return
    yield from _present(
        text=visible(reply.text), finish=visible(reply.finish_reason), reasoning=visible(reply.reasoning)
    ).items()


def _judgment_fields(judgment: Judgment) -> dict[str, Plain]:
    fields = _present(
        judge=visible(judgment.judge),
        answer=visible(judgment.answer),
        repeat=visible(judgment.repeat),
        prompt=visible(judgment.prompt),
        text=visible(judgment.text),
        finish=visible(judgment.finish_reason),
        reasoning=visible(judgment.reasoning),
        contradictory=list(judgment.contradictory),
        chrf=judgment.chrf,
    )
    return {"rating": judgment.rating, **fields}


def _chat(chat: Chat) -> dict[str, Plain]:
    return _present(
        messages=[
            [visible(str(message.get(key, ""))) for key in ("role", "content")] for message in chat.messages
        ],
        text=visible(chat.answer),
        finish=visible(chat.finish_reason),
        reasoning=visible(chat.reasoning),
        asked=chat.prompt_tokens,
        answered=chat.completion_tokens,
        seconds=round(chat.seconds, 2),
        temperature=visible(str(chat.temperature)),
        error=visible(chat.error),
    )
