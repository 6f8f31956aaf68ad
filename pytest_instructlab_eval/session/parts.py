"""The parts of a run, each a pytest plugin with its own state and hooks."""

from __future__ import annotations

from pytest_instructlab_eval.session.collection import Collection
from pytest_instructlab_eval.session.execution import Execution
from pytest_instructlab_eval.session.outcomes import Outcomes
from pytest_instructlab_eval.session.parametrization import Parametrization
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.workers_progress import WorkerProgress, WorkersProgress
from pytest_instructlab_eval.session.xdist_internals import is_worker


def parts_of(session: EvalSession) -> list[object]:
    """Return the parts of the run in this process, in the order of their registration.

    Of several `tryfirst` hooks, pytest calls the last registered one first; of several `trylast` hooks, it
    calls the last registered one last. So `Workers` makes the folder of the signs before `Preparation` may
    refuse the run, and `Preparation` checks the collected tests before `Execution` starts.
    """
    parametrization, execution, outcomes = Parametrization(session), Execution(session), Outcomes(session)
    collection = Collection(session, parametrization)
    if is_worker(session.config):
        from pytest_instructlab_eval.session.xdist_worker import XdistWorker

        worker, progress = XdistWorker(session, collection, execution), WorkerProgress(session)
        return [parametrization, collection, worker, execution, outcomes, progress]
    from pytest_instructlab_eval.session.html_table import PLUGIN, HtmlTable
    from pytest_instructlab_eval.session.preparation import Preparation
    from pytest_instructlab_eval.session.received_results import ReceivedResults
    from pytest_instructlab_eval.session.run_end import RunEnd
    from pytest_instructlab_eval.session.workers import Workers

    preparation, results = Preparation(session, collection), ReceivedResults(session)
    workers = Workers(session, preparation, results)
    finish = RunEnd(session, collection, execution, results, workers)
    all_progress = WorkersProgress(session)
    table = [HtmlTable(results)] if session.config.pluginmanager.hasplugin(PLUGIN) else []
    return [
        parametrization, collection, preparation, execution, outcomes, results, workers, all_progress, *table,
        finish,
    ]  # fmt: skip
