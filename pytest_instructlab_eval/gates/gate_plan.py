"""The plan of a run's gates: the questions and requests of each, and the smallest drop that would fail it.

It is made before anything is asked, from the collected tests and, where there is one, an earlier run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.gates.family import family_confidence
from pytest_instructlab_eval.gates.language import Gate
from pytest_instructlab_eval.gates.scope import GateCase, Scope
from pytest_instructlab_eval.gates.sentences import question_count
from pytest_instructlab_eval.records.run import PlannedTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.comparison import Comparison
from pytest_instructlab_eval.stats.repeated_answers import AnswersComparison, fewest_answers
from pytest_instructlab_eval.stats.statistics import fewest_clusters


@dataclass(frozen=True)
class EarlierRun:
    """The results of an earlier run, and those of the side that this run's drops are measured against."""

    results: Sequence[Result] = ()
    against: Sequence[Result] = ()


@dataclass(frozen=True)
class GatePlan:
    """What a run will ask for one gate, over all of its models, and what the gate could see.

    `questions` are those of one model; None where their number is not known yet. `requests` are those to the
    models and the judges, `seconds` how long they may take by the earlier run; None where unknown.
    `smallest_drop` is the smallest true drop that would fail the gate in 80 % of runs, in the unit of the
    score; None where it is not known, or where the gate is not about a drop. It `is_estimated` where the
    earlier run had other questions. `cannot_fail` is why no drop can fail the gate; empty where one can.
    """

    gate: Gate
    questions: int | None
    clusters: int
    requests: int | None
    seconds: float | None
    smallest_drop: float | None = None
    is_estimated: bool = False
    cannot_fail: str = ""

    @property
    def about_a_drop(self) -> bool:
        """True if the gate is about a drop."""
        return self.gate.selector.figure.compares


@dataclass(frozen=True)
class Answering:
    """How often the run asks its questions, and what its drops are about.

    `repeats` is the number of answers to a question of a benchmark that is asked repeatedly, None where the
    run finds it out, and `on_both_sides` says that the side that is compared with has several answers too.
    `about` and `about_these` are those of `evaluate_gates`.
    """

    repeats: int | None = 1
    on_both_sides: bool = False
    about: GateAbout | None = None
    about_these: Collection[str] = ()

    def repeated(self, tests: Iterable[PlannedTest]) -> bool:
        """Return whether a drop of these tests can be about these questions."""
        several = self.repeats != 1 and self.on_both_sides and self.about != "like-these"
        return several and all(test.is_repeated for test in tests)


def plan_gates(
    gates: Sequence[Gate],
    tests: Sequence[PlannedTest],
    earlier: EarlierRun,
    *,
    in_flight: int,
    answering: Answering = Answering(),
    base_model: str | None = None,
) -> list[GatePlan]:
    """Return the plan of each gate that has tests in this run.

    `in_flight` is the number of tests that run at once, `base_model` the model that drops are measured
    against, where the run asks it.
    """
    own_tests = []
    for gate in gates:
        selector = gate.selector
        own_tests.append((gate, [test for test in tests if test.is_of(selector.benchmark, selector.group)]))
    base = set[str]() if base_model is None else {base_model}
    together = 0  # the drops that are decided together: one for each gate on a drop and each candidate
    for gate, own in own_tests:
        if gate.selector.figure.compares:
            together += len({test.model for test in own} - base)
    power = _Power(earlier, together, answering)
    return [_with_power(_plan(gate, own, earlier, in_flight), own, power) for gate, own in own_tests if own]


def planned_requests(tests: Iterable[PlannedTest]) -> int | None:
    """Return the number of requests of the tests; None where one is unknown."""
    requests = [test.requests for test in tests]
    return None if None in requests else sum(number or 0 for number in requests)


def planned_seconds(tests: Sequence[PlannedTest], earlier: Iterable[Result], in_flight: int) -> float | None:
    """Return how many seconds the tests may take, by the earlier tests of their benchmarks; None if unknown.

    A question that was asked before takes as long again, another as long as the mean of its benchmark.
    """
    known: dict[tuple[str, str], float] = {}
    by_benchmark: dict[str, list[float]] = {}
    for result in earlier:
        if result.duration > 0:
            known[result.benchmark, result.question] = result.duration
            by_benchmark.setdefault(result.benchmark, []).append(result.duration)
    durations = []
    for test in tests:
        others = by_benchmark.get(test.benchmark)
        if not others:
            return None
        mean = math.fsum(others) / len(others)
        durations.append(known.get((test.benchmark, test.question), mean))
    return max(*durations, math.fsum(durations) / in_flight) if durations else None


def _plan(gate: Gate, tests: Sequence[PlannedTest], earlier: EarlierRun, in_flight: int) -> GatePlan:
    """Return the plan of a gate, without what it could see."""
    of_one_model = list({test.question: test for test in tests}.values())
    questions = planned_requests(test if test.is_task else test._replace(requests=1) for test in of_one_model)
    clusters = len({test.cluster or test.question for test in of_one_model})
    if questions and any(test.is_task for test in of_one_model):
        clusters = questions
    elif clusters == 1:  # each question counts within it
        clusters = len(of_one_model)
    seconds = planned_seconds(tests, [*earlier.results, *earlier.against], in_flight)
    return GatePlan(gate, questions, clusters, planned_requests(tests), seconds)


@dataclass(frozen=True)
class _Power:
    """What the power of a gate depends on beside its tests.

    `drops` are decided together: the first must pass the most severe level of Holm's correction.
    """

    earlier: EarlierRun
    drops: int
    answering: Answering

    @property
    def confidence(self) -> float:
        """The confidence of the interval that decides the first of the drops."""
        return family_confidence(self.drops)

    @property
    def together(self) -> str:
        """The words for what makes a single drop need more."""
        return f" (one of {self.drops}, which are decided together)" if self.drops > 1 else ""

    def comparisons(self, gate: Gate, names: Collection[str] | None) -> list[Comparison]:
        """Return those of the gate in the earlier run, one for each model, over these questions or all."""
        chosen = [result for result in self.earlier.results if names is None or result.question in names]
        about, about_these = self.answering.about, self.answering.about_these
        scope = Scope(chosen, list(self.earlier.against), "", {}, (), None, about, about_these)
        cases = [case for case in scope.cases(gate) if isinstance(case, GateCase)]
        return [case.target.comparison for case in cases if case.target.comparison is not None]

    def largest_drop(self, plan: GatePlan, comparisons: Iterable[Comparison]) -> float | None:
        """Return the smallest drop that every model's comparison would see, None where one sees none."""
        drops = [self.drop(plan, comparison) for comparison in comparisons]
        seen = [drop for drop in drops if drop is not None]
        return max(seen) if len(seen) == len(drops) else None

    def lacks_spread(
        self, plan: GatePlan, tests: Sequence[PlannedTest], comparisons: Iterable[Comparison]
    ) -> bool:
        """Return whether a drop will be about these questions, and the earlier run had single answers."""
        if not self.answering.repeated(tests):
            return False
        about_these = plan.gate.selector.benchmark in self.answering.about_these
        return any(
            comparison.asked_once
            if isinstance(comparison, AnswersComparison)
            else about_these or comparison.interval() is None
            for comparison in comparisons
        )

    def drop(self, plan: GatePlan, comparison: Comparison) -> float | None:
        """Return the smallest drop that as many questions as planned would see, None where none on the scale.

        How far it is above the limit falls with the square root of the number of questions, and of answers
        where the drop is about these questions.
        """
        limit = plan.gate.limit
        drop = comparison.detectable_drop(limit, self.confidence)
        if drop is None:
            return None
        ratio = comparison.n / plan.questions if plan.questions else 1.0
        if isinstance(comparison, AnswersComparison) and self.answering.repeats:
            ratio *= comparison.counts[0] / self.answering.repeats
        scaled = limit + (drop - limit) * math.sqrt(ratio)
        return scaled if scaled <= comparison.maximum else None


def _with_power(plan: GatePlan, tests: Sequence[PlannedTest], power: _Power) -> GatePlan:
    """Return the plan; that of a drop with the smallest drop that would fail the gate, or why none can."""
    if not plan.about_a_drop:
        return plan
    if why := _too_few(plan, tests, power):
        return dataclasses.replace(plan, cannot_fail=why)
    same = power.comparisons(plan.gate, {test.question for test in tests})
    comparisons = same or power.comparisons(plan.gate, None)
    if not comparisons or power.lacks_spread(plan, tests, comparisons):
        return plan
    drop = power.largest_drop(plan, comparisons)
    if drop is None:
        scale = f"no drop up to {comparisons[0].maximum:g} would be seen in 80 % of runs"
        return dataclasses.replace(plan, cannot_fail=f"{scale}, by the earlier run")
    exact = bool(same) and {comparison.n for comparison in same} == {plan.questions}
    return dataclasses.replace(plan, smallest_drop=drop, is_estimated=not exact)


def _too_few(plan: GatePlan, tests: Sequence[PlannedTest], power: _Power) -> str:
    """Return why a drop of so few questions, or answers, cannot be told from chance; empty where it can."""
    if not any(test.is_judged for test in tests) or plan.clusters >= fewest_clusters(power.confidence):
        return ""
    count = len({test.question for test in tests})
    if power.answering.repeated(tests):
        repeats, fewest = power.answering.repeats, fewest_answers(count, power.confidence)
        if repeats is None or repeats >= fewest:
            return ""
        return (
            f"it has {question_count(count)} with {repeats} answers each, and a drop{power.together} needs "
            f"{fewest} answers to each (--eval-repeat {fewest})"
        )
    files = len({test.cluster for test in tests if test.cluster})
    groups = {0: "", 1: " of 1 file or group"}.get(files, f" of {files} files or groups")
    fewest = fewest_clusters(power.confidence)
    return (
        f"it has {question_count(count)}{groups}, and a drop{power.together} needs {fewest} that do not "
        "depend on each other, or several answers to each question on both sides (--eval-repeat)"
    )
