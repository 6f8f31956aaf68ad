"""A run as a whole: its results, what they depend on, and what they must hold to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_instructlab_eval.records.scores import Result


@dataclass(frozen=True)
class SilentTest:
    """A test of a benchmark that recorded no score and did not fail: it passed, or was skipped."""

    nodeid: str
    benchmark: str
    group: str
    model: str
    outcome: str


@dataclass(frozen=True)
class ModelAdaptation:
    """How requests to a model, or to a judge, of this label were adapted to its server; see `Adaptation`."""

    role: Literal["model", "judge"]
    model: str
    name: str
    text: str
    changes_answers: bool


def distinct_adaptations(adaptations: Iterable[ModelAdaptation]) -> tuple[ModelAdaptation, ...]:
    """Return the adaptations, each once: as several processes or parts of a run found them."""
    return tuple({(found.role, found.model, found.name): found for found in adaptations}.values())


@dataclass(frozen=True)
class Run:
    """What a run found, enough to compare it, to join it with others and to judge it later.

    `configuration` are all its settings by name, `fingerprint` those that scores depend on, `models`
    each model's name or path by what tests call it, `base` the one of them that the others are compared
    with. `gates` are the texts of those that were asked for, `standing_gates` of those that markers and
    the ini file have for every run. `left_out` says, by benchmark, why not all of its questions are here,
    `incomplete` why tests of the run itself have no result, and `tests` are those of the whole run that
    this is a part of. `notes` are sentences that say what was not asked, `silent` are the tests that
    recorded no score, and `adaptations` say how requests were adapted to servers. `directory` is where the
    run was started, from which its models' paths go.
    """

    results: tuple[Result, ...]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    gates: tuple[str, ...] = ()
    standing_gates: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    incomplete: str | None = None
    tests: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    silent: tuple[SilentTest, ...] = ()
    adaptations: tuple[ModelAdaptation, ...] = ()
    directory: str | None = None

    @property
    def adaptation_notes(self) -> list[str]:
        """A line for each adaptation."""
        return [
            f"{'judge ' if adaptation.role == 'judge' else ''}{adaptation.model}: {adaptation.text}"
            for adaptation in self.adaptations
        ]

    def adapted(self, *, base: bool = False) -> list[str]:
        """What of the adaptations can change judgments, or answers of candidates, or of the base model."""
        return sorted(
            {
                f"{adaptation.role}: {adaptation.name}"
                for adaptation in self.adaptations
                if adaptation.changes_answers
                and (adaptation.role == "judge" or (adaptation.model == self.base) == base)
            }
        )

    @property
    def candidates(self) -> list[Result]:
        """The results without those of the base model."""
        return [result for result in self.results if result.model != self.base]

    @property
    def of_base(self) -> list[Result] | None:
        """The results of the base model, None where there is none."""
        if self.base is None:
            return None
        return [result for result in self.results if result.model == self.base]

    @property
    def without_scores(self) -> list[str]:
        """The benchmarks that were run and of which no question has a score."""
        scored: dict[str, bool] = {}
        for result in self.results:
            scored[result.benchmark] = scored.get(result.benchmark, False) or result.value is not None
        return [name for name, any_score in scored.items() if not any_score]

    @property
    def problems(self) -> list[str]:
        """What fails the run whatever it is held to."""
        return [f"no question of {name} has a score" for name in self.without_scores]

    @property
    def paired(self) -> bool:
        """Whether the base model was asked the same questions as the candidates."""
        return bool(self.configuration.get("base_questions", "same") == "same")
