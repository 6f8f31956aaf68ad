"""The state of an item from its setup to its teardown."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pytest_instructlab_eval.records.evidence import Chat
from pytest_instructlab_eval.records.recorder import Recorder
from pytest_instructlab_eval.session.marker import marked_maximum


@dataclass
class ItemState:
    """An item's recorder, its model's chats, its coroutine's seconds, and the failure of its last call."""

    recorder: Recorder
    chats: list[Chat] = field(default_factory=list)
    duration: float | None = None
    failure: pytest.ExceptionInfo[BaseException] | None = None


_STATE = pytest.StashKey[ItemState]()


def state_of(item: pytest.Item) -> ItemState:
    """Return the state of an item, made on first use."""
    if _STATE not in item.stash:
        item.stash[_STATE] = ItemState(Recorder(marked_maximum(item)))
    return item.stash[_STATE]


def drop_state(item: pytest.Item) -> None:
    """Remove the state of an item, so that a rerun starts with a new one."""
    if _STATE in item.stash:
        del item.stash[_STATE]
