"""What all unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples_data import write_mmlu, write_mt_bench


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables have all the room that they want."""
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture(scope="session")
def mmlu_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MMLU's files with questions of our own; to be read, not changed."""
    folder = tmp_path_factory.mktemp("data") / "mmlu"
    write_mmlu(folder, rows=4)
    return folder


@pytest.fixture
def mt_bench_folder(tmp_path: Path) -> Path:
    """MT-Bench's files with questions of our own; a test may damage them."""
    folder = tmp_path / "mt_bench"
    write_mt_bench(folder)
    return folder
