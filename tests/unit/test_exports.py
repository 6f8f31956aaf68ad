"""What the files of a run for other tools have; in tests/e2e/test_viewers.py those tools read them."""

from __future__ import annotations

import csv
import datetime
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.evidence import Chat, Evidence, Judgment, ModelReply
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.answered_questions import (
    AnsweredQuestion,
    QuestionAnswer,
    answered_questions,
    chat_tokens,
    conversations,
)
from pytest_instructlab_eval.reports.exports.every_eval_ever import EvalRecord, model_id
from pytest_instructlab_eval.reports.exports.export import write_export
from pytest_instructlab_eval.reports.exports.inspect_log import sample_ids
from pytest_instructlab_eval.reports.finished_run import finished_run
from pytest_instructlab_eval.reports.run_report import RunReport

ENDED = datetime.datetime(2026, 11, 27, 9, 30, tzinfo=datetime.timezone.utc)

# --- runs to export ---


def asked(text: str, *before: tuple[str, str]) -> tuple[dict[str, object], ...]:
    """The messages of a chat, with the turns before it and their answers."""
    messages: list[dict[str, object]] = []
    for said, answer in before:
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
    return (*messages, {"role": "user", "content": text})


def task(*samples: Sample, name: str = "anatomy", benchmark: str = "mmlu") -> Result:
    return Result(benchmark, name, name, "tiny", scores=(Score.mean_of(samples, metric="acc"),))


RIGHT = Sample("0", 1.0, "B", "B", (-2.0, -1.0), None, "Which?", ("this", "that"), "echo")
WRONG = Sample("1", 0.0, "A", "B", (-1.0, -3.0), None, "Where?", ("here", "there"), "echo")
LOST = Sample("2", None, None, "A", (), "the server is gone", "When?", ("now", "then"))


def conversation(number: int, ratings: tuple[float | None, float | None]) -> Result:
    """A question of two turns, each answered twice, by a judge of this rating for each answer."""
    first = [Chat(asked("one"), f"first {copy}", "stop", "", 10, 5, 1.0) for copy in (1, 2)]
    second = [
        Chat(asked("two", ("one", f"first {copy}")), f"second {copy}", "length", "hm", 20, 7, 2.0)
        for copy in (1, 2)
    ]
    return Result(
        "mt_bench", f"{number}-writing", "writing", "tiny", "org/judge",
        scores=tuple(turn_score(turn, ratings) for turn in (1, 2)),
        chats=(*first, *reversed(second)),
    )  # fmt: skip


def turn_score(turn: int, ratings: tuple[float | None, float | None]) -> Score:
    rated = [rating for rating in ratings if rating is not None]
    word = "first" if turn == 1 else "second"
    evidence = Evidence(
        question="one" if turn == 1 else "two",
        replies=tuple(ModelReply(f"{word} {copy}", "stop" if turn == 1 else "length") for copy in (1, 2)),
        judgments=tuple(
            Judgment(rating, f"I say {rating}", "org/judge", str(copy))
            for copy, rating in enumerate(ratings, 1)
        ),
        turn=turn,
    )
    value = sum(rated) / len(rated) if rated else None
    return Score(value, f"turn_{turn}", 10.0, answers=ratings if rated else (), evidence=evidence)


def exported(name: str, folder: Path, *results: Result, **more: Any) -> list[Path]:
    run = Run(results, models={"tiny": "tiny"}, gates=("mmlu >= 0.9",), **more)
    write_export(name, RunReport.of(run), folder, ENDED)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def log_of(folder: Path, *results: Result, **more: Any) -> dict[str, Any]:
    """The files of the only log, by name."""
    (path,) = exported("inspect", folder, *results, **more)
    with zipfile.ZipFile(path) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


# --- inspect ---


def test_a_log_has_a_file_for_each_sample_and_one_header(tmp_path: Path) -> None:
    files = log_of(tmp_path, task(RIGHT, WRONG))
    assert set(files) == {
        "_journal/start.json", "header.json", "summaries.json",
        "samples/anatomy:0_epoch_1.json", "samples/anatomy:1_epoch_1.json",
    }  # fmt: skip
    assert next(tmp_path.iterdir()).name.startswith("2026-11-27T09-30-00-00-00_mmlu_")
    header = files["header.json"]
    assert header["eval"]["dataset"]["sample_ids"] == ["anatomy:0", "anatomy:1"]
    (score,) = header["results"]["scores"]
    assert score["metrics"]["mean"]["value"] == 0.5
    low, high = score["metrics"]["mean"]["metadata"]["interval_95"]
    assert low < 0.5 < high


def test_a_choice_has_its_score_and_the_probabilities(tmp_path: Path) -> None:
    sample = log_of(tmp_path, task(RIGHT, WRONG))["samples/anatomy:1_epoch_1.json"]
    assert sample["input"] == "Where?"
    assert sample["choices"] == ["here", "there"]
    assert sample["target"] == "B"
    assert sample["scores"]["acc"]["value"] == 0.0
    assert sample["scores"]["acc"]["answer"] == "A"
    assert sample["scores"]["acc"]["explanation"] == "A 88.1%, B 11.9%"


def test_a_question_that_could_not_be_asked_is_an_error_without_a_score(tmp_path: Path) -> None:
    files = log_of(tmp_path, task(RIGHT, LOST))
    sample = files["samples/anatomy:2_epoch_1.json"]
    assert sample["scores"] == {}
    assert sample["error"]["message"] == "the server is gone"
    assert files["header.json"]["results"]["completed_samples"] == 1
    assert "the server is gone" in [summary["error"] for summary in files["summaries.json"]]


def test_several_answers_are_epochs_each_with_its_own_conversation(tmp_path: Path) -> None:
    files = log_of(tmp_path, conversation(81, (4.0, 8.0)))
    assert files["header.json"]["eval"]["config"]["epochs"] == 2
    for epoch, rating in ((1, 4.0), (2, 8.0)):
        sample = files[f"samples/81-writing_epoch_{epoch}.json"]
        texts = [message["content"] for message in sample["messages"]]
        assert texts[:3] == ["one", f"first {epoch}", "two"]
        assert texts[3] == [
            {"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": f"second {epoch}"}
        ]  # fmt: skip
        assert {name: score["value"] for name, score in sample["scores"].items()} == {
            "mt_bench": rating, "turn_1": rating, "turn_2": rating
        }  # fmt: skip
        assert sample["scores"]["turn_2"]["explanation"] == f"I say {rating}"
        assert sample["model_usage"]["tiny"]["total_tokens"] == 42
        assert sample["output"]["choices"][0]["stop_reason"] == "max_tokens"


def test_an_unscored_answer_has_no_number(tmp_path: Path) -> None:
    files = log_of(tmp_path, conversation(81, (None, 8.0)), conversation(82, (2.0, 4.0)))
    unscored = files["samples/81-writing_epoch_1.json"]["scores"]["turn_1"]
    assert math.isnan(unscored["value"])
    assert unscored["reason"] == "grader_failed"
    assert files["header.json"]["results"]["scores"][0]["metrics"]["mean"]["value"] == 5.5


def test_gates_are_tags_and_metadata(tmp_path: Path) -> None:
    spec = log_of(tmp_path, task(RIGHT, WRONG))["header.json"]["eval"]
    assert spec["tags"][:2] == ["run: failed", "failed: mmlu >= 0.9"]
    gate = spec["metadata"]["gates"][0]
    assert gate["gate"] == "mmlu >= 0.9"
    assert gate["verdict"] == "failed"
    assert "expected >= 0.9, got 0.5" in gate["message"]


def test_an_incomplete_run_is_no_success(tmp_path: Path) -> None:
    header = log_of(tmp_path, task(RIGHT), incomplete="1 of 2 tests never reported a result")["header.json"]
    assert header["status"] == "error"
    assert header["error"]["message"] == "1 of 2 tests never reported a result"


def test_the_same_run_has_the_same_files_again(tmp_path: Path) -> None:
    first = [
        path.read_bytes() for path in exported("eee", tmp_path, task(RIGHT), conversation(81, (1.0, 2.0)))
    ]
    again = [
        path.read_bytes() for path in exported("eee", tmp_path, task(RIGHT), conversation(81, (1.0, 2.0)))
    ]
    assert first == again


@given(st.lists(st.text(max_size=5), max_size=8))
def test_samples_have_ids_of_their_own_that_fit_in_a_zip(names: list[str]) -> None:
    ids = sample_ids(names)
    assert len(ids) == len(names) == len(set(ids))
    for name in ids:
        assert zipfile.ZipInfo(name).filename == name
        assert ".." not in name.split("/")
        assert not name.startswith("/")


# --- Every Eval Ever ---


def records(folder: Path, *results: Result) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The only record and its samples."""
    aggregate, samples = exported("eee", folder, *results)
    return json.loads(aggregate.read_text("utf-8")), list(
        map(json.loads, samples.read_text("utf-8").splitlines())
    )


def test_a_record_has_scores_with_their_uncertainty(tmp_path: Path) -> None:
    record, samples = records(tmp_path, task(RIGHT, WRONG, LOST))
    (result,) = record["evaluation_results"]
    details = result["score_details"]
    assert details["score"] == 0.5
    assert details["uncertainty"]["standard_error"]["value"] == 0.5
    assert details["uncertainty"]["confidence_interval"]["confidence_level"] == 0.95
    assert details["details"]["errors"] == "1"
    assert [sample["evaluation"]["score"] for sample in samples] == [1.0, 0.0], "an error has no score"
    assert record["detailed_evaluation_results"]["total_rows"] == 2


def test_a_judged_record_names_its_judge_and_has_conversations(tmp_path: Path) -> None:
    record, samples = records(tmp_path, conversation(81, (4.0, 8.0)))
    judging = record["evaluation_results"][0]["metric_config"]["llm_scoring"]
    assert [judge["model_info"]["name"] for judge in judging["judges"]] == ["org/judge"]
    assert [sample["interaction_type"] for sample in samples] == ["single_turn", "multi_turn"]
    assert samples[0]["output"]["raw"] == ["first 1", "first 2"]
    assert samples[1]["messages"][-1]["content"] == "second 1"
    ids = [result["evaluation_result_id"] for result in record["evaluation_results"]]
    assert {sample["evaluation_result_id"] for sample in samples} == set(ids[1:3])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("instructlab/granite-7b-lab", "instructlab/granite-7b-lab"),
        ("tiny", "local/tiny"),
        ("./out/samples_100", "out/samples_100"),
        ("/", "local/_"),
        ("../..", "_/_"),
        ("con/data", "_con/_data"),
        ("a b/c:d", "a_b/c_d"),
    ],
)
def test_a_model_is_a_folder_in_that_of_its_developer(name: str, expected: str) -> None:
    assert model_id(name) == expected


@pytest.mark.parametrize(
    ("names", "prompts"),
    [(["single-v1", "multi-v1", "single-v1"], "multi-v1, single-v1"), ([None], "the judge's own")],
)
def test_a_record_names_the_prompts_of_its_judges_and_its_first_metric(
    names: list[str | None], prompts: str
) -> None:
    scores = (Score(5.0, f"turn_{n}", evidence=Evidence(judge_prompt=name)) for n, name in enumerate(names))
    report = RunReport.of(Run((Result("own", "q", "", "tiny", scores=tuple(scores)),)))
    record = EvalRecord(report, report.summaries[0], ENDED)
    assert (record.judge_prompts, record.first_metric) == (prompts, "turn_0")


# --- tables ---


def rows(folder: Path, *results: Result) -> list[dict[str, str]]:
    (path,) = exported("csv", folder, *results)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_each_question(tmp_path: Path) -> None:
    table = rows(tmp_path, task(RIGHT, LOST), conversation(81, (4.0, 8.0)))
    assert [row["question"] for row in table] == ["anatomy:0", "anatomy:2", "81-writing"]
    assert [row["outcome"] for row in table] == ["scored", "error", "scored"]
    assert [row["score"] for row in table] == ["1.0", "", "6.0"]
    assert [row["score_turn_1"] for row in table] == ["", "", "6.0"]
    assert table[2]["completion_tokens"] == "24"


def test_no_text_is_a_formula(tmp_path: Path) -> None:
    sample = Sample("0", 1.0, "A", "A", question="=cmd|' /C calc'!A0")
    (row,) = rows(tmp_path, task(sample))
    assert row["question_text"] == "'=cmd|' /C calc'!A0"


def test_no_text_has_a_null_byte(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, Result("mmlu", "\0a", "\0", "tiny", error="\0=1"))
    assert (row["question"], row["group"], row["error"]) == ("\ufffda", "\ufffd", "\ufffd=1")


def test_parquet_has_the_same_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    (path,) = exported("parquet", tmp_path, task(RIGHT, LOST), conversation(81, (4.0, 8.0)))
    table = parquet.read_table(path).to_pylist()
    assert [row["score"] for row in table] == [1.0, None, 6.0]
    assert table[2]["question_text"] == "one"


# --- what all read ---


def test_an_answer_is_an_error_where_a_request_failed_and_not_where_a_rating_is_missing() -> None:
    (unscored,) = answered_questions([conversation(81, (None, 8.0))])
    assert [unscored.error_of(answer) for answer in unscored.answers] == [None, None]
    (lost,) = answered_questions([Result("own", "q", "", "tiny", scores=(Score(None, error="gone"),))])
    assert [lost.error_of(answer) for answer in lost.answers] == ["gone"]
    replies = (ModelReply("so"), ModelReply(None))
    score = Score(5.0, maximum=10.0, answers=(5.0, None), evidence=Evidence(replies=replies))
    (half,) = answered_questions([Result("own", "q", "", "tiny", scores=(score,))])
    assert [half.error_of(answer) for answer in half.answers] == [None, "a request failed"]


def test_a_question_that_ended_early_is_an_error_without_any_score() -> None:
    question = AnsweredQuestion(Result("own", "q", "", "tiny", error="the server is gone"))
    assert question.error_of(QuestionAnswer(1, ())) == "the server is gone"


def test_tokens_are_those_of_prompts_and_of_completions() -> None:
    assert chat_tokens(conversation(81, (1.0, 2.0)).chats) == (60, 24)
    assert chat_tokens(()) == (0, 0)


def test_chats_that_go_on_are_one_conversation() -> None:
    chats = conversation(81, (1.0, 2.0)).chats
    chains = conversations(chats)
    assert [[chat.answer for chat in chain] for chain in chains] == [
        ["first 1", "second 1"], ["first 2", "second 2"]
    ]  # fmt: skip


def test_the_hooks_report_has_scores_gates_and_questions(tmp_path: Path) -> None:
    run = Run((task(RIGHT, WRONG),), models={"tiny": "tiny"}, gates=("mmlu >= 0.9",))
    report = finished_run(RunReport.of(run), tmp_path)
    assert report.version == 1
    assert report.verdict == "failed"
    (score,) = report.scores
    assert (score.benchmark, score.model, score.part, score.value, score.n) == (
        "mmlu",
        "tiny",
        "benchmark",
        0.5,
        2,
    )
    failed = [gate for gate in report.gates if gate.fails_run]
    assert [(gate.gate, gate.verdict) for gate in failed] == [("mmlu >= 0.9", "failed")]
    assert [row["question"] for row in report.questions()] == ["anatomy:0", "anatomy:1"]


# --- strangers' texts ---

texts = st.text(max_size=12) | st.sampled_from(
    ["\u2028", "</script>", "=1", "\0", "../../x", "\ud800", "a/b", "NaN"]
)
values = st.none() | st.floats(0, 10)


@st.composite
def strange_results(draw: st.DrawFn) -> Result:
    """A result that any test may have: texts of any kind, several scores of a metric, missing replies."""
    ratings = tuple(draw(st.lists(values, max_size=3)))
    rated = [rating for rating in ratings if rating is not None]
    value = sum(rated) / len(rated) if rated else draw(values)
    evidence = Evidence(
        question=draw(st.none() | texts),
        replies=tuple(
            ModelReply(text, draw(texts)) for text in draw(st.lists(st.none() | texts, max_size=3))
        ),
        judgments=tuple(Judgment(draw(values), text, draw(texts), draw(st.sampled_from(["", "1", "9"])))
                        for text in draw(st.lists(texts, max_size=2))),
        turn=draw(st.none() | st.integers(1, 3)),
    )  # fmt: skip
    score = Score(value, draw(texts), 10.0, answers=ratings if rated else (),
                  evidence=draw(st.none() | st.just(evidence)))  # fmt: skip
    chat = st.builds(
        Chat,
        st.lists(st.fixed_dictionaries({"role": texts, "content": st.none() | texts | st.just([1])}),
                 max_size=3).map(tuple),
        st.none() | texts,
        temperature=st.sampled_from([0.0, None, "warm"]),
        max_tokens=st.sampled_from([0, 16, None]),
    )  # fmt: skip
    made = Result(
        draw(st.sampled_from(["own", "a b/..", "con"])), draw(texts), draw(texts), "tiny",
        draw(st.none() | texts),
        scores=(score,) * draw(st.integers(0, 2)),
        error=draw(st.none() | texts),
        chats=tuple(draw(st.lists(chat, max_size=3))),
    )  # fmt: skip
    return Result.from_plain(plain_data(made.to_plain()))  # as it comes from a worker or a file


@given(st.lists(strange_results(), max_size=3))
def test_any_result_can_be_exported(tmp_path_factory: pytest.TempPathFactory, results: list[Result]) -> None:
    folder = tmp_path_factory.mktemp("strange")
    for name in ("inspect", "eee", "csv"):
        files = exported(name, folder / name, *results)
        for path in files:
            assert (folder / name) in path.resolve().parents
    for path in (folder / "inspect").iterdir():
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert len(names) == len(set(names))
            assert len(json.loads(archive.read("summaries.json"))) == sum(
                name.startswith("samples/") for name in names
            )
    for path in (folder / "eee").rglob("*_samples.jsonl"):
        lines = path.read_text("utf-8").splitlines()
        assert all(isinstance(json.loads(line)["evaluation"]["score"], float) for line in lines)
    if results:
        assert len(rows(folder / "table", *results)) == len(list(answered_questions(results)))
