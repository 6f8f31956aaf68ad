"""The gates of one run: checked before anything is asked, evaluated at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.gates import Gate, Selector, parse_gate
from pytest_instructlab_eval.gates.check import off_scale, unknown_part
from pytest_instructlab_eval.gates.language import close_matches
from pytest_instructlab_eval.records.baseline import (
    BEFORE_THE_RUN,
    Baseline,
    check_comparable,
    fingerprint,
    read_baseline,
)
from pytest_instructlab_eval.records.run import ModelAdaptation, Run, Silent, distinct
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.session.collected import Collected
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmark, versions
from pytest_instructlab_eval.suites.registry import names as registered
from pytest_instructlab_eval.suites.selection import left_out

__all__ = ["Gating"]

ADVICE = "save one of this configuration with --eval-save-baseline, or insist with --eval-allow-mismatch"


class Gating:
    """What one run must hold to.

    `digests` gives, for benchmarks by name, what tells their data from other data (see `data_digest`);
    `directory` is where the run was started.
    """

    def __init__(
        self,
        settings: Settings,
        digests: Callable[[Collection[str]], Mapping[str, object]],
        directory: Path,
    ) -> None:
        self._settings = settings
        self._digests = digests
        self._directory = directory
        self._baseline: Baseline | None = None
        self._gates: list[Gate] = []
        self.collected = Collected()

    @cached_property
    def fingerprint(self) -> dict[str, object]:
        """What this run's scores depend on, beside the model and what is found out while it is asked."""
        settings = asdict(self._settings)
        data = self._digests(list(self.collected.groups))
        return fingerprint({**settings, "data": data, "prompts": versions()})

    @property
    def gated(self) -> bool:
        """Whether something is decided by the run's scores: gates, or a comparison with a baseline."""
        return bool(self._gates) or self._baseline is not None

    @property
    def baseline(self) -> Baseline | None:
        """The earlier run that drops are measured against, None where there is none."""
        return self._baseline

    # --- before anything is asked ---

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
        self._refuse(self._unmeant)
        if settings.baseline is not None:
            self._baseline = read_baseline(settings.baseline)
            if not settings.allow_mismatch:
                name = f"--eval-baseline {settings.baseline.name}"
                check_comparable(self.fingerprint, self._baseline, name, ADVICE, ignoring=BEFORE_THE_RUN)
            self._refuse(partial(_without_counterpart, self._baseline))

    def _refuse(self, problem_of: Callable[[Gate], str | None]) -> None:
        """Raise ConfigurationError for the first gate that has a problem."""
        for gate in self._gates:
            if problem := problem_of(gate):
                raise ConfigurationError(f"gate {gate.text!r}: {problem}")

    def _unmeant(self, gate: Gate) -> str | None:
        """Return why the gate can't be meant, None where it can.

        A standing gate is for other runs too, so that of these only what no run has is refused.
        """
        known = benchmark(gate.selector.benchmark)
        problem = None if gate.standing else self._not_selected(gate.selector)
        problem = problem or self._unknown(gate)
        if known is not None:
            problem = problem or off_scale(gate, known.maximum)
        if gate.selector.figure == "drop" and not gate.standing:
            problem = problem or self._incomparable()
        return problem

    def _not_selected(self, selector: Selector) -> str | None:
        """Return why this run asks nothing of what is selected."""
        name, collected = selector.benchmark, self.collected
        if name in collected.groups:
            if (selector.group or "") in collected.unselected.get(name, ()):
                return "none of its tests is selected; leave out the gate, or select them"
            if name in collected.empty and selector.group is not None:
                return f"{name} has no questions in this run"
            return None
        reasons, known = left_out(self._settings), sorted(collected.groups)
        if name in reasons:
            return f"{name} is left out of this run ({reasons[name]})"
        hint = close_matches(name, [*known, *(other for other in reasons if other not in known)])
        if not hint and {*known} <= {*registered()}:
            hint = "; name the file of its tests"
        return f"there is no benchmark {name!r} in this run (there is {', '.join(known) or 'none'}){hint}"

    def _unknown(self, gate: Gate) -> str | None:
        """Return why no run has what is selected, as far as this run tells."""
        name, settings = gate.selector.benchmark, self._settings
        if name not in self.collected.groups or name in self.collected.empty:
            return None
        known = benchmark(name)
        fewer = settings.sample is not None or settings.first_n is not None or settings.min_tasks
        may_lack = known is None or not known.fixed_groups or fewer or name in self.collected.part
        if gate.standing and may_lack:
            return None
        return unknown_part(gate.selector, self.collected.groups[name], known.metrics if known else None)

    def _incomparable(self) -> str | None:
        """Return why the run has nothing to measure a drop against."""
        settings = self._settings
        if settings.baseline is None and settings.base_model is None:
            return (
                "a drop needs something to compare with; give an earlier run with --eval-baseline, or a "
                "model with --eval-base-model"
            )
        if settings.base_questions == "base":
            return "a drop is measured on the same questions; leave out --eval-base-questions base"
        return None

    # --- at the end ---

    def run(
        self,
        results: Iterable[Result],
        silent: Sequence[Silent] = (),
        *,
        incomplete: str | None = None,
        notes: Sequence[str] = (),
        adaptations: Iterable[ModelAdaptation] = (),
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
            notes=(*notes, *_silent_notes(silent)),
            silent=tuple(silent),
            directory=str(self._directory),
            adaptations=distinct(adaptations),
        )
        return replace(run, fingerprint={**self.fingerprint, "adaptations": run.adapted()})

    def report(self, run: Run, *, gated: bool, failed_tests: int) -> RunReport:
        """Return the report of the run; where it is to be `gated`, with the verdicts.

        There are none where the run has neither results nor a benchmark that is gated.
        """
        named = {gate.selector.benchmark for gate in self._gates}
        concerned = bool(run.results) or not named.isdisjoint(self.collected.groups)
        return RunReport.of(run, self._baseline, gated=gated and concerned, failed_tests=failed_tests)

    def _left_out(self) -> dict[str, str]:
        """Return why figures of a benchmark would not be the benchmark's, by its name."""
        collected = self.collected
        reasons = {}
        so = "so that its figures are not those of the benchmark; run all of them"
        for name, which in collected.part.items():
            reasons[name] = f"of {name} only those that {which} were run, {so}"
        for name, count in collected.deselected.items():
            reasons[name] = f"{count:,} questions of {name} were deselected, {so}"
        return reasons | {name: f"{name} has no questions in this run" for name in collected.empty}


def _marked(benchmark: str, texts: Sequence[str]) -> Iterator[Gate]:
    """Yield the gates of a benchmark's markers; raises ConfigurationError for one of another benchmark."""
    for text in texts:
        gate = parse_gate(text, standing=True)
        if gate.selector.benchmark != benchmark:
            raise ConfigurationError(
                f"gate {text!r}: the marker of {benchmark} can't gate {gate.selector.benchmark}; put it into "
                "eval_gates"
            )
        yield gate


def _without_counterpart(baseline: Baseline, gate: Gate) -> str | None:
    """Return why the baseline has nothing to measure the gate's drop against."""
    name, known = gate.selector.benchmark, sorted({result.benchmark for result in baseline.results})
    if gate.selector.figure != "drop" or gate.standing or name in known:
        return None
    return (
        f"the baseline has no results of {name} (it has {', '.join(known) or 'none'}); save one that has "
        "with --eval-save-baseline"
    )


def _silent_notes(silent: Sequence[Silent]) -> list[str]:
    """Return a sentence for each benchmark of which tests passed and recorded no score."""
    counts = Counter(test.benchmark for test in silent if test.outcome == "passed")
    return [
        f"{count:,} {'test' if count == 1 else 'tests'} of {benchmark} passed and recorded no score; call "
        f"record_score in {'it' if count == 1 else 'each of them'}"
        for benchmark, count in counts.items()
    ]
