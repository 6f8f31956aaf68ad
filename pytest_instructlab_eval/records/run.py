"""A whole run: its results, the settings that they depend on, and its gates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytest_instructlab_eval.records.journal_lines import short_time
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.records.run_inputs import RunInputs
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

    def is_of(self, benchmark: str, group: str | None) -> bool:
        """Return whether the test is of a benchmark, and of its group where one is given."""
        return self.benchmark == benchmark and group in (None, self.group)


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


@dataclass(frozen=True)
class JournalUse:
    """How many requests of a run were not asked, since the journal of an earlier run has their replies.

    `reused` of `requests` were taken from it, asked from `first` to `last` (such as "2026-11-27T09:12:03Z"),
    and `left_out` lines of it were damaged or changed.
    """

    reused: int
    requests: int
    first: str = ""
    last: str = ""
    left_out: int = 0

    @classmethod
    def of_all(cls, uses: Iterable[JournalUse]) -> JournalUse:
        """Return the use of a journal by several processes, which have all read the same files."""
        parts = list(uses)
        return cls(
            sum(part.reused for part in parts),
            sum(part.requests for part in parts),
            min((part.first for part in parts if part.first), default=""),
            max((part.last for part in parts), default=""),
            max((part.left_out for part in parts), default=0),
        )

    @property
    def notes(self) -> list[str]:
        """What to tell about it, in sentences."""
        times = [short_time(self.first), short_time(self.last)]
        if times[0][:10] == times[1][:10]:  # of one day
            times[1] = times[1][11:]
        asked = f", asked {' to '.join(times)} UTC" if all(times) else ""
        sentences = [f"taken from the journal: {self.reused:,} of {self.requests:,} requests{asked}"]
        if self.left_out:
            lines = "1 line" if self.left_out == 1 else f"{self.left_out:,} lines"
            was = "was" if self.left_out == 1 else "were"
            sentences.append(f"{lines} of the journal {was} damaged or changed, and not used")
        return sentences


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
    --eval-gate-about says otherwise. `journal` says what was taken from the journal of an earlier run.
    `identities` and `judge_identities` are what is known of the models and judges, by their labels, and
    `inputs` what else a verdict depends on, None without --eval-reuse-verdict. Of a run read from
    its file, `failures` are the sentences that failed it beside its tests and gates, and `failed_tests` is
    the number of its failed tests, None where unknown. `usage` is what it used, None where unknown.
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
    journal: JournalUse | None = None
    identities: Mapping[str, ModelIdentity] = field(default_factory=dict)
    judge_identities: Mapping[str, ModelIdentity] = field(default_factory=dict)
    inputs: RunInputs | None = None
    failures: tuple[str, ...] = ()
    failed_tests: int | None = None
    usage: RunUsage | None = None

    def model_location(self, label: str) -> str:
        """Return a model's name; if it is a folder of the run, its path from the current folder."""
        name = self.models.get(label, label)
        if self.directory is None or Path(name).is_absolute():
            return name
        folder = Path(self.directory) / name
        return os.path.relpath(folder) if folder.is_dir() else name

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
        problems = []
        for name in self.without_scores:
            errors: set[str | None] = set()
            for result in self.results:
                if result.benchmark == name:
                    errors.update([] if result.scores else [result.error])
                    errors.update(sample.error for score in result.scores for sample in score.samples)
            cause = errors.pop() if len(errors) == 1 else None  # the one error of all its questions
            problems.append(f"no question of {name} has a score{f': {cause}' if cause else ''}")
        return problems

    @property
    def paired(self) -> bool:
        """True if the base model got the same questions as the candidates."""
        return bool(self.configuration.get("base_questions", "same") == "same")
