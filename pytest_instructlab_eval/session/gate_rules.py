"""The rules that a gate must meet before the run starts, each a function that returns the problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_instructlab_eval.gates import Gate, scope
from pytest_instructlab_eval.gates.sentences import close_matches
from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.session.collected_tests import CollectedTests
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmark_names, find_benchmark
from pytest_instructlab_eval.suites.selection import left_out_benchmarks

Rule = Callable[[Gate, Settings, CollectedTests], str | None]


def gate_problem(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return the problem of a gate, None where it has none.

    A standing gate is for other runs too, so it is refused only for what no run can have.
    """
    rules = OF_EVERY_GATE if gate.standing else (*OF_THIS_RUN, *OF_EVERY_GATE, missing_comparison)
    return next(filter(None, (rule(gate, settings, collected) for rule in rules)), None)


def absent_benchmark(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the benchmark is not in the run."""
    name, names_here = gate.selector.benchmark, sorted(collected.groups)
    if name in names_here:
        return None
    reasons = left_out_benchmarks(settings)
    if name in reasons:
        return f"{name} is left out of this run ({reasons[name]})"
    hint = close_matches(name, [*names_here, *(other for other in reasons if other not in names_here)])
    if not hint and {*names_here} <= {*benchmark_names()}:
        hint = "; add the file of its tests to the command"
    return f"there is no benchmark {name!r} in this run (known: {', '.join(names_here) or 'none'}){hint}"


def unselected_part(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why no test of the gate is selected."""
    if (gate.selector.group or "") in collected.unselected.get(gate.selector.benchmark, ()):
        return "none of its tests is selected; leave out the gate, or select its tests"
    return None


def empty_benchmark(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why a gated group cannot exist: the benchmark has no questions."""
    if gate.selector.group is not None and gate.selector.benchmark in collected.empty:
        return f"{gate.selector.benchmark} has no questions in this run"
    return None


def unknown_group_or_metric(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the gated group or metric is unknown, if it is certain that it is."""
    name = gate.selector.benchmark
    if name not in collected.groups or name in collected.empty:
        return None
    definition = find_benchmark(name)
    fewer = settings.asks_part_of(name)
    may_lack_groups = definition is None or not definition.fixed_groups or fewer or name in collected.part
    if gate.standing and may_lack_groups:
        return None
    return scope.unknown_part(
        gate.selector, collected.groups[name], definition.metrics if definition else None
    )


def limit_beyond_scale(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the limit makes no sense on the benchmark's scale."""
    definition = find_benchmark(gate.selector.benchmark)
    if definition is None:
        return None
    return scope.limit_off_scale(gate, definition.metrics.get(gate.selector.metric or "", definition.maximum))


def skipped_tests(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why tests of the gate will be skipped, so that its figure would be that of the others.

    A gate on tests that are all skipped in the judging run was evaluated where they were asked.
    """
    selector = gate.selector
    counts = collected.requested(selector.benchmark, selector.group)
    judged = sum(count for roles, count in counts.items() if "judge" in roles)
    other, total = counts["served_model"], counts.total()
    if judged and not settings.judge_model and settings.stage != "answer":
        return (
            f"{judged:,} of {total:,} tests of {selector.target} need a judge, and this run has none; "
            "name one with --eval-judge-model"
        )
    if settings.stage == "judge" and judged and other:
        return (
            f"{other:,} of {total:,} tests of {selector.target} need no judge, and --eval-stage judge "
            "skips them; ask and judge all of them in one run, without --eval-stage"
        )
    return None


def missing_comparison(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why a drop cannot be measured in this run."""
    if not gate.selector.figure.compares:
        return None
    if settings.baseline is None and settings.base_model is None:
        return (
            "a drop needs something to compare with; name an earlier run with --eval-baseline, or a model "
            "with --eval-base-model"
        )
    return None


def other_questions(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why a drop cannot be measured: the base model gets other questions."""
    if gate.selector.figure.compares and settings.base_questions == "base":
        return (
            "a drop needs the same questions on both sides; leave out --eval-base-questions base, or the gate"
        )
    return None


def misspelt_group(gate: Gate, settings: Settings, collected: CollectedTests) -> str | None:
    """Return why the group of a standing gate may be misspelt: it is nearly that of another.

    A benchmark of a branch has other groups in each run, and so has a part of a benchmark.
    """
    name, group = gate.selector.benchmark, gate.selector.group
    definition, groups = find_benchmark(name), collected.groups.get(name, ())
    has_part = name in collected.part or settings.asks_part_of(name)
    of_branch = definition is not None and definition.compared == "each"
    if not gate.standing or group is None or has_part or of_branch or not close_matches(group, groups):
        return None
    return scope.unknown_part(gate.selector, groups, None)


def misspelt_groups(gates: Sequence[Gate], settings: Settings, collected: CollectedTests) -> list[str]:
    """Return a warning for each gate whose group may be misspelt."""
    doubtful = ((gate, misspelt_group(gate, settings, collected)) for gate in gates)
    return [f"warning: gate {gate.text!r} is skipped: {why}" for gate, why in doubtful if why]


OF_THIS_RUN: tuple[Rule, ...] = (absent_benchmark, unselected_part, empty_benchmark)
OF_EVERY_GATE: tuple[Rule, ...] = (
    unknown_group_or_metric,
    limit_beyond_scale,
    skipped_tests,
    other_questions,
)


def missing_counterpart(gate: Gate, baseline: Baseline) -> str | None:
    """Return why the baseline cannot be used for the gate's drop."""
    name, names_there = gate.selector.benchmark, sorted({result.benchmark for result in baseline.results})
    if not gate.selector.figure.compares or gate.standing or name in names_there:
        return None
    return (
        f"the baseline has no results of {name} (known: {', '.join(names_there) or 'none'}); save one that "
        "has them with --eval-save-baseline"
    )
