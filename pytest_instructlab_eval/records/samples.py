"""The questions of a score that is a mean over many, and the error of that mean."""

from __future__ import annotations

import dataclasses
import math
import pickle
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pytest_instructlab_eval.records.plain_data import SCALARS, plain_data

Outcome = Literal["scored", "unscored", "error"]

OPTIONAL = ("question", "choices", "way", "passage")  # the fields of a sample that only some have


def _packed_field(place: int) -> Any:
    """Return a field of a sample: the value in this place of its packed ones."""
    return property(lambda sample: pickle.loads(sample._packed)[place])  # noqa: S301  (our own bytes)


@dataclasses.dataclass(frozen=True, init=False)
class Sample:
    """One question's part of a `Score` that is a mean over many questions.

    `value` is None where there is no score, and then `error` says why. `choice` is the model's choice,
    `answer` the right one, `logprobs` has the log-likelihood of each choice (nats). `question` is the
    question's text without solved examples, `choices` are the texts of its choices, and `way` is how their
    likelihoods were measured. Samples of one `passage` are about one text, so their errors are not
    independent; it is empty for a sample that is alone with its text.
    """

    # A run can have hundreds of thousands. As objects, the likelihoods and texts need three times the memory.
    __slots__ = ("_packed", "answer", "choice", "error", "id", "passage", "value", "way")

    id: str
    value: float | None
    choice: str | None
    answer: str | None
    error: str | None
    way: str
    passage: str
    logprobs: tuple[float, ...] = _packed_field(0)
    question: str = _packed_field(1)
    choices: tuple[str, ...] = _packed_field(2)

    def __init__(  # noqa: PLR0917  (a record's fields)
        self,
        id: str,
        value: float | None,
        choice: str | None = None,
        answer: str | None = None,
        logprobs: Iterable[float] = (),
        error: str | None = None,
        question: str = "",
        choices: Iterable[str] = (),
        way: str = "",
        passage: str = "",
    ) -> None:
        logprobs, choices = tuple(logprobs), tuple(choices)
        if not all(-math.inf < logprob < math.inf for logprob in logprobs):
            raise ValueError(f"log-likelihoods must be finite numbers (got {', '.join(map(str, logprobs))})")
        if not SCALARS.keys() >= {type(value) for value in (*logprobs, question, *choices)}:
            # Some are of a type of a library or of the user.
            logprobs, choices = tuple(plain_data(logprobs)), tuple(plain_data(choices))
            question = plain_data(question)
        packed = pickle.dumps((logprobs, question, choices), pickle.HIGHEST_PROTOCOL)
        value = None if value is None else float(value)
        values = (packed, answer, choice, error, id, passage, value, way)
        self.__setstate__((None, dict(zip(self.__slots__, values, strict=True))))

    def __setstate__(self, state: tuple[None, Mapping[str, object]]) -> None:
        for name, value in state[1].items():
            object.__setattr__(self, name, value)

    @property
    def outcome(self) -> Outcome:
        """Whether it is scored; without a score it is an error where that has a reason, else unscored."""
        if self.value is not None:
            return "scored"
        return "unscored" if self.error is None else "error"

    def to_plain(self) -> dict[str, object]:
        """Return the sample as plain data, without unknown fields of the question and its choices."""
        names = ("id", "value", "choice", "answer", "logprobs", "error", *OPTIONAL)
        fields: dict[str, object] = plain_data({name: getattr(self, name) for name in names})
        return {name: value for name, value in fields.items() if value or name not in OPTIONAL}

    @classmethod
    def from_plain(cls, record: Mapping[str, Any]) -> Sample:
        """Return the inverse of `to_plain`."""
        return cls(**record)


def error_of_mean(samples: Sequence[Sample]) -> float | None:
    """Return the standard error of the samples' mean; None for fewer than two that are independent.

    It is the sample standard deviation over the square root of n, as in lm-eval
    (https://arxiv.org/abs/2411.00640, equation 1). The samples of one passage are one cluster (section 2.2
    there, with G / (G - 1) for G clusters).
    """
    scored = [(sample, sample.value) for sample in samples if sample.value is not None]
    values = [value for _, value in scored]
    if len(values) < 2:
        return None
    if not any(sample.passage for sample, _ in scored):
        return statistics.stdev(values) / math.sqrt(len(values))
    deviations = passage_deviations(scored, statistics.fmean(values))
    count, squares = len(deviations), math.fsum(deviation**2 for deviation in deviations)
    return math.sqrt(count / (count - 1) * squares) / len(values) if count > 1 else None


def passage_deviations(scored: Sequence[tuple[Sample, float]], mean: float) -> list[float]:
    """Return by how much the values of each passage together differ from the mean; "" is one alone."""
    deviations = defaultdict[object, float](float)
    for number, (sample, value) in enumerate(scored):
        deviations[sample.passage or number] += value - mean
    return list(deviations.values())
