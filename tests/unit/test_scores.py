"""The records: what a score, a sample and a result are, and how they travel as plain data."""

from __future__ import annotations

import enum
import json
import math
import statistics
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.evidence import Evidence, Judgment
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.samples import Sample, error_of_mean
from pytest_instructlab_eval.records.scores import Result, Score

# --- plain() ---


class NumpyScalar:
    """As numpy's scalars: not a builtin, but `item()` gives one."""

    def __init__(self, value: float) -> None:
        self._value = value

    def item(self) -> float:
        return self._value


class NumpyArray:
    """As numpy's and torch's arrays: `item()` is for those of one element."""

    def item(self) -> float:
        raise ValueError("can only convert an array of size 1 to a Python scalar")

    def __str__(self) -> str:
        return "[1 2]"


class Colour(enum.Enum):
    RED = 1


class Own:
    """What it says is its value is of its own kind, as a mock's is."""

    def tolist(self) -> Own:
        return Own()

    def __str__(self) -> str:
        return "own"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    """A subclass of a builtin, as numpy.str_ is."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NumpyScalar(0.5), 0.5),
        (NumpyScalar(3), 3),
        (Path("data/mmlu"), "data/mmlu"),
        (Colour.RED, "Colour.RED"),
        (Level.HIGH, 3),
        (Text("text"), "text"),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        ((1, 2), [1, 2]),
        ({1: "one"}, {"1": "one"}),
        (None, None),
        (True, True),
        (NumpyArray(), "[1 2]"),
        (Own(), "own"),
    ],
    ids=[
        "numpy float", "numpy integer", "path", "enum", "integer enum", "text", "mapping", "tuple",
        "integer key", "none", "truth", "numpy array", "own kind",
    ],
)  # fmt: skip
def test_plain_data_is_made_of_builtins(value: object, expected: object) -> None:
    found = plain_data({"it": [value]})["it"][0]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("key", [Colour.RED, Path("a"), NumpyScalar(1)], ids=["enum", "path", "numpy"])
def test_plain_data_has_texts_for_keys_of_any_kind(key: object) -> None:
    assert [type(name) for name in plain_data({key: 1})] == [str]


def test_half_a_surrogate_pair_becomes_a_question_mark_wherever_it_is() -> None:
    assert plain_data({"a\ud800": ["b\udfff", {"c": ("\ud83d",)}]}) == {"a?": ["b?", {"c": ["?"]}]}


def test_other_text_stays_as_it_is() -> None:
    assert plain_data("é \u2028 😀 \x00") == "é \u2028 😀 \x00"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_what_is_plain_already_stays_as_it_is(value: Any) -> None:
    assert plain_data(value) == value


@given(st.text(st.characters()))
def test_plain_text_can_always_be_encoded(text: str) -> None:
    plain_data({"text": text})["text"].encode("utf-8")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_stays_out_of_plain_data(value: float) -> None:
    text = json.dumps(plain_data({"it": [value]}))
    assert "NaN" not in text
    assert "Infinity" not in text


# --- Score ---


def test_a_score_with_a_value_is_scored() -> None:
    score = Score(0.5)
    assert (score.outcome, score.n, score.unscored, score.errors) == ("scored", 1, 0, 0)


def test_a_zero_is_a_score() -> None:
    assert Score(0.0).outcome == "scored"


def test_a_score_without_a_value_is_unscored_and_counts_one_such() -> None:
    score = Score(None)
    assert (score.outcome, score.n, score.unscored, score.errors) == ("unscored", 0, 1, 0)


def test_a_score_without_a_value_and_with_a_reason_is_an_error_and_counts_one_such() -> None:
    score = Score(None, error="it was away")
    assert (score.outcome, score.n, score.unscored, score.errors) == ("error", 0, 0, 1)


def test_a_mean_with_errors_beside_it_is_an_error() -> None:
    score = Score(0.5, n=9, errors=1)
    assert (score.outcome, score.n, score.value) == ("error", 9, 0.5)


def test_a_mean_with_unscored_questions_beside_it_is_unscored() -> None:
    assert Score(0.5, n=9, unscored=1).outcome == "unscored"


def test_counts_that_were_given_are_kept() -> None:
    score = Score(None, errors=4, error="all of them")
    assert (score.n, score.errors, score.unscored) == (0, 4, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"must be a finite number \(got .*\); record None for no score"):
        Score(value)


def test_a_score_is_an_exact_float() -> None:
    assert type(Score(True).value) is float
    assert type(Score(3).value) is float


def test_a_score_rests_on_the_judgments_of_its_evidence() -> None:
    judgments = (Judgment(7.0, "good"), Judgment(None, "?"))
    assert Score(7.0, maximum=10.0, evidence=Evidence(judgments=judgments)).judgments == judgments
    assert Score(1.0).judgments == ()


# --- mean_of ---


def samples(*values: float | None) -> list[Sample]:
    return [
        Sample(str(number), value, error=None if value is not None else f"reason {number}")
        for number, value in enumerate(values)
    ]


def test_a_mean_is_over_what_was_scored() -> None:
    score = Score.mean_of(samples(1.0, 0.0, 1.0, 1.0), metric="acc")
    assert (score.value, score.n, score.metric, score.outcome) == (0.75, 4, "acc", "scored")


def test_an_error_is_counted_and_left_out_of_the_mean() -> None:
    score = Score.mean_of(samples(1.0, None, 0.0, None), metric="acc")
    assert (score.value, score.n, score.errors, score.outcome) == (0.5, 2, 2, "error")


def test_the_reason_of_the_first_error_is_told() -> None:
    score = Score.mean_of(samples(1.0, None, None), metric="acc")
    assert score.error == "2 of 3 questions could not be asked; the first, question 1: reason 1"


def test_a_mean_over_nothing_is_none_and_never_zero() -> None:
    score = Score.mean_of(samples(None, None), metric="acc")
    assert (score.value, score.n, score.errors, score.stderr) == (None, 0, 2, None)


def test_a_mean_over_no_question_at_all_is_unscored() -> None:
    assert Score.mean_of([], metric="acc").outcome == "unscored"


def test_the_standard_error_of_one_value_is_not_known() -> None:
    assert Score.mean_of(samples(1.0), metric="acc").stderr is None


@given(st.lists(st.floats(0, 10), min_size=2, max_size=30))
def test_mean_and_standard_error_are_those_of_statistics(values: list[float]) -> None:
    score = Score.mean_of(samples(*values), metric="acc", maximum=10.0)
    assert score.value == pytest.approx(statistics.fmean(values))
    assert score.stderr == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)))


@given(st.lists(st.none() | st.floats(0, 1), max_size=20))
def test_every_sample_is_either_in_the_mean_or_counted_as_an_error(values: list[float | None]) -> None:
    score = Score.mean_of(samples(*values), metric="acc")
    assert score.n + score.errors == len(values)
    assert score.samples == tuple(samples(*values))


def test_the_samples_of_one_passage_are_one_cluster_in_the_standard_error() -> None:
    alike = [replace(sample, passage="moon") for sample in samples(1.0, 1.0)]
    assert error_of_mean([*alike, *samples(0.0, None)]) == pytest.approx(math.sqrt(2 * 2 * (2 / 3) ** 2) / 3)
    assert error_of_mean(alike) is None


# --- Result ---


def result(*scores: Score, error: str | None = None) -> Result:
    return Result("mmlu", "anatomy", "anatomy", "tiny", scores=scores, error=error)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (result(Score(1.0)), "scored"),
        (result(Score(1.0), Score(0.0)), "scored"),
        (result(Score(1.0), Score(None)), "unscored"),
        (result(Score(None), Score(None, error="away")), "error"),
        (result(), "unscored"),
        (result(error="away"), "error"),
        (result(Score(1.0), error="away"), "error"),
    ],
)
def test_the_outcome_of_a_result_is_the_worst_of_its_scores(found: Result, outcome: str) -> None:
    assert found.outcome == outcome


def test_the_value_of_a_result_is_the_mean_of_what_was_scored() -> None:
    assert result(Score(4.0), Score(None), Score(7.0)).value == 5.5


def test_the_value_of_a_result_without_a_score_is_none() -> None:
    assert result(Score(None)).value is None


@pytest.mark.parametrize(
    ("value", "error", "outcome"),
    [(0.0, None, "scored"), (0.5, "late", "scored"), (None, None, "unscored"), (None, "gone", "error")],
)
def test_a_sample_without_a_score_is_an_error_if_it_says_why(
    value: float | None, error: str | None, outcome: str
) -> None:
    assert Sample("0", value, error=error).outcome == outcome


@pytest.mark.parametrize(("cluster", "own"), [(None, None), ("a/qna.yaml", None), ("mine", "mine"), ("", "")])
def test_a_cluster_that_follows_from_the_group_is_not_its_own(cluster: str | None, own: str | None) -> None:
    assert replace(result(), group="a/qna.yaml", cluster=cluster).own_cluster == own


@pytest.mark.parametrize(("turns", "same"), [((True, True), True), ((True, False), False)])
def test_the_answers_of_a_result_are_the_same_where_those_of_each_turn_are(
    turns: tuple[bool, ...], same: bool
) -> None:
    assert result(*(Score(1.0, same_answers=turn) for turn in turns)).same_answers is same


def test_a_result_spells_out_its_outcome_as_plain_data() -> None:
    assert result(Score(None)).to_plain()["outcome"] == "unscored"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SAMPLES = st.builds(
    Sample,
    id=TEXT,
    value=st.none() | FINITE,
    choice=st.none() | TEXT,
    answer=st.none() | TEXT,
    logprobs=st.lists(FINITE, max_size=4).map(tuple),
    error=st.none() | TEXT,
)
SCORES = st.builds(
    Score,
    value=st.none() | FINITE,
    metric=TEXT,
    maximum=st.floats(1, 100),
    n=st.integers(1, 100),
    unscored=st.integers(0, 9),
    errors=st.integers(0, 9),
    stderr=st.none() | st.floats(0, 10),
    explanation=TEXT,
    error=st.none() | TEXT,
    samples=st.lists(SAMPLES, max_size=2).map(tuple),
    metadata=st.dictionaries(TEXT, JSON, max_size=2),
)
RESULTS = st.builds(
    Result,
    benchmark=TEXT,
    question=TEXT,
    group=TEXT,
    model=TEXT,
    judge=st.none() | TEXT,
    scores=st.lists(SCORES, max_size=2).map(tuple),
    error=st.none() | TEXT,
    duration=st.floats(0, 1000),
    nodeid=TEXT,
)


@given(RESULTS)
def test_a_result_comes_back_from_json_as_it_was(found: Result) -> None:
    assert Result.from_plain(json.loads(json.dumps(found.to_plain()))) == found


def test_a_result_with_values_of_other_kinds_comes_back_as_builtins() -> None:
    score = Score(0.5, metadata={"path": Path("a"), "number": NumpyScalar(2), "text": "\ud800"})
    (found,) = Result.from_plain(result(score).to_plain()).scores
    assert found.metadata == {"path": "a", "number": 2, "text": "?"}


@pytest.mark.parametrize("missing", ["benchmark", "scores", "model"])
def test_a_record_that_lacks_a_field_is_no_result(missing: str) -> None:
    record = result(Score(1.0)).to_plain()
    del record[missing]
    with pytest.raises((TypeError, KeyError)):
        Result.from_plain(record)
