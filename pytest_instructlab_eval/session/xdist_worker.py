"""What one of xdist's workers tells the process that it reports to."""

from __future__ import annotations

import pytest

from pytest_instructlab_eval.records.scores import plain_data
from pytest_instructlab_eval.session.collection import Collection
from pytest_instructlab_eval.session.execution import Execution
from pytest_instructlab_eval.session.items import forked_problem, model_roles
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.xdist_internals import worker_output

RESULTS, ADAPTATIONS = "eval_results", "eval_adaptations"  # what a worker hands over, by name


class XdistWorker:
    """The hooks of one of xdist's workers."""

    def __init__(self, session: EvalSession, collection: Collection, execution: Execution) -> None:
        self._eval = session
        self._collection = collection
        self._execution = execution

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Let the controller know which models will be asked."""
        signs, wanted = self._eval.signs, [item for item in session.items if model_roles([item])]
        signs.leave("forked", forked_problem(wanted))
        signs.leave("collected", self._collection.collected(session).to_plain())
        for role in model_roles(wanted):
            signs.put_up(role)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop, and hand over what was scored and could not be reported."""
        found = self._execution.unreported(session)
        self._eval.close(0.4)
        output = worker_output(session.config)
        output[RESULTS] = [result.to_plain() for result in found]
        output[ADAPTATIONS] = plain_data(self._eval.models.adaptations)
