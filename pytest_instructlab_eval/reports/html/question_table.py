"""The questions of a run for the page: each once, with what every side of the run scored."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pytest_instructlab_eval.records.scores import Outcome, Result, Sample, Score
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


@dataclass(frozen=True, slots=True)
class Finding:
    """What one side has of one question; a question of a task has `samples`, by score."""

    result: Result
    value: float | None
    outcome: Outcome
    samples: tuple[tuple[Score, Sample], ...] = ()
    scores: tuple[Score, ...] = ()

    @property
    def sample(self) -> Sample | None:
        """The sample of a task's question, None for a test of its own."""
        return self.samples[0][1] if self.samples else None

    @property
    def cut_off(self) -> bool:
        """True if the token limit ended one of the answers."""
        return any(
            reply.cut_off
            for score in self.scores
            if score.evidence is not None
            for reply in score.evidence.replies
        )

    @property
    def contradictory(self) -> bool:
        """True if a judgment states several ratings."""
        return any(
            judgment.contradictory
            for score in self.scores
            if score.evidence is not None
            for judgment in score.evidence.judgments
        )


@dataclass(slots=True)
class QuestionRow:
    """A question, with the findings of the sides that have it, by their indexes."""

    name: QuestionName
    group: str
    maximum: float
    findings: dict[int, Finding] = field(default_factory=dict)

    def change(self, ours: int, theirs: int) -> float | None:
        """Return our score minus theirs, as a share of the scale; None where one is missing.

        Nor is a question compared with another one that had its name: one of another content, where known.
        """
        mine, other = self.findings.get(ours), self.findings.get(theirs)
        if mine is None or other is None or mine.value is None or other.value is None:
            return None
        if len({mine.result.content, other.result.content} - {""}) > 1:
            return None
        return round((mine.value - other.value) / self.maximum, 12)

    def lost_its_score(self, ours: int, theirs: int) -> bool:
        """Return whether our side has the question without a score, and the other side with one."""
        mine, other = self.findings.get(ours), self.findings.get(theirs)
        return mine is not None and mine.value is None and other is not None and other.value is not None

    @property
    def samples(self) -> list[Sample]:
        """The samples of a task's question, of all sides and scores; none for a test of its own."""
        return [sample for finding in self.findings.values() for _, sample in finding.samples]


@dataclass(frozen=True)
class PageQuestions:
    """All questions of a run, and its sides; `against` gives for each side the one it is compared with."""

    sides: tuple[PageSide, ...]
    against: tuple[int | None, ...]
    rows: tuple[QuestionRow, ...]


def question_table(report: RunReport) -> PageQuestions:
    """Return the questions of a run and of the run that it is compared with, in the order of their tests."""
    candidates = _models(report.run.candidates, report.candidates)
    others = [] if report.run.base is None else [PageSide(report.run.base, "base")]
    others += [PageSide(model, "baseline") for model in _models(_earlier_results(report), ())]
    sides = [*(PageSide(model, "candidate") for model in candidates), *others]
    rows: dict[QuestionName, QuestionRow] = {}
    for index, side in enumerate(sides):
        _add(rows, index, side_results(side, report))
    ours = [row for row in rows.values() if any(sides[index].role != "baseline" for index in row.findings)]
    places: dict[str | None, int] = {side.label: index for index, side in enumerate(others, len(candidates))}
    against = [places.get(report.compared_with(model)) for model in candidates]
    return PageQuestions(tuple(sides), (*against, *[None] * len(others)), tuple(ours))


def side_results(side: PageSide, report: RunReport) -> list[Result]:
    """Return the results of a side, from the run or from the one that it is compared with."""
    source = _earlier_results(report) if side.role == "baseline" else report.run.results
    return [result for result in source if result.model == side.label]


def _earlier_results(report: RunReport) -> Sequence[Result]:
    return () if report.baseline is None else report.baseline.results


def _models(results: Iterable[Result], known: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*known, *(result.model for result in results)]))


def _add(rows: dict[QuestionName, QuestionRow], side: int, results: Iterable[Result]) -> None:
    """Add the findings of one side to the rows."""
    twice: Counter[QuestionName] = Counter()  # most names are there once, so only the others are counted
    for result in results:
        for sample, finding in _findings_of(result):
            name = QuestionName(result.benchmark, result.question, sample, 0)
            if name in rows and side in rows[name].findings:
                twice[name] += 1
                name = name._replace(number=twice[name])
            if name not in rows:
                rows[name] = QuestionRow(name, result.group, highest_score(result))
            rows[name].findings[side] = finding


def _findings_of(result: Result) -> Iterator[tuple[str | None, Finding]]:
    """Yield the findings of a test: one for each sample of a task, else one for the test."""
    by_sample: dict[str, list[tuple[Score, Sample]]] = {}
    others = []
    for score in result.scores:
        if not score.samples:
            others.append(score)
        for sample in score.samples:
            by_sample.setdefault(sample.id, []).append((score, sample))
    for name, samples in by_sample.items():
        main = next((s for score, s in samples if score.metric == result.main_metric), samples[0][1])
        yield name, Finding(result, main.value, main.outcome, samples=tuple(samples))
    if not by_sample:
        yield None, Finding(result, result.value, result.outcome, scores=result.scores)
    elif others or result.error is not None:
        rest = dataclasses.replace(result, scores=tuple(others))
        yield None, Finding(result, rest.value, rest.outcome, scores=rest.scores)
