"""The selection of what a gate measures in a run: a target for each model, or why there is none."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.gates.about import comparison_about
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.gates.language import Gate, Selector
from pytest_instructlab_eval.gates.no_pairs import no_pairs_reason
from pytest_instructlab_eval.gates.sentences import known_names
from pytest_instructlab_eval.gates.target import Target
from pytest_instructlab_eval.records.run import SilentTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.comparison import counterpart, counterpart_results, paired_comparison
from pytest_instructlab_eval.stats.values import main_metric, main_scores, results_of_metric

UNPAIRED = (
    "a drop needs the same questions on both sides, and the base model got others; leave out "
    "--eval-base-questions base"
)


@dataclass(frozen=True)
class GateCase:
    """One gate for one model."""

    gate: Gate
    model: str
    target: Target


class _Unjudged(Exception):
    """The reason why a gate is not evaluated: it is refused or skipped."""

    def __init__(self, verdict: Literal["refused", "skipped"], message: str) -> None:
        super().__init__(message)
        self.verdict, self.message = verdict, message

    @classmethod
    def lacking(cls, gate: Gate, message: str, silent: Sequence[SilentTest] = ()) -> _Unjudged:
        """Return the reason for a gate on something that the run does not have.

        A standing gate is skipped, since other runs may have it, but not where the two sides of this run were
        asked other questions. Where all tests are silent, which is an
        error of the tests, any gate is refused.
        """
        if message == UNPAIRED:
            return cls("refused", message)
        if not silent:
            return cls("skipped" if gate.standing else "refused", message)
        counts = Counter(test.outcome for test in silent)
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))
        none = f"no test of {gate.selector.target} recorded a score ({outcomes})"
        return cls("refused", f"{none}; call record_score in each of its tests")


@dataclass(frozen=True)
class Scope:
    """The data that gates are evaluated over; see `evaluate_gates`."""

    results: Sequence[Result]
    baseline: Sequence[Result] | None
    no_baseline: str
    left_out: Mapping[str, str]
    silent: Sequence[SilentTest]
    incomparable: str | None
    about: GateAbout | None = None
    about_these: Collection[str] = ()

    @property
    def comparable_baseline(self) -> Sequence[Result]:
        """The results of the baseline; none where they are not comparable."""
        return () if self.incomparable or self.baseline is None else self.baseline

    def cases(self, gate: Gate) -> list[GateCase | GateReport]:
        """Return a case for each model of the gate's benchmark, or a report of why there is none."""
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
            others = known_names(name, {result.benchmark for result in self.results})
            message = f"this run has no result of {name}{others}"
            raise _Unjudged.lacking(gate, message, self._silent(gate.selector))
        if not figure.before_judging and any(result.answered for result in ran):
            raise _Unjudged("skipped", f"the answers of {name} are not judged yet; run --eval-stage judge")
        return ran

    def _silent(self, selector: Selector, model: str | None = None) -> list[SilentTest]:
        """Return the selected tests that recorded no score, of one model or of all."""
        return [
            test
            for test in self.silent
            if test.benchmark == selector.benchmark
            and selector.group in (None, test.group)
            and model in (None, test.model)
        ]

    def _target(self, gate: Gate, model: str, ran: Sequence[Result]) -> Target:
        """Return the selected part of a model's results."""
        selector, silent = gate.selector, self._silent(gate.selector, model)
        groups = {result.group for result in ran} - {""}
        absent = unknown_part(selector, groups, None)
        if absent or not ran:
            raise _Unjudged.lacking(gate, absent or "", silent)
        metrics = {score.metric for result in ran for score in result.scores}
        if unknown := unknown_part(selector, groups, metrics):
            raise _Unjudged("refused", unknown)
        earlier = counterpart_results(self.comparable_baseline, selector.benchmark, model)
        own, before = _selected(ran, selector), _selected(earlier, selector)
        target = Target(selector.target, own, len(silent), baseline=before)
        if unusable := _unusable(gate, target):
            raise _Unjudged("refused", unusable)
        return self._compared(gate, model, target) if selector.figure.compares else target

    def _compared(self, gate: Gate, model: str, target: Target) -> Target:
        """Return the target with its comparison with the baseline or the base model."""
        if self.baseline is None:
            raise _Unjudged.lacking(gate, self.no_baseline)
        if self.incomparable:
            raise _Unjudged("refused", self.incomparable)
        name = gate.selector.benchmark
        earlier = _of(self.baseline, name)
        models = list(dict.fromkeys(result.model for result in earlier))
        if not models:
            raise _Unjudged.lacking(
                gate,
                f"the baseline has no results of {name}; save one that has them with --eval-save-baseline",
            )
        against = counterpart(model, models)
        if against is None:
            several = f"the baseline has {name} of several models ({', '.join(models)})"
            raise _Unjudged("refused", f"{several}, but none of {model}")
        other = _selected(_of(earlier, name, against), gate.selector, main_metric(target.results))
        comparison = paired_comparison(target.results, other)
        if comparison is None:
            reason = no_pairs_reason(target.name, target.results, other)
            if any(result.of_branch for result in target.results):  # a branch may have new questions only
                raise _Unjudged.lacking(gate, reason)
            raise _Unjudged("refused", reason)
        by_default = name in self.about_these
        comparison = comparison_about(comparison, target.results, other, self.about, by_default=by_default)
        side = f"against {against}" if against != model else "against the baseline"
        return dataclasses.replace(target, comparison=comparison, against=side)


def _of(results: Sequence[Result], benchmark: str, model: str | None = None) -> list[Result]:
    """Return the results of a benchmark, of one model or of all."""
    return [result for result in results if result.benchmark == benchmark and model in (None, result.model)]


def _selected(results: Sequence[Result], selector: Selector, main: str = "") -> tuple[Result, ...]:
    """Return the results of the selected group, with the scores of the selected metric, else the main one."""
    chosen = [result for result in results if selector.group in (None, result.group)]
    if selector.metric is None:  # errors and missing ratings of every metric count
        return tuple(main_scores(chosen, main) if selector.figure.unit == "score" else chosen)
    return tuple(results_of_metric(chosen, selector.metric))


def unknown_part(selector: Selector, groups: Iterable[str], metrics: Iterable[str] | None) -> str | None:
    """Return why a selected group or metric does not exist; `metrics` is None before they are known."""
    parts = (
        ("group", selector.group, groups),
        ("metric", selector.metric, metrics),
    )
    for kind, name, names in parts:
        if name is not None and names is not None and name not in set(names):
            return f"{selector.benchmark} has no {kind} {name!r} in this run{known_names(name, names)}"
    return None


def _unusable(gate: Gate, target: Target) -> str | None:
    """Return why the limit makes no sense for the target's scale."""
    if gate.selector.figure.unit == "score" and len(target.scales) > 1:
        scales = ", ".join(f"{maximum:g}" for maximum in target.scales)
        return f"{target.name} has scores on several scales (up to {scales}); gate one of its metrics"
    return limit_off_scale(gate, target.maximum)


def limit_off_scale(gate: Gate, maximum: float) -> str | None:
    """Return why the limit makes no sense for scores up to this maximum."""
    ends = gate.selector.figure.range(maximum)
    if ends is None:
        return None
    least, most = ends
    if gate.percent and most != 1:
        return (
            f"{gate.selector.target} has scores up to {most:g}; write the limit as a score, not as a "
            "percentage"
        )
    if least <= gate.limit <= most:
        return None
    hint = "; 50 % is written 0.5 or 50%" if most == 1 < gate.limit else ""
    return f"expected a limit from {least:g} to {most:g} (got {gate.limit:g}{hint})"
