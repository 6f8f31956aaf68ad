"""Baselines: small, readable, the same every time; read strictly, and compared only with their like."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates
from pytest_instructlab_eval.records.baseline import SCHEMA_VERSION, differences, fingerprint, read_baseline
from pytest_instructlab_eval.records.baseline_writer import save_run, write_baseline
from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmark_versions

CONFIGURATION = {
    "model": ("lab",), "judge_model": "prometheus", "few_shots": 5, "output_dir": Path("/out"),
    "prompts": benchmark_versions(),
}  # fmt: skip


def task(subject: str, *values: float | None) -> Result:
    samples = [Sample(str(number), value) for number, value in enumerate(values)]
    return Result("mmlu", subject, subject, "lab", scores=(Score.mean_of(samples, metric="acc"),))


RESULTS = [
    Result(
        "mt_bench", "81-writing", "writing", "lab", "prometheus",
        (Score(9.0, "turn_1", 10.0, explanation="long"), Score(None, "turn_2", 10.0)),
    ),
    task("law", 1.0, 0.0, None, 1.0),
    task("anatomy", 0.0, 1.0),
    Result("own", "ü", "", "lab", scores=(Score(0.25), Score(0.75))),
]  # fmt: skip

EXPECTED = """\
{
 "fingerprint": {
  "few_shots": 5,
  "judge_model": "prometheus",
  "model": "lab",
  "prompts": {
   "mmlu": 1,
   "mmlu_branch": 1,
   "mt_bench": 1,
   "mt_bench_branch": 1
  }
 },
 "schema_version": 1,
 "benchmarks": {
  "mmlu": {
   "maxima": {"acc": 1.0},
   "questions": {
    "anatomy": {"scores": {"acc": "01"}},
    "law": {"scores": {"acc": "10-1"}}
   }
  },
  "mt_bench": {
   "maxima": {"turn_1": 10.0, "turn_2": 10.0},
   "questions": {
    "81-writing": {"group": "writing", "scores": {"turn_1": 9.0, "turn_2": null}}
   }
  },
  "own": {
   "maxima": {"score": 1.0},
   "questions": {
    "ü": {"group": "", "scores": {"score": [0.25, 0.75]}}
   }
  }
 }
}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "baseline.json"


def saved(path: Path, results: list[Result] = RESULTS) -> Path:
    write_baseline(path, results, CONFIGURATION)
    return path


# --- writing ---


def test_a_question_is_a_line_in_order_of_its_name(path: Path) -> None:
    assert saved(path).read_text(encoding="utf-8") == EXPECTED


def test_the_same_results_make_the_same_bytes_in_whatever_order_they_came(path: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other.json", RESULTS[::-1])
    assert saved(path).read_bytes() == other.read_bytes()


def test_what_tells_a_question_from_another_of_the_same_name_is_kept(path: Path) -> None:
    result = Result("own", "a", "a", "lab", scores=(Score(1.0),), content="0123456789ab")
    saved(path, [result])
    assert '"a": {"content": "0123456789ab", "scores": {"score": 1.0}}' in path.read_text("utf-8")
    assert read_baseline(path).results == (result,)


ANSWERED = Score(None, evidence=Evidence(answered=True))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"incomplete": "the run was stopped"}, "the run was stopped"),
        ({"left_out": {"own": "3 were deselected"}}, "3 were deselected"),
        ({"results": (Result("own", "a", "", "lab", scores=(ANSWERED,)),)},
         "its answers are not judged yet"),
    ],
    ids=["stopped", "deselected", "not judged"],
)  # fmt: skip
def test_a_part_of_a_run_is_no_baseline(path: Path, changes: dict[str, Any], reason: str) -> None:
    whole = Run((Result("own", "a", "", "lab", scores=(Score(1.0),)),))
    with pytest.raises(
        ConfigurationError, match=f"no baseline was saved, as the run is incomplete: {reason}"
    ):
        save_run(path, dataclasses.replace(whole, **changes))
    assert not path.exists()
    save_run(path, dataclasses.replace(whole, left_out={"mmlu": "mmlu is not in this run"}))
    assert path.exists()


def test_a_changed_score_changes_one_line(path: Path, tmp_path: Path) -> None:
    changed = saved(tmp_path / "changed.json", [*RESULTS[:2], task("anatomy", 1.0, 1.0), RESULTS[3]])
    before, after = (file.read_text(encoding="utf-8").splitlines() for file in (saved(path), changed))
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [
        ('    "anatomy": {"scores": {"acc": "01"}},', '    "anatomy": {"scores": {"acc": "11"}},')
    ]


def test_the_folder_is_made(tmp_path: Path) -> None:
    assert saved(tmp_path / "baselines" / "lab.json").exists()


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([], "none"),
        ([*RESULTS, Result("mmlu", "law", "law", "other")], "lab, other"),
    ],
)
def test_a_baseline_is_of_one_model(path: Path, results: list[Result], reason: str) -> None:
    with pytest.raises(
        ConfigurationError,
        match=rf"baseline\.json: a baseline needs the results of one model \(got {reason}\)",
    ):
        saved(path, results)
    assert not path.exists()


def test_scores_of_several_scales_are_refused(path: Path) -> None:
    results = [Result("own", str(n), "", "lab", scores=(Score(0.5, maximum=n),)) for n in (1.0, 10.0)]
    with pytest.raises(
        ConfigurationError, match="own has score scores up to 1 and up to 10; a baseline needs one"
    ):
        saved(path, results)


# --- reading ---


def bare(result: Result) -> Any:
    """What a baseline keeps of a result."""
    scores = [
        (
            score.metric,
            score.maximum,
            score.value,
            sorted((sample.id, sample.value) for sample in score.samples),
        )
        for score in result.scores
    ]
    return result.benchmark, result.question, result.group, result.model, scores


def test_what_was_written_is_read_back(path: Path) -> None:
    found = read_baseline(saved(path))
    assert sorted(map(bare, found.results)) == sorted(map(bare, RESULTS))
    assert found.fingerprint == fingerprint({**CONFIGURATION, "model": "lab"})


SCORES = st.none() | st.floats(0, 1)
SAMPLES = st.dictionaries(st.text(max_size=3), SCORES, min_size=1, max_size=4) | st.lists(
    st.sampled_from([0.0, 1.0, None]), min_size=1, max_size=4
).map(lambda values: {str(number): value for number, value in enumerate(values)})


@given(questions=st.dictionaries(st.text(max_size=5), st.lists(SCORES | SAMPLES, max_size=3), max_size=4))
def test_whatever_names_and_scores_there_are_they_are_read_back(
    questions: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    results = [
        Result("own", name, name[:1], "lab", scores=tuple(map(score_of, found)))
        for name, found in {"always": [1.0], **questions}.items()
    ]
    found = read_baseline(saved(path, results))
    assert {result.question: bare(result) for result in found.results} == {
        result.question: bare(result) for result in results
    }


def score_of(value: Any) -> Score:
    if isinstance(value, dict):
        return Score.mean_of([Sample(key, number) for key, number in value.items()], metric="score")
    return Score(value)


def test_a_whole_results_json_is_a_baseline_too(tmp_path: Path) -> None:
    settings = Settings(("lab",), ("http://127.0.0.1:8000/v1",), few_shots=3)
    path = tmp_path / "results.json"
    write_results(path, RunReport.of(Run(tuple(RESULTS), dataclasses.asdict(settings))))
    found = read_baseline(path)
    assert list(found.results) == RESULTS
    assert differences(fingerprint(dataclasses.asdict(settings)), found.fingerprint) == []
    assert found.fingerprint["few_shots"] == 3


def test_a_run_against_its_own_baseline_has_not_dropped(path: Path) -> None:
    results = [task(name, *[float(n % 3 > 0) for n in range(30)]) for name in ("law", "art")]
    gate = parse_gate("mmlu.drop <= 0")
    (report,) = evaluate_gates([gate], results, baseline=read_baseline(saved(path, results)).results)
    assert (report.verdict, report.n, report.value) == ("passed", 60, 0.0)


def test_a_newer_schema_is_refused_with_what_to_do(path: Path) -> None:
    text = saved(path).read_text(encoding="utf-8")
    path.write_text(
        text.replace('"schema_version": 1', f'"schema_version": {SCHEMA_VERSION + 1}'), encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"baseline\.json has schema version 2, newer than the 1 .*; upgrade"):
        read_baseline(path)


def test_a_file_that_is_not_there_is_named_with_how_to_make_it(path: Path) -> None:
    with pytest.raises(
        DataError, match=r"cannot be read \(No such file or directory\); save .* --eval-save-baseline"
    ):
        read_baseline(path)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", "1", '{"schema_version": null}', "[" * 100_000])
def test_a_file_that_is_no_baseline_is_refused(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"baseline\.json is neither a baseline nor a results\.json"):
        read_baseline(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"01"', '"0x"'),
        ('"01"', "true"),
        ('"01"', '{"0": "high"}'),
        ('"01"', "NaN"),
        ('"01"', "[[1]]"),
        ('{"acc": 1.0}', "{}"),
        ('{"acc": 1.0}', "null"),
        ('{"acc": "01"}', "[]"),
        ('{"scores": {"acc": "01"}}', "7"),
        ('"group": "writing"', '"group": 7'),
        ('"model": "lab"', '"name": "lab"'),
        ('"benchmarks"', '"benchmark"'),
        ('"fingerprint"', '"fingerprints"'),
    ],
)
def test_a_damaged_file_is_refused_with_what_to_do(path: Path, old: str, new: str) -> None:
    text = saved(path).read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"baseline\.json is damaged: .*save it again with --eval-save-baseline"
    ):
        read_baseline(path)


def test_a_results_json_without_its_configuration_is_damaged(path: Path) -> None:
    path.write_text('{"schema_version": 1, "results": []}', encoding="utf-8")
    with pytest.raises(DataError, match="is damaged: it has no configuration"):
        read_baseline(path)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(known=ANYTHING, questions=ANYTHING, maxima=ANYTHING | st.just({"acc": 1.0}))
def test_whatever_a_file_holds_reading_it_ends_in_a_baseline_or_a_data_error(
    known: object, questions: object, maxima: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    block = {"maxima": maxima, "questions": questions}
    document = {"schema_version": 1, "fingerprint": known, "benchmarks": {"mmlu": block}}
    path.write_text(json.dumps(document), encoding="utf-8")
    message = "fuzzed.json"
    try:
        read_baseline(path)
    except DataError as error:
        message = str(error)
    assert "fuzzed.json" in message


# --- configurations ---


def test_the_fingerprint_has_what_scores_depend_on_and_nothing_of_the_machine() -> None:
    settings = Settings(
        ("lab",), ("http://127.0.0.1:8000/v1",), mmlu_data=Path("/data"), output_dir=Path("/out")
    )
    found = fingerprint(
        {**dataclasses.asdict(settings), "data": {"mmlu": "sha256:1"}, "prompts": benchmark_versions()}
    )
    assert found["model"] == ["lab"]
    assert (found["few_shots"], found["prompts"], found["data"]) == (
        5,
        benchmark_versions(),
        {"mmlu": "sha256:1"},
    )
    assert "127.0.0.1" not in json.dumps(found)
    assert not {"mmlu_data", "output_dir", "base_url"} & set(found)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"few_shots": 5}, {"few_shots": 5}, []),
        ({"few_shots": 5}, {"few_shots": 0}, ["few_shots is 5 here and 0 in the baseline"]),
        ({"first_n": 10}, {}, []),
        ({"sample": 10, "sample_seed": 0}, {"sample": 20, "sample_seed": 1}, []),
        ({}, {"system_prompt": "Be kind."}, ["system_prompt is not set here and 'Be kind.' in the baseline"]),
        ({"add_bos": False}, {}, []),
        ({"add_bos": True}, {}, ["add_bos is True here and not set in the baseline"]),
        ({"model": "lab"}, {"model": "base"}, []),
        ({"judge_model": "a"}, {"judge_model": "b"}, ["judge_model is 'a' here and 'b' in the baseline"]),
        ({"judge_model": "a"}, {"judge_model": None}, []),
        ({"data": {"mmlu": "1", "mt_bench": "2"}}, {"data": {"mmlu": "1"}}, []),
        ({"data": {"mmlu": "1"}}, {}, []),
        ({"data": {"mmlu": "1"}}, {"data": {"mmlu": "3"}},
         ["data of mmlu is '1' here and '3' in the baseline"]),
        ({"prompts": {"mmlu": 2}}, {"prompts": {"mmlu": 1}},
         ["version of mmlu is 2 here and 1 in the baseline"]),
        ({"data": "all"}, {"data": {"mmlu": "1"}}, ["data is 'all' here and {'mmlu': '1'} in the baseline"]),
        ({"few_shots": 1, "system_prompt": "a"}, {"few_shots": 3, "system_prompt": "b"},
         ["few_shots is 1 here and 3 in the baseline", "system_prompt is 'a' here and 'b' in the baseline"]),
    ],
)  # fmt: skip
def test_what_differs_is_named_on_both_sides(
    ours: dict[str, Any], theirs: dict[str, Any], expected: list[str]
) -> None:
    assert differences(ours, theirs) == expected


def test_a_long_value_is_shortened() -> None:
    (found,) = differences({"system_prompt": "x" * 500}, {})
    assert len(found) < 130
    assert "x…" in found
