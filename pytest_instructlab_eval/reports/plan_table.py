"""The table of a run's plan: what it asks for each gate, and the smallest drop that would fail it."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_instructlab_eval.gates.gate_plan import GatePlan
from pytest_instructlab_eval.gates.sentences import number_text
from pytest_instructlab_eval.reports.tables import fit_table, paragraph, paragraphs

UNKNOWN = "-"
HEAD = ("gate", "questions", "clusters", "requests", "time", "smallest drop")


def plan_lines(plans: Sequence[GatePlan]) -> list[str]:
    """Return the table of the gates, and a sentence for each that cannot fail."""
    if not plans:
        return ["no gate has a question in this run; add one with --eval-gate"]
    rows = []
    for plan in plans:
        counts = (plan.questions, plan.clusters, plan.requests)
        numbers = [UNKNOWN if count is None else f"{count:,}" for count in counts]
        rows.append((str(plan.gate), *numbers, seconds_text(plan.seconds), drop_text(plan)))
    lines = fit_table(HEAD, rows)
    if any(plan.about_a_drop for plan in plans):
        lines += paragraph("The smallest drop is what would fail the gate in 80 % of runs.")
    if any(plan.is_estimated and plan.smallest_drop is not None for plan in plans):
        lines += paragraph(
            'With "about" it is an estimate, since the earlier run asked other questions, or more or fewer.'
        )
    return lines + paragraphs(map(power_warning, plans))


def drop_text(plan: GatePlan) -> str:
    """Return the smallest drop that would fail a gate: "0.0412", "about 0.0412", "cannot decide"."""
    if plan.cannot_fail:
        return "cannot decide"
    if plan.smallest_drop is None:
        return UNKNOWN
    drop = number_text(plan.smallest_drop, 4 if plan.smallest_drop < 1 else 2)
    return f"about {drop}" if plan.is_estimated else drop


def power_warning(plan: GatePlan) -> str:
    """Return the warning that a gate cannot fail; empty for any other."""
    if not plan.cannot_fail:
        return ""
    return f"warning: {plan.gate} cannot decide: {plan.cannot_fail}"


def seconds_text(seconds: float | None) -> str:
    """Return a time in the largest units that say something: "40 s", "3 min", "2.5 h"."""
    if seconds is None:
        return UNKNOWN
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
