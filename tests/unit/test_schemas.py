"""The published schemas of results.json and baselines: what was ever written is as they say, and is read."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import meta

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.gates import Gate, parse_gate
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.records.baseline import read_baseline
from pytest_instructlab_eval.records.run import ModelAdaptation, Run, SilentTest
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.schema import RULES, Configuration, configuration_problems
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.benchmark_scores import BenchmarkScore
from pytest_instructlab_eval.stats.changes import BenchmarkChanges, MeanChange
from pytest_instructlab_eval.stats.ranking import Rank
from pytest_instructlab_eval.stats.summary import Summary, SummaryRow
from tests.schemas import schema, schema_problems

from .test_changed_files import NOT_READ, ODD, SCHEMA_1, Place, change, places, sample

NAMES = sorted(path.stem for path in SCHEMA_1.iterdir())
RECORDS = {
    "result": Result, "score": Score, "sample": Sample, "silent": SilentTest, "adaptation": ModelAdaptation,
    "rank": Rank, "row": SummaryRow, "summary": Summary, "change": MeanChange, "changes": BenchmarkChanges,
    "verdict": GateReport, "gate": Gate, "benchmark_score": BenchmarkScore,
}  # fmt: skip


@pytest.mark.parametrize("name", ["results", "baseline"])
def test_a_schema_is_one_of_2020_12(name: str) -> None:
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    meta.validate(schema(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_an_earlier_version_is_as_the_schema_says(name: str) -> None:
    assert schema_problems(sample(name)) == []


@pytest.mark.parametrize(("name", "kind"), RECORDS.items(), ids=RECORDS)
def test_every_field_of_a_record_is_in_the_schema(name: str, kind: Any) -> None:
    described = set(schema("results")["$defs"][name]["properties"]) - {"outcome"}
    assert described == {field.name for field in fields(kind)} - {"outcome"}


def test_every_field_of_a_run_is_in_the_schema() -> None:
    described = set(schema("results")["properties"])
    assert described == {field.name for field in fields(Run)} | NOT_READ | {"schema_version"}
    described = set(schema("results")["$defs"]["configuration"]["properties"])
    assert described == set(Configuration.__annotations__)


@pytest.mark.parametrize(("name", "kind"), [("result", Result), ("score", Score), ("sample", Sample)])
def test_the_schema_requires_what_the_reader_requires(name: str, kind: type) -> None:
    assert set(schema("results")["$defs"][name]["required"]) == set(RULES[kind].required)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"shard": [3, 2]},
            "configuration.shard must be the number of the part and the number of parts (got [3, 2])",
        ),
        ({"shard": [1, 2]}, None),
        ({"first_n": "all"}, 'configuration.first_n must be a whole number or null (got "all")'),
        ({"model": ["tiny"]}, "configuration has no shard"),
        ({}, None),
    ],
)
def test_settings_that_no_run_has_are_a_problem(settings: dict[str, object], problem: str | None) -> None:
    assert next(map(str, configuration_problems(settings)), None) == problem


# --- a file with any value changed ---


def is_read(path: Path, document: object) -> bool:
    path.write_text(json.dumps(document), "utf-8")
    try:
        read_baseline(path, check_gate=parse_gate)
    except DataError:
        return False
    return True


PLACES = [(name, place) for name in NAMES for place in places(sample(name))]


@given(st.sampled_from(PLACES), st.sampled_from(ODD))
def test_what_the_schema_refuses_the_reader_refuses(
    tmp_path_factory: pytest.TempPathFactory, where: tuple[str, Place], odd: Any
) -> None:
    name, place = where
    document = copy.deepcopy(sample(name))
    change(document, place, odd)
    if schema_problems(document):
        assert not is_read(tmp_path_factory.getbasetemp() / "changed.json", document)


@pytest.mark.parametrize("key", sorted(NOT_READ))
def test_what_is_computed_anew_is_not_read_and_yet_in_the_schema(tmp_path: Path, key: str) -> None:
    """Here the two differ: the reader looks neither at what it computes anew nor at who wrote it when."""
    document = {**sample("one"), key: -1}
    assert is_read(tmp_path / "results.json", document)
    assert schema_problems(document) != []


@pytest.mark.parametrize(
    ("place", "odd"),
    [
        (("results", 0, "scores", 0, "value"), 7),  # above the maximum
        (("results", 0, "outcome"), "error"),  # not as its scores are
        (("results", 0, "model"), "another"),
        (("gates",), ["no gate"]),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused_by_the_reader_alone(
    tmp_path: Path, place: Place, odd: object
) -> None:
    document = sample("one")
    change(document, place, odd)
    assert schema_problems(document) == []
    assert not is_read(tmp_path / "results.json", document)


def test_new_keys_are_no_mistake() -> None:
    document = sample("panel")
    document["new"] = 1
    document["results"][0]["new"] = 1
    document["results"][0]["scores"][0]["metadata"]["messages"] = [{"role": "user", "content": "Why?"}]
    assert schema_problems(document) == []
