"""The engine: coroutines under way in a thread of their own, waited for in another."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.models.background import DaemonWorker, in_daemon_thread
from pytest_instructlab_eval.session import engine as engine_module
from pytest_instructlab_eval.session.engine import CoroutineRun, Engine, LookAhead, RecordRouter, current_run


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def no_tick() -> None:
    pass


def result(run: CoroutineRun) -> Any:
    return run.wait(no_tick, 0.05)


async def sleep_forever() -> None:
    await asyncio.Event().wait()


class Sleepers:
    """Coroutines that sleep until they are cancelled, and count it."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0

    async def sleep(self) -> None:
        self.begun += 1
        try:
            await sleep_forever()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def wait_until_begun(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while self.begun < count:
            assert time.monotonic() < deadline
            time.sleep(0.001)


# --- runs ---


def test_a_run_gives_what_its_coroutine_returns(engine: Engine) -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert result(engine.start(work)) == "done"


def test_a_run_makes_its_coroutine_in_the_engines_thread(engine: Engine) -> None:
    made: list[str] = []

    async def work() -> None:
        made.append(threading.current_thread().name)

    result(engine.start(work))
    assert made == ["instructlab-eval"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        TimeoutError("slow"),
        asyncio.TimeoutError("slow"),
        concurrent.futures.TimeoutError("slow"),
        AssertionError("no"),
        SystemExit(3),
        KeyboardInterrupt(),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_a_run_raises_the_very_error_of_its_coroutine(engine: Engine, error: BaseException) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        result(engine.start(fail))
    assert caught.value is error


def test_a_run_whose_coroutine_cannot_be_made_raises_why(engine: Engine) -> None:
    def make() -> Any:
        raise TypeError("missing an argument")

    with pytest.raises(TypeError, match="missing an argument"):
        result(engine.start(make))


def test_a_run_that_exits_does_not_end_the_others(engine: Engine) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def work() -> str:
        await asyncio.sleep(0.02)
        return "done"

    leaving, working = engine.start(leave), engine.start(work)
    with pytest.raises(SystemExit):
        result(leaving)
    assert result(working) == "done"


def test_a_wait_ticks_until_the_run_is_done(engine: Engine) -> None:
    ticks: list[int] = []
    second = threading.Event()

    def tick() -> None:
        ticks.append(len(ticks))
        if len(ticks) == 2:
            second.set()

    run = engine.start(lambda: asyncio.to_thread(second.wait, 60))
    run.wait(tick, 0.02)
    assert ticks[:2] == [0, 1]


def test_an_error_of_the_tick_ends_the_wait(engine: Engine) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    run = engine.start(sleep_forever)
    with pytest.raises(KeyboardInterrupt):
        run.wait(interrupt, 0.01)


def test_a_runs_duration_is_that_of_its_coroutine_and_not_of_the_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: Any = SimpleNamespace(perf_counter=lambda: clock.now, now=1.0)
    monkeypatch.setattr(engine_module, "time", clock)

    async def work() -> None:
        clock.now = 3.5

    run = engine.start(work)
    run.done.result(60)
    clock.now = 9.0
    result(run)
    assert run.duration == 2.5


def test_runs_are_under_way_at_the_same_time(engine: Engine) -> None:
    arrived: list[int] = []
    everyone = asyncio.Event()

    async def meet() -> int:
        arrived.append(1)
        if len(arrived) == 50:
            everyone.set()
        await everyone.wait()
        return len(arrived)

    runs = [engine.start(meet) for _ in range(50)]
    assert [result(run) for run in runs] == [50] * 50


def test_a_run_sees_the_context_of_its_start(engine: Engine) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def look() -> str:
        return variable.get()

    token = variable.set("mine")
    run = engine.start(look)
    variable.reset(token)
    assert result(run) == "mine"


def test_call_gives_a_coroutines_result_and_error(engine: Engine) -> None:
    async def work(value: int) -> int:
        if value < 0:
            raise ValueError("negative")
        return value

    assert engine.call(work(3)) == 3
    with pytest.raises(ValueError, match="negative"):
        engine.call(work(-1))


# --- its thread ---


def test_an_engine_that_nobody_needs_starts_no_thread() -> None:
    engine = Engine()
    assert not engine._thread.is_alive()
    engine.close()
    assert engine._loop.is_closed()


@pytest.mark.parametrize("end", [Engine.stop, Engine.close])
def test_an_engine_that_was_stopped_before_it_was_needed_stays_so(
    end: Callable[[Engine], None],
) -> None:
    engine = Engine()
    end(engine)
    with pytest.raises(RuntimeError, match="closed"):
        engine.start(sleep_forever)
    assert not engine._thread.is_alive()
    engine.close()


# --- cancelling ---


def test_a_cancelled_run_ends_and_its_wait_says_so(engine: Engine) -> None:
    sleepers = Sleepers()
    run = engine.start(sleepers.sleep)
    sleepers.wait_until_begun(1)
    engine.cancel(run)
    with pytest.raises(concurrent.futures.CancelledError):
        result(run)
    assert sleepers.cancelled == 1


def test_a_cancelled_run_leaves_the_others_alone(engine: Engine) -> None:
    async def work() -> str:
        await asyncio.sleep(0.05)
        return "done"

    sleepers = Sleepers()
    cancelled, other = engine.start(sleepers.sleep), engine.start(work)
    engine.cancel(cancelled)
    assert result(other) == "done"


def test_a_run_that_is_cancelled_before_its_first_step_ends_too(engine: Engine) -> None:
    hold = threading.Event()
    engine._loop.call_soon_threadsafe(hold.wait, 60)  # so that start and cancel come in the same step
    run = engine.start(sleep_forever)
    engine.cancel(run)
    hold.set()
    with pytest.raises(concurrent.futures.CancelledError):
        run.done.result(timeout=60)
    gc.collect()  # an un-awaited coroutine would warn, and warnings are errors


def test_cancelling_a_run_that_is_done_changes_nothing(engine: Engine) -> None:
    async def work() -> str:
        return "done"

    run = engine.start(work)
    assert result(run) == "done"
    engine.cancel(run)
    assert result(run) == "done"


# --- closing ---


def test_close_cancels_hundreds_of_sleeping_runs_at_once() -> None:
    engine, sleepers = Engine(), Sleepers()
    runs = [engine.start(sleepers.sleep) for _ in range(500)]
    sleepers.wait_until_begun(500)
    engine.close(timeout=60.0)  # they would sleep for longer
    assert sleepers.cancelled == 500
    assert all(run.done.cancelled() for run in runs)


def test_close_does_not_wait_for_a_run_that_will_not_end() -> None:
    engine = Engine()
    begun = threading.Event()
    stop = threading.Event()

    async def stubborn() -> None:
        begun.set()
        while not stop.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    engine.start(stubborn)
    assert begun.wait(60)
    engine.close(timeout=0.2)  # it would wait for ever
    stop.set()
    engine._thread.join(5)


def test_stop_cancels_without_waiting_and_close_may_follow() -> None:
    engine, sleepers = Engine(), Sleepers()
    run = engine.start(sleepers.sleep)
    sleepers.wait_until_begun(1)
    engine.stop()
    with pytest.raises(concurrent.futures.CancelledError):
        result(run)
    engine.close()
    assert not engine._thread.is_alive()


def test_close_calls_what_is_to_be_closed() -> None:
    engine = Engine()
    closed: list[str] = []

    async def close() -> None:
        await asyncio.sleep(0)
        closed.append(threading.current_thread().name)

    engine.on_close(close)
    engine.close()
    assert closed == ["instructlab-eval"]


def test_close_goes_on_where_something_cannot_be_closed() -> None:
    engine = Engine()
    closed: list[str] = []

    async def fail() -> None:
        raise OSError("no")

    async def close() -> None:
        closed.append("yes")

    engine.on_close(fail)
    engine.on_close(close)
    engine.close()
    assert closed == ["yes"]


def test_close_leaves_no_thread_behind() -> None:
    engine = Engine()
    engine.close()
    assert not engine._thread.is_alive()


def test_an_engine_can_be_closed_twice_and_cancelled_after() -> None:
    engine = Engine()
    run = engine.start(sleep_forever)
    engine.close()
    engine.close()
    engine.cancel(run)


def test_the_engines_thread_does_not_keep_the_process_alive(engine: Engine) -> None:
    assert engine._thread.daemon


# --- looking ahead ---


class Queue:
    """All that comes after an item."""

    def __init__(self, items: list[str]) -> None:
        self._items = items

    def ahead(self, item: str, nextitem: str | None, limit: int) -> Iterator[str]:
        start = self._items.index(item) + 1
        yield from self._items[start : start + limit]


def look_ahead(
    items: list[str],
    window: int,
    start: Callable[[str], CoroutineRun | None] | None = None,
    most_requests: float = math.inf,
) -> tuple[LookAhead[str, str], list[str]]:
    """A look-ahead over items, and what it has started so far; "12" is a task of twelve requests."""
    started: list[str] = []

    def begin(item: str) -> CoroutineRun | None:
        started.append(item)
        return CoroutineRun() if start is None else start(item)

    def requests(item: str) -> int:
        return int(item) if item.isdigit() else 0

    return LookAhead(Queue(items), begin, str, window, requests, most_requests), started


def test_reaching_an_item_starts_it_and_the_window_behind_it() -> None:
    ahead, started = look_ahead(list("abcdefg"), window=3)
    ahead.reach("a", "b")
    assert started == ["a", "b", "c", "d"]


def test_each_item_is_started_once_and_in_order() -> None:
    items = list("abcdefg")
    ahead, started = look_ahead(items, window=3)
    for item in items:
        ahead.reach(item, None)
        ahead.take(item)
    assert started == items


@given(st.integers(0, 12), st.integers(0, 15))
def test_there_are_never_more_than_the_window_under_way_beside_the_item(window: int, count: int) -> None:
    items = [str(number) for number in range(count)]
    ahead, _ = look_ahead(items, window)
    for item in items:
        ahead.reach(item, None)
        assert len(ahead.under_way) <= window + 1
        assert ahead.take(item) is not None


@given(st.lists(st.integers(1, 50), unique=True), st.integers(1, 100))
def test_the_items_behind_have_as_many_requests_as_are_enough_and_no_item_more(
    requests: list[int], most: int
) -> None:
    items = list(map(str, requests))
    ahead, started = look_ahead(items, window=99, most_requests=most)
    for place, item in enumerate(items, 1):
        ahead.reach(item, None)
        behind = [int(later) for later in started[place:]]
        assert sum(behind) >= most or started == items
        assert sum(behind[:-1]) < most
        ahead.take(item)


def test_an_item_whose_run_has_ended_leaves_room_while_pytest_waits_for_the_first() -> None:
    runs: list[CoroutineRun] = []

    def begin(_: str) -> CoroutineRun:
        runs.append(CoroutineRun())
        return runs[-1]

    ahead, started = look_ahead(["1", "30", "31", "32"], window=9, start=begin, most_requests=20)
    ahead.reach("1", None)
    assert started == ["1", "30"]
    runs[1].done.set_result(None)
    ahead.go_on()
    assert started == ["1", "30", "31"]
    ahead.go_on()
    assert started == ["1", "30", "31"]


def test_what_goes_on_is_started_in_the_context_in_which_the_item_was_reached() -> None:
    current_test = contextvars.ContextVar("current_test", default="none")
    tests: list[str] = []
    runs: list[CoroutineRun] = []

    def begin(_: str) -> CoroutineRun:
        tests.append(current_test.get())
        runs.append(CoroutineRun())
        return runs[-1]

    ahead, _ = look_ahead(["1", "30", "31"], window=9, start=begin, most_requests=20)
    ahead.reach("1", None)
    current_test.set("the one that is waited for")
    runs[1].done.set_result(None)
    ahead.go_on()
    assert tests == ["none"] * 3


def test_the_queue_is_looked_through_once_an_item_however_many_are_under_way() -> None:
    looked = 0

    class CountingRun(CoroutineRun):
        @property
        def done(self) -> Any:
            nonlocal looked
            looked += 1
            return self._done

        @done.setter
        def done(self, done: Any) -> None:
            self._done = done

    items = list(map(str, range(1, 101)))
    ahead, _ = look_ahead(items, window=99, start=lambda _: CountingRun(), most_requests=10_000)
    for item in items:
        ahead.reach(item, None)
    assert looked <= len(items) ** 2


def test_before_an_item_is_reached_there_is_nothing_to_go_on_with() -> None:
    ahead, started = look_ahead(["a"], window=1)
    ahead.go_on()
    assert started == []


def test_an_item_that_must_wait_for_its_turn_has_no_run() -> None:
    ahead, _ = look_ahead(list("ab"), window=1, start=lambda item: None if item == "b" else CoroutineRun())
    ahead.reach("a", "b")
    assert ahead.take("a") is not None
    assert ahead.take("b") is None


def test_an_item_that_must_wait_for_its_turn_is_not_looked_at_again() -> None:
    ahead, started = look_ahead(list("ab"), window=1, start=lambda item: None)
    ahead.reach("a", "b")
    ahead.reach("b", None)
    assert started == ["a", "b"]


def test_a_run_is_taken_once() -> None:
    ahead, _ = look_ahead(["a"], window=1)
    ahead.reach("a", None)
    assert ahead.take("a") is not None
    assert ahead.take("a") is None


# --- log records ---


@pytest.fixture
def router() -> Iterator[RecordRouter]:
    router = RecordRouter()
    logger = logging.getLogger("test_engine")
    logger.setLevel(logging.INFO)
    logger.addHandler(router)
    yield router
    logger.removeHandler(router)


def test_the_log_records_of_runs_stay_with_their_run(engine: Engine, router: RecordRouter) -> None:
    logger = logging.getLogger("test_engine")

    async def work(name: str) -> None:
        for step in range(3):
            logger.info("%s %s", name, step)
            await asyncio.sleep(0)

    runs = {name: engine.start(lambda name=name: work(name)) for name in "abc"}  # type: ignore[misc]
    for run in runs.values():
        result(run)
    for name, run in runs.items():
        assert [record.getMessage() for record in run.records] == [f"{name} {step}" for step in range(3)]


def test_a_record_of_a_task_that_a_run_started_stays_with_the_run(
    engine: Engine, router: RecordRouter
) -> None:
    async def log() -> None:
        logging.getLogger("test_engine").info("from a task")

    async def work() -> None:
        await asyncio.gather(log(), log())

    run = engine.start(work)
    result(run)
    assert [record.getMessage() for record in run.records] == ["from a task"] * 2


def test_a_record_outside_any_run_is_foreign_to_none(router: RecordRouter) -> None:
    record = logging.makeLogRecord({"msg": "hello"})
    assert router.is_foreign(record)
    router.emit(record)


def test_a_record_inside_a_run_is_kept_from_other_handlers(engine: Engine) -> None:
    async def look() -> bool:
        return RecordRouter.is_foreign(logging.makeLogRecord({}))

    assert result(engine.start(look)) is False


def test_outside_a_run_there_is_no_current_one() -> None:
    assert current_run.get() is None


# --- blocking work ---


def test_blocking_work_gives_its_result() -> None:
    assert asyncio.run(in_daemon_thread(lambda: threading.current_thread().daemon)) is True


def test_blocking_work_raises_its_error() -> None:
    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        asyncio.run(in_daemon_thread(fail))


def test_blocking_work_does_not_hold_up_the_loop() -> None:
    release = threading.Event()

    async def work() -> str:
        blocked = asyncio.ensure_future(in_daemon_thread(lambda: release.wait(5)))
        await asyncio.sleep(0.02)
        release.set()
        return "released" if await blocked else "timed out"

    assert asyncio.run(work()) == "released"


def test_work_in_turn_is_done_by_one_thread_that_holds_the_lock() -> None:
    lock = threading.Lock()
    worker = DaemonWorker(lock)

    async def work() -> list[tuple[int, bool]]:
        calls = [worker.call(lambda: (threading.get_ident(), lock.locked())) for _ in range(5)]
        return await asyncio.gather(*calls)

    callers = asyncio.run(work())
    assert len(set(callers)) == 1
    thread, has_lock = callers[0]
    assert has_lock
    assert thread != threading.get_ident()


def test_work_in_turn_goes_on_after_an_error() -> None:
    worker = DaemonWorker(threading.Lock())

    def fail() -> None:
        raise OSError("no")

    async def work() -> str:
        failing, working = worker.call(fail), worker.call(lambda: "done")
        with pytest.raises(OSError, match="no"):
            await failing
        return await working

    assert asyncio.run(work()) == "done"


def test_work_in_turn_goes_on_after_an_exit() -> None:
    worker = DaemonWorker(threading.Lock())

    async def work() -> str:
        leaving, working = worker.call(lambda: sys.exit(3)), worker.call(lambda: "done")
        with pytest.raises(RuntimeError, match=re.escape("SystemExit(3)")):
            await leaving
        return await working

    assert asyncio.run(work()) == "done"


def test_work_in_turn_that_nobody_waits_for_when_its_turn_comes_is_not_begun() -> None:
    lock, called = threading.Lock(), []
    worker = DaemonWorker(lock)

    async def work() -> None:
        with lock, pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(worker.call(lambda: called.append("late")), 0.02)
        await worker.call(lambda: called.append("in time"))

    asyncio.run(work())
    assert called == ["in time"]


def test_blocking_work_that_nobody_waits_for_any_more_does_no_harm() -> None:
    release = threading.Event()

    async def work() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(in_daemon_thread(lambda: release.wait(5)), 0.02)
        release.set()
        await asyncio.sleep(0.05)

    asyncio.run(work())
