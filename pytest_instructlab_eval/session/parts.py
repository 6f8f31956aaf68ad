"""The parts of a run, each a plugin of pytest's with its own state and hooks."""

from __future__ import annotations

from pytest_instructlab_eval.session.collection import Collection
from pytest_instructlab_eval.session.execution import Execution
from pytest_instructlab_eval.session.outcomes import Outcomes
from pytest_instructlab_eval.session.parametrization import Parametrization
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.xdist_internals import is_worker

__all__ = ["parts_of"]


def parts_of(session: EvalSession) -> list[object]:
    """Return the parts of the run that this process has, in the order in which they are to be registered.

    Of hooks that are equally urgent, pytest calls first the one that was registered last. So `Workers` makes
    a place for signs before `Preparation` may refuse the run, and `Preparation` looks at what was collected
    before `Execution` begins.
    """
    parametrization, execution = Parametrization(session), Execution(session)
    collection = Collection(session, parametrization)
    everywhere = [parametrization, collection, execution, Outcomes(session)]
    if is_worker(session.config):
        from pytest_instructlab_eval.session.worker import Worker

        return [*everywhere, Worker(session, collection, execution)]
    from pytest_instructlab_eval.session.finish import Finish
    from pytest_instructlab_eval.session.preparation import Preparation
    from pytest_instructlab_eval.session.results import Results
    from pytest_instructlab_eval.session.workers import Workers

    results, preparation = Results(session), Preparation(session, collection)
    workers = Workers(session, preparation, results)
    return [
        *everywhere,
        results,
        preparation,
        workers,
        Finish(session, collection, execution, results, workers),
    ]
