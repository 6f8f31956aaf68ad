"""Scores and results of an evaluation: frozen records without any knowledge of pytest, models or files.

A question has one of three outcomes: *scored*; *unscored* (the judge gave no usable rating); *error* (the
request to the model or judge failed). An error is never a zero: means are over scored questions, and the
counts of the others stand beside them.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_instructlab_eval.data.typed_json import MisfitError
from pytest_instructlab_eval.records.evidence import Chat, Evidence, Judgment, split_evidence
from pytest_instructlab_eval.records.packed import Packed
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.samples import Outcome, Sample, error_of_mean

OWN_CONTENT = "own-"  # begins the digest of what a test of one's own asked

OF_SOME = ("gradings", "main_metric")  # the fields of a result that only some have


@dataclasses.dataclass(frozen=True)
class Score:
    """One score of one test, from 0 to `maximum`.

    `value` is the mean over `n` scored questions, None where there was none; `unscored` and
    `errors` count the rest. `stderr` is the standard error of that mean in the score's own unit,
    None where it cannot be measured. `error` is the reason of an error. `evidence` is what the score
    rests on, where that is known, and `metadata` holds plain data of the test's own; its texts
    "question", "answer" and "judgment" are shown when a test fails. `sample_of` is the number of questions
    that the asked ones are a sample of, None where all were asked.

    Of a question that was asked several times, `answers` has the mean rating of each answer, None for one
    without a rating, and the value is the mean of these ratings. `same_answers` says that all the answers
    were given at temperature 0 and have the same text, so that asking again would change nothing.
    """

    value: float | None
    metric: str = "score"
    maximum: float = 1.0
    n: int = 1
    unscored: int = 0
    errors: int = 0
    stderr: float | None = None
    explanation: str = ""
    error: str | None = None
    samples: tuple[Sample, ...] = ()
    metadata: Mapping[str, object] = dataclasses.field(default_factory=dict)
    evidence: Evidence | None = None
    answers: tuple[float | None, ...] = ()
    same_answers: bool = False
    sample_of: int | None = None

    def __post_init__(self) -> None:
        if self.value is None:
            object.__setattr__(self, "n", 0)
            if not self.errors and not self.unscored:
                object.__setattr__(self, "errors" if self.error else "unscored", 1)
            return
        value = float(self.value)
        if not math.isfinite(value):
            raise ValueError(f"a score must be a finite number (got {value}); record None for no score")
        object.__setattr__(self, "value", value)
        if problem := answers_problem(self.answers, value):
            raise ValueError(f"the answers {problem}")

    @property
    def outcome(self) -> Outcome:
        """The outcome: error if any request failed, else unscored if any score is missing, else scored."""
        if self.errors:
            return "error"
        return "unscored" if self.unscored else "scored"

    @property
    def judgments(self) -> tuple[Judgment, ...]:
        """The judgments that it rests on; none where it has no evidence."""
        return self.evidence.judgments if self.evidence else ()

    @property
    def data(self) -> dict[str, Any]:
        """The evidence and the metadata as one mapping, the "metadata" of results.json."""
        return {
            **(self.evidence.to_plain(self.explanation, self.maximum) if self.evidence else {}),
            **self.metadata,
        }

    def to_plain(self) -> dict[str, object]:
        """Return the score as plain data; "evidence" lists the entries of "metadata" that are evidence."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data = self.data
        fields |= {"metadata": data, "evidence": [name for name in data if name not in self.metadata]}
        for name in ("answers", "same_answers"):
            if not fields[name]:  # as in files from before there were such fields
                del fields[name]
        samples = [sample.to_plain() for sample in self.samples]
        plain = {**plain_data({**fields, "samples": ()}), "samples": samples}
        if self.sample_of is None:
            del plain["sample_of"]
        return plain

    @classmethod
    def from_plain(cls, record: Mapping[str, Any]) -> Score:
        """Return the inverse of `to_plain`; invalid evidence counts as the test's own metadata."""
        try:
            evidence, metadata = split_evidence(record["metadata"], record.get("evidence"), record["value"])
        except MisfitError:
            evidence, metadata = None, dict(record["metadata"])
        lists = {
            "samples": tuple(map(Sample.from_plain, record["samples"])),
            "answers": tuple(record.get("answers", ())),
        }
        return cls(**{**record, **lists, "metadata": metadata, "evidence": evidence})

    @classmethod
    def mean_of(cls, samples: Sequence[Sample], *, metric: str, maximum: float = 1.0) -> Score:
        """Return the score that is the mean of the samples with a value; see `error_of_mean`."""
        values = [sample.value for sample in samples if sample.value is not None]
        failed = [sample for sample in samples if sample.value is None]
        error = None
        if failed:
            error = (
                f"{len(failed)} of {len(samples)} questions could not be asked; "
                f"the first, question {failed[0].id}: {failed[0].error}"
            )
        return cls(
            value=statistics.fmean(values) if values else None,
            metric=metric,
            maximum=maximum,
            n=len(values),
            errors=len(failed),
            stderr=error_of_mean(samples),
            error=error,
            samples=tuple(samples),
        )


def answers_problem(answers: Sequence[float | None], value: float | None) -> str | None:
    """Return why a score of this value cannot have answers of these ratings; None where it can."""
    rated = [rating for rating in answers if rating is not None]
    if not all(map(math.isfinite, rated)):
        return f"must have finite ratings (got {list(answers)})"
    if not answers or value is None:
        return None
    mean = statistics.fmean(rated) if rated else math.nan
    if math.isclose(mean, value, rel_tol=1e-6, abs_tol=1e-9):
        return None
    return f"must have the score, {value:g}, as the mean of their ratings (got {list(answers)})"


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one test with one model: the unit of reports and gates.

    `question` is the test's id in its benchmark, `group` its category or task, `error` why the test ended
    early, `duration` the seconds of its coroutine. `content` is a digest of the question, for questions that
    a branch can change under the same name. Questions of one `cluster` have errors that are not independent,
    such as the pairs of one qna.yaml; "" is a cluster of the question alone, and None the default of its
    group. `chats` are the test's chats with the model, in order. `gradings` has a digest of how a judge was
    asked to grade each metric, for tests of one's own. `main_metric` is the first metric of a benchmark whose
    metrics have several scales; its scores alone are the benchmark's.
    """

    benchmark: str
    question: str
    group: str
    model: str
    judge: str | None = None
    scores: tuple[Score, ...] = ()
    error: str | None = None
    duration: float = 0.0
    nodeid: str = ""
    content: str = ""
    cluster: str | None = None
    chats: Sequence[Chat] = ()
    gradings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    main_metric: str = ""

    def __post_init__(self) -> None:
        if self.cluster is None:
            object.__setattr__(self, "cluster", cluster_before(self.group))

    @property
    def outcome(self) -> Outcome:
        """The worst outcome among its scores; error where the test ended early."""
        outcomes = {score.outcome for score in self.scores}
        if self.error is not None or "error" in outcomes:
            return "error"
        return "unscored" if "unscored" in outcomes or not self.scores else "scored"

    @property
    def main_scores(self) -> Sequence[Score]:
        """Its scores; of several scales those of the main metric, or of the first one."""
        if len({score.maximum for score in self.scores}) > 1 or self.main_metric:
            main = self.main_metric or self.scores[0].metric
            return [score for score in self.scores if score.metric == main]
        return self.scores

    @property
    def value(self) -> float | None:
        """The mean of its main scores, None where there is none."""
        values = [score.value for score in self.main_scores if score.value is not None]
        return statistics.fmean(values) if values else None

    @property
    def same_answers(self) -> bool:
        """True if each of its scores is of answers that are all the same."""
        return all(score.same_answers for score in self.scores)

    @property
    def own_cluster(self) -> str | None:
        """Its cluster, where that is not the default of its group; else None."""
        return None if self.cluster == cluster_before(self.group) else self.cluster

    @property
    def of_branch(self) -> bool:
        """True if it is of a question that a branch can change under the same name."""
        return bool(self.content) and not self.content.startswith(OWN_CONTENT)

    @property
    def answered(self) -> bool:
        """True if it has an answer that a later run will judge."""
        return any(score.evidence is not None and score.evidence.answered for score in self.scores)

    def to_plain(self) -> dict[str, object]:
        """Return the result as plain data, with its outcome, without what only some tests have."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields = {name: value for name, value in fields.items() if value or name not in OF_SOME}
        scores = [score.to_plain() for score in self.scores]
        return {**plain_data({**fields, "scores": ()}), "scores": scores, "outcome": self.outcome}

    @classmethod
    def from_plain(cls, record: Mapping[str, Any]) -> Result:
        """Return the inverse of `to_plain`."""
        fields = {key: value for key, value in record.items() if key != "outcome"}
        fields["scores"] = tuple(map(Score.from_plain, record["scores"]))
        chats = [Chat(**{**chat, "messages": tuple(chat["messages"])}) for chat in record.get("chats", ())]
        fields["chats"] = Packed(chats) if chats else ()
        return cls(**fields)


def cluster_before(group: str) -> str:
    """Return the cluster of a question in a file from before clusters were recorded: that of its group."""
    return group if group.endswith("qna.yaml") else ""
