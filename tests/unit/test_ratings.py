"""What a judgment says: its rating, or why it has none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_instructlab_eval.judges.rating import parse_rating
from pytest_instructlab_eval.judges.scale import Scale

CASES = Path(__file__).parents[3] / "shared" / "cases" / "ratings.jsonl"


def cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CASES.read_text("utf-8").splitlines()] if CASES.exists() else []


@pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is not here")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["why"])
def test_the_cases_that_people_met_are_read_rightly(case: dict[str, Any]) -> None:
    assert parse_rating(case["text"], finish_reason=case["finish_reason"]).value == case["rating"]


# --- numbers ---


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("[[1]]", 1),
        ("[[10]]", 10),
        ("[[7.5]] is fair", 7.5),
        ("[[8.333333333333334]]", 8.333333333333334),
        ("[[ 8 ]]", 8),
        ("[[\n8\n]]", 8),
        ("[[\u200e8\u200f]]", 8),
        ("[[007]]", 7),
        ("[[1000]]", None),
        ("[[2024]] is the year, [[6]] the mark", 6),
        ("[[-5]]", None),
        ("[[+5]]", None),
        ("[[1e1]]", None),
        ("[[7.]]", None),
        ("[[.7]]", None),
        ("[[7,5]]", None),
        ("[[5/10]]", None),
        ("[[five]]", None),
        ("[[]]", None),
        ("[[rating]]", None),
        ("[[\uff17]]", None),
        ("[[\u0667]]", None),
        ("[[[7]]]", None),
        ("[[7], [8]]", None),
        ("[7]", None),
        ("7", None),
        ("See [[1]](https://example.org) and [[2]](#notes).", None),
    ],
)
def test_a_number_has_one_to_three_digits_and_decimals_in_double_brackets(
    text: str, rating: float | None
) -> None:
    assert parse_rating(text).value == rating


# --- statements ---


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("**Rating**: [[7]]", 7),
        ("__Rating:__ [7]", 7),
        ("_Rating_: [[7]]", 7),
        ("*Rating:* **[[7]]**", 7),
        ('Rating is "[[7]]"', 7),
        ("Rating: \u201c[[7]]\u201d", 7),
        ("`Rating: [[7]]`", 7),
        ("```\nRating: [[7]]\n```", 7),
        ("RATING [ 6.5 ]", 6.5),
        ("The rating is of [[7]]", 7),
        ("Rating:\r\n\r\n[[7]]", 7),
        ("### Rating\n[[7]]", 7),
        ("Rating: \u202a[[7]]\u202c", 7),
        ("| Rating | [[7]] |", 7),
        ("Rating\uff1a[[7]]", 7),
        ("Final rating: [[7]]. Not [[3]].", 7),
        ("Rating: [[7]]\n\n[[2]] is what others say.", 7),
        ("Ratings: [[6]] and [[8]]", 6),
        ("Rating: [[3]]\nOn second thoughts:\nRating: [[5]]", 5),
        ("Rating (1 to 10): [[7]]. [[2]] of them agree.", 7),
        ("Bewertung: [[7]]", 7),
        ("\u8bc4\u5206\uff1a[[7]]", 7),
        ("overrating [[3]], and rating: [[4]]", 4),
        ("overrating [3]", None),
        ("rating_list [3]", None),
        ("Rating: list[5]", None),
        ("Rating: [5]]", None),
        ("The rating\n[5] is what the footnote says", None),
        ("My rating (see [5]) is high", None),
        ("A rating from 1 to 10 [5] is usual", None),
        ("Rating: [8](https://example.org)", None),
        ("Rating: 5", None),
        ("Rating: 9/10", None),
        ("Rating:", None),
        ("Rating: [[[7]]]", None),
        ("Rating: [[7]]\nRating: see above", None),
        ('"Rating: [[rating]]" is the form', None),
    ],
)
def test_a_statement_is_the_word_rating_and_a_number_right_after_it(text: str, rating: float | None) -> None:
    assert parse_rating(text).value == rating


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("Rating: [[8]]/[[10]]", 8),
        ("Rating: [[8]] / 10", 8),
        ("[[8]] out of [[10]]", 8),
        ("Rating: [[8]] out of a possible [[10]]", 8),
        ("rating from [[1]] to [[10]]: [[6]]", 6),
        ("On a scale from [[1]] (useless) to [[10]] (flawless): [[6]]", 6),
        ("[[6]], on a scale of [[1]] to [[10]]", 6),
        ("[[6]] (between [[1]] and [[10]])", 6),
        ("[[6]] (between **[[1]]** and **[[10]]**)", 6),
        ("[[6]] on the scale from 1 to [[10]]", 6),
        ("It must be between [[1]] and [[10]]", None),
        ("A scale of [[1]] to [[10]] is asked for", None),
        ("Rating: from [[1]] to [[10]]", None),
    ],
)
def test_a_scale_is_no_rating(text: str, rating: float | None) -> None:
    assert parse_rating(text).value == rating


@pytest.mark.parametrize("useless", ["[[0]]", "[[11]]", "[[10.5]]", "[[100]]"])
def test_no_earlier_number_takes_the_place_of_one_that_is_off_the_scale(useless: str) -> None:
    verdict = parse_rating(f"[[4]], no: {useless}")
    assert verdict.value is None
    assert verdict.reason.endswith("is not on the scale from 1 to 10")
    assert parse_rating(f"Rating: [[4]]\nRating: {useless}").value is None


def test_another_scale_can_be_asked_for() -> None:
    assert parse_rating("Rating: [[0]]", scale=Scale(0, 5)).value == 0
    assert parse_rating("Rating: [[6]]", scale=Scale(0, 5)).value is None


def test_ratings_that_contradict_each_other_are_told() -> None:
    verdict = parse_rating("Rating: [[3]]. No!\nRating: [[6]]")
    assert (verdict.value, verdict.stated, verdict.contradictory) == (6, (3, 6), True)
    assert parse_rating("First [[3]], then [[6]]").contradictory
    assert not parse_rating("Rating: [[6]]\nRating: [[6.0]]").contradictory
    assert not parse_rating('The form is "Rating: [[5]]".\nRating: [[6]]').contradictory
    assert not parse_rating("Turn 1 would be [[9]]. For turn 2: Rating: [[6]]").contradictory


# --- reasoning, limits and echoes ---


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("<think>[[2]]</think> [[9]]", 9),
        ("<THINK>[[2]]</Think > [[9]]", 9),
        ("<thinking>Rating: [[2]]</thinking> [[9]]", 9),
        ("Rating: [[2]] or so?</think>[[9]]", 9),
        ("<think>a</think>[[2]]<think>Rating: [[3]]</think>", 2),
        ("<think>a<think>b</think>[[2]]</think>[[9]]", 9),
        ("Rating: [[9]] <think>or [[2]]", 9),
        ("Rating: [[9]] </think>", None),
        ("<think>Rating: [[9]]", None),
        ("Rating: <think>no</think>[[9]]", 9),
    ],
)
def test_reasoning_does_not_count(text: str, rating: float | None) -> None:
    assert parse_rating(text).value == rating


def test_the_reasoning_is_kept() -> None:
    assert parse_rating("<think>It is [[2]].</think> [[9]]").reasoning == "It is [[2]]."
    assert parse_rating("<think>It is [[2]].").reason == "the judgment has only reasoning"


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("Good.\n**Rating: [[8]]**\n\n", 8),
        ("Good.\r\n- Rating: [[8]].", 8),
        ("Good.\n[[8]]", 8),
        ("Good.\nRating:\n[[8]]", 8),
        ("Good.\nRating: [[8]]/10", 8),
        ("Good.\nRating: [[8]] (on a scale of 1 to 10)", 8),
        ("Good.\nRating: [[8", None),
        ("Good.\n[8]", None),
        ("Good. Rating: [[8]]", None),
        ("Rating: [[8]]\nbecause", None),
        ("Rating: [[8]] out of", None),
        ("Rating: [[5]] is the form.\n[[8]]", None),
        ("Good.\nRating: [[11]]", None),
    ],
)
def test_a_judgment_that_was_cut_off_has_a_rating_only_as_its_whole_last_line(
    text: str, rating: float | None
) -> None:
    assert parse_rating(text, finish_reason="length").value == rating


PROMPT = (
    "[Instruction]\nAct as an impartial judge and say what is right and wrong with the answer. Then rate it "
    'on a scale of 1 to 10 by strictly following this format: "[[rating]]", for example: "Rating: [[5]]".\n\n'
    "[Question]\nWhy?\n\n[The Start of Assistant's Answer]\nBecause.\n[The End of Assistant's Answer]"
)


@pytest.mark.parametrize(
    "returned",
    [
        PROMPT,
        f"{PROMPT}\n\nRating: [[9]]",
        PROMPT.replace("\n", " ").upper(),
        f"You are a judge.\n{PROMPT}",
        PROMPT.partition("wrong with")[2],
        PROMPT.partition("[Question]")[0],
        PROMPT.replace('"', "**"),
    ],
    ids=["whole", "and a rating", "in one line", "with more", "its end", "its beginning", "other quotes"],
)
def test_a_judgment_that_returns_the_prompt_has_no_rating(returned: str) -> None:
    assert parse_rating(returned, prompts=[PROMPT]).value is None


def test_a_judge_may_quote_what_it_was_asked_for_and_then_rate() -> None:
    quoted = 'I am to rate by strictly following this format: "[[rating]]", for example: "Rating: [[5]]".'
    verdict = parse_rating(f"{quoted}\n\nRating: [[8]]", prompts=[PROMPT])
    assert (verdict.value, verdict.contradictory) == (8, False)
    assert parse_rating("Act as a judge? Rating: [[5]]", prompts=[PROMPT]).value == 5


def test_a_prompt_that_shows_no_rating_may_not_come_back_either() -> None:
    conversation = "### User:\nWhy do knots hold, and do they hold in the rain?\n\n### Assistant A:\nBecause."
    assert parse_rating(f"{conversation}\n\nRating: [[9]]", prompts=["Rate it.", conversation]).value is None
    assert parse_rating("Because. So: Rating: [[9]]", prompts=["Rate it.", conversation]).value == 9


def test_the_usual_form_is_known_whatever_the_prompt_is() -> None:
    form = 'Follow this format: "[[rating]]", for example: "Rating: [[5]]".'
    assert parse_rating(form).value is None
    assert parse_rating(f"{form} So [[3]].").value == 3
    assert parse_rating('By the form "[[rating]]": Rating: [[8]]').value == 8


# --- judgments built from parts, whose outcome is known ---


@dataclass(frozen=True)
class Part:
    """A piece of a judgment: the number that it states, or that it shows, or neither."""

    text: str
    states: float | None = None
    shows: float | None = None
    promises: bool = False


WORDS = st.sampled_from(
    [
        "clear",
        "wrong",
        "the",
        "good",
        "however",
        "über",
        "\u7b54\u6848",
        "7",
        "[x]",
        "a[0]",
        "(1)",
        "overrated",
    ]
)
PROSE = st.lists(WORDS, max_size=5).map(lambda words: Part(" ".join(words)))
VALUES = st.integers(0, 120) | st.sampled_from([0.5, 1.5, 7.25, 9.99, 10.01])


@st.composite
def statement(draw: st.DrawFn) -> Part:
    value = draw(VALUES)
    word = draw(st.sampled_from(["Rating", "rating", "RATINGS", "**Rating**", "_rating_", "Final rating"]))
    between = draw(st.sampled_from([": ", ":", " is ", " of ", " ", ":** **", ': "', ": `", " is: "]))
    blank = draw(st.sampled_from(["", " ", "  "]))
    number = draw(st.sampled_from(["[[{}]]", "[{}]"])).format(f"{blank}{value}{blank}")
    scale = draw(
        st.sampled_from(["", " out of [[10]]", "/10", "/[[10]]", " (on a scale from [[1]] to [[10]])"])
    )
    return Part(f"{word}{between}{number}{scale}", states=float(value))


SHOWN = VALUES.map(lambda value: Part(f"[[{value}]]", shows=float(value)))
SCALED = st.sampled_from(["between [[1]] and [[10]]", "a scale of [[2]] to [[9]]", "from [1] to [[10]]"]).map(
    Part
)
CITED = st.integers(1, 10).map(lambda number: Part(f"as [{number}] says"))
PROMISED = st.sampled_from(["Rating: nine", "**Rating:** 8/10", "rating: [[ten]]", "Rating: [[]]"]).map(
    lambda text: Part(text, promises=True)
)
PARTS = st.lists(PROSE | statement() | SHOWN | SCALED | CITED | PROMISED, min_size=1, max_size=6)
THOUGHTS = st.none() | st.text("x[]7<> \n", max_size=20).map(lambda text: f"Rating: [[3]] {text}")


def outcome(parts: list[Part]) -> float | None:
    """What the parts say, told from how they were made."""
    said = [part for part in parts if part.states is not None or part.promises]
    shown = [part.shows for part in parts if part.shows is not None]
    value = said[-1].states if said else shown[-1] if shown else None
    return value if value is not None and 1 <= value <= 10 else None


@given(PARTS, THOUGHTS, st.sampled_from([".\n", "!\r\n\n", " ; "]))
def test_a_judgment_means_what_its_parts_mean(parts: list[Part], thoughts: str | None, between: str) -> None:
    text = between.join(part.text for part in parts)
    if thoughts is not None:
        text = f"<think>{thoughts}</think>\n{text}"
    assert parse_rating(text).value == outcome(parts)


@given(PARTS)
def test_a_judgment_that_is_cut_off_means_what_its_last_line_means(parts: list[Part]) -> None:
    parts = [part for part in parts if part.text]
    assume(parts)
    *earlier, last = parts
    right = outcome(parts)
    rates = last.states is not None or (last.shows is not None and not any(
        part.states is not None or part.promises for part in earlier
    ))  # fmt: skip
    alone = not last.text.startswith("Final")
    found = parse_rating(".\n".join(part.text for part in parts), finish_reason="length").value
    assert found == (right if rates and alone else None)


@given(st.text(max_size=80) | st.text('[]7 1.Rrating:/"outf<>hk\n', max_size=60), st.text(max_size=30))
def test_any_text_ends_in_a_rating_on_the_scale_or_in_a_reason(text: str, prompt: str) -> None:
    for finish_reason in ("stop", "length"):
        verdict = parse_rating(text, finish_reason=finish_reason, prompts=[prompt])
        assert bool(verdict.reason) == (verdict.value is None)
        assert verdict.value is None or 1 <= verdict.value <= 10


HOSTILE = [
    "[", "[[ ", "[[7", "Rating", "rating: ", "rating is of ", "<think>", "</think>", "from 1 ", "from 1 to ",
    "7", "/", "( ", "(\0", "out of a ", "on a scale from ", "[[7]](", "x<think></think>", "*",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_long_judgment_is_read_in_proportion_to_its_length(piece: str) -> None:
    """Were the time quadratic, this would take hours: 40 billion steps."""
    text = piece * (200_000 // len(piece))
    assert parse_rating(text, finish_reason="length", prompts=[PROMPT]).value is None
