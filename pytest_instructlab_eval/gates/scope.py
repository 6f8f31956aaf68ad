"""What of a run a gate is about: a target for each model, or why there is none."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.gates.language import Gate, Selector
from pytest_instructlab_eval.gates.sentences import known_names
from pytest_instructlab_eval.gates.target import Target
from pytest_instructlab_eval.records.run import SilentTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.comparison import counterpart, paired_comparison
from pytest_instructlab_eval.stats.values import results_of_metric


@dataclass(frozen=True)
class GateCase:
    """One gate for one model."""

    gate: Gate
    model: str
    target: Target


class _Unjudged(Exception):
    """Why a gate gets no verdict: it is refused, or skipped."""

    def __init__(self, verdict: Literal["refused", "skipped"], message: str) -> None:
        super().__init__(message)
        self.verdict, self.message = verdict, message

    @classmethod
    def lacking(cls, gate: Gate, message: str, silent: Sequence[SilentTest] = ()) -> _Unjudged:
        """Return why, where the run lacks what the gate is about, or has but tests that recorded no score.

        A standing gate is there for other runs too.
        """
        if not silent:
            return cls("skipped" if gate.standing else "refused", message)
        counts = Counter(test.outcome for test in silent)
        how = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))
        none = f"no test of {gate.selector.target} recorded a score ({how})"
        return cls("refused", f"{none}; call record_score in each of its tests")


@dataclass(frozen=True)
class Scope:
    """What gates are evaluated over; see `check.evaluate`."""

    results: Sequence[Result]
    baseline: Sequence[Result] | None
    no_baseline: str
    left_out: Mapping[str, str]
    silent: Sequence[SilentTest]
    incomparable: str | None

    def cases(self, gate: Gate) -> list[GateCase | GateReport]:
        """Return a case for each model of the gate's benchmark, or a report that says why it is none."""
        try:
            ran = self._ran(gate)
        except _Unjudged as why:
            return [GateReport(gate, why.verdict, why.message)]
        models = [result.model for result in ran]
        models += [test.model for test in self._silent(gate.selector)]
        cases: list[GateCase | GateReport] = []
        for model in dict.fromkeys(models):
            try:
                own = _of(ran, gate.selector.benchmark, model)
                cases.append(GateCase(gate, model, self._target(gate, model, own)))
            except _Unjudged as why:
                cases.append(GateReport(gate, why.verdict, why.message, model))
        return cases

    def _ran(self, gate: Gate) -> list[Result]:
        """Return the results of the gate's benchmark."""
        name, figure = gate.selector.benchmark, gate.selector.figure
        ran, left_out = _of(self.results, name), self.left_out.get(name)
        if left_out and not (ran and figure.about_the_run):
            raise _Unjudged("skipped", left_out)
        if not ran:
            there = known_names(name, {result.benchmark for result in self.results})
            message = f"there is no result of {name} in this run{there}"
            raise _Unjudged.lacking(gate, message, self._silent(gate.selector))
        if not figure.before_judging and any(result.answered for result in ran):
            raise _Unjudged("skipped", f"the answers of {name} are yet to be judged")
        return ran

    def _silent(self, selector: Selector, model: str | None = None) -> list[SilentTest]:
        """Return the tests of what is gated that recorded no score, of all models where none is named."""
        return [
            test
            for test in self.silent
            if test.benchmark == selector.benchmark
            and selector.group in (None, test.group)
            and model in (None, test.model)
        ]

    def _target(self, gate: Gate, model: str, ran: Sequence[Result]) -> Target:
        """Return what the gate is about of these results, which are all of the model's."""
        selector, silent = gate.selector, self._silent(gate.selector, model)
        groups = {result.group for result in ran} - {""}
        absent = unknown_part(selector, groups, None)
        if absent or not ran:
            raise _Unjudged.lacking(gate, absent or "", silent)
        metrics = {score.metric for result in ran for score in result.scores}
        if unknown := unknown_part(selector, groups, metrics):
            raise _Unjudged("refused", unknown)
        target = Target(selector.target, _selected(ran, selector), len(silent))
        if unusable := _unusable(gate, target):
            raise _Unjudged("refused", unusable)
        return self._compared(gate, model, target) if selector.figure.compares else target

    def _compared(self, gate: Gate, model: str, target: Target) -> Target:
        """Return the target with the other side beside it."""
        if self.baseline is None:
            raise _Unjudged.lacking(gate, self.no_baseline)
        if self.incomparable:
            raise _Unjudged("refused", self.incomparable)
        name = gate.selector.benchmark
        theirs = _of(self.baseline, name)
        models = list(dict.fromkeys(result.model for result in theirs))
        if not models:
            raise _Unjudged.lacking(gate, f"the baseline has no results of {name}")
        against = counterpart(model, models)
        if against is None:
            several = f"the baseline has {name} of several models ({', '.join(models)})"
            raise _Unjudged("refused", f"{several}, none of them {model}")
        other = _selected(_of(theirs, name, against), gate.selector)
        comparison = paired_comparison(target.results, other)
        if comparison is None:
            reason = f"not one question of {target.name} is the same, with a score, in the baseline"
            if any(result.content for result in target.results):  # a branch may have none but new ones
                raise _Unjudged.lacking(gate, reason)
            raise _Unjudged("refused", reason)
        side = f"against {against}" if against != model else "against the baseline"
        return dataclasses.replace(target, comparison=comparison, against=side)


def _of(results: Sequence[Result], benchmark: str, model: str | None = None) -> list[Result]:
    """Return the results of a benchmark, and of one model where it is named."""
    return [result for result in results if result.benchmark == benchmark and model in (None, result.model)]


def _selected(results: Sequence[Result], selector: Selector) -> tuple[Result, ...]:
    """Return the results of the selected group, with the scores of the selected metric."""
    kept = [result for result in results if selector.group in (None, result.group)]
    return tuple(kept if selector.metric is None else results_of_metric(kept, selector.metric))


def unknown_part(selector: Selector, groups: Iterable[str], metrics: Iterable[str] | None) -> str | None:
    """Return why a benchmark of these groups and metrics (None: not known yet) lacks what is selected."""
    parts = (
        ("group", selector.group, groups),
        ("metric", selector.metric, metrics),
    )
    for kind, name, names in parts:
        if name is not None and names is not None and name not in set(names):
            return f"{selector.benchmark} has no {kind} {name!r} in this run{known_names(name, names)}"
    return None


def _unusable(gate: Gate, target: Target) -> str | None:
    """Return why the limit can't be meant as it is written."""
    if gate.selector.figure.unit == "score" and len(target.scales) > 1:
        scales = ", ".join(f"{maximum:g}" for maximum in target.scales)
        return f"{target.name} has scores of several scales (up to {scales}); gate one of its metrics"
    return limit_off_scale(gate, target.maximum)


def limit_off_scale(gate: Gate, maximum: float) -> str | None:
    """Return why the limit can't be meant where scores go up to this maximum."""
    ends = gate.selector.figure.range(maximum)
    if ends is None:
        return None
    least, most = ends
    if gate.percent and most != 1:
        return (
            f"{gate.selector.target} is scored up to {most:g}; write the limit in that unit, not as a "
            "percentage"
        )
    if least <= gate.limit <= most:
        return None
    hint = f" (50 % is 0.5 or 50%, not {gate.limit:g})" if most == 1 < gate.limit else ""
    return f"{gate.selector} is never beyond {most:g}, so a limit of {gate.limit:g} decides nothing{hint}"
