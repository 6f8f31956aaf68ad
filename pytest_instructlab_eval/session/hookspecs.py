"""The hooks that this plugin calls, for a conftest.py or another plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_instructlab_eval.reports.finished_run import FinishedRun


@pytest.hookspec
def pytest_eval_run_finished(report: FinishedRun) -> None:
    """Take the results of an evaluation, such as for an experiment tracker.

    Called once at the end of a run, after its files and exports were written; with pytest-xdist in the
    controller alone. A run that could not start has no report. An exception fails the run and loses nothing.
    """
