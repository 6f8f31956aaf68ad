"""What is taken from xdist still has the form that `session/xdist_internals.py` expects.

One small run with a worker that dies is looked at from both sides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import xdist

CHANGED = f"pytest-xdist {xdist.__version__} has changed {{}}: adapt session/xdist_internals.py"

CONFTEST = """
import json
from pathlib import Path

import pytest
from pytest_instructlab_eval.session import xdist_internals as internals

PLACE = Path(__file__).parent
SEEN = {}


def keep(name, **values):
    SEEN.update(values)
    (PLACE / f"{name}.json").write_text(json.dumps(SEEN))


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config):
    if not internals.is_worker(config):
        before = config.option.dist
        internals.choose_work_stealing(config)
        SEEN.update(numprocesses=config.option.numprocesses, dist=[before, config.option.dist])
    return (yield)


def pytest_sessionstart(session):
    config = session.config
    if not internals.is_worker(config):
        SEEN.update(controls=internals.is_controller(config), workers=internals.worker_count(config))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    config = item.config
    if item.name == "test_first":
        keep(
            "worker",
            id=internals.worker_id(config),
            number=internals.worker_number(config),
            workers=internals.worker_count(config),
            told=internals.worker_input(config).get("told"),
            output=isinstance(internals.worker_output(config), dict),
            queued=internals.queued_items(internals.interactor(config), 2),
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if internals.is_worker(session.config):
        internals.worker_output(session.config)["handed"] = "over"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["told"] = "by the controller"
    SEEN.setdefault("nodes", []).append(node.gateway.id)
    SEEN.setdefault("before", []).append([dict(internals.node_output(node)), internals.has_ended(node)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    scheduler = internals.make_scheduler(config, log, 3)
    SEEN.update(scheduler=sorted(vars(scheduler)), called=[])
    internals.call_in_loop(config, lambda: SEEN["called"].append("in the loop"))()
    return scheduler


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    output = internals.node_output(node)
    SEEN.setdefault("after", []).append([output.get("handed"), internals.has_ended(node), error is not None])


def pytest_runtest_logreport(report):
    SEEN.setdefault("phases", []).append([report.nodeid.partition("::")[2], report.when])


def pytest_unconfigure(config):
    if not internals.is_worker(config):
        keep("controller")
"""

TESTS = """
import os

def test_first(): ...
def test_second(): ...
def test_third(): ...
def test_that_kills():
    os._exit(9)
def test_last(): ...
"""

Seen = dict[str, object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xdist")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_own.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = ("-q", "-p", "xdist", "-p", "no:cacheprovider", "-n1", "test_own.py")
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert (folder / "controller.json").exists(), CHANGED.format("a hook") + finished.stdout + finished.stderr
    return folder


@pytest.fixture
def controller(folder: Path) -> Seen:
    found: Seen = json.loads((folder / "controller.json").read_text())
    return found


@pytest.fixture
def worker(folder: Path) -> Seen:
    assert (folder / "worker.json").exists(), CHANGED.format("what a worker sees")
    found: Seen = json.loads((folder / "worker.json").read_text())
    return found


@pytest.mark.parametrize(
    ("what", "name", "expected"),
    [
        ("workerid in config.workerinput", "id", "gw0"),
        ("the names of its workers", "number", 0),
        ("workercount in config.workerinput", "workers", 1),
        ("node.workerinput", "told", "by the controller"),
        ("config.workeroutput", "output", True),
        ("WorkerInteractor.torun, or its lock()", "queued", [2, 3]),
    ],
)
def test_a_worker_sees(worker: Seen, what: str, name: str, expected: object) -> None:
    assert worker.get(name) == expected, CHANGED.format(what)


@pytest.mark.parametrize(
    ("what", "name", "expected"),
    [
        ("the name of its plugin dsession", "controls", True),
        ("config.option.tx", "workers", 1),
        ("config.option.numprocesses", "numprocesses", 1),
        ("config.option.dist", "dist", ["no", "worksteal"]),
        ("DSession.queue, or its loop", "called", ["in the loop"]),
        ("node.gateway.id", "nodes", ["gw0", "gw1"]),
        ("when node.workeroutput is set, or node._down", "before", [[{}, False], [{}, False]]),
        ("node.workeroutput, or node._down", "after", [[None, True, True], ["over", True, False]]),
    ],
)
def test_the_controller_sees(controller: Seen, what: str, name: str, expected: object) -> None:
    assert controller.get(name) == expected, CHANGED.format(what)


def test_a_test_whose_worker_died_has_a_phase_of_its_own(controller: Seen) -> None:
    from pytest_instructlab_eval.session.xdist_internals import CRASHED

    phases = controller["phases"]
    assert isinstance(phases, list)
    assert ["test_that_kills", CRASHED] in phases, CHANGED.format("the phase of a report of a crashed test")
    assert ["test_last", "call"] in phases, CHANGED.format("what a scheduler is asked")


@pytest.mark.parametrize("name", ["node2pending", "pending", "steal_requested_from_node"])
def test_its_work_stealing_scheduler_has(controller: Seen, name: str) -> None:
    attributes = controller.get("scheduler")
    assert isinstance(attributes, list)
    assert name in attributes, CHANGED.format(f"WorkStealingScheduling.{name}")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("xdist.scheduler:WorkStealingScheduling", "check_schedule"),
        ("xdist.workermanage:WorkerController", "shutting_down"),
        ("xdist.workermanage:WorkerController", "shutdown"),
    ],
)
def test_its_classes_have(owner: str, name: str) -> None:
    module, _, kind = owner.partition(":")
    found = getattr(pytest.importorskip(module), kind, None)
    assert name in dir(found), CHANGED.format(f"{kind}.{name}")
