"""The identity of a model: what is equal, what differs, and what is not known."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.typed_json import read_as
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.models.identity import joined_identity, listed_identity
from pytest_instructlab_eval.models.replies import model_cards
from pytest_instructlab_eval.records.identity_comparison import check_judges, different_models, identity_notes
from pytest_instructlab_eval.records.model_identity import (
    Fingerprint,
    Likelihoods,
    ModelIdentity,
    mean_distance,
)

LISTED = ModelIdentity("granite", root="/models/a", owner="vllm")
SEEN: tuple[Likelihoods, ...] = ({" Paris": -0.3, " the": -2.7}, {"1": -0.5, "2": -3.0})


def shifted(nats: float) -> tuple[Likelihoods, ...]:
    return tuple({token: value - nats for token, value in one.items()} for one in SEEN)


def looked_at(nats: float = 0.0, *, repeats_to: float = 0.0) -> ModelIdentity:
    """The listed model, whose log-probabilities are so many nats away and repeat so well."""
    second = shifted(nats + repeats_to)
    return replace(LISTED, fingerprint=Fingerprint.of("completions", "x", shifted(nats), second))


def test_what_is_known_before_the_first_request_is_the_text() -> None:
    assert json.loads(LISTED.text) == {"name": "granite", "root": "/models/a", "owner": "vllm"}
    assert looked_at().text == replace(LISTED, created=7, created_once=8).text == LISTED.text
    assert replace(LISTED, root="/models/b").text != LISTED.text
    with_digest = replace(LISTED, digest="sha256:1")
    assert replace(with_digest, name="other", root=None).text == with_digest.text


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"root": "/models/b"}, "its root is '/models/b' now and was '/models/a'"),
        ({"owner": "llamacpp"}, "its owner is 'llamacpp' now and was 'vllm'"),
        ({"root": None}, None),
        ({"details": {"ftype": "Q8"}}, None),
        ({"created_once": 9}, None),
    ],
)
def test_only_what_both_know_can_differ(change: dict[str, object], shown: str | None) -> None:
    assert replace(LISTED, **change).difference(LISTED) == shown  # type: ignore[arg-type]


def test_a_time_of_creation_counts_once_two_looks_agree() -> None:
    first = replace(LISTED, created_once=100)
    assert first.confirmed(first).created == 100
    assert first.confirmed(replace(first, created_once=102)).created is None
    confirmed = first.confirmed(first)
    assert first.difference(confirmed) is None
    another = replace(LISTED, created_once=200)
    assert another.difference(confirmed) == "its time of creation is 200 now and was 100"
    assert "created" not in first.to_plain()


@pytest.mark.parametrize(
    ("nats", "repeats_to", "differs"),
    [(0.019, 0.0, False), (0.03, 0.0, True), (0.2, 0.03, False), (0.4, 0.03, True)],
)
def test_log_probabilities_differ_by_more_than_0_02_nats_and_ten_times_their_repeatability(
    nats: float, repeats_to: float, differs: bool
) -> None:
    now, then = looked_at(nats, repeats_to=repeats_to), looked_at()
    assert (now.difference(then) is not None) == (then.difference(now) is not None) == differs
    assert now.is_same(then) is not differs


def test_the_difference_is_said_in_nats() -> None:
    assert looked_at(0.4).difference(looked_at()) == (
        "its log-probabilities after 2 fixed prompts differ by 0.4 nats in the mean (and by 0 when asked "
        "twice)"
    )


def test_a_token_that_one_side_does_not_list_is_at_most_as_likely_as_the_last_one_there() -> None:
    assert mean_distance([{"a": -1.0}], [{"b": -1.0}]) == 0.0
    assert mean_distance([{"a": -1.0, "b": -2.0}], [{"c": -5.0, "a": -1.0}]) == pytest.approx(3.0 / 3)


def test_nothing_is_surely_the_same_that_was_not_looked_at() -> None:
    assert not LISTED.is_same(LISTED)
    assert not looked_at().is_same(LISTED)
    assert looked_at().is_same(looked_at())
    other_prompts = replace(looked_at(), fingerprint=Fingerprint("completions", "y", SEEN, 0.0))
    assert other_prompts.difference(looked_at()) is None
    assert not other_prompts.is_same(looked_at())
    with_digest = replace(LISTED, digest="sha256:1")
    assert with_digest.is_same(replace(with_digest, root="/elsewhere"))
    assert "digest" in str(with_digest.difference(replace(with_digest, digest="sha256:2")))


def test_models_of_one_name_that_answer_otherwise_are_different_models() -> None:
    ours = {"a": looked_at(1.0), "b": looked_at(), "mine": LISTED}
    theirs = {"a": looked_at(), "b": looked_at(), "theirs": LISTED}
    assert [label for label, _ in different_models(ours, theirs)] == ["a"]


def test_a_judge_may_be_served_from_another_folder_and_not_be_another_model() -> None:
    moved = replace(looked_at(), root="/models/b")
    check_judges({"j": moved}, {"j": looked_at()}, "base.json", "advice")
    check_judges({"j": moved}, {"other": looked_at(1.0)}, "base.json", "advice")
    with pytest.raises(ConfigurationError, match=r"^base.json has another judge under the name j: its log"):
        check_judges({"j": looked_at(1.0)}, {"j": looked_at()}, "base.json", "advice")
    with pytest.raises(ConfigurationError, match="its root is '/models/b' now and was '/models/a' in"):
        check_judges({"j": replace(LISTED, root="/models/b")}, {"j": LISTED}, "base.json", "advice")


def test_a_model_is_said_to_be_the_same_another_or_nothing() -> None:
    theirs = {"granite": looked_at()}
    assert list(identity_notes({"granite": looked_at()}, theirs)) == [
        "granite is the model of the baseline, as far as its log-probabilities show"
    ]
    (another,) = identity_notes({"granite": looked_at(1.0)}, theirs)
    assert another.startswith("granite is another model than the baseline's granite: its log-probabilities")
    assert list(identity_notes({"granite": LISTED, "new": LISTED}, theirs)) == []


def test_servers_with_different_models_have_no_fingerprint() -> None:
    assert joined_identity([looked_at(), looked_at()]) == looked_at()
    joined = joined_identity([looked_at(), looked_at(1.0)])
    assert joined.fingerprint is None
    assert str(joined.without_fingerprint).startswith("its servers have different models")


@given(st.integers(-(10**6), 10**6) | st.none(), st.text(max_size=20), st.none() | st.text(max_size=5))
def test_an_identity_is_read_back_as_it_was_written(
    created: int | None, name: str, digest: str | None
) -> None:
    identity = replace(looked_at(), name=name, created=created, digest=digest)
    written = json.loads(json.dumps(identity.to_plain()))
    read = read_as(ModelIdentity, written)
    assert read.to_plain() == identity.to_plain()
    assert read.difference(identity) is None


KEYS = st.sampled_from(["id", "root", "data", "meta", "created", "owned_by", "size", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_list_of_models_is_read(listing: object) -> None:
    for name, card in (model_cards(listing) or {}).items():
        identity = listed_identity(name, card)
        assert isinstance(identity.text, str)
        assert identity.root is None or isinstance(identity.root, str)


def test_llama_cpp_lists_how_the_weights_are_quantised() -> None:
    card = {
        "id": "m", "owned_by": "llamacpp", "created": 1,
        "meta": {"n_params": 134515008, "size": 96576768, "ftype": "Q4_1", "n_ctx": 4096},
    }  # fmt: skip
    facts = json.loads(listed_identity("m", card).text)
    assert facts["details"] == {"n_params": "134515008", "size": "96576768", "ftype": "Q4_1"}
