"""`record_score`, and what a failing test shows of what was asked."""

from __future__ import annotations

import pytest

from pytest_instructlab_eval.errors import ItemError
from pytest_instructlab_eval.records.recorder import Recorder, describe_failure
from pytest_instructlab_eval.records.scores import Score


def recorded(*values: Score | float | None, maximum: float = 1.0) -> list[Score]:
    record = Recorder(maximum)
    for value in values:
        record(value)
    return record.scores


def test_a_score_is_kept_as_it_is() -> None:
    score = Score(0.5, "f1")
    assert recorded(score) == [score]


def test_a_number_is_a_score_up_to_the_maximum_of_the_test() -> None:
    assert recorded(7.0, maximum=10.0) == [Score(7.0, "score", 10.0)]


def test_a_number_can_come_with_what_there_is_to_say_about_it() -> None:
    record = Recorder()
    record(3, metric="depth", maximum=5.0, explanation="shallow", metadata={"answer": "so"})
    assert record.scores == [Score(3.0, "depth", 5.0, explanation="shallow", metadata={"answer": "so"})]


def test_none_is_unscored() -> None:
    assert [score.outcome for score in recorded(None)] == ["unscored"]


def test_scores_are_kept_in_their_order() -> None:
    assert [score.value for score in recorded(0.1, 0.3, 0.2)] == [0.1, 0.3, 0.2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    record = Recorder()
    with pytest.raises(ValueError, match="finite"):
        record(value)
    assert record.scores == []


@pytest.mark.parametrize("value", [-0.5, 1.5, 100])
def test_a_score_beyond_its_maximum_is_refused_with_what_to_do(value: float) -> None:
    for score in (value, Score(value)):
        with pytest.raises(ValueError, match=r"expected a score from 0 to 1 \(got .*\); set another maximum"):
            Recorder()(score)
    Recorder()(abs(value), maximum=100)
    Recorder()(1 + 1e-12)  # what only rounding makes more


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match=r"record_score takes a number, a Score, or None .* \(got 'x'\)"):
        Recorder()("x")  # type: ignore[arg-type]


def test_a_coroutine_is_refused_with_what_is_missing() -> None:
    async def rating() -> float:
        return 1.0

    with pytest.raises(TypeError, match="got a coroutine: write `await` before the call"):
        Recorder()(rating())  # type: ignore[arg-type]


def test_metadata_that_is_changed_later_does_not_change_the_record() -> None:
    record, metadata = Recorder(), {"answer": "so"}
    record(1.0, metadata=metadata)
    metadata["answer"] = "not so"
    assert record.scores[0].metadata == {"answer": "so"}


# --- errors ---


def test_scores_without_an_error_raise_nothing() -> None:
    record = Recorder()
    record(1.0)
    record(None)
    record.raise_errors()


def test_every_error_is_raised_with_its_metric() -> None:
    record = Recorder()
    record(Score(None, "turn_1", error="away"))
    record(Score(5.0, "turn_2", 10.0))
    record(Score(None, "turn_3", error="asleep"))
    with pytest.raises(ItemError, match=r"^turn_1: away\nturn_3: asleep"):
        record.raise_errors()


# --- describe ---


def test_a_reason_comes_first() -> None:
    assert describe_failure("away", []) == "away"


def test_question_answer_and_judgment_are_shown_with_their_score() -> None:
    evidence = {"judgment": "Fair.", "answer": "So.\nAnd so.", "question": "Why?", "other": "not shown"}
    assert describe_failure("low", [Score(3.0, "depth", 10.0, metadata=evidence)]) == (
        "low\ndepth: 3 of 10\nquestion:\n    Why?\nanswer:\n    So.\n    And so.\njudgment:\n    Fair."
    )


def test_what_has_no_score_is_shown_so() -> None:
    assert "depth: no score" in describe_failure("", [Score(None, "depth", metadata={"question": "Why?"})])


def test_a_score_without_evidence_is_shown_alone() -> None:
    assert describe_failure("low", [Score(0.25, "depth")]) == "low\ndepth: 0.25 of 1"


def test_a_prompt_is_shown_where_no_score_has_the_question() -> None:
    assert describe_failure("away", [], prompt="Why?") == "away\nquestion:\n    Why?"
    shown = describe_failure("away", [Score(None, metadata={"question": "How?"})], prompt="Why?")
    assert "Why?" not in shown


def test_a_long_text_is_cut_and_its_length_told() -> None:
    shown = describe_failure("low", [Score(3.0, metadata={"answer": "x" * 5000})])
    assert "x" * 2000 + "… (5,000 characters)" in shown
    assert "x" * 2001 not in shown


def test_control_characters_of_an_answer_are_shown_not_sent_to_the_terminal() -> None:
    assert "away \\x1b[31m" in describe_failure("away \x1b[31m", [])
    score = Score(0.0, metadata={"answer": "red \x1b[31m and\ttab"})
    assert "red \\x1b[31m and\ttab" in describe_failure("", [score])
