"""Records that are kept packed are equal to what was packed."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.evidence import Chat
from pytest_instructlab_eval.records.packed import Packed
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score

TEXTS = st.text(st.characters())
LIKELIHOODS = st.lists(st.floats(allow_nan=False, allow_infinity=False))
CHATS = st.builds(
    Chat, st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS})).map(tuple), st.none() | TEXTS
)
SAMPLES = st.builds(
    Sample, TEXTS, st.none() | st.floats(0, 1), logprobs=LIKELIHOODS, question=TEXTS,
    choices=st.lists(TEXTS), way=TEXTS, passage=TEXTS,
)  # fmt: skip


@given(st.lists(CHATS).map(tuple))
def test_a_packed_sequence_is_equal_to_the_records(chats: tuple[Chat, ...]) -> None:
    packed = Packed(chats)
    assert packed == chats
    assert chats == packed
    assert packed == Packed(chats)
    assert (len(packed), list(packed), packed[:1], repr(packed)) == (
        len(chats), list(chats), chats[:1], repr(chats),
    )  # fmt: skip
    assert plain_data(packed) == plain_data(chats)


def test_a_packed_sequence_is_another_one_than_that_of_other_records() -> None:
    assert Packed([1, 2]) != Packed([1])
    assert Packed([1]) != (2,)
    assert Packed([1]) != [1]
    assert Packed([1, 2])[1] == 2


@given(st.lists(CHATS, max_size=3).map(tuple))
def test_a_result_has_the_chats_that_it_was_given_and_keeps_them_packed(chats: tuple[Chat, ...]) -> None:
    result = Result("own", "q", "", "lab", scores=(Score(1.0),), chats=chats)
    plain = result.to_plain()
    restored = Result.from_plain(plain)
    assert isinstance(restored.chats, Packed) or not chats
    assert restored.to_plain() == plain


class Odd(str):
    """A text of a user's own type, which a copy cannot be made of."""

    def __new__(cls, text: str, reason: str) -> "Odd":
        return super().__new__(cls, text)


def test_a_sample_has_texts_and_numbers_of_any_type_as_plain_data() -> None:
    sample = Sample(
        "0", 1.0, logprobs=np.array([-1.5, -2.0]), question=Odd("Why?", "so"), choices=[Odd("A", "")]
    )
    assert (sample.logprobs, sample.question, sample.choices) == ((-1.5, -2.0), "Why?", ("A",))
    assert {type(value) for value in (*sample.logprobs, sample.question)} == {float, str}


def test_many_short_chats_need_less_than_a_third_of_the_memory() -> None:
    chats = tuple(Chat(({"role": "user", "content": f"question {n}"},), f"answer {n}") for n in range(100))
    assert len(pickle.dumps(Packed(chats))) < len(pickle.dumps(chats)) / 3


@given(SAMPLES)
def test_a_sample_is_equal_to_its_copies(sample: Sample) -> None:
    fields = {field.name: getattr(sample, field.name) for field in dataclasses.fields(sample)}
    assert Sample(**fields) == sample
    for copied in (copy.deepcopy(sample), pickle.loads(pickle.dumps(sample)), dataclasses.replace(sample)):
        assert copied == sample
        assert repr(copied) == repr(sample)


@given(SAMPLES, SAMPLES)
def test_samples_are_equal_where_all_their_fields_are(one: Sample, other: Sample) -> None:
    names = [field.name for field in dataclasses.fields(one)]
    assert (one == other) == all(getattr(one, name) == getattr(other, name) for name in names)


@pytest.mark.parametrize("name", ["value", "question", "logprobs"])
def test_a_sample_cannot_be_changed(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Sample("0", 1.0), name, None)


@pytest.mark.parametrize("logprob", [float("nan"), float("-inf"), float("inf")])
def test_a_sample_has_no_likelihood_that_json_could_not_hold(logprob: float) -> None:
    with pytest.raises(ValueError, match=f"must be finite numbers \\(got -1.0, {logprob}\\)"):
        Sample("0", 1.0, logprobs=[-1.0, logprob])


def test_a_samples_value_is_a_number_in_every_file() -> None:
    assert Sample("0", True).to_plain()["value"] == 1.0
    assert type(Sample("0", True).value) is float


def test_what_is_empty_of_a_question_is_not_in_the_file_whatever_its_type() -> None:
    sample = Sample("0", 1.0, passage=np.array(["a", "b"]), way="")  # type: ignore[arg-type]
    plain = sample.to_plain()
    assert plain["passage"] == ["a", "b"]
    assert not {"way", "question", "choices"} & plain.keys()
