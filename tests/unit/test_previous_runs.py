"""Earlier runs of an output folder: moved aside, named by their time, and the oldest removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.previous_runs import (
    last_results,
    previous_runs,
    remove_run,
    results_path,
    set_aside,
)


def run(folder: Path, text: str, *, at: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("results.json", "summary.md"):
        (folder / name).write_text(text)
    os.utime(folder / "results.json", (at, at))


def test_results_and_summary_move_to_a_folder_named_by_their_time(tmp_path: Path) -> None:
    run(tmp_path, "first", at=1_764_000_000)
    (tmp_path / "mt_bench").mkdir()
    set_aside(tmp_path, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mt_bench", "previous"]
    (only,) = previous_runs(tmp_path)
    assert only.name == "2025-11-24T16-00-00Z"
    assert sorted(path.name for path in only.iterdir()) == ["results.json", "summary.md"]
    assert last_results(tmp_path) == only / "results.json"


def test_without_results_nothing_moves(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("refused")
    set_aside(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.md"]
    set_aside(tmp_path / "missing", 5)
    assert last_results(tmp_path) == tmp_path / "results.json"


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_so_many_are_kept_and_the_newest_is_first(tmp_path: Path, keep: int) -> None:
    for number in range(5):
        run(tmp_path, str(number), at=1_764_000_000 + number // 2)
        set_aside(tmp_path, keep)
    kept = [(path / "summary.md").read_text() for path in previous_runs(tmp_path)]
    assert kept == ["4", "3", "2"][:keep]
    assert (tmp_path / "previous").exists() == (keep > 0)


def test_a_run_is_removed_but_for_files_of_others(tmp_path: Path) -> None:
    for name in ("mine", "shared"):
        run(tmp_path / name, "text")
        (tmp_path / name / "export").mkdir()
    (tmp_path / "shared/notes.txt").touch()
    remove_run(tmp_path / "mine")
    remove_run(tmp_path / "shared")
    assert list(tmp_path.rglob("*")) == [tmp_path / "shared", tmp_path / "shared/notes.txt"]


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    run(tmp_path, "first")
    set_aside(tmp_path, 1)
    (first,) = previous_runs(tmp_path)
    (first / "notes.txt").write_text("mine")
    (tmp_path / "previous/mine").mkdir()
    run(tmp_path, "second", at=1_000)
    set_aside(tmp_path, 1)
    assert [path.name for path in first.iterdir()] == ["notes.txt"]
    assert (tmp_path / "previous/mine").is_dir()


def test_a_folder_whose_last_run_has_no_results_says_where_the_run_before_is(tmp_path: Path) -> None:
    assert results_path(tmp_path) == tmp_path / "results.json"
    run(tmp_path, "first")
    set_aside(tmp_path, 1)
    (only,) = previous_runs(tmp_path)
    for path in (tmp_path, tmp_path / "results.json"):
        with pytest.raises(DataError) as error:
            results_path(path)
        assert str(error.value).endswith(f"the run before it is {only}")
    assert results_path(only) == only / "results.json"
