"""The parts of a run joined: all of them, each once, of one configuration."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.records.run import ModelAdaptation, Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.records.shards import merge_shards
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport


def part(
    shard: tuple[int, int] | None, names: str, deciding: Mapping[str, str] | None = None, **changes: Any
) -> Run:
    results = tuple(Result("own", name, "", "lab", scores=(Score(1.0),), nodeid=name) for name in names)
    configuration: Mapping[str, Any] = {
        "shard": list(shard) if shard else None,
        "few_shots": 5,
        **(deciding or {}),
    }
    given: dict[str, Any] = {
        "fingerprint": {"few_shots": 5}, "models": {"lab": "lab"}, "tests": tuple("gfabcde"), **changes,
    }  # fmt: skip
    return Run(results, configuration, **given)


def whole(*parts: Run) -> Run:
    return merge_shards({Path(f"part{number}.json"): found for number, found in enumerate(parts, start=1)})


def test_results_are_in_the_order_of_the_whole_run() -> None:
    found = whole(part((3, 3), "cf"), part((1, 3), "adg"), part((2, 3), "be"))
    assert "".join(result.nodeid for result in found.results) == "gfabcde"
    assert found.configuration == {"shard": None, "few_shots": 5}
    assert found.tests == ()


def test_a_part_may_have_no_test_that_scores() -> None:
    assert len(whole(part((1, 2), "a"), part((2, 2), "")).results) == 1


def test_what_was_left_out_of_a_part_was_left_out_of_the_whole() -> None:
    found = whole(part((1, 2), "a"), part((2, 2), "b", left_out={"own": "3 questions were deselected"}))
    assert found.left_out == {"own": "3 questions were deselected"}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([part((1, 3), "a"), part((3, 3), "b")], "of 3 parts, these are missing: 2; give all parts"),
        ([part((1, 2), "a"), part((1, 2), "a")], "part1.json and part2.json are both part 1 of 2"),
        ([part((1, 2), "a"), part((2, 3), "a")], "the runs were divided into 2 and 3 parts"),
        ([part(None, "a")], "part1.json is a whole run, not a part of one (--eval-shard)"),
        (
            [part((1, 2), "a"), part((2, 2), "b", fingerprint={"few_shots": 0})],
            "part2.json and part1.json are not parts of one run: few_shots is 0 here and 5 there",
        ),
        (
            [part((1, 2), "a"), part((2, 2), "b", models={"base": "base"})],
            "not parts of one run: the models are base here and lab there",
        ),
        (
            [part((1, 2), "a"), part((2, 2), "b", gates=("own >= 1",))],
            "not parts of one run: the gates are own >= 1 here and none there",
        ),
        (
            [part((1, 2), "a"), part((2, 2), "b", standing_gates=("own >= 1",))],
            "not parts of one run: the gates are own >= 1 here and none there",
        ),
        (
            [part((1, 2), "a", fingerprint={"sample": 5}), part((2, 2), "b", fingerprint={"sample": 6})],
            "not parts of one run: sample is 6 here and 5 there",
        ),
        (
            [part((1, 2), "a"), part((2, 2), "a", tests=("a", "b"))],
            "not parts of one run: 5 tests are in only one of them, such as c",
        ),
        (
            [part((1, 2), "a"), part((2, 2), "b", deciding={"gate_about": "these"})],
            "not parts of one run: gate_about is these here and not set there",
        ),
        (
            [part((1, 2), "a", deciding={"inconclusive": "fail"}), part((2, 2), "b")],
            "not parts of one run: inconclusive is not set here and fail there",
        ),
        (
            [part((1, 2), "a"), part((2, 2), "b", incomplete="the run was stopped before its end")],
            "part2.json is incomplete: the run was stopped before its end; run this part again",
        ),
    ],
    ids=[
        "missing",
        "twice",
        "other divisions",
        "whole",
        "configuration",
        "models",
        "gates",
        "standing gates",
        "sample",
        "tests",
        "what drops are about",
        "what becomes of inconclusive gates",
        "incomplete",
    ],
)
def test_what_is_not_all_of_one_run_is_refused(parts: list[Run], reason: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        whole(*parts)
    assert reason in str(refused.value)


@pytest.mark.parametrize("written", range(3))
def test_an_interrupted_merge_leaves_the_parts_and_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """It is ended before it replaces a file, after so many: results.json, summary.md and report.html."""
    for number, names in enumerate(("abc", "defg"), start=1):
        (tmp_path / str(number)).mkdir()
        run = dataclasses.replace(part((number, 2), names), tests=tuple("abcdefg"))
        write_results(tmp_path / str(number) / "results.json", RunReport.of(run))
    parts = [tmp_path / "1", tmp_path / "2"]
    before = [(folder / "results.json").read_bytes() for folder in parts]
    command = ["merge", *map(str, parts), "--out", str(tmp_path / "whole"), "--gate", "own >= 1"]
    replaced: list[Path] = []
    replace = os.replace

    def end(source: Path, target: Path) -> None:
        if len(replaced) == written:
            raise KeyboardInterrupt
        replaced.append(target)
        replace(source, target)

    with monkeypatch.context() as ending:
        ending.setattr(os, "replace", end)
        assert CliRunner().invoke(main, command).exit_code != 0
    assert [path.name for path in (tmp_path / "whole").iterdir()] == [path.name for path in replaced]
    assert [(folder / "results.json").read_bytes() for folder in parts] == before
    assert CliRunner().invoke(main, command).exit_code == 0
    assert [result.question for result in read_run(tmp_path / "whole/results.json").results] == [*"abcdefg"]


def test_a_drop_is_refused_where_a_part_asked_the_base_model_in_another_way(tmp_path: Path) -> None:
    otherwise = ModelAdaptation("model", "base", "merged_system_message", "merged", changes_answers=True)
    for number, name in enumerate("ab", start=1):
        results = tuple(
            Result("own", name, "", model, scores=(Score(1.0),), nodeid=f"{name}-{model}")
            for model in ("lab", "base")
        )
        run = Run(
            results, {"shard": [number, 2]}, models={"lab": "lab", "base": "base"}, base="base",
            gates=("own.drop <= 0.1",), adaptations=(otherwise,) if name == "b" else (),
        )  # fmt: skip
        (tmp_path / name).mkdir()
        write_results(tmp_path / name / "results.json", RunReport.of(run))
    command = ["merge", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "whole")]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 7
    assert "refused: own.drop <= 0.1: requests were adapted differently (" in refused.stdout
    assert "allow the comparison with" in refused.stdout
    assert CliRunner().invoke(main, [*command, "--allow-mismatch"]).exit_code == 0
