"""Log-probabilities as servers give them: numbers are read in every form, and nothing else is."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.logprobs import (
    echoed_text,
    echoed_tokens,
    likeliest_tokens,
    log_likelihood,
    parse_logprob,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [(-1.5, -1.5), (-2, -2.0), (0, 0.0), (0.0, 0.0), (-0.0, 0.0), (1e-7, 0.0), (-9998.9, -9998.9)],
)
def test_a_number_up_to_0_is_a_log_probability_and_so_is_what_rounding_adds(
    value: float, number: float
) -> None:
    assert parse_logprob(value) == number


@pytest.mark.parametrize(
    "value",
    [
        None, "-1.2", "", True, False, [-1.0], {"logprob": -1.0}, math.nan, math.inf, -math.inf, -9999.0,
        -3.4028234663852886e38, -(10**400),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_finite_number_is_an_error_that_names_it(value: object) -> None:
    with pytest.raises(ModelError, match="expected a finite log-probability") as caught:
        parse_logprob(value)
    assert repr(value)[:90] in str(caught.value)


@pytest.mark.parametrize("value", [0.5, 1, 10**300])
def test_a_probability_is_no_log_probability(value: float) -> None:
    with pytest.raises(ModelError, match="expected a log-probability of at most 0"):
        parse_logprob(value)


@given(JSON)
def test_any_value_is_a_finite_number_up_to_0_or_an_error(value: object) -> None:
    try:
        found = parse_logprob(value)
    except ModelError:
        return
    assert type(found) is float
    assert math.isfinite(found)
    assert found <= 0
    assert found == pytest.approx(value, abs=1e-3)


CLASSIC = {"tokens": [" A"], "top_logprobs": [{" A": -0.1, " B": -2.0}]}
CHAT = {
    "content": [
        {
            "token": " A",
            "logprob": -0.1,
            "top_logprobs": [
                {"id": 330, "token": " A", "bytes": [32, 65], "logprob": -0.1},
                {"id": 331, "token": " B", "bytes": [32, 66], "logprob": -2.0},
            ],
        }
    ]
}


@pytest.mark.parametrize("logprobs", [CLASSIC, CHAT], ids=["classic", "chat"])
def test_both_forms_are_read(logprobs: Any) -> None:
    assert likeliest_tokens({"logprobs": logprobs}) == {" A": [-0.1], " B": [-2.0]}


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"top_logprobs": None}, {"content": []}, {"top_logprobs": [None]},
     {"top_logprobs": [{" A": -1.0}, {" B": -1.0}]}],
    ids=repr,
)  # fmt: skip
def test_a_completion_without_the_log_probabilities_of_one_token_says_nothing(logprobs: Any) -> None:
    assert likeliest_tokens({"logprobs": logprobs}) == {}


@pytest.mark.parametrize(
    "logprobs",
    ["none", [], 3, {"top_logprobs": "A"}, {"top_logprobs": [3]}, {"content": [3]}, {"content": {"a": 1}},
     {"content": [{"top_logprobs": [{"logprob": -1.0}]}]}, {"content": [{"top_logprobs": [["A", -1.0]]}]}],
    ids=repr,
)  # fmt: skip
def test_another_form_is_an_error(logprobs: Any) -> None:
    with pytest.raises(ModelError, match="in an unknown form"):
        likeliest_tokens({"logprobs": logprobs})


def test_of_two_tokens_of_one_text_the_likelier_is_the_one_that_is_written() -> None:
    entries = [{"token": " A", "logprob": value} for value in (-7.0, -1.0, -9.0)]
    found = likeliest_tokens({"logprobs": {"content": [{"top_logprobs": entries}]}})
    assert log_likelihood(found[" A"]) == -1.0


def echo(tokens: list[str], values: list[Any]) -> dict[str, Any]:
    offsets = [len("".join(tokens[:place])) for place in range(len(tokens))]
    return {"logprobs": {"tokens": tokens, "text_offset": offsets, "token_logprobs": values}}


ECHO = echo(["Answer", ":", " the", " sea", "!"], [None, -1.0, -2.0, -3.0, -0.5])


def test_the_tokens_of_the_choice_are_found_in_an_echo() -> None:
    assert echoed_tokens(ECHO, 2, 4) == [-2.0, -3.0]
    assert echoed_text(ECHO, "Answer:", " the sea") == [-2.0, -3.0]


@pytest.mark.parametrize(
    "completion",
    [
        {"logprobs": None},
        {"logprobs": {"content": [{"token": "!", "logprob": -0.5}]}},
        echo(["!"], [-0.5]),
        echo(["<s>", "Answer", ":", " the", " sea", "!"], [None, -1.0, -1.0, -2.0, -3.0, -0.5]),
        echo(["Answer", ":", " the", " sea", "!"], [-1.0, -2.0, -3.0, -0.5]),
        echo(["Answer", ": the", " sea", "!"], [None, -2.0, -3.0]),
    ],
    ids=["none", "chat form", "not echoed", "a token more", "a value less", "other tokens"],
)
def test_what_is_no_echo_of_these_tokens_says_nothing(completion: dict[str, Any]) -> None:
    assert echoed_tokens(completion, 2, 4) is None
    assert echoed_text(completion, "Answer:", " the sea") is None


def test_a_choice_that_begins_inside_a_token_has_no_likelihood_of_its_own() -> None:
    assert echoed_text(echo(["Answer", ": the", " sea"], [None, -2.0, -3.0]), "Answer:", " the sea") is None


def test_the_first_token_of_a_text_has_no_likelihood() -> None:
    assert echoed_tokens(ECHO, 0, 5) is None
    assert echoed_text(ECHO, "", "Answer") is None


@given(JSON)
def test_any_reply_is_read_or_an_error(logprobs: object) -> None:
    for read in (
        likeliest_tokens,
        lambda completion: echoed_tokens(completion, 1, 2),
        lambda completion: echoed_text(completion, "a", "b"),
    ):
        with contextlib.suppress(ModelError):
            read({"logprobs": logprobs})
