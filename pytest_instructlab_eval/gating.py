"""The gates of one run: checked before anything is asked, evaluated at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.gates import Gate, parse_gate
from pytest_instructlab_eval.gates.baseline import (
    Baseline,
    differences,
    fingerprint,
    read_baseline,
    write_baseline,
)
from pytest_instructlab_eval.gates.check import GateReport, unknown_part, verdicts
from pytest_instructlab_eval.gates.language import close_matches
from pytest_instructlab_eval.runs import Run
from pytest_instructlab_eval.scores import Result, plain
from pytest_instructlab_eval.settings import BENCHMARKS, Settings

__all__ = ["Collected", "Gating"]


@dataclass(frozen=True)
class Collected:
    """What the gates need to know of a run's tests: the groups of each benchmark, deselected ones too.

    `gates` are those that tests are marked with, by benchmark; `deselected` counts by benchmark.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deselected: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, items: Sequence[pytest.Item], deselected: Sequence[pytest.Item]) -> Collected:
        """Of the eval tests among a run's items, and among those that it left out."""
        from pytest_instructlab_eval.items import eval_tests, identity, marked_gates

        groups: dict[str, dict[str, None]] = {}
        gates: dict[str, Sequence[str]] = {}
        for item in eval_tests([*items, *deselected]):
            about = identity(item)
            groups.setdefault(about.benchmark, {}).update({about.group: None} if about.group else {})
            gates.setdefault(about.benchmark, marked_gates(item))
        counts = Counter(identity(item).benchmark for item in eval_tests(deselected))
        return cls({name: list(found) for name, found in groups.items()}, gates, dict(counts))

    def to_plain(self) -> dict[str, Any]:
        """As plain data, fit for another process."""
        record: dict[str, Any] = plain(asdict(self))
        return record


class Gating:
    """What one run must hold to.

    `digests` gives, for benchmarks by name, what tells their data from other data (see
    `questions.data_digests`).
    """

    def __init__(self, settings: Settings, digests: Callable[[Collection[str]], Mapping[str, Any]]) -> None:
        self._settings = settings
        self._digests = digests
        self._collected = Collected()
        self._baseline: Baseline | None = None
        self._gates: list[Gate] = []
        self.reports: list[GateReport] = []

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What this run's scores depend on, beside the model."""
        settings = asdict(self._settings)
        return fingerprint({**settings, "data": self._digests(list(self._collected.groups))})

    def prepare(self, collected: Collected) -> None:
        """Know what will be run.

        Raises ConfigurationError for a gate that can't be meant, and for a baseline that can't be
        compared with.
        """
        self._collected = collected
        settings = self._settings
        self._gates = [
            *(gate for name, texts in collected.gates.items() for gate in _marked(name, texts)),
            *map(parse_gate, settings.gates),
            *map(parse_gate, settings.gate),
        ]
        for gate in self._gates:
            self._check(gate)
        if settings.baseline is not None:
            self._baseline = read_baseline(settings.baseline)
            found = differences(self.fingerprint, self._baseline.fingerprint)
            if found and not settings.allow_mismatch:
                raise ConfigurationError(
                    f"--eval-baseline {settings.baseline.name} is of another configuration: "
                    f"{'; '.join(found)}; save one of this configuration with --eval-save-baseline, or "
                    "insist with --eval-allow-mismatch"
                )

    def _check(self, gate: Gate) -> None:
        """Raise ConfigurationError where the gate names what this run can't have."""
        name, known = gate.selector.benchmark, sorted({*self._collected.groups, *BENCHMARKS})
        near = close_matches(name, known)
        if name not in known and (near or gate.text in self._settings.gate):
            raise ConfigurationError(
                f"gate {gate.text!r}: there is no benchmark {name!r} (known: {', '.join(known)}){near}"
            )
        groups = self._collected.groups.get(name)
        if groups is not None and (problem := unknown_part(gate.selector, groups, None)):
            raise ConfigurationError(f"gate {gate.text!r}: {problem}")
        settings = self._settings
        if gate.selector.figure == "drop" and settings.baseline is None and settings.base_model is None:
            raise ConfigurationError(
                f"gate {gate.text!r}: a drop needs something to compare with; give an earlier run with "
                "--eval-baseline, or a model with --eval-base-model"
            )
        if gate.selector.figure == "drop" and settings.base_questions == "base":
            raise ConfigurationError(
                f"gate {gate.text!r}: a drop is measured on the same questions; leave out "
                "--eval-base-questions base"
            )

    def run(self, results: Iterable[Result]) -> Run:
        """The run as a whole, with these results."""
        found = tuple(results)
        return Run(
            found,
            configuration=asdict(self._settings),
            fingerprint=self.fingerprint,
            models=self._settings.labels,
            base=self._settings.base_label,
            gates=tuple(gate.text for gate in self._gates),
            left_out=self._left_out(found),
        )

    def judge(self, results: Iterable[Result]) -> list[GateReport]:
        """The verdicts over the results of the whole run, which are kept too."""
        self.reports = verdicts(self.run(results), self.baseline)
        return self.reports

    @property
    def baseline(self) -> list[Result] | None:
        """The earlier results that drops are measured against, None where there are none."""
        return None if self._baseline is None else list(self._baseline.results)

    def _left_out(self, results: Sequence[Result]) -> dict[str, str]:
        """Why figures of a benchmark would not be the benchmark's, by its name."""
        ran = {result.benchmark for result in results}
        absent = {gate.selector.benchmark for gate in self._gates} - ran - {*self._collected.groups}
        reasons = {name: f"{name} is not in this run" for name in absent}
        for name, count in self._collected.deselected.items():
            reasons[name] = (
                f"{count:,} questions of {name} were deselected, so that its figures are not those of the "
                "benchmark; run all of them, or leave the gate out"
            )
        answered = {result.benchmark for result in results if result.answered}
        return reasons | {name: f"the answers of {name} are yet to be judged" for name in answered}

    def save(self, results: Sequence[Result]) -> None:
        """Write --eval-save-baseline; raises ConfigurationError, or OSError where that fails."""
        if self._settings.save_baseline is not None:
            run = self.run(results)
            write_baseline(self._settings.save_baseline, run.candidates, run.fingerprint)


def _marked(benchmark: str, texts: Sequence[str]) -> Iterator[Gate]:
    for text in texts:
        gate = parse_gate(text)
        if gate.selector.benchmark != benchmark:
            raise ConfigurationError(
                f"gate {text!r}: the marker of {benchmark} can't gate {gate.selector.benchmark}; put it into "
                "eval_gates"
            )
        yield gate
