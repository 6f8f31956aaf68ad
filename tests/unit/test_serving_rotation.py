"""Whose turn it is: what a process that asks models says of itself, and when it goes on."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ContextLengthError, ModelError
from pytest_instructlab_eval.models import Model
from pytest_instructlab_eval.serving import RotatedModel, Rotation, rotation
from pytest_instructlab_eval.serving.rotation import (
    ProcessState,
    ServingState,
    read_process_state,
    read_serving_state,
    write_serving_state,
)
from tests.unit.fakes import FakeModel

BUSY = ProcessState(busy=True)
IDLE = ProcessState(busy=False)
MODELS = ("candidate", "judge")

current: contextvars.ContextVar[Hashable | None] = contextvars.ContextVar("current", default=None)


def waiting(*models: str) -> ProcessState:
    return ProcessState(False, models)


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "POLL", 0)


class Process:
    """A process's part in the rotation, in a folder, and what they say."""

    def __init__(self, folder: Path, name: str = "main") -> None:
        self.rotation = Rotation(folder, name, current.get)
        self._folder = folder
        self._name = name

    @property
    def state(self) -> ProcessState:
        return read_process_state(self._folder, self._name)

    @property
    def served(self) -> ServingState:
        return read_serving_state(self._folder)

    def serve(self, *up: str, failed: Mapping[str, str] | None = None) -> None:
        """In place of the owner of the servers."""
        write_serving_state(
            self._folder, ServingState({model: f"http://{model}" for model in up}, failed or {})
        )

    @asynccontextmanager
    async def run(self, name: str) -> AsyncIterator[None]:
        """A run that this task is from here on."""
        self.rotation.begin(name)
        token = current.set(name)
        try:
            yield
        finally:
            current.reset(token)
            self.rotation.end(name)

    async def ask(self, model: str) -> str:
        async with self.rotation.use(model) as url:
            return url


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def in_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 10)

    asyncio.run(bounded())


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


# --- what a process says ---


def test_a_process_that_has_said_nothing_is_waited_for(process: Process) -> None:
    assert process.state == BUSY


def test_a_process_is_busy_from_the_first_runs_begin_to_the_last_ones_end(process: Process) -> None:
    process.rotation.begin(1)
    process.rotation.begin(2)
    assert process.state == BUSY
    process.rotation.end(1)
    assert process.state == BUSY
    process.rotation.end(2)
    assert process.state == IDLE


def test_a_process_whose_every_run_waits_says_what_for(process: Process) -> None:
    async def work() -> None:
        async with process.run("run"):
            task = asyncio.create_task(process.ask("judge"))
            await settle()
            assert process.state == waiting("judge")
            process.serve("judge")
            assert await task == "http://judge"
            assert process.state == BUSY
        assert process.state == IDLE

    in_loop(work)


def test_a_process_is_busy_as_long_as_one_run_does_not_wait(process: Process) -> None:
    async def run(name: str, model: str) -> None:
        async with process.run(name):
            await process.ask(model)

    async def work() -> None:
        tasks = [asyncio.create_task(run(name, "judge")) for name in "ab"]
        async with process.run("c"):
            await settle()
            assert process.state == BUSY
        await settle()
        assert process.state == waiting("judge")
        tasks.append(asyncio.create_task(run("d", "candidate")))
        await settle()
        assert process.state == waiting("candidate", "judge")
        process.serve(*MODELS)
        await asyncio.gather(*tasks)
        assert process.state == IDLE

    in_loop(work)


def test_a_run_that_asks_two_models_at_once_is_busy_while_one_of_them_is_asked(process: Process) -> None:
    process.serve("candidate")

    async def work() -> None:
        async with process.run("run"):
            async with process.rotation.use("candidate"):
                judging = asyncio.create_task(process.ask("judge"))
                await settle()
                assert process.state == BUSY
            assert process.state == waiting("judge")
            await cancel(judging)
            assert process.state == BUSY

    in_loop(work)


def test_a_run_that_waits_for_two_models_at_once_is_one_that_waits(process: Process) -> None:
    async def work() -> None:
        async with process.run("other"):
            async with process.run("run"):
                tasks = [asyncio.create_task(process.ask(model)) for model in MODELS]
                await settle()
                assert process.state == BUSY
                process.serve("candidate")
                await tasks[0]
                await cancel(tasks[1])
            assert process.state == BUSY
        assert process.state == IDLE

    in_loop(work)


def test_a_call_outside_any_run_makes_a_process_busy_while_it_lasts(process: Process) -> None:
    process.serve("candidate")

    async def work() -> None:
        async with process.rotation.use("candidate") as url:
            assert url == "http://candidate"
            assert process.state == BUSY
        assert process.state == IDLE
        task = asyncio.create_task(process.ask("judge"))
        await settle()
        assert process.state == waiting("judge")
        await cancel(task)
        assert process.state == IDLE

    in_loop(work)


def test_a_run_may_wait_before_it_is_known_to_be_under_way(process: Process) -> None:
    async def work() -> None:
        current.set("run")
        task = asyncio.create_task(process.ask("judge"))
        await settle()
        process.rotation.begin("run")
        assert process.state == waiting("judge")
        process.serve("judge")
        await task
        assert process.state == BUSY
        process.rotation.end("run")
        assert process.state == IDLE

    in_loop(work)


def test_a_run_may_end_while_a_task_of_its_still_waits(process: Process) -> None:
    async def work() -> None:
        async with process.run("run"):
            task = asyncio.create_task(process.ask("judge"))
            await settle()
        assert process.state == waiting("judge")
        await cancel(task)
        assert process.state == IDLE
        async with process.run("another"):
            assert process.state == BUSY

    in_loop(work)


def test_each_process_speaks_for_itself(tmp_path: Path) -> None:
    first, second = Process(tmp_path, "gw0"), Process(tmp_path, "gw1")
    first.rotation.begin("run")
    second.rotation.begin("run")
    second.rotation.end("run")
    assert (first.state, second.state) == (BUSY, IDLE)


def test_runs_may_begin_and_end_in_several_threads(process: Process) -> None:
    def work(number: int) -> None:
        for run in range(50):
            process.rotation.begin((number, run))
            assert process.state == BUSY
            process.rotation.end((number, run))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.state == IDLE


class Scripted:
    """A run that asks one model after the other, each step when it is told to, and says where it is."""

    def __init__(self, process: Process, number: int, models: list[str]) -> None:
        self.at = "not begun"
        self.waits_for: str | None = None
        self._gate = asyncio.Event()
        self.task = asyncio.create_task(self._drive(process, str(number), models))

    def advance(self) -> None:
        self._gate.set()

    async def _drive(self, process: Process, name: str, models: list[str]) -> None:
        await self._told()
        async with process.run(name):
            self.at = "working"
            for model in models:
                await self._told()
                self.at = f"waiting for {model}"
                async with process.rotation.use(model) as url:
                    assert url in process.served.up.values()
                    self.at = "asking"
                    await self._told()
                self.at = "working"
            await self._told()
        self.at = "ended"

    async def _told(self) -> None:
        await self._gate.wait()
        self._gate.clear()


def expected(runs: list[Scripted]) -> ProcessState:
    if any(run.at in ("working", "asking") for run in runs):
        return BUSY
    wanted = {run.at.removeprefix("waiting for ") for run in runs if run.at.startswith("waiting")}
    return ProcessState(False, tuple(sorted(wanted)))


steps = st.one_of(st.integers(0, 2), st.sets(st.sampled_from(MODELS)))


@given(
    scripts=st.lists(st.lists(st.sampled_from(MODELS), max_size=3), max_size=3),
    steps=st.lists(steps, max_size=25),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_process_says_what_its_runs_are_at_whatever_they_do(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[list[str]], steps: list[int | set[str]]
) -> None:
    process = Process(tmp_path_factory.mktemp("rotation"))

    async def work() -> None:
        async with process.run("the first"):
            pass
        runs = [Scripted(process, number, models) for number, models in enumerate(scripts)]
        for step in steps:
            if isinstance(step, set):
                if process.state.busy:  # the owner leaves what is in use as it is
                    continue
                process.serve(*step)
            elif step < len(runs):
                runs[step].advance()
            await settle()
            assert process.state == expected(runs)
        for run in runs:
            await cancel(run.task)
        assert process.state == IDLE

    in_loop(work)


# --- when a call goes on ---


def test_many_calls_that_wait_all_go_on(process: Process) -> None:
    async def work() -> None:
        tasks = [asyncio.create_task(process.ask("judge")) for _ in range(20)]
        await settle()
        process.serve("judge")
        assert await asyncio.gather(*tasks) == ["http://judge"] * 20

    in_loop(work)


def test_the_rest_goes_on_when_one_that_waits_is_cancelled(process: Process) -> None:
    async def work() -> None:
        tasks = [asyncio.create_task(process.ask("judge")) for _ in range(3)]
        await settle()
        for task in tasks[:2]:
            await cancel(task)
        process.serve("judge")
        assert await tasks[2] == "http://judge"

    in_loop(work)


def test_an_idle_process_sees_what_was_swapped_meanwhile(process: Process) -> None:
    process.serve("candidate")

    async def work() -> None:
        async with process.run("first"):
            await process.ask("candidate")
        process.serve("judge")
        async with process.run("second"):
            task = asyncio.create_task(process.ask("candidate"))
            await settle()
            assert not task.done()
            assert process.state == waiting("candidate")
            await cancel(task)

    in_loop(work)


def test_a_run_that_goes_on_after_a_failure_sees_what_was_swapped_meanwhile(process: Process) -> None:
    process.serve("candidate")

    async def work() -> None:
        async with process.run("run"):
            await process.ask("candidate")
            judging = asyncio.create_task(process.ask("judge"))
            await settle()
            process.serve(failed={"judge": "no memory"})
            with pytest.raises(ModelError, match="no memory"):
                await judging
            asking = asyncio.create_task(process.ask("candidate"))
            await settle()
            assert process.state == waiting("candidate")
            process.serve("candidate", failed={"judge": "no memory"})
            assert await asking == "http://candidate"

    in_loop(work)


def test_a_model_that_cannot_be_served_is_an_error_with_the_reason(process: Process) -> None:
    async def work() -> None:
        tasks = [asyncio.create_task(process.ask("judge")) for _ in range(2)]
        await settle()
        process.serve(failed={"judge": "it is too large"})
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, ModelError)
            assert str(outcome) == "it is too large"
        assert process.state == IDLE

    in_loop(work)


def test_an_error_of_a_server_that_has_ended_becomes_the_reason(process: Process) -> None:
    process.serve("judge")

    async def ask() -> None:
        async with process.rotation.use("judge"):
            process.serve(failed={"judge": "the server ended"})
            raise ModelError("can't connect", prompt="Is it?")

    async def work() -> None:
        with pytest.raises(ModelError) as caught:
            await ask()
        assert str(caught.value) == "the server ended"
        assert caught.value.prompt == "Is it?"

    in_loop(work)


@pytest.mark.parametrize("error", [ContextLengthError("too long"), ValueError("no")])
def test_an_error_of_a_server_that_runs_stays_as_it_is(process: Process, error: Exception) -> None:
    process.serve("judge")

    async def work() -> None:
        with pytest.raises(type(error)) as caught:
            async with process.rotation.use("judge"):
                raise error
        assert caught.value is error
        assert process.state == IDLE

    in_loop(work)


def test_what_is_served_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_serving_state(tmp_path) == ServingState()
    served = ServingState({"a/b é": "http://127.0.0.1:1/v1"}, {"judge": "no\nmemory"})
    write_serving_state(tmp_path, served)
    assert read_serving_state(tmp_path) == served


# --- a model that waits until it is served ---


class Connections:
    """Fake models, one a connection."""

    def __init__(self, process: Process) -> None:
        self.made: list[tuple[str, str]] = []
        self.models: list[FakeModel] = []
        self.states: list[ProcessState] = []
        self._process = process

    async def connect(self, name: str, url: str) -> Model:
        await asyncio.sleep(0)
        self.made.append((name, url))
        self.models.append(FakeModel(self._say, lambda prompt, choices: [-1.0, -2.0]))
        return self.models[-1]

    def _say(self, messages: Any) -> str:
        self.states.append(self._process.state)
        return "Paris"


@pytest.fixture
def connections(process: Process) -> Connections:
    return Connections(process)


@pytest.fixture
def judge(process: Process, connections: Connections) -> RotatedModel:
    return RotatedModel("judge", process.rotation, connections.connect)


def test_a_model_in_turn_is_asked_when_and_where_it_is_served(
    process: Process, connections: Connections, judge: RotatedModel
) -> None:
    async def work() -> None:
        chat = asyncio.create_task(judge.chat("Capital?", temperature=0.5, max_tokens=7))
        await settle()
        assert connections.made == []
        process.serve("judge")
        assert (await chat).text == "Paris"

    in_loop(work)
    assert connections.made == [("judge", "http://judge")]
    [asked] = connections.models[0].chats
    assert (asked.last, asked.temperature, asked.max_tokens) == ("Capital?", 0.5, 7)
    assert connections.states == [BUSY]
    assert process.state == IDLE


def test_a_model_in_turn_weighs_choices(process: Process, judge: RotatedModel) -> None:
    process.serve("judge")

    async def work() -> None:
        assert await judge.choice_logprobs("1 + 1 =", [" 2", " 3"]) == [-1.0, -2.0]

    in_loop(work)


def test_a_model_in_turn_connects_once_a_server(
    tmp_path: Path, process: Process, connections: Connections, judge: RotatedModel
) -> None:
    async def ask() -> Any:
        return await judge.chat([{"role": "user", "content": "?"}])

    async def work() -> None:
        process.serve("judge")
        await asyncio.gather(ask(), ask(), ask())
        await ask()
        write_serving_state(tmp_path, ServingState({"judge": "http://another"}))
        await ask()

    in_loop(work)
    assert connections.made == [("judge", "http://judge"), ("judge", "http://another")]


def test_a_model_in_turn_is_ready_when_its_turn_has_come(
    process: Process, connections: Connections, judge: RotatedModel
) -> None:
    async def work() -> None:
        ready = asyncio.create_task(judge.ready())
        await settle()
        assert not ready.done()
        process.serve("judge")
        await ready

    in_loop(work)
    assert connections.made == []


def test_a_model_in_turn_closes_what_it_asked(
    process: Process, connections: Connections, judge: RotatedModel
) -> None:
    process.serve("judge")

    async def work() -> None:
        await judge.close()
        await judge.chat([{"role": "user", "content": "?"}])
        await judge.close()
        await judge.close()

    in_loop(work)
    assert [model.closed for model in connections.models] == [True]


def test_a_model_in_turn_is_called_as_the_user_names_it(judge: RotatedModel) -> None:
    assert judge.name == "judge"
    assert repr(judge) == "RotatedModel('judge')"
