"""The cells that another report gets: short, escaped, and sorted as numbers are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.item_cells import item_cells, item_details


def task(*values: float | None) -> Result:
    samples = [
        Sample(
            str(number), value, "B", "A", question=f"Why {number}?", error=None if value is not None else "no"
        )
        for number, value in enumerate(values)
    ]
    return Result("mmlu", "law", "law", "lab", scores=(Score.mean_of(samples, metric="acc"),))


def test_a_task_counts_its_questions_and_shows_the_lowest_scores_first() -> None:
    result = task(1.0, 0.0, 1.0, 1.0)
    assert [cell.strip() for cell in item_cells(result)] == ["0.75", "4 questions", "3 right"]
    details = item_details(result)
    assert details.startswith("--- law:1: scored, score 0.0 ---")
    assert details.index("Why 1?") < details.index("Why 0?")


def test_of_many_questions_the_details_have_twenty() -> None:
    assert item_details(task(*[1.0] * 25)).endswith("5 more questions are in report.html")


def test_without_a_score_the_outcome_and_the_reason_are_shown() -> None:
    assert item_cells(Result("own", "a", "", "lab", error="the server is gone")) == (
        "error", "", "the server is gone",
    )  # fmt: skip


def test_scores_sort_as_texts() -> None:
    def score(value: float) -> str:
        return item_cells(Result("own", "a", "", "lab", scores=(Score(value, maximum=10),))).score

    assert score(9.0) < score(10.0)


@given(st.text(max_size=300), st.none() | st.floats(0, 1))
def test_any_text_is_only_text(text: str, value: float | None) -> None:
    score = Score(value, explanation=f"{text}<b>", error=None if value is not None else f"{text}<i>")
    result = Result("own", f"{text}<u>", "", "lab", scores=(score,), error=None)
    shown = [*item_cells(result), item_details(result), item_details(task(value, value))]
    assert not any(mark in part for part in shown for mark in "<>\x1b\u202e")
