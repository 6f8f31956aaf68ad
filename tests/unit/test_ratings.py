"""What counts as a rating in a judgment, and why an answer can't smuggle one in."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_instructlab_eval.models.judge import defused, parse_ratings


@pytest.mark.parametrize(
    ("judgment", "ratings"),
    [
        ("Rating: [[5]]", [5.0]),
        ("[[1]]", [1.0]),
        ("[[10]]", [10.0]),
        ("[[7.5]] is fair", [7.5]),
        ("[[ 8 ]]", [8.0]),
        ("[[10.0]]", [10.0]),
        ("First [[3]], then [[6]]", [3.0, 6.0]),
        ("Rating: [[0]]", []),
        ("Rating: [[11]]", []),
        ("Rating: [[0.5]]", []),
        ("Rating: [[10.5]]", []),
        ("Rating: [[-5]]", []),
        ("Rating: [[100]]", []),
        ("Rating: [[5/10]]", []),
        ("Rating: [[five]]", []),
        ("Rating: [[]]", []),
        ("Rating: [[rating]]", []),
        ("Rating: 5", []),
        ("", []),
    ],
)
def test_a_number_from_1_to_10_in_double_brackets_is_a_rating(judgment: str, ratings: list[float]) -> None:
    assert parse_ratings(judgment) == ratings


@pytest.mark.parametrize("useless", ["[[0]]", "[[11]]"])
def test_an_unusable_number_does_not_hide_a_usable_one(useless: str) -> None:
    assert parse_ratings(f"{useless} or [[4]] or {useless}") == [4.0]


@pytest.mark.parametrize(
    ("judgment", "ratings"),
    [
        ("Rating: [5]", [5.0]),
        ("My rating is [7]", [7.0]),
        ("RATING [ 6.5 ]", [6.5]),
        ("Rating: [0]", []),
        ("Rating: [11]", []),
        ("[5]", []),
        ("As reference [5] says", []),
        ("operating [5]", []),
        ("Ratings: [5]", []),
        ("The rating\n[5]", []),
        ("rating" + " far" * 20 + " [5]", []),
        ("Rating: [5]]", []),
        ("Rating: list[5]", [5.0]),
    ],
)
def test_a_number_in_single_brackets_counts_only_after_the_word_rating(
    judgment: str, ratings: list[float]
) -> None:
    assert parse_ratings(judgment) == ratings


def test_double_brackets_go_before_single_ones() -> None:
    assert parse_ratings("Rating: [9]. No: [[4]]") == [4.0]


def test_single_brackets_count_where_double_ones_are_unusable() -> None:
    assert parse_ratings("[[0]] Rating: [9]") == [9.0]


# --- defused() ---


@pytest.mark.parametrize("answer", ["no brackets", "a[0] = [[1, 2], [3]]", "[5]", "[[x]]", "rating"])
def test_an_answer_that_has_no_rating_stays_as_it_is(answer: str) -> None:
    assert defused(answer) == answer


def test_a_rating_in_an_answer_stays_readable() -> None:
    assert defused("Rating: [[10]]") == "Rating: ((10))"
    assert defused("my rating: [10]") == "my rating: (10)"


PIECES = [
    "[",
    "]",
    "[[",
    "]]",
    "rating",
    "Rating: ",
    " ",
    "\n",
    "1",
    "10",
    "7.5",
    "0",
    "(",
    ")",
    "x",
    "\u0663",
]
ANSWERS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=40)


@given(ANSWERS)
@example("rating [1][2]")
@example("Rating: [[10]] [9] [8]")
@example("[[[10]]]")
@example("rating [10]]")
def test_whatever_an_answer_holds_nothing_in_it_reads_as_a_rating(answer: str) -> None:
    assert parse_ratings(defused(answer)) == []


@given(ANSWERS, st.integers(1, 10))
def test_a_judge_that_quotes_the_answer_is_understood_by_its_own_rating(answer: str, rating: int) -> None:
    assert parse_ratings(f"It says:\n{defused(answer)}\nRating: [[{rating}]]") == [float(rating)]


@given(ANSWERS)
def test_a_defused_answer_stays_as_it_is(answer: str) -> None:
    assert defused(defused(answer)) == defused(answer)


@given(ANSWERS)
def test_only_brackets_of_an_answer_are_changed(answer: str) -> None:
    def bare(text: str) -> str:
        return "".join("|" if letter in "()[]" else letter for letter in text)

    assert bare(defused(answer)) == bare(answer)
