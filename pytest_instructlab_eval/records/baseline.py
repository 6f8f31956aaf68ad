"""Baselines: the scores of a run in a small JSON file to commit, with a readable diff.

Each question has a line, sorted by name. So has an MMLU task, whose answers are a text with one character
for each question: 1 right, 0 wrong, "-" no score. A question that was asked several times has the list of
its answers' ratings beside its score.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from pytest_instructlab_eval.data.typed_json import (
    MisfitError,
    NotJSONError,
    RecordProblem,
    load_json,
    read_as,
    schema_version,
)
from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.escaping import escape
from pytest_instructlab_eval.records.answer_ratings import AnswersEntry, with_answers
from pytest_instructlab_eval.records.baseline_entry import ANSWERS, Value
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.previous_runs import results_path
from pytest_instructlab_eval.records.results_file import check_version, run_of
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.schema import scale_problems, value_problems
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.settings import GateAbout

SCHEMA_VERSION = 1
FINGERPRINT = (
    "model", "judge_model", "judge_repeat", "few_shots", "system_prompt", "add_bos",
    "merge_system_user_message", "mmlu_subject", "first_n", "sample", "sample_seed", "data", "prompts",
    "adaptations",
)  # fmt: skip
"""The settings that scores depend on. "data" has the digests of the benchmarks' data, "prompts" the versions
of their prompts and scoring, "adaptations" the adaptations that can change answers, known only at the end of
a run.

`repeat` is not one of them, since repeated answers have the same expected mean. `judge_repeat` is, since
repeated judgments are sampled at another temperature.
"""

INFORMATIVE = frozenset({"model", "first_n", "sample", "sample_seed"})
BEFORE_THE_RUN = INFORMATIVE | {"adaptations"}
"""The settings that may differ: a baseline is for comparing models, over the questions that both have."""

OPTIONAL = frozenset(
    {"judge_model", "data", "prompts"}
)  # missing in runs without a judge, and in older files
CALLED = {"prompts": "version"}  # what a benchmark's author calls an entry of the fingerprint
SUBJECTS = "mmlu_subject"
LONGEST = 60  # characters of a value in a message
MERGE_OPTIONS = {
    "model: merged_system_message": "--eval-merge-model-system-message",
    "judge: merged_system_message": "--eval-merge-system-user-message",
}
"""The options that make an adaptation the rule, so that servers which differ in it are asked alike."""


@dataclass(frozen=True)
class Baseline:
    """An earlier run: the fingerprint of its configuration, and its results with only their scores.

    One read from a results.json also has `left_out`, `incomplete` and `about_these` of the `Run`, its
    setting `gate_about`, and `shard`, the part of a run that it is, such as "1/4" (None for a whole run).
    `identities` and `judge_identities` are those of the `Run`.
    """

    fingerprint: Mapping[str, object]
    results: tuple[Result, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    incomplete: str | None = None
    shard: str | None = None
    about_these: tuple[str, ...] = ()
    gate_about: GateAbout | None = None
    identities: Mapping[str, ModelIdentity] = field(default_factory=dict)
    judge_identities: Mapping[str, ModelIdentity] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> Baseline:
        """Return the baseline of a finished run."""
        known = run.fingerprint or run.configuration
        shard = "/".join(map(str, run.configuration.get("shard") or ())) or None
        return cls(
            fingerprint(known), tuple(run.candidates), run.left_out, run.incomplete, shard, run.about_these,
            run.configuration.get("gate_about"), run.identities, run.judge_identities,
        )  # fmt: skip


# --- configurations ---


def fingerprint(configuration: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that scores depend on, as plain data; "data" and "prompts" count as settings.

    Missing settings are left out, and so are the subjects of MMLU where all are asked.
    """
    known = {name: plain_data(configuration[name]) for name in FINGERPRINT if name in configuration}
    if subjects := known.pop(SUBJECTS, None):
        known[SUBJECTS] = sorted(set(subjects))
    return known


def differences(
    ours: Mapping[str, object],
    theirs: Mapping[str, object],
    *,
    ours_are: str = "here",
    theirs_are: str = "in the baseline",
    ignoring: Collection[str] = INFORMATIVE,
) -> list[str]:
    """Return the differences of two fingerprints that make scores incomparable; empty where there are none.

    `ours_are` and `theirs_are` say where the two were read. `ignoring` are settings that may differ: by
    default the model and the choice of questions, since only common questions are compared. A judge, "data"
    and "prompts" are compared where both sides have them, the latter two by benchmark. Any other missing
    setting counts as not set, which equals off, and missing adaptations count as none.
    """
    sentences = []
    for name in dict.fromkeys([*ours, *theirs]):
        value, other_value = ours.get(name), theirs.get(name)
        if name == "adaptations":
            value, other_value = value or None, other_value or None
        unknown = name in OPTIONAL and (not value or not other_value)
        if name not in ignoring and not unknown:
            sentences += _difference(name, value, other_value, ours_are)
    return [f"{difference} {theirs_are}" for difference in sentences]


def check_comparable(
    ours: Mapping[str, object],
    baseline: Baseline,
    name: str,
    advice: str,
    *,
    ours_are: str = "here",
    theirs_are: str = "in the baseline",
    ignoring: Collection[str] = INFORMATIVE,
) -> None:
    """Raise ConfigurationError where a run of this fingerprint is not comparable with the baseline.

    `name` is the baseline's name in the message, `advice` what to do next; for the others see `differences`.
    """
    theirs = baseline.fingerprint
    problems = differences(ours, theirs, ours_are=ours_are, theirs_are=theirs_are, ignoring=ignoring)
    if problems:
        alike = (
            ""
            if "adaptations" in ignoring
            else _asked_alike(ours.get("adaptations"), theirs.get("adaptations"))
        )
        raise ConfigurationError(f"{name} has another configuration: {'; '.join(problems)}; {alike}{advice}")


def different_requests(ours: Sequence[str], theirs: object, where: str, allow_flag: str) -> str | None:
    """Return why a drop is not comparable, as requests were adapted differently; None where it is.

    `where` names the other side, `allow_flag` the option that turns this check off.
    """
    if (ours or None) == (theirs or None):
        return None
    here, there = (
        _setting_text(", ".join(map(str, side)) if isinstance(side, Sequence) else side) if side else "none"
        for side in (ours, theirs)
    )
    return (
        f"requests were adapted differently ({here} here, {there} {where}), which can change answers; "
        f"{_asked_alike(ours, theirs) or 'compare runs with the same adaptations, or '}"
        f"allow the comparison with {allow_flag}"
    )


def _asked_alike(ours: object, theirs: object) -> str:
    """Return how to ask both sides alike, where one server alone refuses a system message; else empty."""
    mine, other = (set(side) if isinstance(side, Sequence) else set() for side in (ours, theirs))
    options = [option for name, option in MERGE_OPTIONS.items() if name in mine ^ other]
    return f"ask both with {' and '.join(options)}, or " if options else ""


def _difference(name: str, ours: object, theirs: object, ours_are: str) -> list[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        kind, texts = CALLED.get(name, name), list[str]()
        for key in (key for key in ours if key in theirs):
            texts += _difference(f"{kind} of {key}", ours[key], theirs[key], ours_are)
        return texts
    ours, theirs = (None if value is False else value for value in (ours, theirs))
    if ours == theirs:
        return []
    return [f"{name} is {_setting_text(ours)} {ours_are} and {_setting_text(theirs)}"]


def _setting_text(value: object) -> str:
    return escape("not set" if value is None else repr(value), LONGEST)


# --- reading ---


class _BenchmarkBlock(TypedDict):
    """One benchmark in a baseline file."""

    maxima: Mapping[str, float]
    questions: Mapping[str, _QuestionBlock]


class _Scores(TypedDict):
    scores: Mapping[str, Value | tuple[Value, ...]]


class _QuestionBlock(_Scores, AnswersEntry, total=False):
    """One question in a baseline file; a metric that was recorded several times has several scores."""

    content: str
    group: str
    cluster: str
    passages: Mapping[str, str]
    gradings: Mapping[str, str]


class _Identities(TypedDict, total=False):
    """The models that a baseline file tells from others of their names."""

    identities: Mapping[str, ModelIdentity]
    judge_identities: Mapping[str, ModelIdentity]


class _BaselineFile(_Identities):
    """The contents of a baseline file."""

    fingerprint: Mapping[str, Any]
    benchmarks: Mapping[str, _BenchmarkBlock]


def read_baseline(path: Path, *, check_gate: Callable[[str], object] | None = None) -> Baseline:
    """Return the baseline in a baseline file, a results.json, or a folder with a results.json.

    Raises DataError where the file cannot be read, is none of these, is damaged, or has a newer schema; for
    `check_gate` see `read_run`.
    """
    path = results_path(path)
    try:
        document = load_json(path)
    except DataError as error:
        raise DataError(f"{error}; save a baseline with --eval-save-baseline") from None
    except (NotJSONError, MisfitError) as error:
        raise _unread(path, error) from None
    version = schema_version(document)
    if version is None or not isinstance(document, dict):
        raise _unread(path, NotJSONError("it has no schema_version"))
    if "results" in document:
        run = run_of(document, path, check_gate=check_gate)
        if not (run.fingerprint or run.configuration):
            raise DataError(f"{path} is damaged: it has no configuration")
        return Baseline.of(run)
    check_version(path, version, SCHEMA_VERSION)
    try:
        return _baseline_of_file(read_as(_BaselineFile, document))
    except MisfitError as misfit:
        raise _unread(path, misfit) from None


def _unread(path: Path, reason: NotJSONError | MisfitError) -> DataError:
    if isinstance(reason, MisfitError):
        return DataError(f"{path} is damaged: {reason}; save it again with --eval-save-baseline")
    return DataError(f"{path} is neither a baseline nor a results.json of this plugin ({reason})")


def _baseline_of_file(file: _BaselineFile) -> Baseline:
    """Return the baseline of a file; raises Misfit where a score has no scale or is not on it."""
    configuration = dict(file["fingerprint"])
    model = configuration.get("model")
    if not isinstance(model, str):
        raise RecordProblem("must be a text", model, "fingerprint", "model")
    results = []
    for benchmark, block in file["benchmarks"].items():
        place, maxima = ("benchmarks", benchmark), block["maxima"]
        for question, entry in block["questions"].items():
            scores = _baseline_scores(entry, maxima, place, question)
            result = Result(
                benchmark, question, entry.get("group", question), model, scores=tuple(scores),
                content=entry.get("content", ""), cluster=entry.get("cluster"),
                gradings=entry.get("gradings", {}),
            )  # fmt: skip
            results.append(result)
    return Baseline(
        configuration,
        tuple(results),
        identities=file.get("identities", {}),
        judge_identities=file.get("judge_identities", {}),
    )


def _baseline_scores(
    entry: _QuestionBlock, maxima: Mapping[str, float], place: tuple[str, ...], question: str
) -> list[Score]:
    """Return the scores of a question, with the ratings of its repeated answers; raises Misfit."""
    scores: list[Score] = []
    in_question = (*place, "questions", question)
    for metric, value in entry["scores"].items():
        if metric not in maxima:
            lacking = f"has no {escape(metric)}, of which {escape(question)} has a score"
            raise MisfitError(lacking, *place, "maxima")
        for problem in scale_problems(maxima[metric], *place, "maxima", metric):
            raise problem
        values = value if isinstance(value, tuple) else (value,)
        in_scores = (*in_question, "scores", metric)
        passages = entry.get("passages", {})
        scores += [_baseline_score(one, metric, maxima[metric], passages, *in_scores) for one in values]
    return with_answers(scores, entry, *in_question)


def _baseline_score(
    value: Value, metric: str, maximum: float, passages: Mapping[str, str], *place: str
) -> Score:
    """Return the score of a value in a baseline; raises Misfit where it is not on its scale."""
    if isinstance(value, str):
        if not value or set(value) - set(ANSWERS):
            raise RecordProblem("must be a text of 1, 0 and -", value, *place)
        value = {str(number): ANSWERS[sign] for number, sign in enumerate(value)}
    if not isinstance(value, Mapping):
        for problem in value_problems(value, maximum, *place):
            raise problem
        return Score(value, metric, maximum)
    for key, number in value.items():
        for problem in value_problems(number, maximum, *place, key):
            raise problem
    samples = [Sample(*entry, passage=passages.get(entry[0], "")) for entry in value.items()]
    return Score.mean_of(samples, metric=metric, maximum=maximum)
