"""The evaluation of gates over results: a verdict for each, with its value, limit, interval and reasons.

`evaluate_gates` is the entry point. `with_default_gates` adds the gates that every benchmark has.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from pytest_instructlab_eval.gates.figures import FIGURES, Limit, Measurement
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.gates.language import Gate, Selector, parse_gate
from pytest_instructlab_eval.gates.scope import UNPAIRED, GateCase, Scope
from pytest_instructlab_eval.gates.sentences import expected_text, number_text
from pytest_instructlab_eval.records.run import Run, SilentTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.statistics import CONFIDENCE, holm, margin_verdict

NONE_LEFT_OUT: Mapping[str, str] = {}
NO_BASELINE = "a drop needs an earlier run to compare with; name one with --eval-baseline"


def with_default_gates(gates: Iterable[Gate], benchmarks: Iterable[str]) -> list[Gate]:
    """Return the gates, and the default gates of each benchmark that no gate replaces.

    Of several gates with one selector and one direction, the last one counts.
    """
    holding = {(gate.selector, gate.operator[0]): gate for gate in gates}
    gated = {gate.selector for gate in holding.values()}
    defaults = [
        Gate(Selector(benchmark, figure=figure), "<=", figure.default)
        for benchmark in dict.fromkeys(benchmarks)
        for figure in FIGURES.values()
        if figure.default is not None
    ]
    return [*holding.values(), *(gate for gate in defaults if gate.selector not in gated)]


def is_default_gate(gate: Gate) -> bool:
    """Return whether the gate is one that every benchmark has by default."""
    selector = gate.selector
    whole = selector == Selector(selector.benchmark, figure=selector.figure)
    return whole and gate.operator == "<=" and gate.limit == selector.figure.default


def evaluate_gates(
    gates: Iterable[Gate],
    results: Iterable[Result],
    *,
    baseline: Iterable[Result] | None = None,
    no_baseline: str = NO_BASELINE,
    left_out: Mapping[str, str] = NONE_LEFT_OUT,
    silent: Sequence[SilentTest] = (),
    incomparable: str | None = None,
) -> list[GateReport]:
    """Return a report for each gate and each model of its benchmark, in their order.

    `baseline` are the results that a drop is measured against: those of the model of the same name, or of
    the only model in it. `no_baseline` is the message where there is none. `left_out` gives, by benchmark,
    why some of its questions are not in the run. All gates of such a benchmark are skipped but those on the
    rates of errors and of unscored questions, which are about the run and not about the model. Before the
    answers are judged, only the rate of errors can be measured. `incomparable` is why drops are refused,
    those of standing gates too. A gate on something that the run does not have is refused, and a standing
    gate is skipped. `silent` are the tests that recorded no score. They are counted beside the others; if
    all tests are silent, the gate is refused.

    The mean alone decides a gate on a mean; its interval is only shown. The interval decides a gate on a
    drop. If several groups of a benchmark have such gates, a gate fails only if its drop is significant
    after Holm's correction.
    """
    scope = Scope(
        list(results),
        None if baseline is None else list(baseline),
        no_baseline,
        left_out,
        silent,
        incomparable,
    )
    cases = [case for gate in gates for case in scope.cases(gate)]
    adjusted = _adjusted_p_values(cases)
    return [
        _report(case, adjusted.get(index)) if isinstance(case, GateCase) else case
        for index, case in enumerate(cases)
    ]


def gate_verdicts(
    run: Run, baseline: Iterable[Result] | None, *, incomparable: str | None = None
) -> list[GateReport]:
    """Return the reports of a run's gates and the default gates, over its candidates; see `evaluate_gates`.

    Drops are measured against the run's base model if it has one, else against the baseline.
    """
    standing = [parse_gate(text, standing=True) for text in run.standing_gates]
    given = [parse_gate(text) for text in run.gates]
    gates = with_default_gates([*standing, *given], (result.benchmark for result in run.candidates))
    earlier = run.of_base if run.base is not None else baseline
    return evaluate_gates(
        gates,
        run.candidates,
        baseline=earlier if run.paired else None,
        no_baseline=NO_BASELINE if run.paired else UNPAIRED,
        left_out=run.left_out,
        incomparable=incomparable,
        silent=[test for test in run.silent if test.model != run.base],
    )


def _report(case: GateCase, adjusted: float | None) -> GateReport:
    """Return the verdict on a case; `adjusted` is the p value of its drop after Holm's correction."""
    gate, target = case.gate, case.target
    measured = gate.selector.figure.measure(target, Limit(gate.limit, gate.from_above, CONFIDENCE))
    verdict: Verdict = "failed"  # also where there is no value
    reasons: list[str] = []
    if measured.value is not None and gate.selector.figure.compares:
        verdict, reasons = _within_margin(measured, gate.limit, adjusted)
    elif measured.value is not None and gate.holds(measured.value):
        verdict = "passed"
    value = expected_text(gate.operator, gate.limit, measured.value, measured.digits)
    sentences = [f"{value} ({measured.about})", *reasons, *measured.notes]
    if measured.worst and verdict != "passed":
        sentences.append(f"{measured.worst_are}: {', '.join(map(str, measured.worst))}")
    if target.unrecorded:
        sentences.append(target.unrecorded)
    return GateReport(
        gate, verdict, "; ".join(sentences), case.model, measured.value, measured.interval, measured.n,
        measured.minimum_detectable_drop, measured.correlation, measured.worst, measured.unpaired,
    )  # fmt: skip


def _within_margin(drop: Measurement, margin: float, adjusted: float | None) -> tuple[Verdict, list[str]]:
    """Return the verdict that a drop's interval gives, and the reasons.

    A run with the same scores passes, even one of so few questions that there is no interval.
    """
    if drop.unchanged and margin >= 0:
        return "passed", []
    if drop.interval is None:
        return "inconclusive", ["inconclusive: too few independent questions for a 95 % interval"]
    verdict = margin_verdict(drop.interval, margin)
    low, high = (number_text(end, drop.digits) for end in drop.interval)
    where = {"passed": "is within", "failed": "is above", "inconclusive": "contains"}[verdict]
    reason = f"the 95 % interval ({low} to {high}) {where} the limit {margin:g}"
    if verdict == "failed" and adjusted is not None and adjusted > 1 - CONFIDENCE:
        correction = f"with Holm's correction for several gated groups p is {adjusted:.2f}"
        return "inconclusive", [f"inconclusive: {reason}, but {correction}"]
    return verdict, [f"inconclusive: {reason}" if verdict == "inconclusive" else reason]


def _adjusted_p_values(cases: Sequence[GateCase | GateReport]) -> dict[int, float]:
    """Return the adjusted p value (Holm) of each gated drop of a group, by its index in `cases`.

    A benchmark with only one such gate needs no correction and has no entry.
    """
    families: dict[tuple[str, str], dict[int, Callable[[], float]]] = defaultdict(dict)
    for index, case in enumerate(cases):
        if isinstance(case, GateCase) and case.gate.selector.group is not None:
            comparison = case.target.comparison
            if comparison is not None:
                p_value = functools.partial(comparison.p_value, case.gate.limit)
                families[case.gate.selector.benchmark, case.model][index] = p_value
    adjusted: dict[int, float] = {}
    for family in families.values():
        if len(family) > 1:
            adjusted.update(zip(family, holm([p_value() for p_value in family.values()]), strict=True))
    return adjusted
