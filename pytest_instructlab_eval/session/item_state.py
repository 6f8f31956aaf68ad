"""The state of an item from its setup to its teardown."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pytest_instructlab_eval.models.equal_requests import EqualRequests
from pytest_instructlab_eval.records.evidence import Chat
from pytest_instructlab_eval.records.recorder import Recorder
from pytest_instructlab_eval.session.marker import marked_maxima, marked_maximum


@dataclass
class ItemState:
    """The state of an item.

    `chats` are those with its model, and `requests` what it asked that model, in the order of their starts.
    `gradings` has the judge's first way of grading of each metric, `duration` the seconds of its coroutine,
    and `failure` that of its last call.
    """

    recorder: Recorder
    chats: list[Chat] = field(default_factory=list)
    requests: list[object] = field(default_factory=list)
    gradings: dict[str, object] = field(default_factory=dict)
    duration: float | None = None
    failure: pytest.ExceptionInfo[BaseException] | None = None


_STATE = pytest.StashKey[ItemState]()
_REQUESTS = pytest.StashKey[EqualRequests]()


def state_of(item: pytest.Item) -> ItemState:
    """Return the state of an item, made on first use."""
    if _STATE not in item.stash:
        item.stash[_STATE] = ItemState(Recorder(marked_maximum(item), marked_maxima(item)))
    return item.stash[_STATE]


def equal_requests(item: pytest.Item) -> EqualRequests:
    """Return the numbers of an item's equal requests, made on first use."""
    return item.stash.setdefault(_REQUESTS, EqualRequests())


def drop_state(item: pytest.Item) -> None:
    """Remove the state of an item, so that a rerun starts with a new one.

    A test that has failed keeps the numbers of its requests, so that a rerun asks anew.
    """
    if _STATE not in item.stash:
        return
    if state_of(item).failure is None and _REQUESTS in item.stash:
        del item.stash[_REQUESTS]
    del item.stash[_STATE]
