"""The hooks of an xdist worker, which sends its data to the controller."""

from __future__ import annotations

import pytest

from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.session.collection import Collection
from pytest_instructlab_eval.session.execution import Execution
from pytest_instructlab_eval.session.items import forked_problem, model_roles
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.xdist_internals import worker_output

RESULTS, ADAPTATIONS, USAGE = (
    "eval_results",
    "eval_adaptations",
    "eval_usage",
)  # the names of a worker's outputs


class XdistWorker:
    """The hooks of an xdist worker."""

    def __init__(self, session: EvalSession, collection: Collection, execution: Execution) -> None:
        self._eval = session
        self._collection = collection
        self._execution = execution

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Send the controller the facts about the collected tests and the models that they use."""
        signs, wanted = self._eval.signs, [item for item in session.items if model_roles([item])]
        signs.leave("forked", forked_problem(wanted))
        signs.leave("collected", self._collection.collected(session).to_plain())
        for role in model_roles(wanted):
            signs.put_up(role)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop, and send the results that could not be reported."""
        results = self._execution.unreported(session)
        self._eval.close(0.4)
        output = worker_output(session.config)
        output[RESULTS] = [result.to_plain() for result in results]
        output[ADAPTATIONS] = plain_data(self._eval.models.adaptations)
        output[USAGE] = plain_data(self._eval.models.usage)
