"""What a test found, put on the report of its call, or of a setup that failed or skipped it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_instructlab_eval.errors import EvalError, ItemError
from pytest_instructlab_eval.records.recording import describe, without_traceback
from pytest_instructlab_eval.records.run import Silent
from pytest_instructlab_eval.records.scores import Result, plain
from pytest_instructlab_eval.session.item_state import forget, state
from pytest_instructlab_eval.session.items import content_digest, has_question, identity
from pytest_instructlab_eval.session.report_data import put_adaptations, put_result, put_silent
from pytest_instructlab_eval.session.session import NOT_JUDGED, EvalSession
from pytest_instructlab_eval.session.xdist_internals import is_worker
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.visible import inert_failure, visible_line

__all__ = ["Outcomes", "result_of"]

Failure = pytest.ExceptionInfo[BaseException]


class Outcomes:
    """The hooks around an item's end, in the process that runs it."""

    def __init__(self, session: EvalSession) -> None:
        self._settings = session.settings
        self._models = session.models
        self._is_worker = is_worker(session.config)
        self._told = 0  # adaptations

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Keep the failure: pytest-retry tells that of its first attempt alone."""
        try:
            return (yield)
        except BaseException:
            state(item).failure = pytest.ExceptionInfo.from_current()
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the result on the report of the call phase, or of a setup that fails or skips the test.

        Around the wrappers of all other plugins: pytest-retry runs a test again in its own.
        """
        report = yield
        ended = report.when == "call" or (report.when == "setup" and not report.passed)
        if ended and isinstance(item, pytest.Function) and has_question(item):
            failure = (state(item).failure or call.excinfo) if report.failed else None
            _put_finding(report, item, result_of(item, self._settings, failure), failure)
            _explain(report, item, failure)
            if self._is_worker and len(adaptations := self._models.adaptations) > self._told:
                self._told = len(adaptations)
                put_adaptations(report, adaptations)  # at once: this worker may die
            report.longrepr = inert_failure(report.longrepr)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Take no more scores; forget the item, which may be run again."""
        state(item).recorder.closed = True
        try:
            yield
        finally:
            forget(item)


def result_of(item: pytest.Function, settings: Settings, failure: Failure | None = None) -> Result:
    """Return what a test has found so far; `failure` is how it failed.

    A failed assertion after a score is the test's error, not the model's.
    """
    about, scores, error = identity(item), tuple(state(item).recorder.scores), None
    if failure is not None and not scores:
        ours = isinstance(failure.value, EvalError)  # whose first line says all
        error = str(failure.value).partition("\n")[0] if ours else failure.exconly(tryshort=True)
    return Result(
        benchmark=about.benchmark,
        question=about.question,
        group=about.group,
        model=about.model or next(iter(settings.labels)),
        judge=settings.judge if "judge" in item.fixturenames else None,
        scores=scores,
        error=error,
        duration=state(item).duration or 0.0,
        nodeid=item.nodeid,
        content=content_digest(item),
        cluster=about.cluster,
        chats=tuple(state(item).chats),
    )


def _put_finding(
    report: pytest.TestReport, item: pytest.Function, result: Result, failure: Failure | None
) -> None:
    """Have the report carry the result, or that there is none though the test did not fail."""
    measures = "record_score" in item.fixturenames or (
        failure is not None and isinstance(failure.value, EvalError)
    )
    if result.scores or (result.error is not None and measures):
        put_result(report, result)
        others = [entry for entry in item.user_properties if not entry[0].startswith("eval.")]
        item.user_properties[:] = [*others, *properties(result)]  # the teardown's report has them too
        report.user_properties = list(item.user_properties)
    elif not report.failed and not (report.skipped and NOT_JUDGED in str(report.longrepr)):
        put_silent(
            report, Silent(result.nodeid, result.benchmark, result.group, result.model, report.outcome)
        )


def properties(result: Result) -> list[tuple[str, object]]:
    """Return the result as flat test properties, for JUnit XML, other tools and a worker's report."""
    found: dict[str, object] = {
        "eval.benchmark": result.benchmark,
        "eval.question": result.question,
        "eval.group": result.group,
        "eval.model": result.model,
        "eval.outcome": result.outcome,
        "eval.judge": result.judge or "",
    }
    figures = {"eval.score": result.value, **{f"eval.{score.metric}": score.value for score in result.scores}}
    found |= {name: value for name, value in figures.items() if value is not None}
    shown = [(plain(name), plain(value)) for name, value in found.items() if value != ""]
    return [(name, visible_line(value) if isinstance(value, str) else value) for name, value in shown]


def _explain(report: pytest.TestReport, item: pytest.Function, failure: Failure | None) -> None:
    """Show of a failure what helps, and the time that the question took, not that pytest waited for it."""
    duration, scores = state(item).duration, state(item).recorder.scores
    if duration is not None:
        report.duration = duration
    error = None if failure is None else failure.value
    if failure is not None and isinstance(error, ItemError):
        report.longrepr = without_traceback(failure)
    elif report.failed and scores:
        report.sections.append(("recorded scores", describe("", scores).strip()))
    if isinstance(error, (AttributeError, TypeError)) and "'coroutine'" in str(error):
        report.sections.append(("hint", "is an `await` missing? A coroutine was used in place of its result"))
