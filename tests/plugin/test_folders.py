"""A folder that is only the value of an option gives the run no ini file, no root and no code."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Finished, Project

MARKED = "import os\n\nopen(os.environ['MARK'], 'a').write(__file__)\n\nclass Evil(Warning):\n    pass\n"


@pytest.fixture
def mark(project: Project) -> Path:
    """The file that a stranger's code would write."""
    return project.folder.parent / "mark"


def make_model(project: Project, ini: str, text: str) -> None:
    """A model's folder in the project, with an ini file and with code."""
    project.write(f"granite/{ini}", text)
    for name in ("conftest.py", "test_evil.py", "evil.py", "openai.py"):
        project.write(f"granite/{name}", MARKED)


def evaluate(project: Project, mark: Path, *args: str, ret: int = 0, **env: str) -> Finished:
    """Collect MT-Bench for a model that a server has by its folder's name."""
    url = f"--eval-base-url={project.server.url}"
    fixed = (url, *project.mt_bench_only, "--collect-only")
    return project.run(*fixed, *args, ret=ret, env={"MARK": str(mark), **env})


@pytest.mark.parametrize(
    ("ini", "text", "args"),
    [
        ("pytest.ini", "[pytest]\naddopts = granite\n", ["--eval-model", "./granite"]),
        (
            ".pytest.ini",
            "[pytest]\naddopts = --eval-gate=mt_bench>=0 -k nothing\n",
            ["--eval-model", "granite"],
        ),
        (
            "tox.ini",
            "[pytest]\ntestpaths = .\naddopts = --help\n",
            ["--eval-model", "granite/conftest.py::x"],
        ),
        (
            "setup.cfg",
            "[tool:pytest]\naddopts = granite/test_evil.py\n",
            ["--eval-model", "./granite", "-n", "1"],
        ),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\naddopts = '--confcutdir=/ granite'\n",
            ["@arguments"],
        ),
    ],
)
def test_the_run_is_as_with_the_value_joined_to_its_option(
    project: Project, mark: Path, ini: str, text: str, args: list[str]
) -> None:
    project.write("pytest.ini", "[pytest]\neval_gates = mt_bench >= 1\n")
    project.write("arguments", "--eval-model\ngranite\n")
    make_model(project, ini, text)
    finished = evaluate(project, mark, *args)
    finished.shows(f"rootdir: {project.folder}", "configfile: pytest.ini", "collected 8 items")
    assert not mark.exists()


def test_the_environment_and_several_models_and_a_folder_beside_the_project(
    project: Project, mark: Path
) -> None:
    make_model(project, "pytest.ini", "[pytest]\naddopts = ../models/granite\n")
    (project.folder / "granite").rename(project.folder.parent / "models")
    args = ("--eval-model", "other", "--rootdir=.")
    finished = evaluate(project, mark, *args, PYTEST_ADDOPTS="--eval-model ../models")
    finished.shows(f"rootdir: {project.folder}", "collected 16 items")
    assert "configfile" not in finished.out
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pythonpath = .", "pythonpath"),
        ("addopts = -o pythonpath=.", "pythonpath"),
        ("addopts = -p granite.evil", "-p in addopts"),
        ("filterwarnings = error::granite.evil.Evil", "a warning filter that names a module"),
        ("addopts = -W error::granite.evil.Evil", "a warning filter that names a module"),
    ],
)
def test_where_pytest_may_have_run_code_already_the_run_ends(
    project: Project, mark: Path, text: str, why: str
) -> None:
    make_model(project, "pytest.ini", f"[pytest]\n{text}\n")
    finished = evaluate(project, mark, "--eval-model", "./granite", ret=4)
    assert f"granite/pytest.ini sets {why}" in finished.err
    assert finished.err.rstrip().endswith("write --eval-model=./granite")


def test_what_the_users_own_ini_file_has_is_theirs(project: Project, mark: Path) -> None:
    make_model(project, "conftest.py", MARKED)
    project.write("src/theirs.py", "")
    project.write("pytest.ini", "[pytest]\npythonpath = src\naddopts = -p theirs\n")
    evaluate(project, mark, "--eval-model", "./granite").shows("collected 8 items")
    assert not mark.exists()


def test_a_folder_that_is_named_for_its_tests_too_is_the_users(project: Project, mark: Path) -> None:
    make_model(project, "pytest.ini", "[pytest]\npythonpath = .\n")
    finished = evaluate(project, mark, "--eval-model", "./granite", "granite", ret=0)
    finished.shows("configfile: pytest.ini", "*8 tests collected*")
    assert mark.exists()


def test_the_root_is_the_users_once_the_output_folder_exists(project: Project) -> None:
    project.server.models = ("tiny", "strict")
    ini = f"eval_model = tiny\neval_base_url = {project.server.url}\neval_gates = mt_bench >= 9.9\n"
    project.write("pytest.ini", f"[pytest]\n{ini}eval_mt_bench_data = {project.mt_bench}\n")
    args = (*project.judge, "--eval-benchmark=mt_bench", "--eval-first-n=1", "--eval-no-judge-trial")
    for _ in range(2):
        finished = project.run(*args, "--eval-output-dir", "../results", ret=1)
        assert finished.gates["failed"] == 1
    assert (project.folder.parent / "results/results.json").exists()


def test_an_option_that_asks_for_an_evaluation_needs_a_model(project: Project) -> None:
    finished = project.run("--eval-benchmark=mmlu", ret=4)
    assert (
        finished.err.strip()
        == "ERROR: --eval-benchmark needs a model to evaluate; name one with --eval-model"
    )
    project.write("test_own.py", "def test_own():\n    pass\n")
    project.write("pytest.ini", "[pytest]\neval_benchmark = mmlu\neval_gates = mmlu >= 1\n")
    project.run(passed=1)
    project.run("--eval-benchmark=mmlu", "--markers").shows("@pytest.mark.eval*")
