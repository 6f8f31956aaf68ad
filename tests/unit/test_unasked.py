"""What a run says that it does not ask: the sentences for header, terminal and summary.md."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.data.taxonomy import Survey, Taxonomy
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.baseline import fingerprint
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites import mmlu, mmlu_branch
from pytest_instructlab_eval.suites.benchmark import Benchmark
from pytest_instructlab_eval.suites.selection import unasked_notes
from tests.branch_tasks import rows, write_task

from .test_taxonomy import BOATS, KNOTS, PIERS, Repository, content, first_commit, repository

__all__ = ["first_commit", "repository"]  # fixtures


def settings(**given: Any) -> Settings:
    return Settings(("lab",), judge_model=("judge",), **given)


def read_tasks(benchmark: Benchmark, settings: Settings) -> list[Any]:
    return list(benchmark.read(settings))


# --- a taxonomy ---


def of_the_branch(repository: Repository, **given: Any) -> list[str]:
    asked = settings(taxonomy=repository.folder, branch="pr", base_branch="main", **given)
    return unasked_notes("mt_bench_branch", asked)


@pytest.fixture
def branch(repository: Repository) -> Repository:
    """A branch `pr` that is yet like main."""
    repository.git("checkout", "-q", "-b", "pr")
    return repository


def test_of_a_whole_taxonomy_knowledge_and_misnamed_files_are_told(repository: Repository) -> None:
    repository.commit({"compositional_skills/food/qna.yml": content("f")})
    assert unasked_notes("mt_bench_branch", settings(taxonomy=repository.folder)) == [
        "compositional_skills/food/qna.yml is not read: its name must be qna.yaml",
        "1 knowledge file is left out: --eval-include-knowledge asks its pairs, and mmlu_branch its tasks",
    ]
    assert (
        len(unasked_notes("mt_bench_branch", settings(taxonomy=repository.folder, include_knowledge=True)))
        == 1
    )


def test_a_branch_without_a_change_says_so(branch: Repository) -> None:
    assert of_the_branch(branch) == ["the branch changes no qna.yaml"]
    branch.commit(removed=(KNOTS,))
    assert of_the_branch(branch) == ["the branch changes no qna.yaml", "the branch removes 1 qna.yaml file"]


def test_knowledge_that_changed_is_counted(branch: Repository) -> None:
    branch.commit({PIERS: content("p2"), "knowledge/ropes/qna.yaml": content("r")})
    assert of_the_branch(branch, changed_only=True) == [
        "2 knowledge files changed and are left out: --eval-include-knowledge asks their pairs, and "
        "mmlu_branch their tasks"
    ]
    assert of_the_branch(branch, changed_only=True, include_knowledge=True) == []


def test_a_file_that_only_moved_has_no_new_pair(branch: Repository) -> None:
    (branch.folder / "compositional_skills/ropes").mkdir()
    branch.git("mv", KNOTS, "compositional_skills/ropes/qna.yaml")
    branch.commit()
    removed = "the branch removes 1 qna.yaml file"
    assert of_the_branch(branch) == ["the branch has no new pair: the base branch has all of them", removed]
    assert of_the_branch(branch, changed_only=True) == [removed]


def test_a_base_model_that_is_asked_nothing_is_told(branch: Repository) -> None:
    in_its_way = {"base_model": "base", "base_questions": "base", "changed_only": True}
    branch.commit({"compositional_skills/food/qna.yaml": content("f")})
    assert of_the_branch(branch, **in_its_way) == [
        "the base model was asked nothing: main has none of the files"
    ]
    branch.commit({BOATS: content("b2")})
    assert of_the_branch(branch, **in_its_way) == []


def test_of_many_files_the_first_ten_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many = Survey((), (), {f"knowledge/{number:02}/qna.yml": "why" for number in range(13)})
    monkeypatch.setattr(Taxonomy, "survey", lambda *_: many)
    told = unasked_notes("mt_bench_branch", settings(taxonomy=tmp_path))
    assert len(told) == 11
    assert told[-1] == "3 more files are not read"


# --- tasks ---


def test_a_task_without_questions_is_left_out_by_name(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps")
    write_task(tmp_path, "filtered", [])
    asked = settings(tasks_dir=tmp_path, few_shots=0)
    assert unasked_notes("mmlu_branch", asked) == ["the task filtered has no questions and is left out"]
    assert [task.name for task in read_tasks(mmlu_branch.BENCHMARK, asked)] == ["lamps"]
    sampled = settings(tasks_dir=tmp_path, few_shots=0, sample=3)
    assert [len(task.rows) for task in read_tasks(mmlu_branch.BENCHMARK, sampled)] == [3]


def test_tasks_that_are_all_without_questions_are_refused(tmp_path: Path) -> None:
    write_task(tmp_path, "filtered", [])
    with pytest.raises(DataError, match="no task has a question"):
        read_tasks(mmlu_branch.BENCHMARK, settings(tasks_dir=tmp_path))


def test_the_newest_folder_of_tasks_is_named(tmp_path: Path) -> None:
    for day in ("14", "15"):
        write_task(tmp_path / f"node_datasets_2025-01-{day}T09_00_00", "lamps")
    newest = tmp_path / "node_datasets_2025-01-15T09_00_00"
    told = unasked_notes("mmlu_branch", settings(tasks_dir=tmp_path))
    assert told == [f"{newest} is read, the newest of 2 task folders"]


def test_rows_whose_own_text_decides_are_counted_in_a_warning(tmp_path: Path) -> None:
    shifted = [{**row, "answer": row["answer"] - 1} for row in rows(12) if row["answer"] > 0]
    write_task(tmp_path, "lamps", shifted)
    assert unasked_notes("mmlu_branch", settings(tasks_dir=tmp_path)) == [
        "warning: in 9 of 9 rows of lamps the number of the right choice differs from its text; the text "
        "decides"
    ]


def test_a_task_that_cannot_be_asked_is_never_left_out_of_a_sample(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps")
    write_task(tmp_path, "evil", doc_to_text="{{ open('ran', 'w') }}")
    asked = settings(tasks_dir=tmp_path, few_shots=0, sample=1)
    assert [task.name for task in read_tasks(mmlu_branch.BENCHMARK, asked)] == ["evil", "lamps"]


# --- MMLU ---


def test_instructlabs_variable_for_few_tasks_takes_the_first_four(mmlu_folder: Path) -> None:
    few = settings(mmlu_data=mmlu_folder, few_shots=0, min_tasks=True)
    assert [task.subject for task in read_tasks(mmlu.BENCHMARK, few)] == [
        "abstract_algebra", "anatomy", "astronomy", "business_ethics",
    ]  # fmt: skip
    assert unasked_notes("mmlu", few) == [
        "INSTRUCTLAB_EVAL_MMLU_MIN_TASKS is set, so only the first 4 of MMLU's tasks are asked"
    ]
    assert unasked_notes("mmlu", settings(mmlu_data=mmlu_folder)) == []
    assert unasked_notes("mt_bench", settings()) == []


def test_only_the_named_subjects_are_asked_and_a_note_says_so(mmlu_folder: Path) -> None:
    two = settings(mmlu_data=mmlu_folder, few_shots=0, mmlu_subject=("virology", "anatomy", "anatomy"))
    assert [task.subject for task in read_tasks(mmlu.BENCHMARK, two)] == ["anatomy", "virology"]
    assert unasked_notes("mmlu", two) == [
        "2 of MMLU's 57 subjects are asked (--eval-mmlu-subject): anatomy, virology"
    ]
    assert fingerprint(dataclasses.asdict(two))["mmlu_subject"] == ["anatomy", "virology"]
    assert "mmlu_subject" not in fingerprint(dataclasses.asdict(settings()))


def test_a_folder_of_some_subjects_serves_those_and_says_how_to_ask_them(
    mmlu_folder: Path, tmp_path: Path
) -> None:
    for split in ("dev", "test"):
        (tmp_path / split).mkdir()
        for subject in ("anatomy", "virology"):
            shutil.copy(mmlu_folder / split / f"{subject}_{split}.csv", tmp_path / split)
    two = settings(mmlu_data=tmp_path, few_shots=0, mmlu_subject=("anatomy", "virology"))
    assert len(read_tasks(mmlu.BENCHMARK, two)) == 2
    advice = (
        "abstract_algebra; the folder has 2 of 57 subjects: add the others, or ask only those that it has "
        "with --eval-mmlu-subject, as in --eval-mmlu-subject anatomy"
    )
    with pytest.raises(DataError, match=re.escape(advice)):
        read_tasks(mmlu.BENCHMARK, settings(mmlu_data=tmp_path))


def test_a_subject_that_is_misspelt_is_refused(mmlu_folder: Path) -> None:
    for name, advice in (("anatmy", "did you mean anatomy?"), ("?", "the names of the published files")):
        with pytest.raises(DataError, match=re.escape(f"expected a subject of MMLU (got {name!r}); ")) as why:
            read_tasks(mmlu.BENCHMARK, settings(mmlu_data=mmlu_folder, mmlu_subject=(name,)))
        assert advice in str(why.value)
