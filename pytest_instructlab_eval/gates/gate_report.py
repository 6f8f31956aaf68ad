"""What became of a gate: its verdict, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.gates.language import Gate
from pytest_instructlab_eval.records.scores import plain_data
from pytest_instructlab_eval.stats.comparison import Contribution
from pytest_instructlab_eval.stats.statistics import Interval

Verdict = Literal["passed", "failed", "inconclusive", "refused", "skipped"]


@dataclass(frozen=True)
class GateReport:
    """What became of one gate for one model.

    `value`, `interval` (95 %) and `minimum_detectable_drop` are in the unit of what is gated and None
    where there is none; `n` is how many questions they are over. `worst` are the questions behind the
    figure, worst first: the lowest scores, the largest drops, what has no score. `unpaired` are the
    questions that a drop leaves out, since one side alone has a score for them, or they were changed.
    `model` is None where the gate's benchmark isn't in the run. A refused gate could not be evaluated, a
    skipped one was not meant to be, and `message` says why.
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

    def to_plain(self) -> dict[str, object]:
        """Return it as plain data, in which the gate's figure is a name."""
        selector = {**vars(self.gate.selector), "figure": self.gate.selector.figure.name}
        found: dict[str, object] = plain_data(
            {**vars(self), "gate": {**vars(self.gate), "selector": selector}}
        )
        return found


def fails_run(report: GateReport, inconclusive: str) -> bool:
    """Return whether a verdict fails the run; `inconclusive` is warn, fail or pass."""
    undecided = report.verdict == "inconclusive" and inconclusive == "fail"
    return undecided or report.verdict in ("failed", "refused")
