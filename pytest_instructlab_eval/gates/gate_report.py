"""The verdict of a gate, and the numbers and questions behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.gates.language import Gate
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.comparison import Contribution
from pytest_instructlab_eval.stats.statistics import Interval

Verdict = Literal["passed", "failed", "inconclusive", "refused", "skipped"]


@dataclass(frozen=True)
class GateReport:
    """The verdict of one gate on one model.

    `value`, `interval` and `minimum_detectable_drop` are in the unit of the gate's figure, None where it has
    none. `confidence` is that of the interval: 0.95, or more for one of several drops. `n` is the number of
    questions. `worst` are the questions behind the figure, worst first: the lowest scores, the largest drops,
    those without a score. `unpaired` are the questions that a drop does not compare, since only one side has
    a score for them, or they were changed. `model` is None if the gate's benchmark is not in the run. A
    refused gate could not be evaluated, a skipped gate does not apply to this run; `message` says why.
    `about` says of a drop whether the verdict is about these questions or about questions like these.
    """

    gate: Gate
    verdict: Verdict
    message: str
    model: str | None = None
    value: float | None = None
    interval: Interval | None = None
    n: int = 0
    minimum_detectable_drop: float | None = None
    correlation: float | None = None
    worst: tuple[Contribution, ...] = ()
    unpaired: tuple[str, ...] = ()
    confidence: float | None = None
    about: GateAbout | None = None

    def to_plain(self) -> dict[str, object]:
        """Return the report as plain data, with the name of the gate's figure."""
        selector = {**vars(self.gate.selector), "figure": self.gate.selector.figure.name}
        data: dict[str, object] = plain_data(
            {**vars(self), "gate": {**vars(self.gate), "selector": selector}}
        )
        return data


def fails_run(report: GateReport, inconclusive: str) -> bool:
    """Return whether a gate fails the run; `inconclusive` is the option: warn, fail or pass."""
    return report.verdict in ("failed", "refused") or (report.verdict, inconclusive) == (
        "inconclusive",
        "fail",
    )
