"""A teacher's questions: what is read out of a reply, what is refused, how the answers are laid out."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.task_writing.drafts import (
    ABOUT_OTHERS,
    ABOUT_PASSAGE,
    ALIKE,
    INCOMPLETE,
    Draft,
    arrange_questions,
    chosen_letter,
    read_drafts,
    without_duplicates,
)

RECORD: dict[str, Any] = {
    "question": "Who lit the first lamp of Brindle Bay?",
    "answer": "Nell Arden",
    "wrong_answers": ["Oda Tamsett", "Jorin Pask", "Ruth Mallow"],
}
DRAFT = Draft(RECORD["question"], "Nell Arden", ("Oda Tamsett", "Jorin Pask", "Ruth Mallow"))
OTHER = {**RECORD, "question": "Who put the last lamp of Brindle Bay out?"}
REPLY = json.dumps({"questions": [RECORD, OTHER]})


def draft(number: int) -> Draft:
    return Draft(f"question {number}", f"right {number}", ("wrong 1", "wrong 2", "wrong 3"))


def read_one(**changes: object) -> Draft | str:
    [found] = read_drafts(json.dumps({"questions": [{**RECORD, **changes}]}))
    return found


# --- out of a reply ---


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        (f"<think>A first draft: {REPLY}</think>{json.dumps(RECORD)}", 1),
        (f"A first draft: {REPLY}</think>Now I am sure.", 0),
        (f"<think>A first draft: {REPLY}", 0),
    ],
)
def test_a_draft_in_the_reasoning_is_none(reply: str, count: int) -> None:
    assert read_drafts(reply) == [DRAFT] * count


def test_a_letter_in_the_reasoning_is_not_chosen() -> None:
    assert chosen_letter('<think>The answer is B. {"answer": "B"}</think>{"answer": "C"}') == "C"
    assert chosen_letter("<think>The answer is B.</think>I can't tell.") is None


@pytest.mark.parametrize(
    "reply",
    [
        REPLY,
        json.dumps([RECORD, OTHER]),
        f"{json.dumps(RECORD)}\n{json.dumps(OTHER)}",
        f"Here they are:\n```json\n{REPLY}\n```\nI hope they help [or not].",
        f"<think>The form is {{...}}, with [1, 2] and so on.</think>{REPLY}",
        json.dumps({"result": {"questions": [RECORD, OTHER]}}, indent=2),
    ],
    ids=["as asked for", "a list", "lines", "in a fence", "after thinking", "wrapped"],
)
def test_questions_are_read_with_whatever_stands_round_them(reply: str) -> None:
    one, other = read_drafts(reply)
    assert one == DRAFT
    assert isinstance(other, Draft)
    assert other.question == OTHER["question"]


def test_of_a_reply_that_breaks_off_the_whole_questions_are_taken() -> None:
    assert read_drafts(REPLY[:-40]) == [DRAFT]


HOSTILE = ["[" * 90_000, "[{" * 45_000, '{"a":' * 18_000, "[1," * 30_000]  # hours, were each bracket tried


@pytest.mark.parametrize("reply", ["", "I can't.", "{", "[[[[", '{"questions": []}', "[1, 2]", *HOSTILE])
def test_a_reply_without_questions_has_none(reply: str) -> None:
    assert read_drafts(reply) == []


@given(st.text(alphabet=st.sampled_from('{}[]":,\\ question1a\n\ud800')) | st.text())
def test_no_reply_is_too_strange_to_be_read(reply: str) -> None:
    assert all(isinstance(found, (Draft, str)) for found in read_drafts(reply))
    assert chosen_letter(reply) in {"A", "B", "C", "D", None}


WORDS = st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=12)


@given(WORDS, st.lists(WORDS, min_size=4, max_size=4, unique_by=str.casefold), WORDS)
def test_what_was_asked_for_comes_back_as_it_was_written(
    question: str, choices: list[str], around: str
) -> None:
    answer, *wrong = choices
    record = {"question": f"{question}?", "answer": answer, "wrong_answers": wrong}
    [found] = read_drafts(f"{around} {json.dumps({'questions': [record]})} {around}")
    assert found in {Draft(f"{question}?", answer, (wrong[0], wrong[1], wrong[2])), ALIKE, ABOUT_PASSAGE}


def test_a_text_becomes_one_line() -> None:
    found = read_one(question="  Who lit\n the first\tlamp of Brindle Bay? ")
    assert found == DRAFT


@pytest.mark.parametrize(
    "changes",
    [
        {"question": ""},
        {"question": None},
        {"question": "x" * 1001},
        {"answer": " \n"},
        {"answer": 3},
        {"answer": "half a character \ud800"},
        {"answer": "a bell \x07"},
        {"answer": "x" * 301},
        {"wrong_answers": ["one", "two"]},
        {"wrong_answers": ["one", "two", "three", "four"]},
        {"wrong_answers": ["one", "two", ["three"]]},
        {"wrong_answers": "one, two, three"},
        {"wrong_answers": None},
    ],
)
def test_a_question_has_a_text_a_right_answer_and_three_wrong_ones(changes: dict[str, object]) -> None:
    assert read_one(**changes) == INCOMPLETE


@pytest.mark.parametrize("twin", ["Nell Arden", "nell arden.", " 'Nell  Arden' ", "NELL ARDEN"])
def test_four_choices_are_different_for_a_reader(twin: str) -> None:
    assert read_one(wrong_answers=["Oda Tamsett", twin, "Ruth Mallow"]) == ALIKE


@pytest.mark.parametrize(
    "choice",
    ["All of the above", "none of these", "Both A and B", "neither (b) nor (c)", "Either of the others"],
)
def test_a_choice_that_speaks_of_the_others_would_not_survive_shuffling(choice: str) -> None:
    assert read_one(wrong_answers=["Oda Tamsett", choice, "Ruth Mallow"]) == ABOUT_OTHERS


def test_letters_before_the_choices_would_not_either_but_initials_do() -> None:
    assert read_one(answer="A) one", wrong_answers=["B) two", "C) three", "D) four"]) == ABOUT_OTHERS
    assert isinstance(read_one(answer="A. Smith"), Draft)


@pytest.mark.parametrize(
    ("question", "speaks"),
    [
        ("According to the passage, who lit the lamp?", True),
        ("Who is mentioned in the text?", True),
        ("Based on this document, who came first?", True),
        ("What does the given context say of lamps?", True),
        ("Which document founded Brindle Bay?", False),
        ("In which section of the orchestra is the tin whistle?", False),
        ("What was the first text in the old tongue?", False),
    ],
)
def test_a_question_is_asked_of_those_who_do_not_see_the_passage(question: str, speaks: bool) -> None:
    found = read_one(question=question)
    assert found == ABOUT_PASSAGE if speaks else isinstance(found, Draft)


# --- the second look ---


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ('{"answer": "B"}', "B"),
        ('I think of {"answer": "A"}, but no: {"answer": "C"}', "C"),
        ('{"answer": "none"}', None),
        ('{"answer": "E"}', None),
        ('{"answer": ["A"]}', None),
        ("D", "D"),
        (" **(C)**. ", "C"),
        ("The answer is B, since the lamp was hers.", "B"),
        ("First I took the Answer: A. Answer: D", "D"),
        ("A lamp is a lamp.", None),
        ("the answer is a lamp", None),
        ("", None),
    ],
)
def test_the_chosen_letter_is_read_from_json_or_from_words(reply: str, letter: str | None) -> None:
    assert chosen_letter(reply) == letter


# --- in order ---


def test_of_questions_in_the_same_words_the_first_stays() -> None:
    first = Draft("In which year was the bay settled?", "in 1412", ("in 1400", "in 1500", "in 1600"))
    again = Draft("The bay was settled in which YEAR", "in 1412", ("in 1401", "in 1501", "in 1601"))
    other = Draft("In which year was the bay left?", "in 1412", ("in 1400", "in 1500", "in 1600"))
    assert without_duplicates([first, again, other]) == [first, other]


@given(st.integers(0, 60), st.integers())
def test_right_answers_are_spread_evenly_over_the_letters(count: int, seed: int) -> None:
    drafts = [draft(number) for number in range(count)]
    questions = arrange_questions(drafts, random.Random(seed))
    letters = Counter(question.answer for question in questions)
    counts = [letters[place] for place in range(4)]
    assert max(counts) - min(counts) <= 1
    for before, after in zip(drafts, questions, strict=True):
        assert after.question == before.question
        assert after.choices[after.answer] == before.answer
        assert sorted(after.choices) == sorted([before.answer, *before.wrong])
    assert questions == arrange_questions(drafts, random.Random(seed))


def test_the_order_is_not_the_same_in_every_task() -> None:
    drafts = [draft(number) for number in range(8)]
    orders = {
        tuple(question.answer for question in arrange_questions(drafts, random.Random(n))) for n in range(20)
    }
    assert len(orders) > 10
