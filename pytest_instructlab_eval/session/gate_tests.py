"""The reports of gates as tests: for the terminal, the JUnit file and the exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

import pytest

from pytest_instructlab_eval.errors import GateError
from pytest_instructlab_eval.escaping import escape_line, escape_text
from pytest_instructlab_eval.gates import Gate
from pytest_instructlab_eval.gates.gate_report import GateReport, fails_run
from pytest_instructlab_eval.records.recorder import without_traceback
from pytest_instructlab_eval.reports.run_report import RunReport

FILE = "gates"  # shown as the file of these tests

Shown = pytest.ExceptionInfo[BaseException] | tuple[str, int, str] | str | None
Outcome = tuple[Literal["passed", "failed", "skipped"], Shown]
PASSED: Outcome = ("passed", None)
PHASES: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")


class GateTestReport(pytest.TestReport):
    """The report of a phase of a gate's test; `verdict` is the gate's, and `title` heads its failure."""

    verdict = ""
    title = ""

    @property
    def head_line(self) -> str:
        """The title of a failure."""
        return self.title


def gate_test_reports(report: RunReport) -> Iterator[list[GateTestReport]]:
    """Yield the reports of setup, call and teardown for each gate of a run."""
    several = len(report.candidates) > 1
    for verdict in report.verdicts:
        name = _name(verdict.gate, verdict.model if several else None)
        phases = []
        for when in PHASES:
            outcome, shown = _outcome(verdict, report.inconclusive) if when == "call" else PASSED
            phase = GateTestReport(
                nodeid=f"{FILE}::{name}",
                # pytest writes "::" for the dots of a location that ends the node id, hence the blank.
                location=(FILE, None, f"{name} "),
                keywords={},
                outcome=outcome,
                longrepr=shown,
                when=when,
                user_properties=_properties(verdict),
            )
            phase.verdict = verdict.verdict
            of = f" ({verdict.model})" if several and verdict.model is not None else ""
            phase.title = escape_line(" ".join(f"{verdict.gate.text}{of}".split()))
            phases.append(phase)
        yield phases


def _name(gate: Gate, model: str | None) -> str:
    """Return the test's name, with group and model like parameters: `mt_bench >= 4 [coding-lab]`.

    It is a part of node ids and JUnit files, which stay as they are; titles and messages have the gate as
    users write it.

    The group moves to the end, since pytest takes any bracket for the start of parameters.
    """
    ungrouped = dataclasses.replace(gate, selector=dataclasses.replace(gate.selector, group=None), text="")
    parameters = [part for part in (gate.selector.group, model) if part is not None]
    name = " ".join((gate.text if gate.selector.group is None else str(ungrouped)).split())
    return escape_line(f"{name} [{'-'.join(parameters)}]" if parameters else name)


def _outcome(report: GateReport, inconclusive: str) -> Outcome:
    if report.verdict == "skipped":
        return "skipped", (FILE, 0, escape_line(f"Skipped: {report.message}"))
    if fails_run(report, inconclusive):
        try:
            raise GateError(escape_text(report.message))
        except GateError:
            return "failed", without_traceback(pytest.ExceptionInfo.from_current())
    return PASSED


def _properties(report: GateReport) -> list[tuple[str, object]]:
    low, high = report.interval if report.interval is not None else (None, None)
    properties: dict[str, object] = {
        "eval.gate": str(report.gate),
        "eval.verdict": report.verdict,
        "eval.model": report.model,
        "eval.value": report.value,
        "eval.limit": report.gate.limit,
        "eval.interval_low": low,
        "eval.interval_high": high,
        "eval.confidence": report.confidence,
        "eval.questions": report.n,
        "eval.about": report.about,
        "eval.minimum_detectable_drop": report.minimum_detectable_drop,
        "eval.message": report.message,
    }
    return [
        (name, escape_line(value) if isinstance(value, str) else value)
        for name, value in properties.items()
        if value is not None
    ]


def gate_status(
    report: GateTestReport, inconclusive: str
) -> tuple[str, str, tuple[str, Mapping[str, bool]]] | None:
    """Return the terminal's status of an inconclusive gate; None where it is like that of any test."""
    is_inconclusive = report.verdict == "inconclusive" and report.when == "call"
    if not is_inconclusive or inconclusive != "warn":
        return None
    return "inconclusive", "i", ("INCONCLUSIVE", {"yellow": True})
