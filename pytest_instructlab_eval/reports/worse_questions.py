"""The questions whose score changed, worst first: one order and one choice for all that people read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.records.evidence import Origin
from pytest_instructlab_eval.reports.html.question_table import (
    FLIP,
    Finding,
    PageQuestions,
    QuestionRow,
)
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.stats.changes import BenchmarkChanges
from pytest_instructlab_eval.stats.values import evidence_of


@dataclass(frozen=True)
class ChangeCounts:
    """The number of questions that got worse and better, and of the flips among them."""

    worse: int
    better: int
    flips_down: int
    flips_up: int

    @classmethod
    def of(cls, changes: Collection[float]) -> ChangeCounts:
        """Return the counts of these changes, each a share of its scale."""
        return cls(
            worse=sum(change < 0 for change in changes),
            better=sum(change > 0 for change in changes),
            flips_down=sum(change <= -FLIP for change in changes),
            flips_up=sum(change >= FLIP for change in changes),
        )


@dataclass(frozen=True)
class WorseQuestion:
    """A question whose score is lower than that of the other side, `against`.

    `before` and `after` are scores of 0 to `maximum`. `flipped` says that the change is half the scale or
    more, `certain` that chance alone would hardly lower the mean of its benchmark or group so much.
    `failed_gate` is the failed gate on a drop whose limit the drop of this question exceeds. `origin` is its
    place in a taxonomy, empty for a question of another kind.
    """

    benchmark: str
    model: str
    against: str
    name: str
    before: float
    after: float
    maximum: float
    flipped: bool
    certain: bool
    failed_gate: str | None
    origin: Origin

    @property
    def is_noteworthy(self) -> bool:
        """True if the change is more than one that chance alone may make."""
        return self.flipped or self.certain or self.failed_gate is not None


def worse_questions(report: RunReport) -> list[WorseQuestion]:
    """Return the questions that got worse, of all benchmarks and candidates, the largest drop first.

    A drop is measured as a share of its scale.
    """
    if not report.changes:
        return []
    table = report.questions
    gates = [
        verdict
        for verdict in report.verdicts
        if verdict.verdict == "failed" and verdict.gate.selector.figure.compares
    ]
    changed = []
    for entry in report.changes:
        sides = compared_sides(entry, table)
        if sides is not None:
            rows = changed_rows(entry.benchmark, sides, table.rows)
            changed += [
                (change, _worse_question(entry, row, sides, gates)) for change, row in rows if change < 0
            ]
    return [question for _, question in sorted(changed, key=lambda pair: pair[0])]


def compared_sides(entry: BenchmarkChanges, table: PageQuestions) -> tuple[int, int] | None:
    """Return the sides of a comparison, ours first; None where the table does not have them."""
    for ours, (side, theirs) in enumerate(zip(table.sides, table.against, strict=True)):
        if side.role == "candidate" and side.label == entry.model and theirs is not None:
            return ours, theirs
    return None


def changed_rows(
    benchmark: str, sides: tuple[int, int], rows: Sequence[QuestionRow]
) -> list[tuple[float, QuestionRow]]:
    """Return the questions whose score changed, with the change as a share of the scale, worst first."""
    changes = [(row.change(*sides), row) for row in rows if row.name.benchmark == benchmark]
    return sorted(((change, row) for change, row in changes if change), key=lambda changed: changed[0])


def _worse_question(
    entry: BenchmarkChanges, row: QuestionRow, sides: tuple[int, int], gates: Sequence[GateReport]
) -> WorseQuestion:
    after, before = (row.of(side).value or 0.0 for side in sides)
    means = [entry.overall, *(group for group in entry.groups if group.label == row.group)]
    finding = row.of(sides[0])
    evidence = evidence_of(finding.own_scores)
    return WorseQuestion(
        entry.benchmark,
        entry.model,
        entry.against,
        row.name.text,
        before,
        after,
        row.maximum,
        flipped=(row.change(*sides) or 0.0) <= -FLIP,
        certain=any(mean.certain and mean.kind == "regression" for mean in means),
        failed_gate=_failed_gate(entry, row, finding, round(before - after, 12), gates),
        origin=evidence[0].origin if evidence else Origin(),
    )


def _failed_gate(
    entry: BenchmarkChanges, row: QuestionRow, finding: Finding, drop: float, gates: Sequence[GateReport]
) -> str | None:
    """Return the one of the failed gates on this benchmark or group whose limit the drop is above."""
    result = finding.result
    metrics = {result.main_metric} if result.main_metric else {score.metric for score in result.scores}
    for verdict in gates:
        selector = verdict.gate.selector
        is_about_it = (
            (selector.benchmark, verdict.model) == (entry.benchmark, entry.model)
            and selector.group in (None, row.group)
            and (selector.metric is None or {selector.metric} == metrics)
        )
        if is_about_it and drop > verdict.gate.limit:
            return str(verdict.gate)
    return None
