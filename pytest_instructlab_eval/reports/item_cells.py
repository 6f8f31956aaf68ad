"""The score, the question and the answer of a test as HTML, for the table of another report."""

from __future__ import annotations

import html
from typing import NamedTuple

from pytest_instructlab_eval.escaping import escape_text
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.question_rows import QuestionRow, QuestionTable

LONGEST_CELL = 200  # characters; the details have more
LONGEST_DETAIL = 10_000
MOST_DETAILS = 20  # questions of a task, the lowest scores first


class ItemCells(NamedTuple):
    """The cells of a test, escaped."""

    score: str
    question: str
    answer: str


def item_cells(result: Result) -> ItemCells:
    """Return the cells of a result; those of a task count its questions."""
    rows = _rows_of(result)
    score: str = result.outcome
    if result.value is not None:
        maximum = result.main_scores[0].maximum
        score = f"{result.value:6.2f}"  # padded, as pytest-html sorts scores as texts
        score += "" if maximum == 1 else f" of {maximum:g}"
    score = html.escape(score)
    if len(rows) == 1:
        question, answer = (_short(rows[0][name]) for name in ("question_text", "answer"))
        return ItemCells(score, question, answer or _short(rows[0]["error"]))
    values = [row["score"] for row in rows]
    right = f"{values.count(1.0):,} right" if set(values) <= {0.0, 1.0, None} else ""
    return ItemCells(score, f"{len(rows):,} questions", right)


def item_details(result: Result) -> str:
    """Return the questions, answers and judgments of a result as preformatted HTML; empty without any."""
    rows = _rows_of(result)
    worst = sorted(rows, key=lambda row: row["score"] if isinstance(row["score"], (int, float)) else -1.0)
    parts = []
    for row in worst[:MOST_DETAILS]:
        texts = []
        if len(rows) > 1:
            name = f"--- {row['question']}: {row['outcome']}, score {row['score']} ---"
            texts.append(_escaped(name, LONGEST_DETAIL))
        for column in ("question_text", "answer", "right_answer", "judgment", "error"):
            if row[column]:
                title = column.removesuffix("_text").replace("_", " ")
                texts.append(f"{title}: {_escaped(str(row[column]), LONGEST_DETAIL)}")
        parts.append("\n".join(texts))
    if hidden := len(rows[MOST_DETAILS:]):
        parts.append(f"{hidden:,} more questions are in report.html")
    return "\n\n".join(part for part in parts if part)


def _rows_of(result: Result) -> list[QuestionRow]:
    """Return the rows of a result's questions; a score without evidence has the answers of its test."""
    rows = list(QuestionTable(Run((result,))).rows())
    answers = [chat.answer for chat in result.chats if chat.answer]
    if len(rows) == 1 and not rows[0]["answer"] and answers:
        rows[0]["answer"] = "\n\n".join(answers)
    return rows


def _short(value: object) -> str:
    """Return a text cut to a cell, escaped."""
    return _escaped(" ".join(str(value).split()), LONGEST_CELL) if value is not None else ""


def _escaped(text: str, most: int) -> str:
    return html.escape(escape_text(text if len(text) <= most else f"{text[:most]}…"))
