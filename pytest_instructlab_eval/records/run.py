"""A whole run: its results, the settings that they depend on, and its gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.records.usage import RunUsage


class PlannedTest(NamedTuple):
    """A test that the run will ask.

    `requests` is the number of its requests, None where unknown. `is_task` says that each request is a
    question of its own, `is_judged` that a judge rates its answers, and `is_repeated` that --eval-repeat
    holds for it.
    """

    benchmark: str
    question: str
    group: str
    cluster: str
    model: str | None
    requests: int | None
    is_task: bool
    is_judged: bool
    is_repeated: bool


@dataclass(frozen=True)
class SilentTest:
    """A test of a benchmark that recorded no score but did not fail: it passed or was skipped."""

    nodeid: str
    benchmark: str
    group: str
    model: str
    outcome: str


@dataclass(frozen=True)
class ModelAdaptation:
    """An adaptation of the requests to one model or judge, given by its label; see `Adaptation`."""

    role: Literal["model", "judge"]
    model: str
    name: str
    text: str
    changes_answers: bool


def distinct_adaptations(adaptations: Iterable[ModelAdaptation]) -> tuple[ModelAdaptation, ...]:
    """Return the adaptations without repetitions from several processes or parts of a run."""
    return tuple({(entry.role, entry.model, entry.name): entry for entry in adaptations}.values())


@dataclass(frozen=True)
class Run:
    """The data of a run, complete enough to compare it, join it with others, and judge its answers later.

    `configuration` are all settings by name, `fingerprint` those that scores depend on. `models` are the
    models' names or paths by their labels, `base` is the label of the base model. `gates` are the texts of
    the gates of this run, `standing_gates` those of markers and the ini file, which are for every run.
    `left_out` gives, by benchmark, why some of its questions are missing, `incomplete` why tests have no
    result. `tests` are all tests of the run that this is a shard of. `notes` are sentences on questions that
    were not asked, `silent` are the tests that recorded no score, and `adaptations` those of requests to
    servers. Relative paths of models start at `directory`, where the run was started. `about_these` are the
    benchmarks whose drops are about these very questions where they have several answers, unless
    --eval-gate-about says otherwise. Of a run read from its file, `failures` are the sentences that failed it
    beside its tests and gates, and `failed_tests` is the number of its failed tests, None where unknown.
    `usage` is what it used, None where unknown.
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
    about_these: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    failed_tests: int | None = None
    usage: RunUsage | None = None

    @property
    def adaptation_notes(self) -> list[str]:
        """The adaptations as sentences."""
        return [
            f"{'judge ' if adaptation.role == 'judge' else ''}{adaptation.model}: {adaptation.text}"
            for adaptation in self.adaptations
        ]

    def adapted(self, *, base: bool = False) -> list[str]:
        """Return the adaptations that can change judgments and answers, of candidates or the base model."""
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
        """The benchmarks of the run without any score."""
        scored: dict[str, bool] = {}
        for result in self.results:
            scored[result.benchmark] = scored.get(result.benchmark, False) or result.value is not None
        return [name for name, any_score in scored.items() if not any_score]

    @property
    def problems(self) -> list[str]:
        """The problems that fail the run whatever its gates say."""
        return [f"no question of {name} has a score" for name in self.without_scores]

    @property
    def paired(self) -> bool:
        """True if the base model got the same questions as the candidates."""
        return bool(self.configuration.get("base_questions", "same") == "same")
