"""InstructLab's own file layout, and the file names in it."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.file_names import safe_name
from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.suites.instructlab_files import write_instructlab_files
from pytest_instructlab_eval.suites.mt_bench_branch import branch_folder

# --- names ---

ALLOWED = set(string.ascii_letters + string.digits + "-_.%")

HOSTILE = ["../../etc/x", ".hidden", "a/b", "", ".", "..", "/", "\\", "a\0b", "é" * 100, "x" * 300, "\ud800"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("granite-7b_lab.v1", "granite-7b_lab.v1"),
        ("a/b", "a%2Fb"),
        ("../../etc/x", "%2E.%2F..%2Fetc%2Fx"),
        (".hidden", "%2Ehidden"),
        ("..", "%2E."),
        (".", "%2E"),
        ("", "%00"),
        ("a b", "a%20b"),
        ("é", "%C3%A9"),
        ("100%", "100%25"),
        ("C:\\x", "C%3A%5Cx"),
        ("~root", "%7Eroot"),
    ],
)
def test_a_name_is_percent_encoded(name: str, expected: str) -> None:
    assert safe_name(name) == expected


@given(st.text(max_size=400) | st.sampled_from(HOSTILE))
def test_whatever_the_name_its_file_is_in_the_folder_visible_and_not_too_long(name: str) -> None:
    safe = safe_name(name)
    folder = Path("/out/mt_bench")
    assert set(safe) <= ALLOWED
    assert not safe.startswith(".")
    assert 1 <= len(safe) <= 120
    assert (folder / f"{safe}.jsonl").resolve().parent == folder


NEAR = st.text("a./%~2E", max_size=4)


@given(NEAR, NEAR)
def test_different_names_have_different_files(first: str, second: str) -> None:
    assert (safe_name(first) == safe_name(second)) == (first == second)


def test_long_names_that_differ_at_the_end_have_different_files() -> None:
    assert safe_name("x" * 300 + "a") != safe_name("x" * 300 + "b")


def test_a_model_served_under_a_folder_keeps_its_folder_in_its_name() -> None:
    assert safe_name("instructlab/granite-7b-lab") == "instructlab%2Fgranite-7b-lab"


# --- files ---


def turn(number: int, value: float | None = 8.0, **more: object) -> Score:
    """A judged turn as MT-Bench records it."""
    evidence = {
        "question": f"question {number}",
        "answer": f"answer {number}",
        "user_prompt": f"prompt {number}",
        "judgment": f"judgment {number}",
        "judge_prompt": "single-v1",
        "turn": number,
    }
    return Score(value, f"turn_{number}", 10.0, evidence=Evidence.from_plain({**evidence, **more}, value))


def unanswered(number: int) -> Score:
    return Score(None, f"turn_{number}", 10.0, error="away", evidence=Evidence(f"question {number}"))


def result(question: str, *scores: Score, model: str = "tiny", judge: str | None = "prometheus") -> Result:
    return Result("mt_bench", question, "writing", model, judge, scores)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answers(folder: Path, model: str = "tiny") -> list[dict[str, Any]]:
    return records(folder / "mt_bench" / "model_answer" / f"{model}.jsonl")


def judgments(folder: Path, judge: str = "prometheus") -> list[dict[str, Any]]:
    return records(folder / "mt_bench" / "model_judgment" / f"{judge}_single.jsonl")


def test_answers_and_judgments_are_where_instructlab_has_them(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1), turn(2))])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jsonl")) == [
        "mt_bench/model_answer/tiny.jsonl",
        "mt_bench/model_judgment/prometheus_single.jsonl",
    ]


def test_an_answer_has_the_keys_that_instructlab_reads(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1), turn(2))])
    (record,) = answers(tmp_path)
    assert set(record) == {"question_id", "answer_id", "model_id", "choices", "tstamp"}
    assert (record["question_id"], record["model_id"]) == (81, "tiny")
    assert record["choices"] == [{"index": 0, "turns": ["answer 1", "answer 2"]}]


def test_a_judgment_has_the_keys_that_instructlab_reads(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1))])
    (record,) = judgments(tmp_path)
    del record["tstamp"]
    assert record == {
        "question_id": 81,
        "model": "tiny",
        "judge": ["prometheus", "single-v1"],
        "user_prompt": "prompt 1",
        "judgment": "judgment 1",
        "score": 8.0,
        "turn": 1,
    }


def test_each_turn_has_a_judgment(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1), turn(2))])
    assert [record["turn"] for record in judgments(tmp_path)] == [1, 2]


def test_each_answer_has_an_id_of_its_own(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1)), result("82-writing", turn(1))])
    assert len({record["answer_id"] for record in answers(tmp_path)}) == 2


def test_a_judgment_without_a_rating_has_instructlabs_mark(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1, None))])
    assert judgments(tmp_path)[0]["score"] == -1


def test_a_question_that_was_not_answered_whole_is_in_no_answer_file(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1), unanswered(2))])
    assert not (tmp_path / "mt_bench" / "model_answer").exists()
    assert [record["turn"] for record in judgments(tmp_path)] == [1]


def test_turns_that_were_not_answered_as_often_are_in_no_answer_file(tmp_path: Path) -> None:
    often = turn(1, answers=["one", "two"], answer="one")
    write_instructlab_files(tmp_path, [result("81-writing", often, turn(2, answers=["one"]))])
    assert not (tmp_path / "mt_bench" / "model_answer").exists()


def test_records_are_in_the_order_of_their_questions(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result(f"{number}-writing", turn(1)) for number in (83, 81, 82)])
    assert [record["question_id"] for record in answers(tmp_path)] == [81, 82, 83]


def test_questions_past_99_come_after_those_before(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result(f"{number}-writing", turn(1)) for number in (100, 99)])
    assert [record["question_id"] for record in answers(tmp_path)] == [99, 100]


def test_a_question_whose_id_is_no_number_keeps_it(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("knots", turn(1))])
    assert answers(tmp_path)[0]["question_id"] == "knots"


def test_models_have_a_file_each(tmp_path: Path) -> None:
    write_instructlab_files(
        tmp_path, [result("81-writing", turn(1)), result("81-writing", turn(1), model="../other")]
    )
    assert len(answers(tmp_path)) == 1
    assert [record["model_id"] for record in answers(tmp_path, "%2E%2E/other")] == ["../other"]


def test_other_benchmarks_and_runs_without_any_write_nothing(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [Result("mmlu", "law", "law", "tiny", scores=(Score(1.0),))])
    assert list(tmp_path.iterdir()) == []


def test_text_that_no_file_can_hold_is_written_with_question_marks(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1, answer="a\ud800"))])
    assert answers(tmp_path)[0]["choices"][0]["turns"] == ["a?"]


def test_a_text_of_several_lines_stays_one_record(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result("81-writing", turn(1, answer="a\nb\u2028c\rd"))])
    lines = (tmp_path / "mt_bench" / "model_answer" / "tiny.jsonl").read_bytes().split(b"\n")
    assert [len(line) > 0 for line in lines] == [True, False]
    assert json.loads(lines[0])["choices"][0]["turns"] == ["a\nb\u2028c\rd"]


# --- MT-Bench-Branch ---

KNOTS, RIDDLES = "skills/knots/qna.yaml", "skills/riddles/qna.yaml"


def rated(identifier: str = "7", path: str = KNOTS, ref: str | None = "rc", **more: object) -> Score:
    """A rating as MT-Bench-Branch records it."""
    evidence = {
        "question": f"question {identifier}",
        "answer": f"answer {identifier}",
        "reference": f"reference {identifier}",
        "user_prompt": f"prompt {identifier}",
        "judgment": f"judgment {identifier}",
        "judge_prompt": "single-math-v1",
        "category": "taxonomy",
        "turn": 1,
        "question_id": identifier,
        "qna_file": path,
        "ref": ref,
    }
    return Score(8.0, "rating", 10.0, evidence=Evidence.from_plain({**evidence, **more}, 8.0))


def pair(score: Score, model: str = "tiny", judge: str | None = "prometheus") -> Result:
    path = str(score.data["qna_file"])
    return Result("mt_bench_branch", f"{path}:1", path, model, judge, (score,))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_ref_has_its_questions_references_answers_and_judgments_where_instructlab_has_them(
    tmp_path: Path,
) -> None:
    write_instructlab_files(tmp_path, [pair(rated())])
    assert files(tmp_path) == [
        "mt_bench_branch/rc/model_answer/tiny.jsonl",
        "mt_bench_branch/rc/model_judgment/prometheus_single.jsonl",
        "mt_bench_branch/rc/question.jsonl",
        "mt_bench_branch/rc/reference_answer/prometheus.jsonl",
    ]


def test_their_records_have_the_keys_that_instructlab_reads(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [pair(rated())])
    folder = tmp_path / "mt_bench_branch" / "rc"
    (asked,) = records(folder / "question.jsonl")
    (reference,) = records(folder / "reference_answer" / "prometheus.jsonl")
    (answered,) = records(folder / "model_answer" / "tiny.jsonl")
    (judged,) = records(folder / "model_judgment" / "prometheus_single.jsonl")
    assert asked == {
        "qna_file": KNOTS,
        "question_id": "7",
        "category": "taxonomy",
        "turns": ["question 7"],
        "reference": ["reference 7"],
    }
    assert set(reference) == set(answered)
    assert (reference["question_id"], reference["model_id"]) == ("7", "prometheus")
    assert reference["choices"] == [{"index": 0, "turns": ["reference 7"]}]
    assert (answered["question_id"], answered["model_id"]) == ("7", "tiny")
    assert answered["choices"] == [{"index": 0, "turns": ["answer 7"]}]
    assert (judged["question_id"], judged["score"], judged["turn"]) == ("7", 8.0, 1)
    assert judged["judge"] == ["prometheus", "single-math-v1"]


def test_an_id_that_is_a_number_stays_a_text_as_instructlab_has_it(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [pair(rated("340282366920938463463374607431768211455"))])
    for name in files(tmp_path):
        assert records(tmp_path / name)[0]["question_id"] == "340282366920938463463374607431768211455"


def test_questions_stay_in_the_order_of_their_tests(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [pair(rated(identifier)) for identifier in ("9", "10", "8")])
    asked = records(tmp_path / "mt_bench_branch" / "rc" / "question.jsonl")
    assert [record["question_id"] for record in asked] == ["9", "10", "8"]


def test_a_question_that_several_models_answered_is_written_once(tmp_path: Path) -> None:
    results = [pair(rated(number), model) for model in ("base", "lab") for number in ("2", "1")]
    write_instructlab_files(tmp_path, results)
    folder = tmp_path / "mt_bench_branch" / "rc"
    assert [record["question_id"] for record in records(folder / "question.jsonl")] == ["2", "1"]
    assert len(records(folder / "reference_answer" / "prometheus.jsonl")) == 2
    assert [len(records(folder / "model_answer" / f"{name}.jsonl")) for name in ("base", "lab")] == [2, 2]
    assert len(records(folder / "model_judgment" / "prometheus_single.jsonl")) == 4


def test_a_question_without_an_answer_is_still_among_the_questions(tmp_path: Path) -> None:
    lost = rated()
    assert lost.evidence is not None
    evidence = replace(lost.evidence, replies=(), judgments=())
    write_instructlab_files(tmp_path, [pair(Score(None, "rating", 10.0, error="away", evidence=evidence))])
    assert files(tmp_path) == [
        "mt_bench_branch/rc/question.jsonl",
        "mt_bench_branch/rc/reference_answer/prometheus.jsonl",
    ]


def test_without_a_judge_there_are_no_references_of_its_own(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [pair(rated(), judge=None)])
    assert not (tmp_path / "mt_bench_branch" / "rc" / "reference_answer").exists()


def test_a_test_that_ended_before_it_asked_anything_writes_nothing(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [Result("mt_bench_branch", "x", KNOTS, "tiny", "j", error="broke")])
    assert list(tmp_path.iterdir()) == []


def test_refs_have_a_folder_each_and_the_working_tree_the_one_above(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [pair(rated(ref=ref)) for ref in ("main", "origin/pr", None)])
    questions = [name for name in files(tmp_path) if name.endswith("question.jsonl")]
    assert questions == [
        "mt_bench_branch/main/question.jsonl",
        "mt_bench_branch/origin/pr/question.jsonl",
        "mt_bench_branch/question.jsonl",
    ]


@given(st.text(max_size=300) | st.sampled_from(HOSTILE) | st.text("./~\\", max_size=12))
def test_whatever_the_ref_its_files_are_below_the_benchmarks_folder(ref: str) -> None:
    place = branch_folder(ref)
    folder = Path("/out/mt_bench_branch")
    resolved = (Path("/out") / place).resolve()
    assert folder in resolved.parents
    assert not any(part.startswith(".") for part in place.parts)


@given(st.text("a./%", max_size=5), st.text("a./%", max_size=5))
def test_different_refs_have_different_folders(first: str, second: str) -> None:
    assert (branch_folder(first) == branch_folder(second)) == (first == second)
