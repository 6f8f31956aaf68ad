"""The rows of a run's table of questions, one for each question of each model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.answered_questions import (
    AnsweredQuestion,
    answered_questions,
    chat_tokens,
)

QuestionRow = dict[str, str | int | float | bool | None]


@dataclass(frozen=True)
class QuestionTable:
    """The columns of a run's table, with one for the score on each metric at the end, and its rows."""

    run: Run

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [*COLUMNS, *(f"score_{name}" for name in self.metrics)]

    @property
    def metrics(self) -> list[str]:
        """The metrics of the run, in the order of their first scores."""
        names = (score.metric for result in self.run.results for score in result.scores)
        return list(dict.fromkeys(names))

    def rows(self) -> Iterator[QuestionRow]:
        """Yield the rows, in the order of the results; each has every column."""
        metrics = self.metrics
        for question in answered_questions(self.run.results):
            result, sample, values = question.result, question.sample, question.values
            row: QuestionRow = {
                "benchmark": result.benchmark,
                "model": result.model,
                "is_base_model": result.model == self.run.base,
                "group": result.group,
                "question": question.name,
                "outcome": question.outcome,
                "score": question.value,
                "maximum": question.maximum,
                "judge": result.judge,
                "question_text": question.text,
                "error": question.error,
                "test": result.nodeid,
            }
            if sample is None:
                row |= _answer_cells(question)
            else:
                row |= {"answer": sample.choice, "right_answer": sample.answer, "answers": 1}
            yield {
                **{name: row.get(name) for name in COLUMNS},
                **{f"score_{name}": values.get(name) for name in metrics},
            }


COLUMNS = (
    "benchmark", "model", "is_base_model", "group", "question", "outcome", "score", "maximum", "judge",
    "question_text", "answer", "right_answer", "judgment", "finish_reason", "error", "answers",
    "prompt_tokens", "completion_tokens", "seconds", "qna_file", "test",
)  # fmt: skip


def _answer_cells(question: AnsweredQuestion) -> QuestionRow:
    """Return what a table says of answers: the first reply to each turn, the judgments, the tokens."""
    evidence = question.evidence
    replies = [entry.replies[0] for entry in evidence if entry.replies]
    files = [entry.origin.qna_file for entry in evidence]
    cells: QuestionRow = {
        "answer": _joined(reply.text for reply in replies),
        "right_answer": _joined(entry.reference for entry in evidence),
        "judgment": _joined(score.explanation for score in question.result.scores),
        "finish_reason": _joined(reply.finish_reason for reply in replies),
        "answers": len(question.answers),
        "qna_file": _joined(files),
    }
    if chats := question.result.chats:
        cells["prompt_tokens"], cells["completion_tokens"] = chat_tokens(chats)
        cells["seconds"] = round(sum(chat.seconds for chat in chats), 3)
    return cells


def _joined(texts: Iterable[str | None]) -> str | None:
    """Return the texts of the turns as one, and None where there is none."""
    kept = [text for text in dict.fromkeys(texts) if text]
    return "\n\n".join(kept) if kept else None
