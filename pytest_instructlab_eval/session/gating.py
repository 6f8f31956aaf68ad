"""The gates of one run, and the making of its record and report."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.gates import Gate, parse_gate
from pytest_instructlab_eval.records.baseline import (
    BEFORE_THE_RUN,
    Baseline,
    check_comparable,
    fingerprint,
    read_baseline,
)
from pytest_instructlab_eval.records.identity_comparison import check_judges
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.records.previous_runs import results_path
from pytest_instructlab_eval.records.run import (
    JournalUse,
    ModelAdaptation,
    Run,
    SilentTest,
    distinct_adaptations,
)
from pytest_instructlab_eval.records.run_inputs import RunInputs
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.records.usage import RunUsage
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.session.collected_tests import CollectedTests
from pytest_instructlab_eval.session.gate_rules import gate_problem, missing_counterpart, misspelt_groups
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmark_versions, find_benchmark

if TYPE_CHECKING:
    from pytest_instructlab_eval.session.planning import Planning

ADVICE = (
    "save a baseline of this configuration with --eval-save-baseline, or allow the comparison with "
    "--eval-allow-mismatch"
)


class Gating:
    """The gates and the baseline of one run.

    `digests` returns the digests of the data of benchmarks, by name (see `data_digest`). `directory` is where
    the run was started. `baseline` is the earlier run that drops are measured against.
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
        self.baseline: Baseline | None = None
        self._gates: list[Gate] = []
        self._warnings: list[str] = []
        self.collected = CollectedTests()
        self.planning: Planning | None = None

    @cached_property
    def fingerprint(self) -> dict[str, object]:
        """The settings that this run's scores depend on, without the adaptations of requests."""
        settings = asdict(self._settings)
        data = self._digests(list(self.collected.groups))
        return fingerprint({**settings, "data": data, "prompts": benchmark_versions()})

    @property
    def gated(self) -> bool:
        """True if the run's scores decide something: gates, or a comparison with a baseline."""
        return bool(self._gates) or self.baseline is not None

    @property
    def settings_with_marked_gates(self) -> Settings:
        """The settings, with the gates of markers before those of the ini file."""
        marked = itertools.chain.from_iterable(self.collected.gates.values())
        return replace(self._settings, gates=(*marked, *self._settings.gates))

    # --- before the first request ---

    def prepare(self, collected: CollectedTests) -> None:
        """Read the gates and the baseline, and check them against the collected tests.

        Raises ConfigurationError for an invalid gate, and for a baseline that is not comparable.
        """
        self.collected = collected
        settings = self._settings
        if collected.problem is not None:
            raise ConfigurationError(collected.problem)
        marked = []
        for name, texts in collected.gates.items():
            for text in texts:
                gate = parse_gate(text, standing=True)
                if gate.selector.benchmark != name:
                    raise ConfigurationError(
                        f"gate {text!r}: the marker of {name} cannot gate {gate.selector.benchmark}; move "
                        "the gate to eval_gates"
                    )
                marked.append(gate)
        standing = (parse_gate(text, standing=True) for text in settings.gates)
        self._gates = [*marked, *standing, *map(parse_gate, settings.gate)]
        self._check(lambda gate: gate_problem(gate, settings, collected))
        self._warnings = misspelt_groups(self._gates, settings, collected)
        if settings.baseline is not None:
            self.baseline = baseline = read_baseline(settings.baseline, check_gate=parse_gate)
            if not settings.allow_mismatch:
                check_comparable(
                    self.fingerprint, baseline, self._baseline_name, ADVICE, ignoring=BEFORE_THE_RUN
                )
            self._check(lambda gate: missing_counterpart(gate, baseline))

    @property
    def _baseline_name(self) -> str:
        path = self._settings.baseline
        return "--eval-baseline" if path is None else f"--eval-baseline {path.name}"

    def check_identities(self, judges: Mapping[str, ModelIdentity]) -> None:
        """Raise ConfigurationError where a judge is another model than the baseline's of the same name."""
        if self.baseline is not None and not self._settings.allow_mismatch:
            check_judges(judges, self.baseline.judge_identities, self._baseline_name, ADVICE)

    @property
    def baseline_file(self) -> Path | None:
        """The file that the baseline was read from, None without a baseline."""
        return None if self._settings.baseline is None else results_path(self._settings.baseline)

    def _check(self, problem_of: Callable[[Gate], str | None]) -> None:
        """Raise ConfigurationError for the first gate that has a problem."""
        for gate in self._gates:
            if problem := problem_of(gate):
                raise ConfigurationError(f"gate {gate.text!r}: {problem}")

    def plan(self, in_flight: int) -> Planning:
        """Make and return the plan of the run, where so many tests run at once.

        Raises ConfigurationError where a gate cannot see what --eval-require-power asks for.
        """
        from pytest_instructlab_eval.session.planning import Planning

        baseline = None if self.baseline is None else self.baseline.results
        self.planning = Planning(
            self._settings,
            self._gates,
            self.collected.planned,
            baseline,
            in_flight=in_flight,
            about_these=self._about_these(),
        )
        self.planning.check_power()
        return self.planning

    # --- at the end ---

    def skipped_problems(self, without_judge: Sequence[SilentTest]) -> list[str]:
        """Return a sentence for each benchmark of which gated tests were skipped for want of a judge.

        Before the run only the tests that name the fixture are known, and not those that ask for it late.
        """
        gated = {(gate.selector.benchmark, gate.selector.group) for gate in self._gates}
        counts = Counter(
            test.benchmark
            for test in without_judge
            if not gated.isdisjoint({(test.benchmark, None), (test.benchmark, test.group)})
        )
        return [
            f"{count:,} {'test' if count == 1 else 'tests'} of {name} had no judge and no score, so its "
            "gates are about the others; name a judge with --eval-judge-model"
            for name, count in counts.items()
        ]

    def run(
        self,
        results: Iterable[Result],
        silent: Sequence[SilentTest] = (),
        *,
        incomplete: str | None = None,
        notes: Sequence[str] = (),
        adaptations: Iterable[ModelAdaptation] = (),
        journal: JournalUse | None = None,
        identities: Mapping[str, ModelIdentity] | None = None,
        judge_identities: Mapping[str, ModelIdentity] | None = None,
        inputs: RunInputs | None = None,
        usage: RunUsage | None = None,
    ) -> Run:
        """Return the record of the run, with these results and the tests that recorded no score.

        `incomplete` is why some results are missing, `notes` are about questions that were not asked.
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
            notes=(*self._warnings, *notes, *self._last_notes(silent)),
            silent=tuple(silent),
            directory=str(self._directory),
            adaptations=distinct_adaptations(adaptations),
            about_these=self._about_these(),
            journal=journal,
            identities=identities or {},
            judge_identities=judge_identities or {},
            inputs=inputs,
            usage=usage,
        )
        return replace(run, fingerprint={**self.fingerprint, "adaptations": run.adapted()})

    def report(self, run: Run, *, gated: bool) -> RunReport:
        """Return the report of the run, with verdicts if `gated`.

        A run with neither results nor a gated benchmark has no verdicts.
        """
        gated_names = {gate.selector.benchmark for gate in self._gates}
        has_any = bool(run.results) or not gated_names.isdisjoint(self.collected.groups)
        return RunReport.of(run, self.baseline, gated=gated and has_any)

    def _last_notes(self, silent: Sequence[SilentTest]) -> Iterator[str]:
        """Yield the warnings about gates that cannot fail, and about tests that passed without a score."""
        if self.planning is not None:
            yield from self.planning.warnings
        counts = Counter(test.benchmark for test in silent if test.outcome == "passed")
        for benchmark, count in counts.items():
            tests, them = ("test", "it") if count == 1 else ("tests", "each of them")
            yield (
                f"{count:,} {tests} of {benchmark} passed but recorded no score; call record_score in {them}"
            )

    def _about_these(self) -> tuple[str, ...]:
        """Return the benchmarks of the run whose drops are about its very questions by default."""
        benchmarks = ((name, find_benchmark(name)) for name in self.collected.groups)
        return tuple(
            name
            for name, benchmark in benchmarks
            if benchmark is not None and benchmark.about_these(self._settings)
        )

    def _left_out(self) -> dict[str, str]:
        """Return, by benchmark, why its figures would not be those of the whole benchmark."""
        collected = self.collected
        reasons = {}
        advice = "run all of them for a result of the benchmark"
        for name, which in collected.part.items():
            reasons[name] = f"only the tests of {name} {which} were run; {advice}"
        for name, count in collected.deselected.items():
            reasons[name] = f"{count:,} questions of {name} were deselected; {advice}"
        return reasons | {name: f"{name} has no questions in this run" for name in collected.empty}
