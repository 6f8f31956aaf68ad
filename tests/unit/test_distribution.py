"""How a run is shared among processes, and what this process has queued."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.session import distribution, xdist_internals
from pytest_instructlab_eval.session.distribution import LocalQueue, Signs, WorkerQueue
from pytest_instructlab_eval.session.xdist_internals import WorkerNode


def config(**parts: Any) -> pytest.Config:
    """As much of a config as is looked at."""
    parts.setdefault("option", SimpleNamespace())
    return cast("pytest.Config", SimpleNamespace(**parts))


def worker(number: int, count: int) -> pytest.Config:
    return config(workerinput={"workerid": f"gw{number}", "workercount": count})


class Item:
    """An item that can be told from another."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def items(count: int) -> list[pytest.Item]:
    return cast("list[pytest.Item]", [Item(f"item{number}") for number in range(count)])


# --- who is who ---


def test_a_process_that_xdist_started_is_a_worker() -> None:
    assert xdist_internals.is_worker(worker(0, 2))
    assert not xdist_internals.is_worker(config())


def test_the_number_of_processes_is_that_of_the_workers() -> None:
    assert xdist_internals.worker_count(worker(0, 3)) == 3
    assert xdist_internals.worker_count(config(option=SimpleNamespace(tx=["popen", "popen"]))) == 2
    assert xdist_internals.worker_count(config()) == 1


# --- the budget ---


@given(st.integers(1, 40), st.integers(0, 200))
def test_the_shares_of_all_workers_are_the_whole_budget_and_none_is_empty(count: int, more: int) -> None:
    budget = count + more
    shares = [distribution.divide_budget(budget, worker(number, count)) for number in range(count)]
    assert sum(shares) == budget
    assert min(shares) >= 1
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 40), st.integers(1, 40))
def test_where_workers_outnumber_the_budget_each_still_has_one(budget: int, more: int) -> None:
    count = budget + more
    assert {distribution.divide_budget(budget, worker(number, count)) for number in range(count)} == {1}


@given(st.integers(1, 200))
def test_without_xdist_the_process_has_the_whole_budget(budget: int) -> None:
    assert distribution.divide_budget(budget, config()) == budget


@given(st.integers(1, 8), st.integers(1, 64), st.integers(0, 99))
def test_a_worker_that_replaces_another_has_a_share_of_the_same_size(
    count: int, budget: int, number: int
) -> None:
    share = distribution.divide_budget(budget, worker(number, count))
    assert share in (max(1, budget // count), budget // count + 1)


def test_the_window_bridges_uneven_latencies() -> None:
    assert distribution.look_ahead_window(64) == 128


def test_tasks_of_many_questions_run_ahead_until_these_last_while_the_next_is_loaded() -> None:
    assert distribution.requests_ahead(64) == 3200


# --- the kind of distribution ---


@pytest.mark.parametrize(
    ("numprocesses", "dist", "chosen"),
    [(2, "no", "worksteal"), (2, "loadscope", "loadscope"), (None, "no", "no"), (0, "no", "no")],
)
def test_work_stealing_is_chosen_where_nothing_else_was(
    numprocesses: int | None, dist: str, chosen: str
) -> None:
    option = SimpleNamespace(numprocesses=numprocesses, dist=dist)
    xdist_internals.choose_work_stealing(config(option=option))
    assert option.dist == chosen


def test_without_xdist_there_is_nothing_to_choose() -> None:
    option = SimpleNamespace()
    xdist_internals.choose_work_stealing(config(option=option))
    assert vars(option) == {}


# --- the queue of a run without xdist ---


@given(st.integers(0, 30), st.integers(0, 40))
def test_a_local_queue_gives_each_item_once_and_in_order(count: int, limit: int) -> None:
    every = items(count)
    queue = LocalQueue(every)
    given_out = [later for item in every for later in queue.ahead(item, None, limit)]
    assert given_out == (every[1:] if limit else [])


@given(st.integers(1, 30), st.integers(1, 40), st.data())
def test_a_local_queue_gives_what_is_within_the_limit_after_the_item(
    count: int, limit: int, choices: st.DataObject
) -> None:
    every = items(count)
    place = choices.draw(st.integers(0, count - 1))
    assert list(LocalQueue(every).ahead(every[place], None, limit)) == every[place + 1 : place + 1 + limit]


def test_a_local_queue_never_goes_back() -> None:
    every = items(6)
    queue = LocalQueue(every)
    assert list(queue.ahead(every[2], None, 2)) == every[3:5]
    assert list(queue.ahead(every[0], None, 2)) == []
    assert list(queue.ahead(every[3], None, 2)) == every[5:6]


def test_a_local_queue_gives_nothing_for_an_item_that_it_does_not_have() -> None:
    (stranger,) = items(1)
    queue = LocalQueue(every := items(3))
    assert list(queue.ahead(stranger, None, 2)) == []
    assert list(queue.ahead(every[0], None, 2)) == every[1:]


def test_a_local_queue_gives_later_what_was_not_taken() -> None:
    every = items(6)
    queue = LocalQueue(every)
    assert next(queue.ahead(every[0], None, 4)) == every[1]
    assert list(queue.ahead(every[1], None, 4)) == every[2:]


# --- the queue of a worker ---


class Torun:
    """As xdist's queue of indexes in a worker."""

    def __init__(self, *entries: object) -> None:
        self._entries = entries

    @contextmanager
    def lock(self) -> Any:
        yield self._entries


def queued(every: list[pytest.Item], *entries: object) -> WorkerQueue:
    return WorkerQueue(every, SimpleNamespace(torun=Torun(*entries)))


def test_a_worker_looks_at_the_next_item_and_what_is_queued_behind_it() -> None:
    every = items(8)
    assert list(queued(every, 5, 2, 7).ahead(every[0], every[3], 10)) == [
        every[3],
        every[5],
        every[2],
        every[7],
    ]


def test_a_worker_looks_no_further_than_the_limit() -> None:
    every = items(8)
    assert list(queued(every, 5, 2, 7).ahead(every[0], every[3], 3)) == [every[3], every[5], every[2]]
    assert list(queued(every, 5, 2, 7).ahead(every[0], every[3], 1)) == [every[3]]


def test_a_worker_looks_no_further_than_xdists_mark_of_the_end() -> None:
    every = items(8)
    assert list(queued(every, 5, object(), 7).ahead(every[0], every[3], 10)) == [every[3], every[5]]


def test_a_worker_has_nothing_ahead_at_its_last_item() -> None:
    every = items(2)
    assert list(queued(every).ahead(every[0], None, 10)) == []


@pytest.mark.parametrize("interactor", [None, SimpleNamespace(), SimpleNamespace(torun=[1])], ids=repr)
def test_where_xdists_queue_cannot_be_read_the_next_item_is_enough(interactor: object) -> None:
    every = items(3)
    assert list(WorkerQueue(every, interactor).ahead(every[0], every[1], 10)) == [every[1]]


# --- the signs to workers ---


def worker_node() -> WorkerNode:
    """As much of a worker that is being started as is looked at."""
    return cast("WorkerNode", SimpleNamespace(workerinput={}))


@pytest.fixture
def sign() -> Any:
    sign = Signs()
    sign.make_folder()
    yield sign
    sign.remove()


def test_a_sign_that_is_put_up_is_seen_by_the_workers(sign: Signs) -> None:
    node = worker_node()
    sign.tell(node)
    seen = Signs.for_worker(config(workerinput=node.workerinput))
    assert not seen.is_up("stop")
    sign.put_up("stop")
    assert seen.is_up("stop")
    assert not seen.is_up("careful")


def test_a_signs_reason_is_seen_by_the_workers_and_stays(sign: Signs) -> None:
    node = worker_node()
    sign.tell(node)
    seen = Signs.for_worker(config(workerinput=node.workerinput))
    assert seen.why("stop") == ""
    sign.put_up("stop", why="no space left")
    sign.put_up("stop")
    assert seen.is_up("stop")
    assert seen.why("stop") == "no space left"


def test_a_sign_may_be_put_up_twice(sign: Signs) -> None:
    sign.put_up("stop")
    sign.put_up("stop")
    assert sign.is_up("stop")


@pytest.mark.parametrize("up", [True, False])
def test_a_removed_sign_leaves_no_file_and_no_folder(up: bool) -> None:
    node = worker_node()
    sign = Signs()
    sign.make_folder()
    sign.tell(node)
    if up:
        sign.put_up("stop")
    sign.remove()
    assert not Path(str(node.workerinput[Signs.KEY])).exists()


def test_a_worker_that_was_told_of_no_sign_sees_none() -> None:
    sign = Signs.for_worker(config(workerinput={}))
    sign.put_up("stop")
    sign.remove()
    assert not sign.is_up("stop")
