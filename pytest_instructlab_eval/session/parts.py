"""The parts of a run, each a plugin of pytest's with its own state and hooks."""

from __future__ import annotations

from pytest_instructlab_eval.session.collection import Collection
from pytest_instructlab_eval.session.execution import Execution
from pytest_instructlab_eval.session.outcomes import Outcomes
from pytest_instructlab_eval.session.parametrization import Parametrization
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.xdist_internals import is_worker


def parts_of(session: EvalSession) -> list[object]:
    """Return the parts of the run that this process has, in the order in which they are to be registered.

    Of hooks that are all to be first, pytest calls the one first that was registered last; of those that are
    all to be last, it calls that one last. So `Workers` makes a place for signs before `Preparation` may
    refuse the run, and `Preparation` looks at what was collected before `Execution` begins.
    """
    parametrization, execution, outcomes = Parametrization(session), Execution(session), Outcomes(session)
    collection = Collection(session, parametrization)
    if is_worker(session.config):
        from pytest_instructlab_eval.session.xdist_worker import XdistWorker

        worker = XdistWorker(session, collection, execution)
        return [parametrization, collection, worker, execution, outcomes]
    from pytest_instructlab_eval.session.preparation import Preparation
    from pytest_instructlab_eval.session.received_results import ReceivedResults
    from pytest_instructlab_eval.session.run_end import RunEnd
    from pytest_instructlab_eval.session.workers import Workers

    preparation, results = Preparation(session, collection), ReceivedResults(session)
    workers = Workers(session, preparation, results)
    finish = RunEnd(session, collection, execution, results, workers)
    return [parametrization, collection, preparation, execution, outcomes, results, workers, finish]
