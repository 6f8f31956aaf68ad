"""Why a gate can't be meant: a rule a reason, looked at before anything is asked."""

from __future__ import annotations

from collections.abc import Callable

from pytest_instructlab_eval.gates import Gate, scope
from pytest_instructlab_eval.gates.sentences import close_matches
from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.session.collected_tests import CollectedTests
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmark_names, find_benchmark
from pytest_instructlab_eval.suites.selection import left_out_benchmarks

Rule = Callable[[Gate, Settings, CollectedTests], str | None]


def gate_problem(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the gate can't be meant, None where it can.

    A standing gate is for other runs too, so that of these only what no run has is refused.
    """
    rules = OF_EVERY_GATE if gate.standing else (*OF_THIS_RUN, *OF_EVERY_GATE, missing_comparison)
    return next(filter(None, (rule(gate, settings, collected) for rule in rules)), None)


def absent_benchmark(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the run does not have the benchmark."""
    name, known = gate.selector.benchmark, sorted(collected.groups)
    if name in known:
        return None
    reasons = left_out_benchmarks(settings)
    if name in reasons:
        return f"{name} is left out of this run ({reasons[name]})"
    hint = close_matches(name, [*known, *(other for other in reasons if other not in known)])
    if not hint and {*known} <= {*benchmark_names()}:
        hint = "; name the file of its tests"
    return f"there is no benchmark {name!r} in this run (there is {', '.join(known) or 'none'}){hint}"


def unselected_part(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why nothing is asked of what the run has."""
    if (gate.selector.group or "") in collected.unselected.get(gate.selector.benchmark, ()):
        return "none of its tests is selected; leave out the gate, or select them"
    return None


def empty_benchmark(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why there is no such group: there is no question at all."""
    if gate.selector.group is not None and gate.selector.benchmark in collected.empty:
        return f"{gate.selector.benchmark} has no questions in this run"
    return None


def unknown_group_or_metric(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why no run has such a group or metric, as far as this run tells."""
    name = gate.selector.benchmark
    if name not in collected.groups or name in collected.empty:
        return None
    known = find_benchmark(name)
    fewer = settings.min_tasks or (settings.sample, settings.first_n) != (None, None)
    may_lack_groups = known is None or not known.fixed_groups or fewer or name in collected.part
    if gate.standing and may_lack_groups:
        return None
    return scope.unknown_part(gate.selector, collected.groups[name], known.metrics if known else None)


def limit_beyond_scale(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the limit decides nothing on the benchmark's scale."""
    known = find_benchmark(gate.selector.benchmark)
    return None if known is None else scope.limit_off_scale(gate, known.maximum)


def missing_comparison(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the run has nothing to measure a drop against."""
    if not gate.selector.figure.compares:
        return None
    if settings.baseline is None and settings.base_model is None:
        return (
            "a drop needs something to compare with; give an earlier run with --eval-baseline, or a "
            "model with --eval-base-model"
        )
    if settings.base_questions == "base":
        return "a drop is measured on the same questions; leave out --eval-base-questions base"
    return None


OF_THIS_RUN: tuple[Rule, ...] = (absent_benchmark, unselected_part, empty_benchmark)
OF_EVERY_GATE: tuple[Rule, ...] = (unknown_group_or_metric, limit_beyond_scale)


def missing_counterpart(gate: Gate, baseline: Baseline) -> str | None:
    """Return why the baseline has nothing to measure the gate's drop against."""
    name, known = gate.selector.benchmark, sorted({result.benchmark for result in baseline.results})
    if not gate.selector.figure.compares or gate.standing or name in known:
        return None
    return (
        f"the baseline has no results of {name} (it has {', '.join(known) or 'none'}); save one that has "
        "with --eval-save-baseline"
    )
