"""The result of a test on its report: that of the call, or of a setup that failed or skipped the test."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_instructlab_eval.errors import EvalError, ItemError
from pytest_instructlab_eval.escaping import escape_failure, escape_line
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.recorder import describe_failure, without_traceback
from pytest_instructlab_eval.records.run import SilentTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.session.item_state import drop_state, state_of
from pytest_instructlab_eval.session.items import content_digest, has_question, identity_of, own_contents
from pytest_instructlab_eval.session.marker import definition_of
from pytest_instructlab_eval.session.report_data import (
    put_adaptations,
    put_broken,
    put_journal_use,
    put_resent,
    put_result,
    put_silent,
)
from pytest_instructlab_eval.session.session import NOT_JUDGED, EvalSession
from pytest_instructlab_eval.session.xdist_internals import is_worker
from pytest_instructlab_eval.settings import Settings

Failure = pytest.ExceptionInfo[BaseException]


class Outcomes:
    """The hooks at an item's end, in the process that runs it."""

    def __init__(self, session: EvalSession) -> None:
        self._settings = session.settings
        self._models = session.models
        self._journal = session.journal
        self._is_worker = is_worker(session.config)
        self._sent = 0  # adaptations

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Store the failure, since pytest-retry reports only that of the first attempt."""
        try:
            return (yield)
        except BaseException:
            state_of(item).failure = pytest.ExceptionInfo.from_current()
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the result to the report of the call phase, or of a setup that fails or skips the test.

        This wraps the wrappers of all other plugins, since pytest-retry runs a test again in its wrapper.
        """
        report = yield
        if decides_outcome(report) and isinstance(item, pytest.Function) and has_question(item):
            failure = (state_of(item).failure or call.excinfo) if report.failed else None
            _put_outcome(report, item, result_of(item, self._settings, failure), failure)
            _explain(report, item, failure)
            if is_eval_error(failure):
                put_broken(report)
            if self._is_worker:  # what is new about its requests, now, as this worker may die
                if len(adaptations := self._models.adaptations) > self._sent:
                    self._sent = len(adaptations)
                    put_adaptations(report, adaptations)
                put_resent(report, self._models.take_resent())
            if (use := self._journal.use) is not None:
                put_journal_use(report, self._journal.process, use)
            report.longrepr = escape_failure(report.longrepr)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Close the recorder, and remove the state of the item, which may be run again."""
        state_of(item).recorder.closed = True
        try:
            yield
        finally:
            drop_state(item)


def decides_outcome(report: pytest.TestReport) -> bool:
    """Return whether a report is that of a test's call, or of a setup after which there is no call."""
    return report.when == "call" or (report.when == "setup" and not report.passed)


def is_eval_error(failure: Failure | None) -> bool:
    """Return whether a test failed as a part of its evaluation did, and not by an assertion of its own."""
    return failure is not None and isinstance(failure.value, EvalError)


def result_of(item: pytest.Function, settings: Settings, failure: Failure | None = None) -> Result:
    """Return the result of a test so far; `failure` is its exception, if it failed.

    A failed assertion after a score is not an error of the result.
    """
    state = state_of(item)
    about, scores, error = identity_of(item), tuple(state.recorder.scores), None
    if failure is not None and not scores:
        ours = is_eval_error(failure)  # its first line is the reason
        error = str(failure.value).partition("\n")[0] if ours else failure.exconly(tryshort=True)
    definition = definition_of(item)
    asked, gradings = own_contents(item, state.requests, state.gradings)
    return Result(
        benchmark=about.benchmark,
        question=about.question,
        group=about.group,
        model=about.model or next(iter(settings.labels)),
        judge=settings.judge if "judge" in item.fixturenames else None,
        scores=scores,
        error=error,
        duration=state.duration or 0.0,
        nodeid=item.nodeid,
        content=content_digest(item) or asked,
        cluster=about.cluster,
        chats=tuple(state.chats),
        gradings=gradings,
        main_metric="" if definition is None else definition.main_metric,
    )


def _put_outcome(
    report: pytest.TestReport, item: pytest.Function, result: Result, failure: Failure | None
) -> None:
    """Attach the result to the report, or a mark that a test which did not fail has none."""
    measures = "record_score" in item.fixturenames or is_eval_error(failure)
    if result.scores or (result.error is not None and measures):
        put_result(report, result)
        others = [entry for entry in item.user_properties if not entry[0].startswith("eval.")]
        item.user_properties[:] = [*others, *properties(result)]  # for the teardown's report too
        report.user_properties = list(item.user_properties)
    elif not report.failed and not (report.skipped and NOT_JUDGED in str(report.longrepr)):
        put_silent(
            report, SilentTest(result.nodeid, result.benchmark, result.group, result.model, report.outcome)
        )


def properties(result: Result) -> list[tuple[str, object]]:
    """Return the result as flat test properties, for JUnit XML and other tools."""
    texts: dict[str, object] = {
        "eval.benchmark": result.benchmark,
        "eval.question": result.question,
        "eval.group": result.group,
        "eval.model": result.model,
        "eval.outcome": result.outcome,
        "eval.judge": result.judge or "",
    }
    figures = {"eval.score": result.value, **{f"eval.{score.metric}": score.value for score in result.scores}}
    texts |= {name: value for name, value in figures.items() if value is not None}
    shown = [(plain_data(name), plain_data(value)) for name, value in texts.items() if value != ""]
    return [(name, escape_line(value) if isinstance(value, str) else value) for name, value in shown]


def _explain(report: pytest.TestReport, item: pytest.Function, failure: Failure | None) -> None:
    """Set the report's duration to that of the question, and its failure text to the useful part."""
    duration, scores = state_of(item).duration, state_of(item).recorder.scores
    if duration is not None:
        report.duration = duration
    error = None if failure is None else failure.value
    if failure is not None and isinstance(error, ItemError):
        report.longrepr = without_traceback(failure)
    elif report.failed and scores:
        report.sections.append(("recorded scores", describe_failure("", scores).strip()))
    if isinstance(error, (AttributeError, TypeError)) and "'coroutine'" in str(error):
        report.sections.append(("hint", "is an `await` missing? A coroutine was used in place of its result"))
