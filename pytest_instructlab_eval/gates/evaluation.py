"""The evaluation of gates over results: a verdict for each, with its value, limit, interval and reasons.

`evaluate_gates` is the entry point. `with_default_gates` adds the gates that every benchmark has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pytest_instructlab_eval.gates.family import GatedDrop, family_confidences
from pytest_instructlab_eval.gates.figures import FIGURES, Limit, Measurement
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.gates.language import Gate, Selector, parse_gate
from pytest_instructlab_eval.gates.scope import UNPAIRED, GateCase, Scope
from pytest_instructlab_eval.gates.sentences import confidence_text, expected_text, number_text
from pytest_instructlab_eval.gates.sure_mean import sure_verdict
from pytest_instructlab_eval.records.run import Run, SilentTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.statistics import CONFIDENCE, margin_verdict

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
    about: GateAbout | None = None,
    about_these: Collection[str] = (),
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

    `about` and `about_these` say what drops are about: see `comparison_about` and `Run.about_these`.

    The mean alone decides a gate on a mean, and its interval is only shown, unless it must hold surely. The
    interval decides a gate on a drop. The more gates on drops there are, the wider their intervals: see
    `family_confidences`.
    """
    scope = Scope(
        list(results),
        None if baseline is None else list(baseline),
        no_baseline,
        left_out,
        silent,
        incomparable,
        about,
        about_these,
    )
    cases = [case for gate in gates for case in scope.cases(gate)]
    confidences = family_confidences(
        {
            index: GatedDrop(case.target.comparison, case.gate.limit)
            for index, case in enumerate(cases)
            if isinstance(case, GateCase) and case.target.comparison is not None
        }
    )
    return [
        _report(case, confidences.get(index, CONFIDENCE)) if isinstance(case, GateCase) else case
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
        about=run.configuration.get("gate_about"),
        about_these=run.about_these,
    )


def _report(case: GateCase, confidence: float) -> GateReport:
    """Return the verdict on a case; `confidence` is that of its interval."""
    gate, target = case.gate, case.target
    measured = gate.selector.figure.measure(target, Limit(gate.limit, gate.from_above, confidence))
    verdict, reasons = _verdict(gate, measured, confidence)
    value = expected_text(gate.expected, gate.limit, measured.value, measured.digits)
    sentences = [f"{value} ({measured.about})", *reasons, *measured.notes]
    if measured.worst and verdict != "passed":
        sentences.append(f"{measured.worst_are}: {', '.join(map(str, measured.worst))}")
    if target.unrecorded:
        sentences.append(target.unrecorded)
    return GateReport(
        gate, verdict, "; ".join(sentences), case.model, measured.value, measured.interval, measured.n,
        measured.minimum_detectable_drop, measured.correlation, measured.worst, measured.unpaired,
        None if measured.interval is None else confidence,
        about=measured.scope,
    )  # fmt: skip


def _verdict(gate: Gate, measured: Measurement, confidence: float) -> tuple[Verdict, list[str]]:
    """Return the verdict on what was measured, and the reasons; where there is no value, a gate fails.

    The interval of a drop decides. A run with the same scores passes, even one of so few questions that there
    is no interval.
    """
    if measured.value is None:
        return "failed", []
    if not gate.selector.figure.compares:
        if gate.surely:
            return sure_verdict(gate, measured, confidence)
        return ("passed" if gate.holds(measured.value) else "failed"), []
    if measured.unchanged and gate.limit >= 0:
        return "passed", []
    if measured.interval is None:
        return "inconclusive", [f"inconclusive: {measured.no_interval}"]
    verdict = margin_verdict(measured.interval, gate.limit)
    low, high = (number_text(end, measured.digits) for end in measured.interval)
    where = {"passed": "is within", "failed": "is above", "inconclusive": "contains"}[verdict]
    level = confidence_text(confidence)
    reason = f"the {level} interval ({low} to {high}) {where} the limit {gate.limit:g}"
    return verdict, [f"inconclusive: {reason}" if verdict == "inconclusive" else reason]
