"""The plan of a run before anything is asked: what its gates could see, and whether that is enough."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from pytest_instructlab_eval.errors import ConfigurationError, EvalError
from pytest_instructlab_eval.gates import Gate
from pytest_instructlab_eval.gates.gate_plan import (
    Answering,
    EarlierRun,
    GatePlan,
    plan_gates,
    planned_requests,
    planned_seconds,
)
from pytest_instructlab_eval.gates.sentences import known_names
from pytest_instructlab_eval.records.previous_runs import last_results
from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.records.run import PlannedTest
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.plan_table import UNKNOWN, plan_lines, power_warning, seconds_text
from pytest_instructlab_eval.settings import AUTO, Settings
from pytest_instructlab_eval.suites.registry import find_benchmark

OPTION = "--eval-require-power"


class Planning:
    """The plans of a run's gates.

    `in_flight` is the number of tests that run at once, `baseline` has the results that drops are measured
    against where that is an earlier run, `about_these` the benchmarks whose drops are about their questions.
    """

    def __init__(
        self,
        settings: Settings,
        gates: Sequence[Gate],
        tests: Sequence[PlannedTest],
        baseline: Sequence[Result] | None,
        *,
        in_flight: int,
        about_these: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._tests = tests
        self._in_flight = in_flight
        # Only --eval-plan shows the others; where there is nothing to plan, the last run need not be read.
        planned = [gate for gate in gates if settings.plan or gate.selector.figure.compares]
        self._earlier = EarlierRun()
        if planned or settings.plan:
            self._earlier = EarlierRun((), list(baseline or ()))
            with contextlib.suppress(EvalError, OSError):  # where it cannot be read, nothing is known
                run = read_run(last_results(settings.output_dir))
                against = run.of_base if settings.base_model is not None else baseline
                self._earlier = EarlierRun(run.candidates, list(against or ()))
        self.plans = plan_gates(
            planned,
            self._tests,
            self._earlier,
            in_flight=in_flight,
            answering=answering_of(settings, baseline, about_these),
            base_model=settings.base_model,
        )

    @property
    def warnings(self) -> list[str]:
        """A sentence for each gate that cannot fail."""
        return [warning for plan in self.plans if (warning := power_warning(plan))]

    def lines(self) -> list[str]:
        """Return the lines of --eval-plan."""
        settings = self._settings
        requests = planned_requests(self._tests)
        seconds = planned_seconds(
            self._tests, [*self._earlier.results, *self._earlier.against], self._in_flight
        )
        count = UNKNOWN if requests is None else f"{requests:,}"
        whole = f"whole run: {len(self._tests):,} tests, {count} requests, {seconds_text(seconds)}"
        repeats = f"repeats: {settings.repeat}, judgments of an answer: {settings.judgments}"
        return [*plan_lines(self.plans), whole, repeats, "nothing was asked; leave out --eval-plan to run"]

    def check_power(self) -> None:
        """Raise ConfigurationError where a gate could not see a drop that --eval-require-power names."""
        for text in self._settings.require_power:
            benchmark, _, limit = text.partition("=")
            plans = [plan for plan in self.plans if _is_whole_drop(plan, benchmark)]
            if not plans:
                gated = {plan.gate.selector.benchmark for plan in self.plans if plan.about_a_drop}
                raise ConfigurationError(
                    f"{OPTION} {text}: this run has no gate on {benchmark}.drop"
                    f"{known_names(benchmark, gated)}; add one with --eval-gate"
                )
            for plan in plans:
                self._check_plan(plan, text, _in_units(limit, benchmark))

    def _check_plan(self, plan: GatePlan, text: str, drop: float) -> None:
        gate = f"{OPTION} {text}: gate {plan.gate.text!r}"
        if plan.cannot_fail:
            raise ConfigurationError(f"{gate} cannot decide: {plan.cannot_fail}")
        if plan.smallest_drop is None:
            raise ConfigurationError(
                f"{gate}: it is not known how small a drop it would see, since "
                f"{self._settings.output_dir} has no earlier run of these two models; run once "
                f"without {OPTION}"
            )
        if plan.smallest_drop > drop:
            raise ConfigurationError(
                f"{gate} needs a drop of {plan.smallest_drop:.4g} to fail in 80 % of runs, expected at "
                f"most {drop:g}; ask more questions, or ask them more often"
            )


def answering_of(
    settings: Settings, baseline: Sequence[Result] | None, about_these: Sequence[str]
) -> Answering:
    """Return how often questions are asked, on which sides, and what drops are about."""
    answered = any(score.answers for result in baseline or () for score in result.scores)
    return Answering(
        None if settings.repeat == AUTO else int(settings.repeat),
        on_both_sides=settings.base_model is not None or answered,
        about=settings.gate_about,
        about_these=about_these,
    )


def _is_whole_drop(plan: GatePlan, benchmark: str) -> bool:
    selector = plan.gate.selector
    return plan.about_a_drop and selector.benchmark == benchmark and selector.group is None


def _in_units(text: str, benchmark: str) -> float:
    """Return a drop in the benchmark's unit; a percentage is one of its scale."""
    if not text.endswith("%"):
        return float(text)
    definition = find_benchmark(benchmark)
    return float(text[:-1]) / 100 * (1.0 if definition is None else definition.maximum)
