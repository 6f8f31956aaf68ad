"""The questions of a run for the page: each once, with what every side of the run scored."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pytest_instructlab_eval.records.samples import Outcome, Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.answered_questions import highest_score
from pytest_instructlab_eval.reports.run_report import RunReport

Role = Literal["candidate", "base", "baseline"]
FLIP = 0.5  # of the scale: a change this large turns right into wrong, or a good rating into a bad one


@dataclass(frozen=True)
class PageSide:
    """One side of the page: a model of the run, or a model of the run that it is compared with."""

    label: str
    role: Role


class QuestionName(NamedTuple):
    """The identity of a question over all sides; `number` is above 0 where a side has the name twice."""

    benchmark: str
    question: str
    sample: str | None
    number: int

    @property
    def text(self) -> str:
        """The name in links and lists: that of the test, and of the sample where it has several."""
        name = self.question if self.sample is None else f"{self.question}:{self.sample}"
        return f"{name}~{self.number + 1}" if self.number else name


@dataclass(frozen=True, slots=True)  # like the rows: a run can have hundreds of thousands
class Finding:
    """What one side has of one question; a question of a task has a sample in each of the `scores`."""

    result: Result
    value: float | None
    outcome: Outcome
    scores: tuple[Score, ...]
    samples: tuple[Sample, ...] = ()

    @property
    def sample(self) -> Sample | None:
        """The sample of a task's question, None for a test of its own."""
        return self.samples[0] if self.samples else None

    @property
    def own_scores(self) -> tuple[Score, ...]:
        """The scores of a test of its own; none for a question of a task."""
        return () if self.samples else self.scores

    @property
    def cut_off(self) -> bool:
        """True if the token limit ended one of the answers."""
        return any(
            reply.cut_off
            for score in self.own_scores
            if score.evidence is not None
            for reply in score.evidence.replies
        )

    @property
    def contradictory(self) -> bool:
        """True if a judgment states several ratings."""
        return any(
            judgment.contradictory
            for score in self.own_scores
            if score.evidence is not None
            for judgment in score.evidence.judgments
        )


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question, with the finding of each side, None where a side does not have it."""

    name: QuestionName
    group: str
    maximum: float
    findings: list[Finding | None]

    def of(self, side: int) -> Finding:
        """Return the finding of a side that has the question; raises LookupError for any other."""
        if (finding := self.findings[side]) is None:
            raise LookupError(f"side {side} does not have {self.name.text}")
        return finding

    def change(self, ours: int, theirs: int) -> float | None:
        """Return our score minus theirs, as a share of the scale; None where one is missing.

        Nor is a question compared with another one that had its name: one of another content, where known.
        """
        mine, other = self.findings[ours], self.findings[theirs]
        if mine is None or other is None or mine.value is None or other.value is None:
            return None
        if len({mine.result.content, other.result.content} - {""}) > 1:
            return None
        return round((mine.value - other.value) / self.maximum, 12)

    def lost_its_score(self, ours: int, theirs: int) -> bool:
        """Return whether our side has the question without a score, and the other side with one."""
        mine, other = self.findings[ours], self.findings[theirs]
        return mine is not None and mine.value is None and other is not None and other.value is not None

    @property
    def samples(self) -> list[Sample]:
        """The samples of a task's question, of all sides and scores; none for a test of its own."""
        return [sample for finding in self.findings if finding is not None for sample in finding.samples]


@dataclass(frozen=True)
class PageQuestions:
    """All questions of a run and of the one that it is compared with, and the sides of the page.

    `results` are those of each side; `against` gives for each side the one it is compared with.
    """

    sides: tuple[PageSide, ...]
    against: tuple[int | None, ...]
    results: tuple[Sequence[Result], ...]

    @functools.cached_property
    def rows(self) -> tuple[QuestionRow, ...]:
        """The questions that a model of the run has, in the order of their tests."""
        rows: dict[QuestionName, QuestionRow] = {}
        for side, results in enumerate(self.results):
            _add(rows, side, len(self.sides), results)
        ours = [index for index, side in enumerate(self.sides) if side.role != "baseline"]
        return tuple(row for row in rows.values() if any(row.findings[side] is not None for side in ours))


def question_table(report: RunReport) -> PageQuestions:
    """Return the questions of a run and of the run that it is compared with."""
    earlier = () if report.baseline is None else report.baseline.results
    candidates = _models(report.run.candidates, report.candidates)
    others = [] if report.run.base is None else [PageSide(report.run.base, "base")]
    others += [PageSide(model, "baseline") for model in _models(earlier, ())]
    sides = [*(PageSide(model, "candidate") for model in candidates), *others]
    places: dict[str | None, int] = {side.label: index for index, side in enumerate(others, len(candidates))}
    against = [places.get(report.compared_with(model)) for model in candidates]
    sources = [earlier if side.role == "baseline" else report.run.results for side in sides]
    results = [
        [result for result in source if result.model == side.label]
        for side, source in zip(sides, sources, strict=True)
    ]
    return PageQuestions(tuple(sides), (*against, *[None] * len(others)), tuple(results))


def _models(results: Iterable[Result], known: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*known, *(result.model for result in results)]))


def _add(rows: dict[QuestionName, QuestionRow], side: int, sides: int, results: Iterable[Result]) -> None:
    """Add the findings of one side to the rows; `sides` is the number of all sides."""
    twice: Counter[QuestionName] = Counter()  # most names are there once, so only the others are counted
    for result in results:
        maximum = highest_score(result)
        for sample, finding in _findings_of(result):
            name = QuestionName(result.benchmark, result.question, sample, 0)
            if name in rows and rows[name].findings[side] is not None:
                twice[name] += 1
                name = name._replace(number=twice[name])
            if name not in rows:
                rows[name] = QuestionRow(name, result.group, maximum, [None] * sides)
            rows[name].findings[side] = finding


def _findings_of(result: Result) -> Iterator[tuple[str | None, Finding]]:
    """Yield the findings of a test: one for each sample of a task, else one for the test."""
    by_sample: dict[str, list[tuple[int, Sample]]] = {}
    others = []
    for number, score in enumerate(result.scores):
        if not score.samples:
            others.append(score)
        for sample in score.samples:
            by_sample.setdefault(sample.id, []).append((number, sample))
    shared: dict[tuple[int, ...], tuple[Score, ...]] = {}
    for name, found in by_sample.items():
        numbers, samples = zip(*found, strict=True)
        scores = shared.setdefault(numbers, tuple(result.scores[number] for number in numbers))
        metrics = [score.metric for score in scores]
        main = samples[metrics.index(result.main_metric) if result.main_metric in metrics else 0]
        yield name, Finding(result, main.value, main.outcome, scores, samples)
    if not by_sample:
        yield None, Finding(result, result.value, result.outcome, result.scores)
    elif others or result.error is not None:
        rest = dataclasses.replace(result, scores=tuple(others))
        yield None, Finding(result, rest.value, rest.outcome, rest.scores)
