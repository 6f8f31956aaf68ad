"""`pytest --eval-model NAME`: MMLU and MT-Bench from the command line to the files."""

import json
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from tests.examples_data import CATEGORIES
from tests.scripted_server import Body, Hang, ScriptedServer, Status, content_text, rating_of

from .conftest import MMLU_ROWS, Finished, Project, is_judgment, properties

TASKS = 57
QUESTIONS = len(CATEGORIES)


def asks_about(text: str) -> Callable[[Body], bool]:
    """Whether a request is for an answer to a question with this text in its first turn."""
    return lambda body: text in str(body["messages"]) and not is_judgment(body)


def test_each_question_is_asked_once_and_many_at_a_time(
    main_run: Finished, main_server: ScriptedServer
) -> None:
    prompts = list(map(str, main_server.prompts))
    assert len(prompts) == len(set(prompts)) == TASKS * MMLU_ROWS
    requests = [json.dumps(body, sort_keys=True) for body in main_server.chats]
    assert len(requests) == len(set(requests)) == 4 * QUESTIONS
    assert 4 < main_server.in_flight_peak <= 64


def test_the_header_names_model_judge_and_benchmarks(main_run: Finished, main_server: ScriptedServer) -> None:
    main_run.shows(
        f"instructlab-eval: tiny at {main_server.url}",
        f"judge: org/judge at {main_server.url}",
        "benchmarks: mmlu, mt_bench",
    )
    assert "left out" not in main_run.out, "nothing hints at the benchmarks of a branch"


def test_mmlu_is_the_mean_of_its_tasks(main_run: Finished) -> None:
    mmlu = [record for record in main_run.document["results"] if record["benchmark"] == "mmlu"]
    values = []
    for record in mmlu:
        (score,) = record["scores"]
        assert len(score["samples"]) == score["n"] == MMLU_ROWS
        for sample in score["samples"]:
            assert sample["question"]
            assert len(sample["choices"]) == 4
            assert sample["way"] in ("token_ids", "top_logprobs", "echo")
            best = max(range(4), key=sample["logprobs"].__getitem__)
            assert sample["choice"] == "ABCD"[best]
            assert sample["value"] == (sample["choice"] == sample["answer"])
        values.append(statistics.fmean(sample["value"] for sample in score["samples"]))
    assert len(values) == TASKS
    score, stderr, questions, unscored, errors = main_run.row("mmlu, mean over tasks")
    assert (score, questions, unscored, errors) == (f"{statistics.fmean(values):.4f}", "171", "0", "0")
    assert 0 < float(stderr) < 0.1
    assert main_run.row("mean over questions")[0] == score


def test_mt_bench_is_the_mean_of_its_ratings(main_run: Finished, main_server: ScriptedServer) -> None:
    asked = [body for body in main_server.chats if is_judgment(body)]
    assert {body["model"] for body in asked} == {"org/judge"}
    ratings = [rating_of(content_text(body["messages"][-1])) for body in asked]
    assert main_run.row("mt_bench")[0] == f"{statistics.fmean(ratings):.2f} of 10"
    assert main_run.row("mt_bench")[2:] == ["8", "0", "0"]
    turns = [main_run.row(f"turn {number}") for number in (1, 2)]
    means = [float(cells[0].removesuffix(" of 10")) for cells in turns]
    assert statistics.fmean(means) == pytest.approx(statistics.fmean(ratings), abs=0.01)
    assert [main_run.row(category)[1:] for category in CATEGORIES] == [["1", "0", "0"]] * QUESTIONS


def test_rows_below_a_benchmark_are_set_in(main_run: Finished) -> None:
    main_run.shows(
        "=* instructlab-eval: tiny =*",
        "benchmark *score *std. error *questions *unscored *errors",
        "mmlu, mean over tasks *",
        "  mean over questions *",
        "mt_bench *",
        "  turn 1 *",
        "  writing *",
        f"results: {main_run.folder / 'eval_output' / 'results.json'}",
    )
    title = next(line for line in main_run.lines if "= instructlab-eval: tiny =" in line)
    assert main_run.lines[main_run.lines.index(title) + 1].startswith("benchmark")


def test_results_json_has_every_score(main_run: Finished) -> None:
    document = main_run.document
    assert document["schema_version"] == 1
    assert [(found["benchmark"], found["model"]) for found in document["summaries"]] == [
        ("mmlu", "tiny"),
        ("mt_bench", "tiny"),
    ]
    result = main_run.results["test_mt_bench[81-writing]"]
    assert (result["question"], result["group"], result["judge"]) == ("81-writing", "writing", "org/judge")
    assert [score["metric"] for score in result["scores"]] == ["turn_1", "turn_2"]
    assert {record["outcome"] for record in document["results"]} == {"scored"}
    assert len(document["results"]) == TASKS + QUESTIONS


def test_answers_and_judgments_are_in_the_layout_of_instructlab(main_run: Finished) -> None:
    def records(path: str) -> list[dict[str, Any]]:
        text = (main_run.folder / "eval_output" / "mt_bench" / path).read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    answers = records("model_answer/tiny.jsonl")
    judgments = records("model_judgment/org/judge_single.jsonl")
    assert [record["question_id"] for record in answers] == list(range(81, 89))
    assert answers[0]["model_id"] == "tiny"
    assert len(answers[0]["choices"][0]["turns"]) == 2
    assert len(judgments) == 2 * QUESTIONS
    first = judgments[0]
    assert (first["question_id"], first["model"], first["turn"]) == (81, "tiny", 1)
    assert first["judge"] == ["org/judge", "single-v1"]
    assert first["score"] == rating_of(first["user_prompt"])
    assert f"[[{first['score']:g}]]" in first["judgment"]


def test_junit_has_the_scores_as_properties(main_run: Finished) -> None:
    result = main_run.results["test_mt_bench[84-math]"]
    turns = [str(score["value"]) for score in result["scores"]]
    assert properties(main_run.cases["test_mt_bench[84-math]"]) == {
        "eval.benchmark": "mt_bench",
        "eval.question": "84-math",
        "eval.group": "math",
        "eval.model": "tiny",
        "eval.judge": "org/judge",
        "eval.outcome": "scored",
        "eval.score": str(statistics.fmean(map(float, turns))),
        "eval.turn_1": turns[0],
        "eval.turn_2": turns[1],
    }
    anatomy = properties(main_run.cases["test_mmlu[anatomy]"])
    assert anatomy["eval.score"] == anatomy["eval.acc"]
    assert (anatomy["eval.benchmark"], anatomy["eval.group"]) == ("mmlu", "anatomy")


def test_the_last_failures_alone_are_asked_again(project: Project) -> None:
    project.server.fault(Status(400, "not today"), when=asks_about("lighthouse"))
    first = project.evaluate(*project.mt_bench_only, "-x", ret=7, failed=1)
    first.shows("FAILED *::test_mt_bench[[]81-writing[]]*not today*", "*stopping after 1 failures*")
    before = len(project.server.chats)
    second = project.evaluate(*project.mt_bench_only, "--lf", "-v", passed=1, deselected=7)
    assert second.order == ["test_mt_bench.py::test_mt_bench[81-writing]"]
    assert len(project.server.chats) == before + 4
    assert all("lighthouse" in str(body) for body in project.server.chats[before:])


def test_what_is_deselected_is_not_asked(project: Project) -> None:
    deselected = (
        "-k",
        "math or writing or stem",
        "--deselect",
        "test_mt_bench.py::test_mt_bench[81-writing]",
    )
    finished = project.evaluate(*project.mt_bench_only, *deselected, "-v", passed=2, deselected=6)
    assert finished.order == [f"test_mt_bench.py::test_mt_bench[{name}]" for name in ("84-math", "87-stem")]
    assert len(project.server.chats) == 8
    assert finished.row("mt_bench")[2] == "2"


def test_a_run_ends_at_its_failure_limit_and_keeps_what_was_scored(project: Project) -> None:
    for text in ("lighthouse", "ferry"):
        project.server.fault(Status(400, "not today"), when=asks_about(text))
    project.server.fault(Hang(0.5), when=asks_about("red boat"))
    finished = project.evaluate(*project.mt_bench_only, "--maxfail=2", ret=7, failed=2)
    finished.shows("*stopping after 2 failures*")
    assert finished.row("mt_bench")[-1] == "4"
    assert [name for name, result in finished.results.items() if result["outcome"] == "error"] == [
        "test_mt_bench[81-writing]",
        "test_mt_bench[82-roleplay]",
    ]
