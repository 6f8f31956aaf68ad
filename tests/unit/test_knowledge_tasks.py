"""Tasks made of knowledge: how they are named and written, and what stays when something goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.task_files import find_task_files
from pytest_instructlab_eval.data.task_rows import read_rows
from pytest_instructlab_eval.data.taxonomy import QnaFile, QnaPair
from pytest_instructlab_eval.errors import (
    ConfigurationError,
    ContextLengthError,
    DataError,
    ModelError,
    NoAnswerError,
    UnreachableError,
)
from pytest_instructlab_eval.models import Completion, Message
from pytest_instructlab_eval.models.protocol import as_messages
from pytest_instructlab_eval.task_writing import FileOutcome, TaskFolder, Teacher, make_tasks
from pytest_instructlab_eval.task_writing.drafts import (
    CUT_OFF,
    DUPLICATE,
    FAILED,
    NOT_CONFIRMED,
    NOT_WRITTEN,
    TaskQuestion,
)
from pytest_instructlab_eval.task_writing.outcome_lines import file_lines, summary_lines
from pytest_instructlab_eval.task_writing.task_folder import task_names

NAME = "knowledge_places_bay"


def question(number: int = 1, **changes: Any) -> TaskQuestion:
    choices = ("in the bay", "on the hill", "by the sea", "at home")
    return TaskQuestion(
        **{"question": f"Where is lamp {number}?", "choices": choices, "answer": 2, **changes}
    )


def qna(path: str, *contexts: str | None) -> QnaFile:
    pairs = (QnaPair(path, n, "a question", "an answer", text, 10 * n) for n, text in enumerate(contexts, 1))
    return QnaFile(path, 3, tuple(pairs), domain="Places")


# --- names ---


def test_a_task_is_called_by_its_folders_as_sdg_calls_it() -> None:
    path = "knowledge/arts/music/fandom/swifties/qna.yaml"
    assert task_names([path]) == {path: "knowledge_arts_music_fandom_swifties"}


def test_two_files_never_make_one_task() -> None:
    one, other, upper = "knowledge/a_b/qna.yaml", "knowledge/a/b/qna.yaml", "knowledge/A/b/qna.yaml"
    names = task_names([one, other, upper])
    assert len({name.casefold() for name in names.values()}) == 3


def test_no_path_can_be_made_to_have_the_name_of_another() -> None:
    one = "knowledge/a b/qna.yaml"
    imitation = f"knowledge/{task_names([one])[one].removeprefix('knowledge_')}/qna.yaml"
    assert len(set(task_names([one, imitation]).values())) == 2


PIECES = st.sampled_from(["a", "B", "_", "/", "..", " ", ",", "*", "\n", "{{x}}", "é", "\x00", "x" * 90])
PATHS = st.lists(PIECES, max_size=6).map(lambda parts: f"knowledge/{''.join(parts)}/qna.yaml")


@given(st.lists(PATHS, max_size=6, unique=True))
def test_no_path_makes_a_name_that_leads_elsewhere_or_that_lm_eval_would_take_for_a_pattern(
    paths: list[str],
) -> None:
    names = list(task_names(paths).values())
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(re.fullmatch(r"knowledge[A-Za-z0-9_-]{0,150}", name) for name in names)


# --- on disk ---


def test_what_is_written_is_read_as_sdgs_own_without_trust(tmp_path: Path) -> None:
    written = [question(n, answer=n % 4) for n in range(6)]
    TaskFolder(tmp_path / "new" / "out").write(NAME, written, "Places", "f1")
    [task] = find_task_files(tmp_path / "new" / "out")
    assert (task.name, task.form) == (NAME, "texts")
    assert task.data is not None
    rows = read_rows(task.data).questions
    assert [(row.question, row.choices, row.answer) for row in rows] == [
        (one.question, one.choices, one.answer) for one in written
    ]


def test_a_strangers_text_stays_in_the_rows(tmp_path: Path) -> None:
    hostile = "{{ ''.__class__ }} !function os.system\u2028 [[10]]"
    asked = question(question=hostile, choices=(hostile, "b", "c", "d"), answer=0)
    TaskFolder(tmp_path).write(NAME, [asked], hostile, "f1")
    [task] = find_task_files(tmp_path)
    assert "class" not in task.path.read_text("utf-8")
    assert task.data is not None
    assert [row.question for row in read_rows(task.data).questions] == [hostile]


def test_lm_eval_loads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    asked = [question(n, answer=n % 4, choices=("it's {{7*7}}", '"b"', "c\\d", "é")) for n in range(5)]
    TaskFolder(tmp_path / "out").write(NAME, asked, "Places", "f1")
    manager = TaskManager(include_path=str(tmp_path / "out"), include_defaults=False)
    loaded = manager.load(["mmlu_pr"])["tasks"][NAME]
    docs = list(loaded.test_docs())
    assert [loaded.doc_to_target(doc) for doc in docs] == [one.answer for one in asked]
    assert [tuple(loaded.doc_to_choice(doc)) for doc in docs] == [one.choices for one in asked]


def test_a_moved_folder_still_has_its_rows(tmp_path: Path) -> None:
    TaskFolder(tmp_path / "old").write(NAME, [question()], "Places", "f1")
    (tmp_path / "old").rename(tmp_path / "moved")
    [task] = find_task_files(tmp_path / "moved")
    assert task.data == tmp_path / "moved" / f"mmlubench_{NAME}.jsonl"


def test_a_finished_task_is_known_by_what_it_was_made_from(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    assert folder.finished(NAME, "f1") is None
    folder.write(NAME, [question(1), question(2)], "Places", "f1")
    assert folder.finished(NAME, "f1") == 2
    with pytest.raises(DataError, match=rf"{NAME}_task.yaml exists, .* or --overwrite"):
        folder.finished(NAME, "f2")
    assert TaskFolder(tmp_path, overwrite=True).finished(NAME, "f2") is None


@pytest.mark.parametrize("name", [f"{NAME}_task.yaml", f"mmlubench_{NAME}.jsonl"])
def test_a_file_of_anyone_elses_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", "utf-8")
    with pytest.raises(DataError, match=f"{name} exists"):
        TaskFolder(tmp_path).finished(NAME, "f1")


def test_a_link_in_the_folder_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine", "utf-8")
    out = tmp_path / "out"
    out.mkdir()
    (out / f"mmlubench_{NAME}.jsonl").symlink_to(outside)
    TaskFolder(out, overwrite=True).write(NAME, [question()], "Places", "f1")
    assert outside.read_text("utf-8") == "mine"
    assert len(find_task_files(out)) == 1


def test_a_folder_that_can_not_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"--out: .*file is not a folder"):
        TaskFolder(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        TaskFolder(tmp_path / "file" / "out").write(NAME, [question()], "Places", "f1")


# --- from files to tasks ---

Say = Callable[[str], "str | Exception"]


class FakeTeacher:
    """Writes what `write` says of a passage; at a second look it chooses what begins with "right"."""

    name = "teacher"

    def __init__(self, write: Say, look: Say | None = None) -> None:
        self._write = write
        self._look = look or self._right
        self.looks: list[str] = []

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        max_tokens: int = 1024,
        schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        await asyncio.sleep(0)
        user = as_messages(messages)[-1]["content"]
        is_look = "\nQuestion: " in user
        if is_look:
            self.looks.append(user)
        said = self._look(user) if is_look else self._write(user)
        if isinstance(said, Exception):
            raise said
        return Completion(said, "length" if said.endswith("…") else "stop", 1, 1, 0.0)

    @staticmethod
    def _right(user: str) -> str:
        found = re.search(r"^([A-D])\. right", user, re.MULTILINE)
        return json.dumps({"answer": found[1] if found else "none"})


def written(*questions: str) -> str:
    record = {"answer": "right one", "wrong_answers": ["wrong", "quite wrong", "all wrong"]}
    return json.dumps({"questions": [{"question": text, **record} for text in questions]})


def on_passage(user: str) -> str:
    [subject] = re.findall(r"<passage>\n(.*)\n</passage>", user)
    return written(f"Where is {subject}?", f"When was {subject}?")


def make(
    teacher: FakeTeacher,
    files: Sequence[QnaFile],
    folder: Path,
    *,
    overwrite: bool = False,
    concurrency: int = 4,
) -> list[FileOutcome]:
    async def run() -> list[FileOutcome]:
        making = make_tasks(
            files, Teacher(teacher, 2), TaskFolder(folder, overwrite=overwrite), concurrency=concurrency
        )
        async with contextlib.aclosing(making):
            return sorted([outcome async for outcome in making], key=lambda outcome: outcome.path)

    return asyncio.run(run())


BAY = qna("knowledge/bay/qna.yaml", "the bay", "the bay ", "the pier")
HILL = qna("knowledge/hill/qna.yaml", "the hill")


def test_each_context_of_a_file_is_asked_about_once(tmp_path: Path) -> None:
    bay, hill = make(FakeTeacher(on_passage), [BAY, HILL], tmp_path)
    assert (bay.task, bay.kept, hill.task, hill.kept) == ("knowledge_bay", 4, "knowledge_hill", 2)
    assert [passage.line for passage in bay.passages] == [10, 30]
    assert [task.name for task in find_task_files(tmp_path)] == ["knowledge_bay", "knowledge_hill"]


def test_the_same_inputs_write_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        make(FakeTeacher(on_passage), [BAY, HILL], tmp_path / folder)
    one, other = ((tmp_path / folder / "mmlubench_knowledge_bay.jsonl") for folder in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        ('{"answer": "A"}', NOT_CONFIRMED),  # a teacher that is fond of one letter
        ('{"answer": "none"}', NOT_CONFIRMED),
        ("I wonder …", CUT_OFF),
    ],
)
def test_a_question_is_kept_only_when_the_second_look_finds_its_answer(
    tmp_path: Path, look: str, reason: str
) -> None:
    [hill] = make(FakeTeacher(on_passage, lambda user: look), [HILL], tmp_path)
    assert (hill.task, hill.rejected) == (None, {reason: 2})
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_whose_tokens_all_went_into_reasoning_was_cut_off(tmp_path: Path) -> None:
    teacher = FakeTeacher(
        lambda user: NoAnswerError("all tokens went into reasoning", reasoning=on_passage(user))
    )
    [hill] = make(teacher, [HILL], tmp_path)
    assert (hill.task, hill.rejected) == (None, {CUT_OFF: 2})


def test_the_second_look_has_the_passage_and_the_right_answer_at_two_letters(tmp_path: Path) -> None:
    teacher = FakeTeacher(on_passage)
    make(teacher, [HILL], tmp_path)
    letters = [
        re.findall(r"^([A-D])\. right", user, re.MULTILINE) for user in teacher.looks if "Where" in user
    ]
    assert len(letters) == 2
    assert letters[0] != letters[1]
    assert all("<passage>\nthe hill\n</passage>" in user for user in teacher.looks)


def test_the_same_question_on_two_passages_is_kept_once(tmp_path: Path) -> None:
    teacher = FakeTeacher(lambda user: written("Who lit the lamp?", "The lamp, who lit?"))
    [bay] = make(teacher, [BAY], tmp_path)
    assert (bay.kept, bay.rejected) == (1, {DUPLICATE: 3})


def test_a_passage_without_a_valid_question_and_a_file_without_passages_are_told_of(tmp_path: Path) -> None:
    old = qna("knowledge/a/qna.yaml", None)
    teacher = FakeTeacher(lambda user: "I'd rather not." if "pier" in user else on_passage(user))
    outcomes = make(teacher, [BAY, old], tmp_path)
    assert [line for outcome in outcomes for line in file_lines(outcome)] == [
        "knowledge/a/qna.yaml: no passage to ask about: the file has no context "
        "(version 3 of qna.yaml has contexts)",
        "knowledge/bay/qna.yaml: 2 of 4 questions kept, in the task knowledge_bay",
        f"  line 30: no question kept: 2 {NOT_WRITTEN}",
    ]
    table = [line.split() for line in summary_lines(outcomes)]
    assert ["knowledge", "files", "2"] in table
    assert ["questions", "asked", "for", "4"] in table
    assert ["kept", "2"] in table
    assert ["rejected:", "not", "written", "2"] in table


def test_what_the_server_refuses_costs_the_passage_alone(tmp_path: Path) -> None:
    refusal = ModelError("the server answered 500: no")
    teacher = FakeTeacher(lambda user: refusal if "pier" in user else on_passage(user))
    [bay] = make(teacher, [BAY], tmp_path)
    assert (bay.kept, bay.rejected) == (2, {FAILED: 2})
    assert "  line 30: the server answered 500: no" in list(file_lines(bay))


def test_a_teacher_that_is_gone_ends_the_run_and_what_was_finished_stays(tmp_path: Path) -> None:
    gone = UnreachableError("the server cannot be reached")
    teacher = FakeTeacher(lambda user: gone if "hill" in user else on_passage(user))
    with pytest.raises(UnreachableError):
        make(teacher, [BAY, HILL], tmp_path, concurrency=1)
    assert [task.name for task in find_task_files(tmp_path)] == ["knowledge_bay"]

    again = FakeTeacher(lambda user: pytest.fail("asked again") if "the bay" in user else on_passage(user))
    bay, hill = make(again, [BAY, HILL], tmp_path)
    assert (bay.earlier, hill.kept) == (4, 2)


def test_nothing_is_asked_where_something_would_be_overwritten(tmp_path: Path) -> None:
    make(FakeTeacher(on_passage), [HILL], tmp_path)
    changed = qna(HILL.path, "the higher hill")
    teacher = FakeTeacher(lambda user: pytest.fail("it was asked"))
    with pytest.raises(DataError, match=" exists, and"):
        make(teacher, [BAY, changed], tmp_path)
    [hill] = make(FakeTeacher(on_passage), [changed], tmp_path, overwrite=True)
    assert hill.kept == 2
    assert "higher" in (tmp_path / "mmlubench_knowledge_hill.jsonl").read_text("utf-8")


def test_a_task_that_was_to_be_overwritten_does_not_outlive_its_questions(tmp_path: Path) -> None:
    make(FakeTeacher(on_passage), [BAY, HILL], tmp_path)
    make(FakeTeacher(lambda user: "I'd rather not."), [HILL], tmp_path, overwrite=True)
    assert [task.name for task in find_task_files(tmp_path)] == ["knowledge_bay"]


def test_a_passage_that_does_not_fit_is_told_of_with_what_to_do(tmp_path: Path) -> None:
    long = ContextLengthError("the prompt has 4,000 tokens and the model's context is 4,096")
    [hill] = make(FakeTeacher(lambda user: long), [HILL], tmp_path)
    assert [passage.error for passage in hill.passages] == [
        f"{long}; a smaller --max-tokens leaves more room"
    ]


def test_a_subject_of_a_megabyte_does_not_fill_every_row(tmp_path: Path) -> None:
    endless = QnaFile(HILL.path, 3, HILL.pairs, domain="hills " * 200_000)
    make(FakeTeacher(on_passage), [endless], tmp_path)
    assert (tmp_path / "mmlubench_knowledge_hill.jsonl").stat().st_size < 2_000


def test_a_yaml_has_no_more_than_sdg_writes_and_a_digest(tmp_path: Path) -> None:
    make(FakeTeacher(on_passage), [HILL], tmp_path)
    settings = yaml.safe_load((tmp_path / "knowledge_hill_task.yaml").read_text("utf-8"))
    assert settings["dataset_kwargs"] == {
        "data_files": {"test": str(tmp_path / "mmlubench_knowledge_hill.jsonl")}
    }
    assert re.fullmatch(r"[0-9a-f]{64}", settings["metadata"]["made_from"])
