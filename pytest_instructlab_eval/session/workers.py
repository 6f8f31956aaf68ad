"""The controller's hooks for xdist's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval.records.run import ModelAdaptation
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.records.usage import ModelUsage
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
from pytest_instructlab_eval.session.xdist_worker import ADAPTATIONS, RESULTS, USAGE

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

HAND_OVER = 20.0  # seconds that interrupted workers have to send their results; one is usual


class Workers:
    """The hooks of the process that workers report to, if there are any.

    `order` are the tests in the order of the report; empty without workers.
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
        """Make the folder of the signs, and handle SIGTERM like Ctrl-C."""
        self._session = session
        if is_controller(self._config) or self._eval.settings.hosted:
            self._eval.signs.make_folder()
            self._config.add_cleanup(self._eval.signs.remove)
        end_as_by_ctrl_c(self._config, lambda: self._eval.signs.put_up("interrupt", "stop"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerNode) -> None:
        """Send the folder of the signs to a worker."""
        self._nodes.append(node)
        self._eval.servers.expect(node.gateway.id)
        self._eval.signs.tell(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> Scheduling | None:
        """Return a scheduler that steals work, but no started items."""
        return make_scheduler(config, log, self._eval.window + 2)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Store the order of the tests, check the collected tests, and start the models that they use."""
        self.order, signs = list(ids), self._eval.signs
        if (problem := signs.read("forked")) is not None:
            self._preparation.check_forked(str(problem))
        collected = signs.read("collected")
        if isinstance(collected, dict):
            self._preparation.check_collected(CollectedTests.from_plain(collected))
        used = {role for role in ROLES if signs.is_up(role)}
        if ids and used:
            self._preparation.serve(used)

    def pytest_runtest_logreport(self) -> None:
        """Stop the workers if the failure limit is reached."""
        if self._session is not None and (self._session.shouldfail or self._session.shouldstop):
            self._eval.signs.put_up("stop")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerNode, error: object) -> None:
        """Add the results that a worker could not report."""
        if error is not None:
            self._eval.signs.put_up("careful")
        self._eval.servers.forget(node.gateway.id)
        self._add_from(node)

    def add_unreported(self) -> None:
        """Wait for the workers after an interrupt, and add the results that they could not report."""
        wait_for_outputs(self._nodes, HAND_OVER)
        for node in self._nodes:
            self._add_from(node)

    def _add_from(self, node: WorkerNode) -> None:
        output = node_output(node)
        self._results.add([Result.from_plain(record) for record in output.get(RESULTS, ())])
        self._results.add_adaptations(ModelAdaptation(**record) for record in output.get(ADAPTATIONS, ()))
        usage = [ModelUsage(**record) for record in output.get(USAGE, ())]
        if usage:
            self._results.add_usage(node.gateway.id, usage)
