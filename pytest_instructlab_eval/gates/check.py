"""Gates evaluated over results: a verdict each, with the figure, the limit, the interval and the reasons.

`evaluate` is the entry point, after `with_defaults` has added the gates that every benchmark has.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.gates.language import Gate, Selector, close_matches, parse_gate
from pytest_instructlab_eval.records.run import Run, Silent
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.comparison import (
    Comparison,
    Evidence,
    compare,
    counterpart,
    lowest,
    mean_interval,
)
from pytest_instructlab_eval.stats.statistics import (
    CONFIDENCE,
    Interval,
    holm,
    margin_verdict,
    t_interval,
    wilson_interval,
)
from pytest_instructlab_eval.stats.summary import Row, summarise

__all__ = [
    "DEFAULTS",
    "GateReport",
    "Verdict",
    "evaluate",
    "fails",
    "is_default",
    "off_scale",
    "unknown_part",
    "verdicts",
    "with_defaults",
]

Verdict = Literal["passed", "failed", "inconclusive", "refused", "skipped"]

DEFAULTS: Mapping[Literal["error_rate", "unscored_rate"], float] = {"error_rate": 0.0, "unscored_rate": 0.05}
WORST = 5  # questions named behind a verdict
LISTED = 10  # names listed where one is unknown
NONE_LEFT_OUT: Mapping[str, str] = {}
NO_BASELINE = "a drop needs something to compare with: give an earlier run with --eval-baseline"
UNPAIRED = "a drop is measured on the same questions, and the base model was asked others"


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
    worst: tuple[Evidence, ...] = ()
    unpaired: tuple[str, ...] = ()


def with_defaults(gates: Iterable[Gate], benchmarks: Iterable[str]) -> list[Gate]:
    """The gates that hold, and the default ones of each benchmark whose selector none of them has.

    Of several on one selector in one direction the last holds.
    """
    holding = {(gate.selector, gate.operator[0]): gate for gate in gates}
    named = {gate.selector for gate in holding.values()}
    defaults = [
        Gate(Selector(benchmark, figure=figure), "<=", limit)
        for benchmark in dict.fromkeys(benchmarks)
        for figure, limit in DEFAULTS.items()
    ]
    return [*holding.values(), *(gate for gate in defaults if gate.selector not in named)]


def fails(report: GateReport, inconclusive: str) -> bool:
    """Whether a verdict fails the run; `inconclusive` is warn, fail or pass."""
    undecided = report.verdict == "inconclusive" and inconclusive == "fail"
    return undecided or report.verdict in ("failed", "refused")


def is_default(gate: Gate) -> bool:
    """Whether every benchmark has this gate by itself."""
    return gate.operator == "<=" and any(
        gate.selector == Selector(gate.selector.benchmark, figure=figure) and gate.limit == limit
        for figure, limit in DEFAULTS.items()
    )


def evaluate(
    gates: Iterable[Gate],
    results: Iterable[Result],
    *,
    baseline: Iterable[Result] | None = None,
    no_baseline: str = NO_BASELINE,
    left_out: Mapping[str, str] = NONE_LEFT_OUT,
    silent: Sequence[Silent] = (),
    incomparable: str | None = None,
) -> list[GateReport]:
    """A report for each gate and each model of its benchmark, in their order.

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
    found, before = list(results), None if baseline is None else list(baseline)
    cases = [
        case
        for gate in gates
        for case in _cases(
            gate,
            found,
            _Context(before, no_baseline, left_out.get(gate.selector.benchmark, ""), incomparable, silent),
        )
    ]
    adjusted = _adjusted_p_values(cases)
    return [_report(case, adjusted.get(number)) for number, case in enumerate(cases)]


def verdicts(
    run: Run, baseline: Iterable[Result] | None, *, incomparable: str | None = None
) -> list[GateReport]:
    """The reports of a run's gates and the default ones, over its candidates; see `evaluate`.

    Drops are measured against its base model, where it has one, else against the baseline.
    """
    standing = [parse_gate(text, standing=True) for text in run.standing_gates]
    asked = [parse_gate(text) for text in run.gates]
    gates = with_defaults([*standing, *asked], (result.benchmark for result in run.candidates))
    theirs = run.of_base if run.base is not None else baseline
    return evaluate(
        gates,
        run.candidates,
        baseline=theirs if run.paired else None,
        no_baseline=NO_BASELINE if run.paired else UNPAIRED,
        left_out=run.left_out,
        incomparable=incomparable,
        silent=[test for test in run.silent if test.model != run.base],
    )


@dataclass(frozen=True)
class _Context:
    """What decides, beside its results, whether a gate can be evaluated."""

    baseline: Sequence[Result] | None
    no_baseline: str
    left_out: str
    incomparable: str | None
    silent: Sequence[Silent]

    def silent_of(self, selector: Selector, model: str | None = None) -> list[Silent]:
        """Return the tests of what is gated that recorded no score, of all models where none is named."""
        return [
            test
            for test in self.silent
            if test.benchmark == selector.benchmark
            and selector.group in (None, test.group)
            and model in (None, test.model)
        ]


@dataclass(frozen=True)
class _Case:
    """One gate for one model, and what it is about; `refusal` says why it can't be evaluated.

    `skipped` says why it isn't to be.
    """

    gate: Gate
    model: str | None = None
    results: tuple[Result, ...] = ()
    comparison: Comparison | None = None
    against: str = ""
    refusal: str | None = None
    skipped: str | None = None
    silent: int = 0

    @property
    def counted(self) -> str:
        """How many of its tests recorded a score, where not all did."""
        recorded = sum(bool(result.scores) or result.error is not None for result in self.results)
        tests = len(self.results) + self.silent
        return "" if recorded == tests else f"; {recorded:,} of {tests:,} tests recorded a score"

    @property
    def name(self) -> str:
        """The selector without its figure."""
        return _name(self.gate)

    @functools.cached_property
    def row(self) -> Row:
        """The mean and the counts, as the tables have them."""
        return summarise(self.results)[0].overall

    def number(self, value: float) -> str:
        """A value with the digits that its unit deserves."""
        digits = 2 if self.row.maximum > 1 and self.gate.selector.figure in ("mean", "drop") else 4
        return f"{value:,.{digits}f}"


def _name(gate: Gate) -> str:
    return str(dataclasses.replace(gate.selector, figure="mean"))


def _cases(gate: Gate, results: Sequence[Result], context: _Context) -> list[_Case]:
    selector = gate.selector
    ran = [result for result in results if result.benchmark == selector.benchmark]
    if context.left_out and (not ran or selector.figure not in DEFAULTS):
        return [_Case(gate, skipped=context.left_out)]
    silent = context.silent_of(selector)
    if not ran and silent:
        return [_Case(gate, refusal=_none_recorded(gate, silent))]
    if not ran:
        names = {result.benchmark for result in results}
        known = _known(selector.benchmark, names)
        return [_without(_Case(gate), f"there is no result of {selector.benchmark} in this run{known}")]
    if selector.figure != "error_rate" and any(result.answered for result in ran):
        return [_Case(gate, skipped=f"the answers of {selector.benchmark} are yet to be judged")]
    models = dict.fromkeys([*(result.model for result in ran), *(test.model for test in silent)])
    return [
        _case(gate, model, [result for result in ran if result.model == model], context) for model in models
    ]


def _case(gate: Gate, model: str, ran: Sequence[Result], context: _Context) -> _Case:
    selector = gate.selector
    absent = unknown_part(Selector(selector.benchmark, selector.group), _groups(ran), None)
    silent = context.silent_of(selector, model)
    if silent and (absent or not ran):
        return _Case(gate, model, refusal=_none_recorded(gate, silent))
    if absent:
        return _without(_Case(gate, model), absent)
    refusal = unknown_part(selector, _groups(ran), _metrics(ran))
    if refusal:
        return _Case(gate, model, refusal=refusal)
    case = _Case(gate, model, _narrowed(ran, selector), silent=len(silent))
    unusable = _off_scale(case)
    compares = selector.figure == "drop"
    if unusable or (compares and context.baseline is not None and context.incomparable):
        return dataclasses.replace(case, refusal=unusable or context.incomparable)
    return _with_comparison(case, context) if compares else case


def _with_comparison(case: _Case, context: _Context) -> _Case:
    """The case with the baseline's results beside its own."""
    if context.baseline is None:
        return _without(case, context.no_baseline)
    selector = case.gate.selector
    theirs = [result for result in context.baseline if result.benchmark == selector.benchmark]
    models = list(dict.fromkeys(result.model for result in theirs))
    against = counterpart(case.model, models)
    if not models:
        return _without(case, f"the baseline has no results of {selector.benchmark}")
    if against is None:
        return dataclasses.replace(case, refusal=_which_baseline(case, models))
    narrowed = _narrowed([result for result in theirs if result.model == against], selector)
    comparison = compare(case.results, narrowed)
    if comparison is None:
        refusal = f"not one question of {case.name} is the same, with a score, in the baseline"
        if any(result.content for result in case.results):  # a branch may have none but new ones
            return _without(case, refusal)
        return dataclasses.replace(case, refusal=refusal)
    return dataclasses.replace(case, comparison=comparison, against=against)


def _none_recorded(gate: Gate, silent: Sequence[Silent]) -> str:
    counts = Counter(test.outcome for test in silent)
    how = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))
    return f"no test of {_name(gate)} recorded a score ({how}); call record_score in each of its tests"


def _without(case: _Case, reason: str) -> _Case:
    """The case where the run doesn't have what its gate is about."""
    if case.gate.standing:
        return dataclasses.replace(case, skipped=reason)
    return dataclasses.replace(case, refusal=reason)


def _narrowed(results: Sequence[Result], selector: Selector) -> tuple[Result, ...]:
    """The results of the selected group, with the scores of the selected metric."""
    kept = [result for result in results if selector.group in (None, result.group)]
    if selector.metric is None:
        return tuple(kept)
    return tuple(
        dataclasses.replace(
            result, scores=tuple(score for score in result.scores if score.metric == selector.metric)
        )
        for result in kept
    )


# --- refusals ---


def unknown_part(selector: Selector, groups: Iterable[str], metrics: Iterable[str] | None) -> str | None:
    """Why a benchmark of these groups and metrics (None: not known yet) lacks what is selected."""
    if selector.group is not None and selector.group not in set(groups):
        return f"{selector.benchmark} has no group {selector.group!r} in this run" + _known(
            selector.group, groups
        )
    if metrics is not None and selector.metric is not None and selector.metric not in set(metrics):
        return f"{selector.benchmark} has no metric {selector.metric!r} in this run" + _known(
            selector.metric, metrics
        )
    return None


def _groups(results: Sequence[Result]) -> set[str]:
    return {result.group for result in results if result.group}


def _metrics(results: Sequence[Result]) -> set[str]:
    return {score.metric for result in results for score in result.scores}


def _known(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return f" (there is {', '.join(names[:LISTED]) or 'none'}{more}){close_matches(name, names)}"


def _off_scale(case: _Case) -> str | None:
    """Why the limit can't be meant as it is written."""
    gate, figure = case.gate, case.gate.selector.figure
    if figure == "n":
        return None
    maxima = {score.maximum for result in case.results for score in result.scores}
    if figure in ("mean", "drop") and len(maxima) > 1:
        scales = ", ".join(f"{maximum:g}" for maximum in sorted(maxima))
        return f"{case.name} has scores of several scales (up to {scales}); gate one of its metrics"
    return off_scale(gate, max(maxima, default=1.0))


def off_scale(gate: Gate, maximum: float) -> str | None:
    """Why the limit can't be meant where scores go up to this maximum."""
    figure = gate.selector.figure
    if figure == "n":
        return None
    highest = maximum if figure in ("mean", "drop") else 1.0
    if gate.percent and highest != 1:
        return f"{_name(gate)} is scored up to {highest:g}; write the limit in that unit, not as a percentage"
    if (-highest if figure == "drop" else 0) <= gate.limit <= highest:
        return None
    hint = f" (50 % is 0.5 or 50%, not {gate.limit:g})" if highest == 1 < gate.limit else ""
    return f"{gate.selector} is never beyond {highest:g}, so a limit of {gate.limit:g} decides nothing{hint}"


def _which_baseline(case: _Case, models: Sequence[str]) -> str:
    benchmark = case.gate.selector.benchmark
    return f"the baseline has {benchmark} of several models ({', '.join(models)}), none of them {case.model}"


# --- verdicts ---


def _report(case: _Case, adjusted: float | None) -> GateReport:
    if case.skipped is not None:
        return GateReport(case.gate, "skipped", case.skipped, case.model)
    if case.refusal is not None:
        return GateReport(case.gate, "refused", case.refusal, case.model)
    if case.comparison is not None:
        report = _drop_report(case, case.comparison, adjusted)
    elif case.gate.selector.figure == "n":
        report = _count_report(case)
    elif case.gate.selector.figure == "mean":
        report = _mean_report(case)
    else:
        report = _rate_report(case)
    return dataclasses.replace(report, message=report.message + case.counted)


def _mean_report(case: _Case) -> GateReport:
    row, gate = case.row, case.gate
    if row.value is None:
        message = f"{case.name} has no score ({row.errors:,} errors, {row.unscored:,} unscored)"
        return GateReport(gate, "failed", message, case.model)
    interval = _interval_of_mean(case)
    worst = lowest(case.results, WORST, highest=gate.operator in ("<", "<="))
    holds = gate.holds(row.value)
    details = f"{_interval_text(case, interval)}, {_questions(row.n)}"
    message = f"{case.name} is {case.number(row.value)} ({details}); {_limit(case, holds)}"
    if not holds:
        message += _named("highest" if gate.operator in ("<", "<=") else "lowest", worst)
    return GateReport(gate, _verdict(holds), message, case.model, row.value, interval, row.n, worst=worst)


def _interval_of_mean(case: _Case) -> Interval | None:
    """Of its questions; where a test recorded a mean without them, by the standard error that it gave."""
    row, scores = case.row, [score for result in case.results for score in result.scores]
    if row.value is not None and any(score.n > 1 and not score.samples for score in scores):
        return t_interval(row.value, row.stderr, math.inf) if row.stderr else None
    return mean_interval(case.results)


def _rate_report(case: _Case) -> GateReport:
    """A share of all that was asked: of turns, of samples, and of tests that ended early."""
    figure, row, gate = case.gate.selector.figure, case.row, case.gate
    scored = sum(score.n for result in case.results for score in result.scores)
    asked = scored + row.errors + row.unscored
    if not asked:
        return GateReport(gate, "failed", f"nothing was asked of {case.name}", case.model)
    count = row.errors if figure == "error_rate" else row.unscored
    # Turns of a question may fail together, so a question is one observation.
    observed = (
        asked if any(score.n > 1 for result in case.results for score in result.scores) else len(case.results)
    )
    value = count / asked
    interval, holds = wilson_interval(value * observed, observed), gate.holds(value)
    worst = _without_score(case.results, figure)
    word = "ended in an error" if figure == "error_rate" else "got no usable rating"
    message = f"{case.name}: {count:,} of {asked:,} {word}, {case.number(value)} "
    message += f"({_interval_text(case, interval)}); {_limit(case, holds)}"
    message += "" if holds else _named("concerned", worst)
    return GateReport(gate, _verdict(holds), message, case.model, value, interval, observed, worst=worst)


def _without_score(results: Sequence[Result], figure: str) -> tuple[Evidence, ...]:
    def concerned(result: Result) -> bool:
        if figure == "error_rate":
            return result.error is not None or any(score.errors for score in result.scores)
        return any(score.unscored for score in result.scores)

    return tuple(Evidence(result.question, result.value) for result in results if concerned(result))[:WORST]


def _count_report(case: _Case) -> GateReport:
    count = case.row.n
    holds = case.gate.holds(count)
    message = f"{case.name} has {_questions(count)} with a score; {_limit(case, holds)}"
    return GateReport(case.gate, _verdict(holds), message, case.model, float(count), None, count)


def _drop_report(case: _Case, comparison: Comparison, adjusted: float | None) -> GateReport:
    interval, margin = comparison.interval(), case.gate.limit
    verdict = _drop_verdict(comparison, interval, margin)
    corrected = verdict == "failed" and adjusted is not None and adjusted > 1 - CONFIDENCE
    if corrected:
        verdict = "inconclusive"
    worst, smallest = comparison.worst(WORST), comparison.minimum_detectable_drop
    notes = [_drop_text(case, comparison, interval)]
    if not comparison.unchanged or verdict != "passed":
        notes.append(_drop_reason(case, verdict))
    if corrected:
        notes.append(f"it is one of several groups that are gated, and Holm's adjusted p is {adjusted:.2f}")
    notes += _drop_notes(case, comparison, smallest)
    message = "; ".join(notes) + ("" if verdict == "passed" else _named("dropped most", worst))
    unpaired = tuple(dict.fromkeys(comparison.only_ours + comparison.only_theirs + comparison.changed))
    return GateReport(
        case.gate, verdict, message, case.model, comparison.drop, interval, comparison.n, smallest,
        comparison.correlation, worst, unpaired,
    )  # fmt: skip


def _drop_verdict(comparison: Comparison, interval: Interval | None, margin: float) -> Verdict:
    """Read off the interval, but for a run with the same scores: it has not dropped, however small it is."""
    if comparison.unchanged and margin >= 0:
        return "passed"
    return "inconclusive" if interval is None else margin_verdict(interval, margin)


def _drop_text(case: _Case, comparison: Comparison, interval: Interval | None) -> str:
    against = f"against {case.against}" if case.against != case.model else "against the baseline"
    where = f"{_questions(comparison.n)} {against}"
    if comparison.unchanged:
        return f"{case.name} has the same score on each of {where}"
    drop = comparison.drop
    moved = "dropped" if drop > 0 else "rose" if drop < 0 else "changed"
    text = f"{case.name} {moved} by {case.number(abs(drop))}"
    signed = "" if drop >= 0 or interval is None else " of the drop"
    return f"{text} ({_interval_text(case, interval)}{signed}, {where})"


def _drop_reason(case: _Case, verdict: Verdict) -> str:
    limit = f"{case.gate.limit:g}"
    return {
        "passed": f"a drop above {limit} is ruled out",
        "failed": f"more than the {limit} that is allowed",
    }.get(verdict, f"whether the drop is above {limit} can't be told")


def _drop_notes(case: _Case, comparison: Comparison, smallest: float | None) -> list[str]:
    notes = []
    if comparison.answers is not None and not comparison.unchanged:
        wrong, right = comparison.answers
        p_value = comparison.mcnemar
        exact = "" if p_value is None else f" (exact McNemar p = {p_value:.2g})"
        notes.append(f"{wrong:,} answers turned wrong and {right:,} right{exact}")
    if smallest is not None and smallest <= comparison.maximum:
        notes.append(f"this run could have seen a drop of {case.number(smallest)}")
    elif smallest is not None:
        notes.append("this run is too short to see any drop for sure")
    if comparison.only_ours:
        notes.append(f"left out, without a score in the baseline: {_listed(comparison.only_ours)}")
    if comparison.only_theirs:
        notes.append(f"left out, without a score in this run: {_listed(comparison.only_theirs)}")
    if comparison.changed:
        notes.append(f"left out, as another question in the baseline: {_listed(comparison.changed)}")
    return notes


def _adjusted_p_values(cases: Sequence[_Case]) -> dict[int, float]:
    """Holm's p value of each group's drop, by the case's place, where several of a benchmark are gated."""
    families: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        if case.comparison is not None and case.gate.selector.group is not None:
            families[case.gate.selector.benchmark, case.model].append(number)
    adjusted: dict[int, float] = {}
    for family in families.values():
        if len(family) > 1:
            adjusted.update(zip(family, holm([_p_value(cases[number]) for number in family]), strict=True))
    return adjusted


def _p_value(case: _Case) -> float:
    return 1.0 if case.comparison is None else case.comparison.p_value(case.gate.limit)


# --- words ---


def _verdict(holds: bool) -> Verdict:
    return "passed" if holds else "failed"


def _limit(case: _Case, holds: bool) -> str:
    gate = case.gate
    limit = f"{gate.limit:g}"
    asked = {
        ">=": (f"at least {limit} is asked", f"below the {limit} that is asked"),
        ">": (f"more than {limit} is asked", f"not above the {limit} that is to be exceeded"),
        "<=": (f"{limit} is allowed", f"above the {limit} that is allowed"),
        "<": (f"less than {limit} is asked", f"not below the {limit} that is to be stayed below"),
    }
    return asked[gate.operator][0 if holds else 1]


def _interval_text(case: _Case, interval: Interval | None) -> str:
    if interval is None:
        return "its 95 % interval can't be measured"
    return f"95 % interval {case.number(interval.low)} to {case.number(interval.high)}"


def _questions(count: int) -> str:
    return "1 question" if count == 1 else f"{count:,} questions"


def _named(what: str, worst: Sequence[Evidence]) -> str:
    return f"; {what}: {', '.join(map(str, worst))}" if worst else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - WORST:,} more" if len(names) > WORST else ""
    return ", ".join(names[:WORST]) + more
