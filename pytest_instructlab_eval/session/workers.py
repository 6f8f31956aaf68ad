"""The processes that share a run with this one: told what to do, and asked what they have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval.records.run import ModelAdaptation
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.session.collected_tests import CollectedTests
from pytest_instructlab_eval.session.distribution import wait_for_outputs
from pytest_instructlab_eval.session.items import ROLES
from pytest_instructlab_eval.session.preparation import Preparation
from pytest_instructlab_eval.session.received_results import ReceivedResults
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.termination import end_as_by_ctrl_c
from pytest_instructlab_eval.session.xdist_internals import (
    WorkerNode,
    is_controller,
    make_scheduler,
    node_output,
)
from pytest_instructlab_eval.session.xdist_worker import ADAPTATIONS, RESULTS

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

HAND_OVER = 20.0  # seconds that interrupted workers have to hand over their results; one is usual


class Workers:
    """The hooks of the process that workers, where there are any, report to.

    `order` are the tests in the order in which results are told; empty where there are no workers.
    """

    def __init__(self, session: EvalSession, preparation: Preparation, results: ReceivedResults) -> None:
        self.order: list[str] = []
        self._eval = session
        self._config = session.config
        self._preparation = preparation
        self._results = results
        self._session: pytest.Session | None = None
        self._nodes: list[WorkerNode] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Make a place for signs, and take SIGTERM for Ctrl-C."""
        self._session = session
        if is_controller(self._config) or self._eval.settings.hosted:
            self._eval.signs.make_folder()
            self._config.add_cleanup(self._eval.signs.remove)
        end_as_by_ctrl_c(self._config, lambda: self._eval.signs.put_up("interrupt", "stop"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerNode) -> None:
        """Tell a worker where the controller's signs are."""
        self._nodes.append(node)
        self._eval.servers.expect(node.gateway.id)
        self._eval.signs.tell(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> Scheduling | None:
        """Steal work, but none that is under way."""
        return make_scheduler(config, log, self._eval.window + 2)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Know the order in which results are told; serve the models that are asked."""
        self.order, signs = list(ids), self._eval.signs
        if (problem := signs.read("forked")) is not None:
            self._preparation.check_forked(str(problem))
        collected = signs.read("collected")
        if isinstance(collected, dict):
            self._preparation.check_collected(CollectedTests(**collected))
        asked = {role for role in ROLES if signs.is_up(role)}
        if ids and asked:
            self._preparation.serve(asked)

    def pytest_runtest_logreport(self) -> None:
        """Have the workers stop where the failure limit is reached."""
        if self._session is not None and (self._session.shouldfail or self._session.shouldstop):
            self._eval.signs.put_up("stop")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerNode, error: object) -> None:
        """Take in what a worker had scored and could not report."""
        if error is not None:
            self._eval.signs.put_up("careful")
        self._eval.servers.forget(node.gateway.id)
        self._take_in(node)

    def take_in_all(self) -> None:
        """After an interrupt, take in what all workers had scored: they hand it over a little later."""
        wait_for_outputs(self._nodes, HAND_OVER)
        for node in self._nodes:
            self._take_in(node)

    def _take_in(self, node: WorkerNode) -> None:
        output = node_output(node)
        self._results.add([Result.from_plain(record) for record in output.get(RESULTS, ())])
        self._results.add_adaptations(ModelAdaptation(**record) for record in output.get(ADAPTATIONS, ()))
