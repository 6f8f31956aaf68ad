"""A finished run as its folder records it, with all that its verdict rests on, to give that verdict again."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypedDict

from pytest_instructlab_eval.data.text_files import decode_utf8, read_bytes
from pytest_instructlab_eval.data.typed_json import MOST_BYTES, MisfitError, NotJSONError, parse_json, read_as
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import printable_name
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.results_file import run_of
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.run_inputs import RunInputs
from pytest_instructlab_eval.records.scores import Result

CHECKSUM = re.compile(rb' "checksum": "([0-9a-f]{64})",\n')
BLANK_CHECKSUM = b' "checksum": "",'

FREE_SETTINGS = frozenset({
    # Where models and data are: they are compared themselves.
    "base_url", "judge_base_url", "base_model_url", "api_key_env", "judge_api_key_env",
    "base_model_api_key_env", "api_key_header", "judge_api_key_header", "base_model_api_key_header",
    "taxonomy", "branch", "base_branch", "tasks_dir", "mmlu_data", "mt_bench_data", "baseline",
    # What a run writes, and how long it may take.
    "output_dir", "keep_previous", "save_baseline", "annotations", "wait", "max_concurrency",
    "request_timeout", "max_reply", "serve_timeout",
})  # fmt: skip
"""The settings that may differ from those of the recorded run; any other one counts."""


@dataclass(frozen=True)
class RecordedRun:
    """A finished run, when it ended (as its file says it), its verdicts as plain data, and how it failed."""

    run: Run
    created: str
    verdicts: object
    problems: tuple[str, ...]
    failed_tests: int
    exit_status: int


class _Document(TypedDict):
    """The parts of a results.json that are of the verdict and not of the run."""

    created: str
    failures: tuple[str, ...]
    failed_tests: int
    exit_status: int


def write_with_checksum(file: BinaryIO, parts: Iterable[str]) -> None:
    """Write the parts of a results.json, with its checksum in the place of the blank one in the first part.

    Only one part is in memory at a time. Raises OSError.
    """
    digest, position = hashlib.sha256(), None
    for part in parts:
        data = part.encode()
        digest.update(data)
        if position is None:
            start, blank, rest = data.partition(BLANK_CHECKSUM)
            position = len(start) + len(blank) - len('",')
            data = start + f' "checksum": "{"0" * digest.digest_size * 2}",'.encode() + rest
        file.write(data)
    file.seek(position or 0)
    file.write(digest.hexdigest().encode())


def is_unchanged(lines: Iterable[bytes]) -> bool | None:
    """Return whether the lines of a results.json are as the run wrote them; None where it has no checksum."""
    digest, checksum = hashlib.sha256(), None
    for line in lines:
        if checksum is None and (checksum := CHECKSUM.fullmatch(line)) is not None:
            digest.update(BLANK_CHECKSUM + b"\n")
        else:
            digest.update(line)
    return None if checksum is None else digest.hexdigest().encode() == checksum[1]


def read_recorded(path: Path, check_gate: Callable[[str], object]) -> RecordedRun:
    """Return the run in a results.json; raises DataError where the file is not as the run wrote it."""
    data = read_bytes(path, MOST_BYTES)
    text = decode_utf8(data, printable_name(str(path)))
    unchanged = is_unchanged(io.BytesIO(data))
    if unchanged is None:
        raise DataError(f"{path} has no checksum")
    if not unchanged:
        raise DataError(f"{path} was changed after the run")
    try:
        document = parse_json(text)
        more = read_as(_Document, document)
    except (NotJSONError, MisfitError) as error:
        raise DataError(f"{path}: {error}") from None
    assert isinstance(document, dict)  # noqa: S101  (it was read as one)
    return RecordedRun(
        run_of(document, path, check_gate=check_gate),
        more["created"], document.get("verdicts"), more["failures"], more["failed_tests"],
        more["exit_status"],
    )  # fmt: skip


def doubts(now: Run, recorded: RecordedRun) -> Iterator[str]:
    """Yield why the recorded verdict may not be that of a run which is about to start; nothing if it is.

    `now` has no results yet, but all the rest of a run.
    """
    then = recorded.run
    if now.inputs is None or then.inputs is None:
        yield "that run was not made with --eval-reuse-verdict"
        return
    if now.inputs.uninspected is not None:
        yield now.inputs.uninspected
    yield from missing_parts(now, recorded)
    yield from changed_inputs(now.inputs, then.inputs)
    yield from changed_settings(now, then)
    yield from _other_models("model", now.identities, then.identities, now.models)
    yield from _other_models("judge", now.judge_identities, then.judge_identities, now.judge_identities)


def missing_parts(now: Run, recorded: RecordedRun) -> Iterator[str]:
    """Yield what is missing in the recorded run, or will be in the one that is about to start."""
    incomplete = recorded.run.incomplete
    if incomplete is not None or recorded.problems:
        yield f"that run was not whole ({incomplete or recorded.problems[0]})"
    if now.configuration.get("shard") or now.configuration.get("stage"):
        yield "this is only a part of a run"
    if recorded.failed_tests:
        yield "tests failed in that run"
    if not all(map(is_fully_scored, recorded.run.results)):
        yield "some of its questions have an error or no score"


def is_fully_scored(result: Result) -> bool:
    """Return whether all questions of a result have a score, without an error."""
    return result.outcome == "scored" and not any(score.errors or score.unscored for score in result.scores)


def changed_inputs(now: RunInputs, then: RunInputs) -> Iterator[str]:
    """Yield what differs of the inputs of the runs."""
    if now.tests != then.tests:
        yield "its tests and questions are not the same"
    if now.code != then.code:
        yield "a file of the test code, the ini file or an installed package is not the same"
    if now.baseline != then.baseline:
        yield "its baseline is not the same"


def changed_settings(now: Run, then: Run) -> Iterator[str]:
    """Yield what differs of the settings of the runs, of their data and gates, and of what they ask."""
    ours, theirs = plain_data(now.configuration), then.configuration
    for name in sorted({*ours, *theirs} - FREE_SETTINGS):
        if ours.get(name) != theirs.get(name):
            yield f"its --eval-{name.replace('_', '-')} is not the same"
    known_later = {"adaptations": None}
    if plain_data({**now.fingerprint, **known_later}) != {**then.fingerprint, **known_later}:
        yield "its data or prompts are not the same"
    if (now.gates, now.standing_gates) != (then.gates, then.standing_gates):
        yield "its gates are not the same"
    if (now.models, now.base, now.left_out) != (then.models, then.base, then.left_out):
        yield "its models or its selection of tests are not the same"


def _other_models(
    role: str, now: Mapping[str, ModelIdentity], then: Mapping[str, ModelIdentity], labels: Iterable[str]
) -> Iterator[str]:
    """Yield what differs of the models of a role, or is not known of them."""
    for label in labels:
        model, earlier = now.get(label), then.get(label)
        if model is None or earlier is None:
            yield f"the {role} {label} was not looked at"
        elif (difference := model.difference(earlier)) is not None:
            yield f"the {role} {label} is another model: {difference} then"
        elif not model.is_same(earlier):
            why = model.without_fingerprint or earlier.without_fingerprint or "it was looked at differently"
            yield f"the {role} {label} may be another model ({why})"
    for label in then.keys() - now.keys():
        yield f"the {role} {label} of that run is not in this one"
