"""The page's first screen: the verdict in a sentence, the gates, and what changed, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.gates.evaluation import is_default_gate
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.gates.sentences import confidence_text, number_text, score_digits
from pytest_instructlab_eval.reports.changes_table import comparison_notes
from pytest_instructlab_eval.reports.html.charts import LimitChart
from pytest_instructlab_eval.reports.html.question_table import FLIP, PageQuestions, QuestionRow
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.verdicts import ORDER, verdict_counts
from pytest_instructlab_eval.reports.worse_questions import ChangeCounts, changed_rows, compared_sides
from pytest_instructlab_eval.stats.changes import MeanChange

NAMED = 3  # causes in the sentence
WORST = 8  # questions shown of each comparison


@dataclass(frozen=True)
class GateCard:
    """A gate on the page."""

    verdict: Verdict
    text: str
    model: str | None
    message: str
    default: bool
    chart: LimitChart | None
    described: str


@dataclass(frozen=True)
class ChangedQuestion:
    """A question whose score changed: its link, and the score before and after."""

    link: str
    name: str
    before: str
    after: str
    flipped: bool


@dataclass(frozen=True)
class ChangeCard:
    """What changed in one benchmark: the means, the worst questions, and the groups that got worse."""

    title: str
    benchmark: str
    model: str
    overall: MeanChange
    interval: str
    digits: int
    counts: ChangeCounts
    questions: tuple[ChangedQuestion, ...]
    groups: tuple[MeanChange, ...]
    notes: tuple[str, ...]


def headline_sentence(report: RunReport) -> str:
    """Return the verdict on the run in a sentence that says why."""
    verdict = report.headline
    if verdict in ("failed", "broken"):
        causes = list(report.problems)
        if count := report.failed_tests:
            causes.append("1 test failed" if count == 1 else f"{count:,} tests failed")
        for gate in sorted(report.failed_gates, key=lambda gate: ORDER.index(gate.verdict)):
            causes.append(f"{gate.gate} {gate.verdict}: {gate.message.partition(';')[0]}")
        return f"{_listed(causes)}."
    if verdict == "inconclusive":
        undecided = [f"{gate.gate} is inconclusive" for gate in report.verdicts if gate.verdict == verdict]
        return f"{_listed([*filter(None, [report.not_gated]), *undecided])}."
    if verdict == "skipped":
        return "No question was asked."
    return f"No gate failed: {verdict_counts(report.verdicts)}." if report.verdicts else "No test failed."


def _listed(causes: Sequence[str]) -> str:
    more = [f"{len(causes) - NAMED} more"] if len(causes) > NAMED else []
    return "; ".join([*causes[:NAMED], *more])


def gate_cards(reports: Sequence[GateReport]) -> list[GateCard]:
    """Return the gates, worst first."""
    several = len({report.model for report in reports} - {None}) > 1
    cards = []
    for report in sorted(reports, key=lambda report: ORDER.index(report.verdict)):
        gate, chart, described = report.gate, None, ""
        if report.value is not None:
            chart = LimitChart.of(report.value, report.interval, gate.limit, from_above=gate.from_above)
            described = f"value {report.value:.4g}, limit {gate.limit:g}"
            if report.interval is not None:
                low, high = (f"{end:.4g}" for end in report.interval)
                described += f", {confidence_text(report.confidence or 0.95)} interval {low} to {high}"
        card = GateCard(
            report.verdict,
            str(gate),
            report.model if several else None,
            report.message,
            report.verdict == "passed" and is_default_gate(gate),
            chart,
            described,
        )
        cards.append(card)
    return cards


def change_cards(report: RunReport, table: PageQuestions) -> list[ChangeCard]:
    """Return what changed in each benchmark and candidate; the worst comparison first."""
    cards = []
    for entry in report.changes:
        pair = compared_sides(entry, table)
        changed = [] if pair is None else changed_rows(entry.benchmark, pair, table.rows)
        digits, ends = score_digits(entry.overall.maximum), entry.overall.interval
        card = ChangeCard(
            title=entry.title,
            benchmark=entry.benchmark,
            model=entry.model,
            overall=entry.overall,
            interval="" if ends is None else " to ".join(f"{end:+.{digits}f}" for end in ends),
            digits=digits,
            counts=ChangeCounts.of([change for change, _ in changed]),
            questions=() if pair is None else tuple(_worst_questions(changed, pair, table)),
            groups=tuple(group for group in entry.groups if group.certain),
            notes=tuple(comparison_notes([entry])),
        )
        cards.append(card)
    return sorted(cards, key=lambda card: card.overall.relative_difference)


def _worst_questions(
    changed: Sequence[tuple[float, QuestionRow]], pair: tuple[int, int], table: PageQuestions
) -> Iterator[ChangedQuestion]:
    """Yield the first of the questions whose score changed, as far as they got worse."""
    for change, row in changed[:WORST]:
        if change < 0:
            after, before = (f"{row.of(side).value or 0.0:.4g}" for side in pair)
            link = permalink(row, pair[0], table)
            yield ChangedQuestion(link, row.name.text, before, after, flipped=abs(change) >= FLIP)


def permalink(row: QuestionRow, side: int, table: PageQuestions) -> str:
    """Return the address of a question in the page; with its model in front where there are several."""
    import urllib.parse

    parts = [row.name.benchmark, row.name.text]
    if sum(entry.role == "candidate" for entry in table.sides) > 1:
        parts.insert(0, table.sides[side].label)
    # Each part as the page's script writes it (encodeURIComponent).
    encoded = (urllib.parse.quote(part.encode("utf-8", "replace"), safe="!~*'()-._") for part in parts)
    return "#" + "/".join(encoded)


def change_text(value: float | None, maximum: float) -> str:
    """Return a difference with its sign."""
    return "" if value is None else f"{round(value, score_digits(maximum)) + 0.0:+.{score_digits(maximum)}f}"


def score_text(value: float | None, maximum: float) -> str:
    """Return a score with the decimals of its scale."""
    return "" if value is None else number_text(value, score_digits(maximum))
