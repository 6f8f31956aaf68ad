"""The rules of a results.json of schema version 1 beyond the types of its records.

A value that contradicts another shows a changed or damaged file, on which no verdict may rest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict

from pytest_instructlab_eval.data.typed_json import MisfitError, RecordProblem, RecordRule, Rules, read_as
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.records.evidence import Evidence, split_evidence
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score, answers_problem

LARGEST_SCALE = 1e50  # so that computed values, such as fourth powers of scores, stay finite
MOST = 10**9  # questions
ROUNDING = 1e-9


class Configuration(TypedDict, total=False):
    """The settings that decide something when a finished run is read; the others are only information."""

    shard: tuple[int, int] | None
    stage: Literal["answer", "judge"] | None
    baseline: str | None
    base_model: str | None
    base_questions: Literal["same", "base"]
    inconclusive: Literal["warn", "fail", "pass"]
    allow_mismatch: bool
    first_n: int | None
    sample: int | None
    gate_about: Literal["these", "like-these"] | None


LATER = ("gate_about",)  # settings that the first files of schema version 1 do not have


def scale_problems(maximum: float, *place: str | int) -> Iterator[MisfitError]:
    """Yield the problem of a maximum that is not usable."""
    if not 0 < maximum <= LARGEST_SCALE:
        yield RecordProblem(f"must be a number above 0 and up to {LARGEST_SCALE:g}", maximum, *place)


def value_problems(value: float | None, maximum: float, *place: str | int) -> Iterator[MisfitError]:
    """Yield the problem of a value that is not on the scale from 0 to the maximum."""
    slack = ROUNDING * max(maximum, 1.0)
    if value is not None and not -slack <= value <= maximum + slack:
        yield RecordProblem(f"must be a number from 0 to {maximum:g}", value, *place)


def _score_problems(score: Mapping[str, Any]) -> Iterator[MisfitError]:
    value, maximum, n = score["value"], score["maximum"], score["n"]
    yield from scale_problems(maximum, "maximum")
    yield from value_problems(value, maximum, "value")
    yield from value_problems(score["stderr"], maximum, "stderr")
    for name in ("n", "unscored", "errors"):
        if not 0 <= score[name] <= MOST:
            yield RecordProblem(f"must be a whole number from 0 to {MOST:,}", score[name], name)
    whole = score.get("sample_of")
    if whole is not None and not max(n, 1) <= whole <= MOST:
        yield RecordProblem(f"must be a whole number from {max(n, 1)} to {MOST:,}", whole, "sample_of")
    if (value is None) != (n == 0):
        yield RecordProblem("must be above 0 where there is a value, and 0 where it is null", n, "n")
    if value is None and not score["unscored"] and not score["errors"]:
        yield RecordProblem("or errors must be above 0 where the value is null", 0, "unscored")
    yield from _sample_problems(score)
    yield from rating_problems(score.get("answers", ()), value, maximum, "answers")


def rating_problems(
    answers: Sequence[float | None], value: float | None, maximum: float, *place: str | int
) -> Iterator[MisfitError]:
    """Yield what is wrong with the ratings of the answers to one question."""
    for index, rating in enumerate(answers):
        yield from value_problems(rating, maximum, *place, index)
    if problem := answers_problem(answers, value):
        yield MisfitError(problem, *place)


def _sample_problems(score: Mapping[str, Any]) -> Iterator[MisfitError]:
    """Yield the contradictions between a score and its samples.

    A score that a user's test made may have samples and still an n of 1.
    """
    samples: Sequence[Sample] = score["samples"]
    for index, sample in enumerate(samples):
        yield from value_problems(sample.value, score["maximum"], "samples", index, "value")
    values = [sample.value for sample in samples if sample.value is not None]
    if not samples or (score["n"] == 1 != len(values)):
        return
    if score["n"] != len(values):
        yield RecordProblem(f"must be {len(values)}, the number of samples with a value", score["n"], "n")
    lost = score["errors"] + score["unscored"]
    if lost != len(samples) - len(values):
        yield RecordProblem(
            f"and unscored together must be {len(samples) - len(values)}, the number of samples without a "
            "value",
            lost, "errors",
        )  # fmt: skip
    if values and not math.isclose(score["value"], statistics.fmean(values), rel_tol=1e-6, abs_tol=ROUNDING):
        yield RecordProblem(
            f"must be {statistics.fmean(values):g}, the samples' mean", score["value"], "value"
        )


def _result_problems(result: Mapping[str, Any]) -> Iterator[MisfitError]:
    for index, score in enumerate(result["scores"] if result["judge"] is not None else ()):
        # In old files the judgments are entries of the test's metadata.
        if score.evidence is None and {"judgment", "judgments", "answered"} & score.metadata.keys():
            try:
                Evidence.from_plain(score.metadata)
            except MisfitError as misfit:
                misfit.location[:0] = ["scores", index, "metadata"]
                yield misfit
    fields = {name: value for name, value in result.items() if name != "outcome"}
    outcome = Result(**fields).outcome
    if result["outcome"] != outcome:
        yield RecordProblem(
            f"must be {outcome}, to fit the scores and the error", result["outcome"], "outcome"
        )


def _score_of_fields(fields: Mapping[str, Any]) -> Score:
    """Return the score of these fields, with its evidence taken out of the metadata; raises Misfit."""
    value, metadata, place = fields["value"], fields["metadata"], "evidence"
    try:
        names = read_as(tuple[str, ...], fields["evidence"]) if "evidence" in fields else None
        place = "metadata"
        evidence, own = split_evidence(metadata, names, value)
        for problem in evidence_problems(evidence, value, fields["maximum"]) if evidence else ():
            raise problem
    except MisfitError as misfit:
        misfit.location.insert(0, place)
        raise
    return Score(**{**fields, "metadata": own, "evidence": evidence})


def evidence_problems(evidence: Evidence, value: float | None, maximum: float) -> Iterator[MisfitError]:
    """Yield what contradicts the score, of this value and maximum, in the evidence behind it."""
    for number, judgment in enumerate(evidence.judgments):
        yield from value_problems(judgment.rating, evidence.maximum or maximum, "judgments", number, "rating")
    if evidence.answered and value is not None:
        yield RecordProblem("must be false where there is a value", True, "answered")


def _run_problems(run: Mapping[str, Any]) -> Iterator[MisfitError]:
    models, configuration = run["models"], run["configuration"]
    allowed = f"one of the models ({', '.join(models)})"
    for index, result in enumerate(run["results"] if models else ()):
        if result.model not in models:
            yield RecordProblem(f"must be {allowed}", result.model, "results", index, "model")
    if run["base"] is not None and run["base"] not in models:
        yield RecordProblem(f"must be null or {allowed}", run["base"], "base")
    if run["base"] is None and configuration.get("base_model"):
        yield RecordProblem("must be the base model, as the configuration has one", None, "base")
    yield from configuration_problems(configuration)


def configuration_problems(configuration: Mapping[str, Any]) -> Iterator[MisfitError]:
    """Yield what is wrong with the settings of a run; where its model is there, all have to be."""
    has_all = "model" in configuration
    for name in Configuration.__annotations__ if has_all else ():
        if name not in configuration and name not in LATER:
            yield MisfitError(f"has no {name}", "configuration")
    try:
        shard = read_as(Configuration, configuration).get("shard")
    except MisfitError as misfit:
        misfit.location.insert(0, "configuration")
        yield misfit
    else:
        if shard is not None and not 1 <= shard[0] <= shard[1]:
            yield RecordProblem(
                "must be the number of the part and the number of parts", shard, "configuration", "shard"
            )


def gate_problems(run: Run, check_gate: Callable[[str], object]) -> Iterator[MisfitError]:
    """Yield the problems of a run's gates: `check_gate` raises ConfigurationError for an invalid text."""
    for name, texts in (("gates", run.gates), ("standing_gates", run.standing_gates)):
        for index, text in enumerate(texts):
            try:
                check_gate(text)
            except ConfigurationError as error:
                yield MisfitError(f"must be a gate ({error})", name, index)


RULES: Rules = {
    Sample: RecordRule(required=("id", "value", "choice", "answer", "logprobs", "error")),
    Score: RecordRule(
        required=("value", "metric", "maximum", "n", "unscored", "errors", "stderr", "explanation", "error",
                  "samples", "metadata"),
        ignored=("evidence",),
        problems=_score_problems,
        build=_score_of_fields,
    ),
    Result: RecordRule(
        required=("benchmark", "question", "group", "model", "judge", "scores", "error", "duration", "nodeid",
                  "content", "outcome"),
        ignored=("outcome",),
        problems=_result_problems,
    ),
    Run: RecordRule(
        required=("results", "configuration", "fingerprint", "models", "base", "gates", "standing_gates",
                  "left_out", "incomplete", "tests"),
        problems=_run_problems,
    ),
}  # fmt: skip
"""Whatever schema version 1 had from its beginning is required; a field that is added later must not be."""
