"""The runs that a folder keeps: when each ended, its scores, and what became of its gates.

The scores are at the head of results.json, so that its questions need not be read. A file that was changed
since, or is of an earlier version, is read whole, and its scores are computed again.
"""

from __future__ import annotations

import datetime
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pytest_instructlab_eval.data.text_files import NotUTF8Error, open_file, read_text
from pytest_instructlab_eval.data.typed_json import (
    MOST_BYTES,
    MisfitError,
    NotJSONError,
    parse_json,
    read_as,
    schema_version,
)
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.gate_report import Verdict
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.records.previous_runs import RESULTS
from pytest_instructlab_eval.records.recorded_run import is_unchanged
from pytest_instructlab_eval.records.results_file import SCHEMA_VERSION, check_version, ended_at, run_of
from pytest_instructlab_eval.records.schema import scale_problems, value_problems
from pytest_instructlab_eval.reports.benchmark_scores import BenchmarkScore, whole_scores
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.stats.statistics import Interval

DEEPEST = 5  # levels of folders below that of the runs: RUN/ARTIFACT/eval_output/previous/TIME
MOST_FOLDERS = 20_000
QUESTIONS = b' "results": [\n'  # the line after the head, as `reports.results_json` writes it


class _Selector(TypedDict):
    benchmark: str


class _Gate(TypedDict):
    text: str
    selector: _Selector


class _Verdict(TypedDict):
    """The parts of a gate's verdict that a history shows."""

    gate: _Gate
    verdict: Verdict
    message: str
    model: str | None


class _Score(TypedDict):
    """A score of a whole benchmark, as results.json has it."""

    benchmark: str
    model: str
    value: float | None
    maximum: float
    stderr: float | None
    interval: tuple[float, float] | None
    n: int
    unscored: int
    errors: int
    judge: str | None
    is_base: bool


class _Settings(TypedDict, total=False):
    shard: tuple[int, int] | None
    first_n: int | None


class _Head(TypedDict):
    """The parts of a results.json that every version has."""

    configuration: _Settings
    fingerprint: Mapping[str, object]
    left_out: Mapping[str, str]
    incomplete: str | None
    verdicts: tuple[_Verdict, ...]


class _LaterHead(_Head, total=False):
    """Those that the first files do not have."""

    scores: tuple[_Score, ...]
    identities: Mapping[str, ModelIdentity]
    checksum: str


@dataclass(frozen=True)
class KeptVerdict:
    """What became of a gate for a model in a kept run; `model` is None where the run lacks its benchmark."""

    gate: str
    benchmark: str
    model: str | None
    verdict: Verdict
    message: str


@dataclass(frozen=True)
class KeptRun:
    """A finished run that a folder keeps.

    `name` is its path from that folder, "." for the folder itself. `ended` is in UTC. `fingerprint`,
    `left_out` and `identities` are those of the `Run`. `unusable` is why its scores are not those of whole
    benchmarks, None where they are. `checksum` tells the same run in two places; empty in old files.
    """

    name: str
    ended: datetime.datetime
    scores: tuple[BenchmarkScore, ...]
    verdicts: tuple[KeptVerdict, ...]
    fingerprint: Mapping[str, object]
    left_out: Mapping[str, str]
    identities: Mapping[str, ModelIdentity]
    unusable: str | None = None
    checksum: str = ""


def kept_files(folder: Path) -> list[Path]:
    """Return each results.json in a folder and below it; raises DataError where it has too many folders."""
    files = []
    for number, (path, folders, names) in enumerate(os.walk(folder)):
        if number == MOST_FOLDERS:
            raise DataError(f"{folder} has more than {MOST_FOLDERS:,} folders; name the one of the runs")
        depth = len(Path(path).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if depth < DEEPEST and not name.startswith("."))
        if RESULTS in names:
            files.append(Path(path) / RESULTS)
    return files


def read_kept_run(path: Path, folder: Path) -> KeptRun:
    """Return the run of a results.json in a folder or below it; raises DataError where it cannot be read."""
    try:
        document = _head_of(path)
        if document is None:
            document = parse_json(read_text(path, MOST_BYTES))
        return _kept_run(document, path, folder)
    except NotUTF8Error as error:
        raise _not_ours(path, f"not UTF-8 in {error.line}") from None
    except NotJSONError as error:
        raise _not_ours(path, error) from None
    except MisfitError as misfit:
        raise DataError(f"{path} is damaged: {misfit}; restore the file, or remove it") from None


def _head_of(path: Path) -> object:
    """Return the document of a results.json without its questions, which may be most of a gigabyte.

    None where these are needed, since the file was changed or has no scores. Raises DataError.
    """
    with open_file(path, MOST_BYTES) as file:
        lines = list(itertools.takewhile(lambda line: line != QUESTIONS, file))
    try:
        head = b"".join(lines).decode("utf-8").rstrip().removesuffix(",")
        document = parse_json(f"{head}\n}}")
    except (UnicodeDecodeError, NotJSONError):
        return None
    has_scores = isinstance(document, dict) and "scores" in document
    if not has_scores:
        return None
    with open_file(path, MOST_BYTES) as file:
        return document if is_unchanged(file) else None


def _not_ours(path: Path, reason: object) -> DataError:
    return DataError(f"{path} is not a results.json of this plugin ({reason})")


def _kept_run(document: object, path: Path, folder: Path) -> KeptRun:
    """Return the run of a document, with or without its questions; raises DataError and MisfitError."""
    version = schema_version(document)
    if version is None or not isinstance(document, dict):
        raise _not_ours(path, "it has no schema_version")
    check_version(path, version, SCHEMA_VERSION)
    head = read_as(_LaterHead, document)
    if "results" in document:
        run = run_of(document, path, check_gate=parse_gate)
        scores = whole_scores(RunReport.of(run, gated=False))
    else:
        scores = list(_scores_of(head))
    verdicts = (
        KeptVerdict(
            entry["gate"]["text"], entry["gate"]["selector"]["benchmark"], entry["model"], entry["verdict"],
            entry["message"],
        )
        for entry in head["verdicts"]
    )  # fmt: skip
    return KeptRun(
        path.parent.relative_to(folder).as_posix(),
        ended_at(document, path),
        tuple(scores),
        tuple(verdicts),
        head["fingerprint"],
        head["left_out"],
        head.get("identities", {}),
        _why_unusable(head, scores),
        head.get("checksum", ""),
    )


def _scores_of(head: _LaterHead) -> Iterator[BenchmarkScore]:
    """Yield the recorded scores; raises MisfitError where one is off its scale."""
    for index, entry in enumerate(head["scores"]):
        place, maximum = ("scores", index), entry["maximum"]
        ends = entry["interval"] or ()
        problems = itertools.chain(
            scale_problems(maximum, *place, "maximum"),
            value_problems(entry["value"], maximum, *place, "value"),
            *(value_problems(end, maximum, *place, "interval") for end in ends),
        )
        for problem in problems:
            raise problem
        yield BenchmarkScore(
            entry["benchmark"], entry["model"], "benchmark", "", entry["value"], maximum, entry["stderr"],
            Interval(*ends) if ends else None, entry["n"], entry["unscored"], entry["errors"],
            entry["judge"], entry["is_base"],
        )  # fmt: skip


def _why_unusable(head: _LaterHead, scores: list[BenchmarkScore]) -> str | None:
    """Return why the scores of a run are not those of whole benchmarks, None where they are."""
    if (shard := head["configuration"].get("shard")) is not None:
        return f"it is part {'/'.join(map(str, shard))} of a run; join the parts with merge"
    if head["incomplete"] is not None:
        return f"it is not whole: {head['incomplete']}"
    if all(score.value is None for score in scores):
        return "it has no score"
    return None
