"""What a run collects: the installed benchmarks, or what the command line names."""

import importlib.util

import pytest

from pytest_instructlab_eval.session.installed_benchmarks import benchmark_file
from tests.scripted_server import Until

from .conftest import Project

FAILING = "def test_of_the_project():\n    raise AssertionError\n"


def test_the_installed_benchmarks_are_collected_where_no_file_is_named(project: Project) -> None:
    project.write("test_own.py", FAILING)
    finished = project.evaluate("--collect-only", "-q", *project.judge, *project.data)
    tasks = [line for line in finished.lines if line.startswith("test_mmlu.py::test_mmlu[")]
    questions = [line for line in finished.lines if line.startswith("test_mt_bench.py::test_mt_bench[")]
    assert len(tasks) == 57
    assert tasks[:2] == ["test_mmlu.py::test_mmlu[abstract_algebra]", "test_mmlu.py::test_mmlu[anatomy]"]
    assert len(questions) == 8
    assert questions[0] == "test_mt_bench.py::test_mt_bench[81-writing]"
    assert [line for line in finished.lines if "::" in line] == tasks + questions
    assert project.server.requests == []
    assert not (project.folder / "eval_output").exists()


def test_the_ini_file_of_the_folder_holds_wherever_data_and_benchmarks_are(project: Project) -> None:
    project.write("own/test_own.py", FAILING)
    project.write("own/conftest.py", "import needed_by_the_folders_own_tests_alone\n")
    project.write(
        "pytest.ini",
        """
        [pytest]
        addopts = --strict-markers --strict-config -W error --import-mode=importlib
        testpaths = own
        markers = ours: a marker of the folder
        """,
    )
    data = ("--eval-mmlu-data", str(project.mmlu))
    finished = project.evaluate("--collect-only", *data, "-m", "not ours")
    finished.shows(
        f"instructlab-eval: tiny at {project.server.url}",
        "benchmarks: mmlu",
        "left out: mt_bench (it needs --eval-judge-model)",
        f"rootdir: {project.folder}",
        "configfile: pytest.ini",
        "*Module test_mmlu.py>",
    )
    assert "test_own" not in finished.out
    assert project.server.requests == []


def test_a_model_in_the_ini_file_is_for_the_folders_own_tests(project: Project) -> None:
    project.write("test_own.py", "async def test_of_the_project(served_model):\n    pass\n")
    ini = f"eval_model = tiny\neval_base_url = {project.server.url}\neval_mmlu_data = {project.mmlu}\n"
    project.write("pytest.ini", f"[pytest]\n{ini}")
    finished = project.run(passed=1)
    finished.shows(
        "benchmarks: those of this folder (--eval-benchmark NAME runs a built-in one)", "test_own.py .*"
    )
    finished = project.run("--collect-only", "-q", "--eval-benchmark=mmlu")
    assert {line.partition("::")[0] for line in finished.lines if "::" in line} == {"test_mmlu.py"}


def test_a_fixture_of_the_folder_for_all_its_tests_does_not_hold_up_the_benchmarks(project: Project) -> None:
    project.write("conftest.py", "import pytest\n\n@pytest.fixture(autouse=True)\ndef prepare():\n    pass\n")
    project.server.fault(Until(lambda: project.server.in_flight_peak > 1), times=None)
    project.evaluate(*project.mt_bench_only, passed=8)
    assert project.server.in_flight_peak > 1


def test_naming_rules_of_the_folder_are_not_for_the_installed_benchmarks(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\npython_files = check_*.py\npython_functions = check_*\n")
    finished = project.evaluate("--collect-only", "-q", *project.mt_bench_only)
    assert len([line for line in finished.lines if "::" in line]) == 8


def test_a_benchmark_can_be_chosen(project: Project) -> None:
    finished = project.evaluate("--collect-only", *project.mt_bench_only)
    finished.shows("benchmarks: mt_bench", "collected 8 items")
    assert "left out" not in finished.out


def test_a_named_file_is_run_instead_of_the_benchmarks(project: Project) -> None:
    project.write("test_own.py", FAILING)
    project.write("test_other.py", "def test_of_the_project():\n    pass\n")
    finished = project.evaluate("test_other.py", passed=1)
    assert "benchmarks:" not in finished.out
    assert "left out" not in finished.out
    assert project.server.requests == []


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_benchmark_and_a_file_that_are_both_named_are_both_run(project: Project, processes: str) -> None:
    """Else the gates of a benchmark that was named would decide nothing."""
    project.write("test_own.py", "def test_plain(): pass\n")
    finished = project.evaluate(*project.mt_bench_only, "test_own.py", "-n", processes, passed=8 + 1)
    finished.shows("benchmarks: mt_bench")
    one = "test_mt_bench.py::test_mt_bench[81-writing]"
    project.evaluate(*project.mt_bench_only, "test_own.py", one, "-n", processes, passed=1 + 1)


def test_a_node_id_of_a_benchmark_can_be_given_back(project: Project) -> None:
    ids = ("test_mt_bench.py::test_mt_bench[82-roleplay]", "test_mmlu.py::test_mmlu[anatomy]")
    finished = project.evaluate(*ids, *project.judge, *project.data, "-v", passed=2)
    assert finished.order == list(ids)
    project.write("test_mmlu.py", "def test_of_the_project():\n    pass\n")
    project.evaluate("test_mmlu.py", passed=1)


def test_a_run_that_only_sets_up_misses_no_result(project: Project) -> None:
    finished = project.evaluate(*project.mt_bench_only, "--setup-plan", "--eval-first-n=1")
    finished.shows("*test_mt_bench.py::test_mt_bench[[]81-writing[]] (fixtures used: *")
    assert not project.server.chats


def test_each_of_several_models_has_items_and_a_row_of_its_own(project: Project) -> None:
    project.server.models = ("tiny", "org/other", "strict")
    project.server.fault(Until(lambda: project.server.in_flight_peak > 1), times=None)
    args = ("--eval-model=org/other", *project.mt_bench_only, "--eval-first-n=3", "-v")
    finished = project.evaluate(*args, passed=6)
    questions = ("81-writing", "82-roleplay", "83-extraction")
    assert finished.order == [
        f"test_mt_bench.py::test_mt_bench[{question}-{model}]"
        for model in ("tiny", "org/other")
        for question in questions
    ]
    assert [finished.row(f"mt_bench {model} (first 3, not a sample)")[1:] for model in ("tiny", "org/other")]
    assert [(s["model"], s["overall"]["n"]) for s in finished.document["summaries"]] == [
        ("tiny", 3),
        ("org/other", 3),
    ]
    assert {result["question"] for result in finished.results.values()} == set(questions)
    answers = [body["model"] for body in project.server.chats if body["model"] != "strict"]
    assert sorted(answers) == ["org/other"] * 6 + ["tiny"] * 6
    assert project.server.in_flight_peak > 1


def test_a_checkout_that_python_finds_before_the_installation_has_its_benchmarks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert benchmark_file("mmlu").is_file()
