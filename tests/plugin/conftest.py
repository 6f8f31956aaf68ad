"""A small project in a folder of its own, and pytest runs in it against a scripted server."""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.examples_data import write_mmlu, write_mt_bench
from tests.schemas import check_written
from tests.scripted_server import JUDGE_MARKS, Body, ScriptedServer, content_text

from . import forking
from .forking import Forked

LONGEST_RUN = 120.0  # seconds, so that a test which hangs ends; a run takes a few
MMLU_ROWS = 3

# Installed beside the plugin for other tests. Without them a run starts in half the time; tests/plugin/
# test_beside_others.py has them back.
OTHERS = (
    "asyncio", "anyio", "hypothesispytest", "pytest-retry", "pytest_forked", "sugar", "html", "html_fixtures",
    "metadata",
)  # fmt: skip
BARE = tuple(part for name in OTHERS for part in ("-p", f"no:{name}"))


@dataclass(frozen=True)
class Finished:
    """A pytest run that has ended."""

    folder: Path
    ret: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def outcomes(self) -> dict[str, int]:
        """The counts in pytest's last line without those of the gates; warnings count too."""
        counts = Counter(pytest.RunResult.parse_summary_nouns(self.lines))
        for verdict, count in self.gates.items():
            counts["failed" if verdict == "refused" else verdict] -= count
        return {word: count for word, count in counts.items() if count}

    @property
    def gates(self) -> dict[str, int]:
        """How many gates have which verdict."""
        told = next((line for line in self.lines if line.startswith("gates: ")), "gates: ")
        found = re.findall(r"(\d+) (\w+)", told.partition("(")[0])
        return {verdict: int(count) for count, verdict in found}

    @property
    def order(self) -> list[str]:
        """The tests' node ids in the order of their reports (of a run with -v)."""
        told = [line.split(" ")[0] for line in self.lines if "::" in line and line.rstrip().endswith("%]")]
        return [nodeid for nodeid in told if not nodeid.startswith("gates::")]

    @property
    def document(self) -> dict[str, Any]:
        """results.json."""
        document: dict[str, Any] = json.loads((self.folder / "eval_output/results.json").read_text("utf-8"))
        return document

    @property
    def results(self) -> dict[str, Any]:
        """The results in results.json by the item's name."""
        return {record["nodeid"].split("::")[-1]: record for record in self.document["results"]}

    @property
    def cases(self) -> dict[str, ElementTree.Element]:
        """The test cases in junit.xml by name, without the gates."""
        return {name: case for name, case in self._cases() if case.attrib["classname"] != "gates"}

    @property
    def gate_cases(self) -> dict[str, ElementTree.Element]:
        """The gates in junit.xml by name."""
        return {name: case for name, case in self._cases() if case.attrib["classname"] == "gates"}

    def _cases(self) -> list[tuple[str, ElementTree.Element]]:
        root = ElementTree.parse(self.folder / "junit.xml").getroot()
        return [(case.attrib["name"], case) for case in root.iter("testcase")]

    def row(self, label: str) -> list[str]:
        """The cells of the row of the table of scores that starts so: score, error, counts."""
        rows = [line for line in self.lines if line.strip().startswith(f"{label}  ")]
        assert len(rows) == 1, f"{len(rows)} rows start with {label!r}:\n{self.out}"
        cells = [cell.strip() for cell in rows[0].strip().removeprefix(label).split("  ")]
        return [cell for cell in cells if cell]

    def failure(self, name: str) -> str:
        """What the run showed of a failing test."""
        _, _, rest = self.out.partition("= FAILURES =")
        _, found, shown = rest.partition(f"_ {name} _")
        assert found, f"{name} has no failure:\n{self.out}"
        for end in ("\n____", "\n===="):
            shown = shown.partition(end)[0]
        return shown

    def shows(self, *patterns: str) -> None:
        """These lines come in this order, with others between; fnmatch's wildcards hold."""
        pytest.LineMatcher(self.lines).fnmatch_lines(list(patterns))


def is_judgment(body: Body) -> bool:
    """Whether a chat is one with the judge."""
    return any(mark in content_text(body["messages"][-1]) for mark in JUDGE_MARKS)


def properties(case: ElementTree.Element) -> dict[str, str]:
    return {found.attrib["name"]: found.attrib["value"] for found in case.iter("property")}


class Running:
    """A run of a module under way, in a process group of its own as a shell would start it."""

    process: "subprocess.Popen[bytes] | Forked"

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        output: Path,
        *,
        fresh: bool = False,
    ) -> None:
        self._folder = folder
        self._started, self._since = time.monotonic(), time.time()
        self._out, self._err = output.with_suffix(".out"), output.with_suffix(".err")
        if not fresh:
            self.process = Forked(module, arguments, folder, env, output)
            return
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip

    @property
    def out(self) -> str:
        """What it has written so far."""
        return self._out.read_text("utf-8", "replace")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LONGEST_RUN
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.kill()
                pytest.fail(f"{what} never came\n{self.out}\n{self._err.read_text()}")
            time.sleep(0.02)

    def until_gone(self) -> None:
        """Wait for the last process of the group, a worker perhaps."""
        deadline = time.monotonic() + LONGEST_RUN
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.killpg(self.process.pid, 0)
                assert time.monotonic() < deadline, "a process was left behind"
                time.sleep(0.02)

    def interrupt(self) -> None:
        """Ctrl-C, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def finish(self) -> Finished:
        try:
            ret = self.process.wait(LONGEST_RUN)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the run didn't end\n{self.out}\n{self._err.read_text()}")
        seconds = time.monotonic() - self._started
        check_written(self._folder, self._since)
        return Finished(self._folder, ret, self.out, self._err.read_text("utf-8", "replace"), seconds)


class Project:
    """A folder with tests, and a server of the model that they evaluate."""

    def __init__(self, folder: Path, server: ScriptedServer, mmlu: Path, mt_bench: Path) -> None:
        self.folder = folder / "project"
        self.server = server
        self.mmlu = mmlu
        self.mt_bench = mt_bench
        self._home = folder / "home"
        self._tmp = folder / "tmp"
        self._started: list[Running] = []
        self._number = itertools.count()
        for made in (self.folder, self._home, self._tmp):
            made.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
        return path

    def own_mmlu(self, name: str = "") -> Path:
        """A copy of the MMLU data, to be changed."""
        return Path(shutil.copytree(self.mmlu, self.folder.parent / f"own_mmlu{name}"))

    @property
    def model(self) -> tuple[str, ...]:
        return ("--eval-model=tiny", f"--eval-base-url={self.server.url}")

    @property
    def judge(self) -> tuple[str, ...]:
        return (f"--eval-judge-model={self.server.models[-1]}",)

    @property
    def data(self) -> tuple[str, ...]:
        return (f"--eval-mmlu-data={self.mmlu}", f"--eval-mt-bench-data={self.mt_bench}")

    @property
    def mt_bench_only(self) -> tuple[str, ...]:
        return ("--eval-benchmark=mt_bench", f"--eval-mt-bench-data={self.mt_bench}", *self.judge)

    def start(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        bare: bool = True,
        fresh: bool = False,
        folder: str = ".",
    ) -> Running:
        """Begin a run; a `fresh` one is a new interpreter, and not forked from one that has the libraries."""
        output = self.folder.parent / f"run{next(self._number)}"
        arguments = [*(BARE if bare else ()), *args, f"--basetemp={output}"]
        shell = self.environment(**(env or {}))
        self._started.append(Running("pytest", arguments, self.folder / folder, shell, output, fresh=fresh))
        return self._started[-1]

    def close(self) -> None:
        """End what a failed test has left."""
        for running in self._started:
            running.kill()

    def command(self, *args: str, bare: bool = True) -> list[str]:
        return [sys.executable, "-m", "pytest", *(BARE if bare else ()), *args]

    def environment(self, **more: str) -> dict[str, str]:
        """What a user's shell would have, with nothing of this run's own and no network to models."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        own = {
            "HOME": str(self._home),
            "XDG_CACHE_HOME": str(self._home / ".cache"),
            "TMPDIR": str(self._tmp),
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "400",  # so that no line is broken
        }
        return {**kept, **own, **more}

    def run(
        self,
        *args: str,
        ret: int = 0,
        env: Mapping[str, str] | None = None,
        bare: bool = True,
        fresh: bool = False,
        **outcomes: int,
    ) -> Finished:
        """Run pytest to its end: exit status and counts are as given, and it leaves nothing behind."""
        return self.expect(self.start(*args, env=env, bare=bare, fresh=fresh).finish(), ret, **outcomes)

    def evaluate(
        self,
        *args: str,
        ret: int = 0,
        env: Mapping[str, str] | None = None,
        bare: bool = True,
        fresh: bool = False,
        **outcomes: int,
    ) -> Finished:
        """`run` with the model and its server named."""
        return self.run(*self.model, *args, ret=ret, env=env, bare=bare, fresh=fresh, **outcomes)

    def script(
        self, *args: str, env: Mapping[str, str] | None = None, folder: str = "."
    ) -> subprocess.CompletedProcess[str]:
        """Run the plugin's command line to its end."""
        output = self.folder.parent / f"script{next(self._number)}"
        shell = self.environment(**(env or {}))
        self._started.append(Running("pytest_instructlab_eval", args, self.folder / folder, shell, output))
        done = self._started[-1].finish()
        return subprocess.CompletedProcess(args, done.ret, done.out, done.err)

    def expect(self, finished: Finished, ret: int, **outcomes: int) -> Finished:
        shown = f"{finished.out}\n--- stderr ---\n{finished.err}"
        print(shown)
        assert finished.ret == ret, shown
        if outcomes:
            assert finished.outcomes == outcomes, shown
        assert "INTERNALERROR" not in shown
        assert "Traceback" not in finished.err
        assert "never awaited" not in shown
        assert list(self._tmp.iterdir()) == [], "something was left in the folder of temporary files"
        return finished


def make_gated(project: Project) -> None:
    """Have every run of the project decide something, so that its judges are tried."""
    project.write("pytest.ini", "[pytest]\neval_gates = mt_bench >= 1\n")


def pytest_configure() -> None:
    """Start the process that forks runs before the workers are started, so that all of them use it."""
    forking.ensure_fork_server()


FOREIGN = ("PYTEST", "INSTRUCTLAB", "XDG_", "CI", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server of the model "tiny"."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture(scope="session")
def mmlu_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic MMLU, `MMLU_ROWS` questions a task; not to be changed."""
    folder = tmp_path_factory.mktemp("mmlu")
    write_mmlu(folder, rows=MMLU_ROWS)
    return folder


@pytest.fixture(scope="session")
def mt_bench_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic MT-Bench, eight questions from 81-writing on; not to be changed."""
    folder = tmp_path_factory.mktemp("mt_bench")
    write_mt_bench(folder)
    return folder


@pytest.fixture(scope="session")
def make_project(
    tmp_path_factory: pytest.TempPathFactory, mmlu_data: Path, mt_bench_data: Path
) -> Iterator[Callable[[ScriptedServer], Project]]:
    """Makes a project for a server, for runs that several tests look at."""
    made: list[Project] = []

    def make(server: ScriptedServer) -> Project:
        made.append(Project(tmp_path_factory.mktemp("run"), server, mmlu_data, mt_bench_data))
        return made[-1]

    yield make
    for project in made:
        project.close()


@pytest.fixture
def project(make_project: Callable[[ScriptedServer], Project], server: ScriptedServer) -> Project:
    """An empty project."""
    return make_project(server)


@pytest.fixture(scope="session")
def main_server() -> Iterator[ScriptedServer]:
    """The server of `main_run`."""
    with ScriptedServer(models=("tiny", "org/judge"), latency=0.05) as server:
        yield server


@pytest.fixture(scope="session")
def main_run(make_project: Callable[[ScriptedServer], Project], main_server: ScriptedServer) -> Finished:
    """A run of both benchmarks with all that a user can have of it, which several tests look at."""
    project = make_project(main_server)
    report = ("--junitxml=junit.xml", "-o", "junit_family=xunit1")
    return project.evaluate(*project.judge, *project.data, *report, passed=57 + 8)
