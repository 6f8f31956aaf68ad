"""Gates evaluated over results: a verdict each, with the figure, the limit, the interval and the reasons.

`evaluate` is the entry point, after `with_defaults` has added the gates that every benchmark has.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from pytest_instructlab_eval.gates.figures import FIGURES, Measurement
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.gates.language import Gate, Selector, parse_gate
from pytest_instructlab_eval.gates.scope import GateCase, Scope
from pytest_instructlab_eval.gates.sentences import limit_reason
from pytest_instructlab_eval.records.run import Run, SilentTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.statistics import CONFIDENCE, holm, margin_verdict

NONE_LEFT_OUT: Mapping[str, str] = {}
NO_BASELINE = "a drop needs something to compare with: give an earlier run with --eval-baseline"
UNPAIRED = "a drop is measured on the same questions, and the base model was asked others"


def with_default_gates(gates: Iterable[Gate], benchmarks: Iterable[str]) -> list[Gate]:
    """Return the gates that hold, and the default ones of each benchmark whose selector none of them has.

    Of several on one selector in one direction the last holds.
    """
    holding = {(gate.selector, gate.operator[0]): gate for gate in gates}
    named = {gate.selector for gate in holding.values()}
    defaults = [
        Gate(Selector(benchmark, figure=figure), "<=", figure.default)
        for benchmark in dict.fromkeys(benchmarks)
        for figure in FIGURES.values()
        if figure.default is not None
    ]
    return [*holding.values(), *(gate for gate in defaults if gate.selector not in named)]


def is_default_gate(gate: Gate) -> bool:
    """Return whether every benchmark has this gate by itself."""
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

    `baseline` are the results that a drop is measured against: of the model of the same name, or of the
    only one in it; `no_baseline` says why there are none. `left_out` says, by benchmark, why not all of
    its questions are in the run; then all but the rates of errors and unscored questions are skipped,
    since these are about how the run went and not about the model. Of answers that are yet to be judged
    the rate of errors alone is known. `incomparable` says why drops are refused, of standing gates
    too. What a gate is about but the run doesn't have is a refusal, or, of a standing gate, no reason to
    fail: it is skipped. `silent` are the tests that recorded no score: they are counted beside those that
    did, and where none did, a gate is refused.

    A mean meets its limit or doesn't; its interval is told beside it. A drop's verdict is read off its
    interval; where several groups of a benchmark are gated by drop, only what Holm's correction leaves
    significant has failed.
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
        _report(case, adjusted.get(number)) if isinstance(case, GateCase) else case
        for number, case in enumerate(cases)
    ]


def gate_verdicts(
    run: Run, baseline: Iterable[Result] | None, *, incomparable: str | None = None
) -> list[GateReport]:
    """Return the reports of a run's gates and the default ones, over its candidates; see `evaluate`.

    Drops are measured against its base model, where it has one, else against the baseline.
    """
    standing = [parse_gate(text, standing=True) for text in run.standing_gates]
    asked = [parse_gate(text) for text in run.gates]
    gates = with_default_gates([*standing, *asked], (result.benchmark for result in run.candidates))
    theirs = run.of_base if run.base is not None else baseline
    return evaluate_gates(
        gates,
        run.candidates,
        baseline=theirs if run.paired else None,
        no_baseline=NO_BASELINE if run.paired else UNPAIRED,
        left_out=run.left_out,
        incomparable=incomparable,
        silent=[test for test in run.silent if test.model != run.base],
    )


def _report(case: GateCase, adjusted: float | None) -> GateReport:
    """Return the verdict on a case; `adjusted` is Holm's p value of its drop, where there is one."""
    gate, target = case.gate, case.target
    found = gate.selector.figure.measure(target, gate.from_above)
    verdict: Verdict = "failed"  # and where nothing could be measured, that is all
    reasons: list[str] = []
    if found.value is not None and gate.selector.figure.compares:
        verdict, reasons = _within_margin(found, gate.limit, adjusted)
    elif found.value is not None:
        holds = gate.holds(found.value)
        verdict = "passed" if holds else "failed"
        reasons = [limit_reason(gate.operator, gate.limit, holds=holds)]
    sentences = [found.text, *reasons, *found.notes]
    if found.worst and verdict != "passed":
        sentences.append(f"{found.worst_are}: {', '.join(map(str, found.worst))}")
    if target.unrecorded:
        sentences.append(target.unrecorded)
    return GateReport(
        gate, verdict, "; ".join(sentences), case.model, found.value, found.interval, found.n,
        found.minimum_detectable_drop, found.correlation, found.worst, found.unpaired,
    )  # fmt: skip


def _within_margin(
    measurement: Measurement, margin: float, adjusted: float | None
) -> tuple[Verdict, list[str]]:
    """Return a drop's verdict, read off its interval, and the reasons.

    A run with the same scores has not dropped, however small it is.
    """
    if measurement.unchanged and margin >= 0:
        return "passed", []
    undecided = f"whether the drop is above {margin:g} can't be told"
    verdict = "inconclusive" if measurement.interval is None else margin_verdict(measurement.interval, margin)
    if verdict == "failed" and adjusted is not None and adjusted > 1 - CONFIDENCE:
        family = f"it is one of several groups that are gated, and Holm's adjusted p is {adjusted:.2f}"
        return "inconclusive", [undecided, family]
    reasons = {
        "passed": f"a drop above {margin:g} is ruled out",
        "failed": f"more than the {margin:g} that is allowed",
        "inconclusive": undecided,
    }
    return verdict, [reasons[verdict]]


def _adjusted_p_values(cases: Sequence[GateCase | GateReport]) -> dict[int, float]:
    """Return Holm's p value of each group's drop, by its place, where several of a benchmark are gated."""
    families: dict[tuple[str, str], dict[int, Callable[[], float]]] = defaultdict(dict)
    for number, case in enumerate(cases):
        if isinstance(case, GateCase) and case.gate.selector.group is not None:
            comparison = case.target.comparison
            if comparison is not None:
                p_value = functools.partial(comparison.p_value, case.gate.limit)
                families[case.gate.selector.benchmark, case.model][number] = p_value
    adjusted: dict[int, float] = {}
    for family in families.values():
        if len(family) > 1:
            adjusted.update(zip(family, holm([p_value() for p_value in family.values()]), strict=True))
    return adjusted
