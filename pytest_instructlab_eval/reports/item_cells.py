"""The score, the question and the answer of a test as HTML, for the table of another report."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
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
    score = html.escape(_score_text(result))
    if len(rows) == 1:
        question, answer = (_short(rows[0][name]) for name in ("question_text", "answer"))
        return ItemCells(score, question, answer or _short(rows[0]["error"]))
    values = [row["score"] for row in rows]
    right = f"{values.count(1.0):,} right" if set(values) <= {0.0, 1.0, None} else ""
    return ItemCells(score, f"{len(rows):,} questions", right)


def item_details(result: Result) -> str:
    """Return the questions, answers and judgments of a result as preformatted HTML; empty without any."""
    rows = _rows_of(result)
    worst = sorted(rows, key=_score_of)[:MOST_DETAILS]
    parts = ["\n".join(_detail_lines(row, named=len(rows) > 1)) for row in worst]
    if hidden := len(rows) - len(worst):
        parts.append(f"{hidden:,} more questions are in report.html")
    return "\n\n".join(part for part in parts if part)


def _rows_of(result: Result) -> list[QuestionRow]:
    """Return the rows of a result's questions; a score without evidence has the answers of its test."""
    rows = list(QuestionTable(Run((result,))).rows())
    answers = [chat.answer for chat in result.chats if chat.answer]
    if len(rows) == 1 and not rows[0]["answer"] and answers:
        rows[0]["answer"] = "\n\n".join(answers)
    return rows


def _score_text(result: Result) -> str:
    """Return the score of a result; padded, as pytest-html sorts scores as texts."""
    if result.value is None:
        return result.outcome
    maximum = result.main_scores[0].maximum
    return f"{result.value:6.2f}" if maximum == 1 else f"{result.value:6.2f} of {maximum:g}"


def _score_of(row: QuestionRow) -> float:
    return float(row["score"]) if isinstance(row["score"], (int, float)) else -1.0


def _short(value: object) -> str:
    """Return a text cut to a cell, escaped."""
    return _escaped(" ".join(str(value).split()), LONGEST_CELL) if value is not None else ""


def _escaped(text: str, most: int) -> str:
    return html.escape(escape_text(text if len(text) <= most else f"{text[:most]}…"))


def _detail_lines(row: QuestionRow, *, named: bool) -> Iterator[str]:
    """Yield the texts of a question, each under its name."""
    if named:
        yield _escaped(f"--- {row['question']}: {row['outcome']}, score {row['score']} ---", LONGEST_DETAIL)
    yield from _titled_texts(row, ("question_text", "answer", "right_answer", "judgment", "error"))


def _titled_texts(row: QuestionRow, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if row[name]:
            title = name.removesuffix("_text").replace("_", " ")
            yield f"{title}: {_escaped(str(row[name]), LONGEST_DETAIL)}"
