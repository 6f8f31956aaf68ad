"""Evidence: what a score rests on, and how results.json has it among a score's metadata."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.typed_json import MisfitError, read_as
from pytest_instructlab_eval.records.evidence import Evidence, Judgment, ModelReply, Origin
from pytest_instructlab_eval.records.schema import RULES
from pytest_instructlab_eval.records.scores import Score

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
SOME = st.none() | TEXT
RATING = st.none() | st.floats(0, 10)

REPLIES = st.builds(ModelReply, SOME, TEXT, TEXT)
ONE_REPLY = REPLIES.filter(lambda reply: reply != ModelReply(None))
ORIGINS = st.builds(Origin, SOME, SOME, SOME, SOME)
ABOUT = st.builds(
    Judgment, RATING, TEXT, prompt=TEXT, finish_reason=TEXT, reasoning=TEXT,
    contradictory=st.lists(st.floats(0, 10), max_size=3).map(tuple), chrf=st.none() | st.floats(0, 100),
)  # fmt: skip
MARKED = st.builds(lambda judgment, mark, name: judgment.marked(mark, name), ABOUT,
                   st.sampled_from(("judge", "answer", "repeat")), NAME)  # fmt: skip


@st.composite
def evidence(draw: st.DrawFn) -> tuple[Evidence, float | None]:
    """Evidence as judges and benchmarks make it, and the value of its score."""
    several = draw(st.booleans())
    replies = draw(st.lists(REPLIES, min_size=2, max_size=3) if several else st.lists(ONE_REPLY, max_size=1))
    judgments = draw(st.lists(MARKED if several else ABOUT, max_size=3 if several else 1))
    found = Evidence(
        draw(SOME), draw(SOME), tuple(replies), tuple(judgments), draw(SOME), draw(SOME),
        draw(st.none() | st.integers(1, 9)), draw(st.booleans()), draw(ORIGINS),
    )  # fmt: skip
    return found, judgments[0].rating if judgments and not several else None


def several(reply: ModelReply) -> bool:
    return reply.text is not None


@given(evidence(), st.dictionaries(TEXT, SOME, max_size=2))
def test_evidence_is_read_as_it_was_written(made: tuple[Evidence, float | None], own: dict[str, Any]) -> None:
    found, value = made
    if len(found.replies) > 1 and not any(map(several, found.replies)):
        return  # how often a model gave no answer is not kept
    if found.judgments and not found.judgments[0].prompt:
        found = Evidence(**{**vars(found), "judge_prompt": found.judge_prompt})
    score = Score(value, "rating", 10.0, explanation="all", metadata=own, evidence=found)
    again = Score.from_plain(json.loads(json.dumps(score.to_plain())))
    assert again.data == score.data
    assert again.metadata == own
    if found != Evidence():
        assert again.evidence is not None
        assert again.evidence.replies == found.replies
        assert again.evidence.origin == found.origin
        assert [judgment.rating for judgment in again.evidence.judgments] == [
            judgment.rating for judgment in found.judgments
        ]


def test_what_a_test_says_itself_is_no_evidence_whatever_it_is_called() -> None:
    score = Score(1.0, metadata={"answer": 42, "judgments": "many"}, evidence=Evidence("Why?"))
    written = score.to_plain()
    assert written["evidence"] == ["question"]
    assert written["metadata"] == {"question": "Why?", "answer": 42, "judgments": "many"}
    assert Score.from_plain(written) == score


def test_evidence_that_does_not_fit_is_refused_in_a_file_and_plain_data_in_a_run() -> None:
    written = Score(1.0, evidence=Evidence("Why?")).to_plain()
    written["metadata"] = {"question": 7}
    with pytest.raises(MisfitError, match=r"question must be a text or null \(got 7\)"):
        read_as(Score, written, RULES)
    assert Score.from_plain(written).metadata == {"question": 7}


def test_a_rating_may_be_recorded_on_another_scale() -> None:
    judgments = tuple(Judgment(rating, "so", repeat=str(rating)) for rating in (8.0, 9.0))
    score = Score(0.85, "quality", 1.0, evidence=Evidence("Why?", judgments=judgments, maximum=10.0))
    again = read_as(Score, json.loads(json.dumps(score.to_plain())), RULES)
    assert again.evidence is not None
    assert [judgment.rating for judgment in again.evidence.judgments] == [8.0, 9.0]
    assert score.data["rating_maximum"] == 10.0
    assert "rating_maximum" not in Score(8.5, "quality", 10.0, evidence=score.evidence).data


def test_before_evidence_was_named_it_is_what_fits() -> None:
    written = Score(
        8.0, maximum=10.0, evidence=Evidence("Why?", replies=(ModelReply("So.", "length"),))
    ).to_plain()
    del written["evidence"]
    found = Score.from_plain(written)
    assert found.evidence is not None
    assert found.evidence.replies == (ModelReply("So.", "length"),)
    assert found.evidence.replies[0].cut_off
    written["metadata"] = {"question": 7, "answer": "So."}
    assert Score.from_plain(written).metadata == {"question": 7, "answer": "So."}


def test_an_answer_has_its_own_judgments_and_those_that_name_no_answer() -> None:
    first, second, any_answer = (Judgment(5.0, "so", answer=answer) for answer in ("1", "2", ""))
    evidence = Evidence("Why?", judgments=(first, second, any_answer))
    assert evidence.judgments_of(1) == (first, any_answer)
    assert evidence.judgments_of(3) == (any_answer,)
