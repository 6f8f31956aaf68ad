"""The servers of a run: whose turn comes when, and that nothing is asked of a model that isn't served."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ConfigurationError, ModelError
from pytest_instructlab_eval.serving import (
    Launch,
    Owner,
    Rotation,
    ServerProcess,
    StartedServer,
    owner,
    rotation,
)
from pytest_instructlab_eval.serving.owner import next_model
from pytest_instructlab_eval.serving.rotation import (
    ProcessState,
    ServingState,
    read_process_state,
    read_serving_state,
)

SECONDS = 60  # for what takes a fraction of one
BUSY = ProcessState(busy=True)
IDLE = ProcessState(busy=False)

current: contextvars.ContextVar[Hashable | None] = contextvars.ContextVar("current", default=None)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "INTERVAL", 0.001)
    monkeypatch.setattr(rotation, "POLL", 0.001)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# --- servers that are not there ---


class FakeServer(ServerProcess):
    """A server process that ends when a test says so, or is stopped."""

    def __init__(self, ended: Callable[[], None], log: Path) -> None:
        self.log = log
        self._ended = ended
        self._status: int | None = None
        self.asked_to_stop = False
        self.was_stopped = False

    @property
    def status(self) -> int | None:
        return self._status

    def end(self, status: int) -> None:
        if self._status is None:
            self._ended()
            self._status = status

    def begin_to_stop(self) -> None:
        self.asked_to_stop = True

    def stop(self) -> None:
        self.was_stopped = True
        self.end(143)


@dataclass
class Machine:
    """Where models are served: what was started, stopped and asked, in order, and what went wrong."""

    folder: Path
    events: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    servers: dict[str, FakeServer] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def launches(
        self, *models: str, places: Mapping[str, str] | None = None, **how: Exception
    ) -> dict[str, Launch]:
        """How each model is served; one with an exception can't be."""
        self.places = {model: (places or {}).get(model, "") for model in models}
        return {
            model: Launch(FakeLauncher(self, model, how.get(model)), self.places[model]) for model in models
        }

    def serve(self, model: str) -> StartedServer:
        url = f"http://{model}/{next(self.numbers)}"
        for other in self.live:
            if self.places[other.split("/")[2]] == self.places[model]:
                self.wrong.append(f"{url} is started beside {other}")
        self.events.append(("start", model))
        self.live.add(url)

        def ended() -> None:
            self.events.append(("stop", model))
            self.live.discard(url)

        log = self.folder / f"{model}.log"
        log.write_text("loading\nout of memory\n")
        self.servers[model] = FakeServer(ended, log)
        return StartedServer(url, self.servers[model])

    async def ask(self, model: str, url: str) -> None:
        """Ask a model, which takes a moment."""
        self.events.append(("ask", model))
        for _ in range(3):
            if url not in self.live or f"/{model}/" not in url:
                self.wrong.append(f"{model} is asked at {url} while {sorted(self.live)} are served")
            await asyncio.sleep(0)

    def started(self) -> list[str]:
        return [model for what, model in self.events if what == "start"]

    def asked(self) -> list[str]:
        return [model for what, model in self.events if what == "ask"]


@dataclass(frozen=True)
class FakeLauncher:
    machine: Machine
    model: str
    error: Exception | None

    def start(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> StartedServer:
        say(f"starting {self.model}")
        time.sleep(0.002)
        if self.error is not None:
            raise self.error
        return self.machine.serve(self.model)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def quiet(line: str) -> None:
    pass


Script = Sequence[Sequence[str]]


class Serving:
    """An owner that is ended with its context, and the processes that ask its models."""

    def __init__(
        self,
        machine: Machine,
        launches: Mapping[str, Launch],
        processes: int = 1,
        try_out: Callable[[str, str], None] = lambda model, url: None,
    ) -> None:
        self.owner = Owner(machine.folder, launches, quiet, try_out)
        self.machine = machine
        self.models = list(launches)
        self.rotation = [Rotation(machine.folder, f"gw{number}", current.get) for number in range(processes)]
        for number in range(processes):
            self.owner.expect(f"gw{number}")

    def __enter__(self) -> Serving:
        self.owner.start(self.models)
        return self

    def __exit__(self, *_: object) -> None:
        self.owner.stop()
        assert self.machine.wrong == []
        assert self.machine.live == set()

    async def ask(self, process: int, model: str) -> None:
        async with self.rotation[process].use(model) as url:
            await self.machine.ask(model, url)

    async def run(self, process: int, name: Hashable, script: Script) -> None:
        """A run that asks the models of each step at once, one step after the other."""
        self.rotation[process].begin(name)
        current.set(name)
        try:
            for step in script:
                await asyncio.gather(*(self.ask(process, model) for model in step))
        finally:
            self.rotation[process].end(name)

    def play(self, scripts: Sequence[Sequence[Script]]) -> None:
        """Have each process do its runs, all under way at once."""

        async def work() -> None:
            runs = [
                asyncio.create_task(self.run(process, number, script))
                for process, runs in enumerate(scripts)
                for number, script in enumerate(runs)
            ]
            for process in self.rotation:  # as pytest does once it has all that it will run under way
                process.begin("pytest")
            await asyncio.sleep(0)
            for process in self.rotation:
                process.end("pytest")
            for outcome in await asyncio.gather(*runs, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

        async def bounded() -> None:
            await asyncio.wait_for(work(), SECONDS)

        asyncio.run(bounded())


ANSWER_THEN_JUDGE = [["candidate"], ["judge"]]


# --- whose turn is next ---


@pytest.mark.parametrize(
    ("states", "served", "turn"),
    [
        ([], ServingState(), None),
        ([IDLE], ServingState(), None),
        ([ProcessState(False, ("judge",))], ServingState(), "judge"),
        ([ProcessState(False, ("judge",)), IDLE], ServingState({"candidate": "u"}), "judge"),
        ([ProcessState(False, ("judge",)), BUSY], ServingState({"candidate": "u"}), None),
        ([ProcessState(False, ("judge",)), ProcessState(False, ("candidate",))], ServingState(), "candidate"),
        ([ProcessState(False, ("candidate", "judge"))], ServingState(), "candidate"),
        ([ProcessState(False, ("candidate", "judge"))], ServingState({"candidate": "u"}), None),
        ([ProcessState(False, ("candidate", "judge"))], ServingState(failed={"candidate": "no"}), None),
        ([ProcessState(False, ("judge",))], ServingState({"candidate": "u"}, {"other": "no"}), "judge"),
        ([ProcessState(False, ("unknown",))], ServingState(), None),
    ],
)
def test_the_next_turn_is_the_first_that_is_waited_for_when_nobody_can_go_on(
    states: list[ProcessState], served: ServingState, turn: str | None
) -> None:
    assert next_model(["candidate", "judge"], served, states) == turn


# --- the beginning ---


def test_the_first_model_is_served_when_the_run_starts(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge")):
        assert machine.started() == ["candidate"]
        assert read_serving_state(machine.folder) == ServingState({"candidate": "http://candidate/0"})


def test_models_with_places_of_their_own_are_served_at_once(machine: Machine) -> None:
    with Serving(machine, machine.launches("a", "b", "judge", places={"judge": "1"})):
        assert machine.started() == ["a", "judge"]
        assert set(read_serving_state(machine.folder).up) == {"a", "judge"}


def test_the_user_is_told_what_is_started(machine: Machine) -> None:
    said: list[str] = []
    servers = Owner(machine.folder, machine.launches("candidate"), said.append)
    servers.start(["candidate"])
    servers.stop()
    assert said == ["starting candidate"]


def test_a_model_that_cannot_be_served_at_the_start_is_an_error_and_the_rest_can_be_stopped(
    machine: Machine,
) -> None:
    launches = machine.launches(
        "candidate", "judge", places={"judge": "1"}, judge=ConfigurationError("no memory")
    )
    servers = Owner(machine.folder, launches, quiet)
    with pytest.raises(ConfigurationError, match="no memory"):
        servers.start(["candidate", "judge"])
    servers.stop()
    assert machine.live == set()


# --- the rotation ---


def test_all_answers_come_before_the_first_judging(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge"), processes=3) as serving:
        serving.play([[ANSWER_THEN_JUDGE] * 4, [ANSWER_THEN_JUDGE] * 2, [ANSWER_THEN_JUDGE] * 5])
    assert machine.asked() == ["candidate"] * 11 + ["judge"] * 11
    assert machine.started() == ["candidate", "judge"]


def test_several_candidates_are_each_served_once_and_the_judge_last(machine: Machine) -> None:
    models = ["base", "checkpoint", "lab", "judge"]
    runs = [[[model], ["judge"]] for model in ("lab", "base", "checkpoint") for _ in range(3)]
    with Serving(machine, machine.launches(*models), processes=2) as serving:
        serving.play([runs, runs[::-1]])
    assert machine.started() == models
    assert machine.asked()[-18:] == ["judge"] * 18


def test_models_with_places_of_their_own_are_never_swapped(machine: Machine) -> None:
    launches = machine.launches("candidate", "judge", places={"judge": "1"})
    with Serving(machine, launches, processes=2) as serving:
        serving.play([[ANSWER_THEN_JUDGE * 3] * 3] * 2)
        assert ("stop", "candidate") not in machine.events
    assert machine.started() == ["candidate", "judge"]


def test_a_judge_with_a_place_of_its_own_stays_while_candidates_are_swapped(machine: Machine) -> None:
    launches = machine.launches("base", "lab", "judge", places={"judge": "1"})
    with Serving(machine, launches) as serving:
        serving.play([[[["base"], ["judge"]], [["lab"], ["judge"]]] * 3])
    assert machine.started() == ["base", "judge", "lab"]


def test_a_run_may_ask_both_models_at_once(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge"), processes=2) as serving:
        serving.play([[[["candidate", "judge"]], ANSWER_THEN_JUDGE], [[["judge", "candidate"]]]])
    assert machine.asked() == ["candidate"] * 3 + ["judge"] * 3


def test_a_model_may_be_served_several_times(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge"), processes=2) as serving:
        serving.play([[ANSWER_THEN_JUDGE * 3], [ANSWER_THEN_JUDGE * 3]])
    assert machine.started() == ["candidate", "judge"] * 3


def test_a_process_with_nothing_to_do_stops_nobody(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge"), processes=3) as serving:
        serving.play([[ANSWER_THEN_JUDGE], [], []])
    assert machine.started() == ["candidate", "judge"]


def test_a_process_that_has_yet_to_begin_is_waited_for_until_it_is_forgotten(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge")) as serving:
        serving.owner.expect("slow")

        def forget() -> None:
            wait_until(lambda: "candidate" in machine.asked())
            time.sleep(0.02)
            assert machine.started() == ["candidate"]
            serving.owner.forget("slow")

        forgetting = threading.Thread(target=forget)
        forgetting.start()
        serving.play([[ANSWER_THEN_JUDGE]])
        forgetting.join()
    assert machine.asked() == ["candidate", "judge"]


def test_a_process_that_crashed_while_it_was_busy_is_waited_for_until_it_is_forgotten(
    machine: Machine,
) -> None:
    with Serving(machine, machine.launches("candidate", "judge"), processes=2) as serving:
        Rotation(machine.folder, "crashed").begin("a run that never ends")
        serving.owner.expect("crashed")
        forgetting = threading.Timer(0.05, serving.owner.forget, ["crashed"])
        forgetting.start()
        serving.play([[ANSWER_THEN_JUDGE], [ANSWER_THEN_JUDGE]])
        assert forgetting.finished.is_set()
        forgetting.join()
    assert machine.asked() == ["candidate"] * 2 + ["judge"] * 2


MODELS = ["base", "lab", "judge"]
scripts = st.lists(
    st.lists(st.lists(st.lists(st.sampled_from(MODELS), min_size=1, max_size=3), max_size=4), max_size=3),
    min_size=1,
    max_size=3,
)


@given(scripts=scripts, places=st.fixed_dictionaries({model: st.sampled_from("01") for model in MODELS}))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_runs_ask_every_answer_comes_from_a_model_that_is_served(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[list[Script]], places: dict[str, str]
) -> None:
    machine = Machine(tmp_path_factory.mktemp("run"))
    with Serving(machine, machine.launches(*MODELS, places=places), processes=len(scripts)) as serving:
        serving.play(scripts)
    questions = [model for runs in scripts for script in runs for step in script for model in step]
    assert sorted(machine.asked()) == sorted(questions)


# --- the handshake ---


@pytest.fixture
def _switches_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_switches_often")
def test_a_process_that_becomes_busy_while_servers_are_swapped_asks_none_that_stops(machine: Machine) -> None:
    """Processes in threads of their own begin runs at any moment, most of them when others are idle."""

    async def live(serving: Serving, number: int) -> None:
        chance = random.Random(number)
        for run in range(25):
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
            await serving.run(number, run, [[chance.choice(["candidate", "judge"])]])

    def process(serving: Serving, number: int) -> None:
        asyncio.run(asyncio.wait_for(live(serving, number), SECONDS))
        finished.append(number)

    finished: list[int] = []
    with Serving(machine, machine.launches("candidate", "judge"), processes=3) as serving:
        threads = [threading.Thread(target=process, args=(serving, number)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(finished) == [0, 1, 2]
    assert len(machine.asked()) == 75


def test_a_process_that_is_busy_by_the_time_of_the_swap_keeps_what_is_served(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes so between the two looks that the owner takes at what processes say."""
    late = Rotation(machine.folder, "late")
    late.begin("first")
    late.end("first")
    tried = threading.Event()

    def look_and_be_overtaken(*arguments: object) -> str | None:
        turn = next_model(*arguments)  # type: ignore[arg-type]
        if turn is not None and not tried.is_set():
            late.begin("second")
            tried.set()
        return turn

    monkeypatch.setattr(owner, "next_model", look_and_be_overtaken)
    with Serving(machine, machine.launches("candidate", "judge")) as serving:
        serving.owner.expect("late")

        def end_second() -> None:
            assert tried.wait(SECONDS)
            wait_until(lambda: read_serving_state(machine.folder).up != {})
            time.sleep(0.02)
            assert machine.started() == ["candidate"]
            late.end("second")

        ending = threading.Thread(target=end_second)
        ending.start()
        serving.play([[ANSWER_THEN_JUDGE]])
        ending.join()
    assert machine.started() == ["candidate", "judge"]


def test_a_process_that_becomes_busy_after_the_owners_last_look_sees_nothing_to_ask(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn: list[str | None] = [None]
    seen: list[Mapping[str, str]] = []

    def note_turn(order: Sequence[str], served: ServingState, states: Sequence[ProcessState]) -> str | None:
        turn[0] = next_model(order, served, states)
        return turn[0]

    def look(folder: Path, process: str) -> ProcessState:
        state = read_process_state(folder, process)
        if turn[0] == "judge":  # decided upon before, so this look is the last
            seen.append(read_serving_state(folder).up)
        return state

    monkeypatch.setattr(owner, "next_model", note_turn)
    monkeypatch.setattr(owner, "read_process_state", look)
    with Serving(machine, machine.launches("candidate", "judge")) as serving:
        serving.play([[ANSWER_THEN_JUDGE]])
    assert seen[0] == {}


def test_what_is_about_to_stop_is_no_longer_told_to_be_served(machine: Machine) -> None:
    told: list[ServingState] = []

    @dataclass(frozen=True)
    class Looking(FakeLauncher):
        def start(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> StartedServer:
            told.append(read_serving_state(machine.folder))
            return super().start(say, stopped)

    launches = machine.launches("candidate", "judge", "other", places={"other": "1"})
    launches["judge"] = Launch(Looking(machine, "judge", None))
    with Serving(machine, launches) as serving:
        serving.play([[ANSWER_THEN_JUDGE]])
    assert told == [ServingState({"other": "http://other/1"})]


# --- models that can't be served ---


@pytest.mark.parametrize(
    "error", [ConfigurationError("vLLM ended: no memory\n  the end of the log"), OSError("no space left")]
)
def test_a_model_that_cannot_be_served_in_its_turn_is_an_error_of_those_that_wait(
    machine: Machine, error: Exception
) -> None:
    async def work(serving: Serving) -> list[BaseException | None]:
        runs = (serving.run(0, number, ANSWER_THEN_JUDGE) for number in range(3))
        return await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), SECONDS)

    with Serving(machine, machine.launches("candidate", "judge", judge=error)) as serving:
        outcomes = asyncio.run(work(serving))
    for outcome in outcomes:
        assert isinstance(outcome, ModelError)
        assert str(outcome) == str(error).splitlines()[0]
    assert serving.owner.problems == [str(error)]


def test_the_other_models_have_their_turns_where_one_cannot_be_served(machine: Machine) -> None:
    with Serving(machine, machine.launches("base", "lab", "judge", lab=ConfigurationError("no"))) as serving:
        with pytest.raises(ModelError, match="no"):
            serving.play([[[["lab"]], [["base"], ["judge"]]]])
        serving.play([[[["base"], ["judge"]]]])
        with pytest.raises(ModelError, match="no"):
            serving.play([[[["lab"]]]])
    assert "judge" in machine.asked()
    assert serving.owner.problems == ["no"]


# --- servers that end ---


def test_a_server_that_ends_during_the_run_is_a_problem_with_the_end_of_its_log(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate")) as serving:
        machine.servers["candidate"].end(137)
        wait_until(lambda: read_serving_state(machine.folder).failed != {})
        with pytest.raises(ModelError) as caught:
            serving.play([[[["candidate"]]] * 3])
    assert machine.servers["candidate"].was_stopped  # what it may have left is ended, what is open is closed
    sentence = "the server of candidate ended during the run with status 137"
    assert str(caught.value) == sentence
    log = machine.folder / "candidate.log"
    assert serving.owner.problems == [f"{sentence}\n  the end of {log}:\n    loading\n    out of memory"]


def test_a_question_that_was_under_way_when_its_server_ended_fails_with_the_reason(machine: Machine) -> None:
    async def ask(serving: Serving) -> None:
        async with serving.rotation[0].use("candidate"):
            machine.servers["candidate"].end(1)
            await asyncio.to_thread(wait_until, lambda: read_serving_state(machine.folder).failed != {})
            raise ModelError("can't connect")

    with (
        Serving(machine, machine.launches("candidate")) as serving,
        pytest.raises(ModelError, match="the server of candidate ended during the run with status 1"),
    ):
        asyncio.run(asyncio.wait_for(ask(serving), SECONDS))


def test_the_judge_has_its_turn_after_the_candidates_server_has_ended(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge")) as serving:
        machine.servers["candidate"].end(1)
        wait_until(lambda: read_serving_state(machine.folder).failed != {})
        with pytest.raises(ModelError):
            serving.play([[ANSWER_THEN_JUDGE, [["judge"]]]])
        serving.play([[[["judge"]]]])
    assert "judge" in machine.asked()
    assert len(serving.owner.problems) == 1


def test_a_server_that_was_stopped_for_another_is_no_problem(machine: Machine) -> None:
    with Serving(machine, machine.launches("candidate", "judge")) as serving:
        serving.play([[ANSWER_THEN_JUDGE]])
        time.sleep(0.02)
    assert serving.owner.problems == []


# --- trials ---


class Trial:
    """What the owner gave to be tried, and when; `refused` won't do."""

    def __init__(self, machine: Machine, refused: str = "") -> None:
        self.machine = machine
        self.refused = refused
        self.tried: list[tuple[str, bool]] = []

    def __call__(self, model: str, url: str) -> None:
        announced = model in read_serving_state(self.machine.folder).up
        self.tried.append((model, announced))
        if model == self.refused:
            raise ConfigurationError("it rates everything alike")


def test_each_model_is_tried_before_anybody_may_ask_it(machine: Machine) -> None:
    trial = Trial(machine)
    with Serving(machine, machine.launches("candidate", "judge"), try_out=trial) as serving:
        serving.play([[ANSWER_THEN_JUDGE]])
    assert trial.tried == [("candidate", False), ("judge", False)]


def test_a_model_that_fails_its_trial_in_its_turn_is_never_asked_and_leaves_nothing(machine: Machine) -> None:
    launches = machine.launches("candidate", "judge")
    with (
        Serving(machine, launches, try_out=Trial(machine, "judge")) as serving,
        pytest.raises(ModelError, match="it rates everything alike"),
    ):
        serving.play([[ANSWER_THEN_JUDGE]])
    assert "judge" not in machine.asked()
    assert serving.owner.problems == ["it rates everything alike"]
    assert machine.live == set()


def test_a_model_that_fails_its_trial_at_the_start_ends_the_run(machine: Machine) -> None:
    owner = Owner(machine.folder, machine.launches("judge"), quiet, Trial(machine, "judge"))
    with pytest.raises(ConfigurationError, match="it rates everything alike"):
        owner.start(["judge"])
    assert machine.live == set()


# --- the end ---


def test_stop_ends_every_server_and_may_be_called_twice(machine: Machine) -> None:
    launches = machine.launches("candidate", "judge", places={"judge": "1"})
    servers = Owner(machine.folder, launches, quiet)
    servers.start(["candidate", "judge"])
    servers.stop()
    servers.stop()
    assert machine.live == set()
    assert servers.problems == []
    assert "instructlab-eval-serving" not in [thread.name for thread in threading.enumerate()]


def test_an_owner_that_was_never_started_can_be_stopped(machine: Machine) -> None:
    Owner(machine.folder, machine.launches("candidate"), quiet).stop()
    assert machine.events == []


def test_to_begin_to_stop_asks_every_server_without_waiting(machine: Machine) -> None:
    with Serving(machine, machine.launches("a", "b", places={"b": "1"})) as serving:
        serving.owner.begin_to_stop()
        assert [server.asked_to_stop for server in machine.servers.values()] == [True, True]
        assert len(machine.live) == 2


def test_a_server_that_is_loading_is_given_up_with_the_run(machine: Machine) -> None:
    loading = threading.Event()

    @dataclass(frozen=True)
    class Slow(FakeLauncher):
        def start(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> StartedServer:
            loading.set()
            wait_until(stopped)
            raise ConfigurationError("it was stopped while it loaded")

    launches = {**machine.launches("candidate", "judge"), "judge": Launch(Slow(machine, "judge", None))}

    async def work(serving: Serving) -> None:
        run = asyncio.create_task(serving.run(0, "run", ANSWER_THEN_JUDGE))
        await asyncio.to_thread(loading.wait, SECONDS)
        serving.owner.stop()
        run.cancel()
        await asyncio.wait([run])

    with Serving(machine, launches) as serving:
        asyncio.run(asyncio.wait_for(work(serving), SECONDS))
    assert serving.owner.problems == []


def test_the_folder_may_be_gone_before_the_owner_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    machine = Machine(tmp_path / "shared")
    with Serving(machine, machine.launches("candidate", "judge")) as serving:
        shutil.rmtree(machine.folder)
        machine.servers["candidate"].end(1)
        wait_until(lambda: serving.owner.problems != [])
        time.sleep(0.02)


def test_what_is_served_can_be_read_at_any_moment(machine: Machine) -> None:
    """It is replaced as a whole, so that nobody reads half of it."""
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            json.loads((machine.folder / "served.json").read_text())
            reads.append(1)

    reads: list[int] = []
    with Serving(machine, machine.launches("candidate", "judge")) as serving:
        reading = threading.Thread(target=read)
        reading.start()
        serving.play([[ANSWER_THEN_JUDGE * 10]])
        ended.set()
        reading.join()
    assert reads
