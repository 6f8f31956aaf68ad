"""results.json: written whole, read strictly."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.results_file import SCHEMA_VERSION, read_results, read_run
from pytest_instructlab_eval.records.run import Run, SilentTest
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.settings import Settings

SETTINGS = Settings(
    ("tiny",), ("http://127.0.0.1:8000/v1",), api_key_env="SERVER_KEY", output_dir=Path("/out")
)
RESULTS = [
    Result("mmlu", "anatomy", "anatomy", "tiny", scores=(Score.mean_of([Sample("0", 1.0)], metric="acc"),)),
    Result(
        "mt_bench", "81-writing", "writing", "tiny", "judge", (Score(None, "turn_1", 10.0),), duration=1.5
    ),
    Result("own", "a", "", "tiny", error="away"),
]
RUN = Run(
    tuple(RESULTS), dataclasses.asdict(SETTINGS), models=SETTINGS.labels, gates=("mmlu >= 0.5",),
    notes=("a note",), silent=(SilentTest("test_x", "mmlu", "", "lab", "passed"),),
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


def written(path: Path) -> Any:
    """The document, read as strict JSON, which has neither NaN nor Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def changed(path: Path, **changes: object) -> Path:
    """A good file, with these parts of the document changed."""
    write_results(path, RunReport.of(RUN))
    path.write_text(json.dumps(written(path) | changes), encoding="utf-8")
    return path


def test_what_was_written_is_read_back(path: Path) -> None:
    write_results(path, RunReport.of(RUN))
    assert read_results(path) == RESULTS
    read = read_run(path)
    assert (read.gates, read.models, read.base) == (RUN.gates, RUN.models, None)
    assert read.configuration["model"] == ["tiny"]


def test_the_schema_version_is_an_integer(path: Path) -> None:
    write_results(path, RunReport.of(RUN))
    assert written(path)["schema_version"] == SCHEMA_VERSION
    assert type(SCHEMA_VERSION) is int


def test_the_document_has_what_was_asked_and_found(path: Path) -> None:
    write_results(path, RunReport.of(RUN))
    document = written(path)
    assert document["configuration"]["model"] == ["tiny"]
    assert [summary["benchmark"] for summary in document["summaries"]] == ["mmlu", "mt_bench", "own"]
    assert [result["outcome"] for result in document["results"]] == ["scored", "unscored", "error"]


def test_the_document_has_the_name_of_the_keys_variable_and_not_the_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", "sk-secret")
    write_results(path, RunReport.of(RUN))
    assert written(path)["configuration"]["api_key_env"] == "SERVER_KEY"
    assert "sk-secret" not in path.read_text(encoding="utf-8")


def test_text_that_no_file_can_hold_is_written_with_question_marks(path: Path) -> None:
    write_results(
        path, RunReport.of(dataclasses.replace(RUN, results=(Result("own", "a\ud800", "", "tiny"),)))
    )
    assert read_results(path)[0].question == "a?"


def test_numbers_that_json_does_not_have_are_not_written(path: Path) -> None:
    score = Score(1.0, metadata={"perplexity": float("inf"), "margin": float("nan")})
    write_results(
        path,
        RunReport.of(dataclasses.replace(RUN, results=(Result("own", "a", "", "tiny", scores=(score,)),))),
    )
    assert written(path)["results"][0]["scores"][0]["value"] == 1.0


# --- reading ---


def test_a_newer_schema_is_refused_with_what_to_do(path: Path) -> None:
    changed(path, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(DataError, match=r"has schema version 2, newer than the 1 .*; upgrade"):
        read_results(path)


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(DataError, match=r"results\.json cannot be read \(No such file or directory\)"):
        read_results(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        "1",
        '{"schema_version": null}',
        '{"schema_version": "one"}',
        '{"schema',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_results_json_is_refused(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"results\.json is not a results\.json of this plugin"):
        read_results(path)


def test_a_file_that_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"is not a results\.json of this plugin"):
        read_results(path)


GOOD = RESULTS[2].to_plain()
DAMAGED: dict[str, object] = {
    "no list": 7,
    "null": None,
    "a text for a result": ["text"],
    "a list for a result": [[]],
    "null for a result": [None],
    "an empty result": [{}],
    "a result without a model": [{"benchmark": "mmlu", "scores": []}],
    "a field that no result has": [{**GOOD, "surprise": 1}],
    "null for scores": [{**GOOD, "scores": None}],
    "a text for a score": [{**GOOD, "scores": ["text"]}],
    "a score without samples": [{**GOOD, "scores": [{"value": 1.0}]}],
    "a text for a value": [{**GOOD, "scores": [{"value": "high", "samples": []}]}],
    "an empty sample": [{**GOOD, "scores": [{"value": 1.0, "samples": [{}]}]}],
    "a text for a sample": [{**GOOD, "scores": [{"value": 1.0, "samples": ["text"]}]}],
}


@pytest.mark.parametrize("results", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused(path: Path, results: object) -> None:
    changed(path, results=results)
    with pytest.raises(DataError, match="is damaged"):
        read_results(path)


def test_a_file_without_results_is_damaged(path: Path) -> None:
    path.write_text('{"schema_version": 1}', encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        read_results(path)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(version=ANYTHING | st.just(1), results=ANYTHING)
def test_whatever_a_file_holds_reading_it_ends_in_results_or_a_data_error(
    version: object, results: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text(json.dumps({"schema_version": version, "results": results}), encoding="utf-8")
    message = "fuzzed.json"
    try:
        read_results(path)
    except DataError as error:
        message = str(error)
    assert "fuzzed.json" in message
