"""The gates' verdicts as lines for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_instructlab_eval.gates.evaluation import is_default_gate
from pytest_instructlab_eval.gates.family import family_confidence
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.gates.sentences import confidence_text
from pytest_instructlab_eval.reports.tables import paragraph

ORDER: tuple[Verdict, ...] = ("failed", "refused", "inconclusive", "skipped", "passed")


def noteworthy_reports(reports: Sequence[GateReport]) -> list[GateReport]:
    """Return the reports, worst first, without default gates that passed."""
    shown = [report for report in reports if report.verdict != "passed" or not is_default_gate(report.gate)]
    return sorted(shown, key=lambda report: ORDER.index(report.verdict))


def verdict_counts(reports: Sequence[GateReport]) -> str:
    """Return the number of gates by verdict: "1 failed, 4 passed (2 default)".

    Default gates that passed are the only ones without a line of their own.
    """
    numbers = Counter(report.verdict for report in reports)
    counts = ", ".join(f"{numbers[verdict]} {verdict}" for verdict in ORDER if numbers[verdict])
    default = len(reports) - len(noteworthy_reports(reports))
    return f"{counts} ({default} default)" if default else counts


def family_note(reports: Sequence[GateReport]) -> str | None:
    """Return that drops are decided together, with the highest confidence of an interval (Holm's first).

    None where there are not several of them.
    """
    decided = ("passed", "failed", "inconclusive")
    drops = sum(report.gate.selector.figure.compares and report.verdict in decided for report in reports)
    if drops < 2:
        return None
    level = confidence_text(family_confidence(drops))
    return f"{drops} drops are gated together, so their intervals have up to {level} confidence"


def verdict_lines(reports: Sequence[GateReport]) -> list[str]:
    """Return the counts, a note on several drops, and each noteworthy gate's lines; none without gates."""
    models = {report.model for report in reports if report.model is not None}
    note = family_note(reports)
    lines = [] if note is None else paragraph(f"  {note}")
    for report in noteworthy_reports(reports):
        of = f" ({report.model})" if len(models) > 1 and report.model is not None else ""
        lines += paragraph(f"  {report.verdict}: {report.gate}{of}: {report.message}")
    return [f"gates: {verdict_counts(reports)}", *lines] if reports else []
