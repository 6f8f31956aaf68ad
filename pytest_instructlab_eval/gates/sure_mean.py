"""The verdict on a mean that must meet its limit surely: the whole interval decides, not the mean alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_instructlab_eval.gates.sentences import confidence_text, number_text

if TYPE_CHECKING:
    from pytest_instructlab_eval.gates.figures import Measurement
    from pytest_instructlab_eval.gates.gate_report import Verdict
    from pytest_instructlab_eval.gates.language import Gate


def sure_verdict(gate: Gate, mean: Measurement, confidence: float) -> tuple[Verdict, list[str]]:
    """Return the verdict that the interval of a mean, of this confidence, gives, and the reason.

    Passed where both ends meet the limit, failed where none does, else inconclusive; so it is where there is
    no interval.
    """
    level = confidence_text(confidence)
    if mean.interval is None:
        return "inconclusive", [f"inconclusive: too few independent questions for a {level} interval"]
    met = [gate.holds(end) for end in mean.interval]
    low, high = (number_text(end, mean.digits) for end in mean.interval)
    interval = f"the {level} interval ({low} to {high})"
    if all(met):
        return "passed", [f"{interval} meets the limit {gate.limit:g}"]
    if any(met):
        return "inconclusive", [f"inconclusive: {interval} contains the limit {gate.limit:g}"]
    return "failed", [f"{interval} is {'above' if gate.from_above else 'below'} the limit {gate.limit:g}"]
