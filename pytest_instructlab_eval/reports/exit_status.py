"""The exit status of a run: what made it end, told apart for scripts (described in docs/reference)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pytest_instructlab_eval.gates.gate_report import GateReport, fails_run

Cause = Literal["failed", "broken", "inconclusive"]

STATUSES: dict[Cause, int] = {"failed": 1, "broken": 7, "inconclusive": 6}  # the first that applies counts


def gate_cause(report: GateReport, inconclusive: str) -> Cause | None:
    """Return what a gate ends the run for, None where it does not; `inconclusive` is the option.

    A gate is broken where it says nothing of the model: it could not be evaluated, its figure could not be
    measured, or it is about how many questions were scored.
    """
    if not fails_run(report, inconclusive):
        return None
    if report.verdict == "inconclusive":
        return "inconclusive"
    unmeasured = report.value is None or report.gate.selector.figure.unit != "score"
    return "broken" if report.verdict == "refused" or unmeasured else "failed"


def exit_status(causes: Collection[Cause]) -> int:
    """Return the status of a run that ended for these causes; 0 without any."""
    return next((status for cause, status in STATUSES.items() if cause in causes), 0)
