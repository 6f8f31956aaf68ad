"""The note on requests that were sent again: how often, and after what, server by server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.models.resent_requests import resent_notes


def test_a_server_has_one_note_with_the_commonest_cause_first() -> None:
    resent = {("a", "no reply"): 2, ("a", "status 500"): 1200, ("b", "status 429"): 1}
    assert resent_notes(resent) == [
        "requests to a were sent again 1,202 times: 1,200 after status 500, 2 after no reply",
        "requests to b were sent again once: 1 after status 429",
    ]


def test_where_nothing_was_sent_again_there_is_no_note() -> None:
    assert resent_notes({}) == resent_notes({("a", "status 500"): 0}) == []


@given(st.dictionaries(st.tuples(st.sampled_from("ab"), st.text(max_size=5)), st.integers(1, 9), max_size=6))
def test_every_repetition_is_in_a_note(resent: dict[tuple[str, str], int]) -> None:
    notes = resent_notes(resent)
    assert len(notes) == len({server for server, _ in resent})
    assert sum(note.count(" after ") for note in notes) >= len(resent)
