"""The gates of one run: checked before anything is asked, evaluated at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.gates import Gate, parse_gate
from pytest_instructlab_eval.gates.check import GateReport, off_scale, unknown_part, verdicts
from pytest_instructlab_eval.gates.language import close_matches
from pytest_instructlab_eval.records.baseline import (
    BEFORE_THE_RUN,
    Baseline,
    asked_otherwise,
    check_comparable,
    fingerprint,
    read_baseline,
)
from pytest_instructlab_eval.records.run import ModelAdaptation, Run, Silent, distinct
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.session.collected import Collected
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmark, versions
from pytest_instructlab_eval.suites.registry import names as registered
from pytest_instructlab_eval.suites.selection import left_out

__all__ = ["Gating"]

ADVICE = "save one of this configuration with --eval-save-baseline, or insist with --eval-allow-mismatch"


class Gating:
    """What one run must hold to.

    `digests` gives, for benchmarks by name, what tells their data from other data (see `data_digest`).
    """

    def __init__(self, settings: Settings, digests: Callable[[Collection[str]], Mapping[str, Any]]) -> None:
        self._settings = settings
        self._digests = digests
        self._baseline: Baseline | None = None
        self._gates: list[Gate] = []
        self.collected = Collected()
        self.reports: list[GateReport] = []
        self.adaptations: Sequence[Mapping[str, Any]] = ()

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What this run's scores depend on, beside the model and what is found out while it is asked."""
        settings = asdict(self._settings)
        data = self._digests(list(self.collected.groups))
        return fingerprint({**settings, "data": data, "prompts": versions()})

    @property
    def gated(self) -> bool:
        """Whether something is decided by the run's scores: gates, or a comparison with a baseline."""
        return bool(self._gates) or self._baseline is not None

    def prepare(self, collected: Collected) -> None:
        """Know what will be run.

        Raises ConfigurationError for a gate that can't be meant, and for a baseline that can't be
        compared with.
        """
        self.collected = collected
        settings = self._settings
        if collected.problem is not None:
            raise ConfigurationError(collected.problem)
        self._gates = [
            *(gate for name, texts in collected.gates.items() for gate in _marked(name, texts)),
            *(parse_gate(text, standing=True) for text in settings.gates),
            *map(parse_gate, settings.gate),
        ]
        for gate in self._gates:
            self._check(gate)
        if settings.baseline is not None:
            self._baseline = read_baseline(settings.baseline, check_gate=parse_gate)
            if not settings.allow_mismatch:
                name = f"--eval-baseline {settings.baseline.name}"
                check_comparable(self.fingerprint, self._baseline, name, ADVICE, ignoring=BEFORE_THE_RUN)
            for gate in self._gates:
                self._check_baseline_has(gate, self._baseline)

    def _check(self, gate: Gate) -> None:
        """Raise ConfigurationError where the gate names what this run can't have.

        A standing gate is for other runs too, so that of these only a group that no run has is refused.
        """
        selector, groups = gate.selector, self.collected.groups
        known, problem = benchmark(selector.benchmark), None
        if selector.benchmark not in groups:
            problem = None if gate.standing else self._not_in_this_run(selector.benchmark)
        elif not gate.standing and (selector.group or "") in self.collected.unselected.get(
            selector.benchmark, ()
        ):
            problem = "none of its tests is selected; leave out the gate, or select them"
        elif selector.benchmark in self.collected.empty:
            if selector.group is not None and not gate.standing:
                problem = f"{selector.benchmark} has no questions in this run"
        elif not (gate.standing and self._may_lack_groups(selector.benchmark)):
            problem = unknown_part(selector, groups[selector.benchmark], known.metrics if known else None)
        if problem is None and known is not None:
            problem = off_scale(gate, known.maximum)
        if problem is None and selector.figure.compares and not gate.standing:
            problem = self._incomparable()
        if problem is not None:
            raise ConfigurationError(f"gate {gate.text!r}: {problem}")

    def _check_baseline_has(self, gate: Gate, baseline: Baseline) -> None:
        """Raise ConfigurationError where the baseline of a drop lacks the gate's benchmark."""
        benchmark = gate.selector.benchmark
        known = sorted({result.benchmark for result in baseline.results})
        if gate.selector.figure.compares and not gate.standing and benchmark not in known:
            raise ConfigurationError(
                f"gate {gate.text!r}: the baseline has no results of {benchmark} (it has "
                f"{', '.join(known) or 'none'}); save one that has with --eval-save-baseline"
            )

    def _may_lack_groups(self, name: str) -> bool:
        """Whether another run may have groups of the benchmark that this one hasn't."""
        settings, known = self._settings, benchmark(name)
        fewer = settings.sample is not None or settings.first_n is not None or settings.min_tasks
        return known is None or not known.fixed_groups or fewer or name in self.collected.part

    def _not_in_this_run(self, name: str) -> str:
        reasons, known = left_out(self._settings), sorted(self.collected.groups)
        if name in reasons:
            return f"{name} is left out of this run ({reasons[name]})"
        names = ", ".join(known) or "none"
        near = close_matches(name, [*known, *(other for other in reasons if other not in known)])
        hint = "; name the file of its tests" if not near and set(known) <= set(registered()) else ""
        return f"there is no benchmark {name!r} in this run (there is {names}){near or hint}"

    def _incomparable(self) -> str | None:
        settings = self._settings
        if settings.baseline is None and settings.base_model is None:
            return (
                "a drop needs something to compare with; give an earlier run with --eval-baseline, or a "
                "model with --eval-base-model"
            )
        if settings.base_questions == "base":
            return "a drop is measured on the same questions; leave out --eval-base-questions base"
        return None

    def run(
        self,
        results: Iterable[Result],
        silent: Sequence[Silent] = (),
        *,
        incomplete: str | None = None,
        notes: Sequence[str] = (),
    ) -> Run:
        """Return the run as a whole, with these results and the tests that recorded no score.

        `incomplete` says why some are missing, `notes` what was not asked.
        """
        run = Run(
            tuple(results),
            configuration=asdict(self._settings),
            models=self._settings.labels,
            base=self._settings.base_label,
            gates=tuple(gate.text for gate in self._gates if not gate.standing),
            standing_gates=tuple(gate.text for gate in self._gates if gate.standing),
            left_out=self._left_out(),
            incomplete=incomplete,
            tests=tuple(self.collected.tests),
            notes=tuple(notes),
            silent=tuple(silent),
            directory=os.getcwd(),
            adaptations=distinct(ModelAdaptation(**record) for record in self.adaptations),
        )
        return replace(run, fingerprint={**self.fingerprint, "adaptations": run.adapted()})

    def incomparable(self, run: Run) -> str | None:
        """Why the run's drops mean nothing: models were asked otherwise than what they are compared with."""
        if self._settings.allow_mismatch:
            return None
        insist = "--eval-allow-mismatch"
        if run.base is not None:
            return asked_otherwise(run.adapted(), run.adapted(base=True), f"of {run.base}", insist)
        if self._baseline is None:
            return None
        return asked_otherwise(
            run.adapted(), self._baseline.fingerprint.get("adaptations"), "in the baseline", insist
        )

    def judge(self, results: Iterable[Result], silent: Sequence[Silent] = ()) -> list[GateReport]:
        """The verdicts over the results of the whole run, which are kept too.

        There are none where the run has neither results nor a benchmark that is gated.
        """
        run = self.run(results, silent)
        concerned = run.results or any(
            gate.selector.benchmark in self.collected.groups for gate in self._gates
        )
        found = verdicts(run, self.baseline, incomparable=self.incomparable(run)) if concerned else []
        self.reports = found
        return self.reports

    @property
    def baseline(self) -> list[Result] | None:
        """The earlier results that drops are measured against, None where there are none."""
        return None if self._baseline is None else list(self._baseline.results)

    def _left_out(self) -> dict[str, str]:
        """Why figures of a benchmark would not be the benchmark's, by its name."""
        collected = self.collected
        reasons = {}
        so = "so that its figures are not those of the benchmark; run all of them"
        for name, which in collected.part.items():
            reasons[name] = f"of {name} only those that {which} were run, {so}"
        for name, count in collected.deselected.items():
            reasons[name] = f"{count:,} questions of {name} were deselected, {so}"
        return reasons | {name: f"{name} has no questions in this run" for name in collected.empty}


def _marked(benchmark: str, texts: Sequence[str]) -> Iterator[Gate]:
    for text in texts:
        gate = parse_gate(text, standing=True)
        if gate.selector.benchmark != benchmark:
            raise ConfigurationError(
                f"gate {text!r}: the marker of {benchmark} can't gate {gate.selector.benchmark}; put it into "
                "eval_gates"
            )
        yield gate
