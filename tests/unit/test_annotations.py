"""Annotations: which pairs, at which lines, in the forms of GitHub and GitLab."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.records.evidence import Evidence, Origin
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.annotations import (
    SHOWN,
    Annotation,
    code_quality,
    github_commands,
    pair_annotations,
)
from pytest_instructlab_eval.reports.run_report import RunReport

FILE = "compositional_skills/knots/qna.yaml"
GATE = "mt_bench_branch.drop <= 0.5"


def rated(model: str, ratings: Sequence[float], *, file: str = FILE, content: str = "") -> list[Result]:
    """The results of the pairs of a file, each with four answers of almost equal rating."""
    return [
        Result(
            "mt_bench_branch", f"{file}:{number}", file, model, cluster=file, content=content,
            scores=(
                Score(
                    value, "rating", 10.0, answers=(value, value, value - 0.5, value + 0.5),
                    evidence=Evidence(
                        "Which?", origin=Origin("taxonomy", f"{number}", file, qna_line=10 * number)
                    ),
                ),
            ),
        )
        for number, value in enumerate(ratings, 1)
    ]  # fmt: skip


def report(
    ours: Sequence[Result],
    theirs: Sequence[Result],
    *gates: str,
    configuration: Mapping[str, Any] | None = None,
) -> RunReport:
    run = Run(
        (*ours, *theirs), dict(configuration or {}), models={"lab": "lab", "base": "base"}, base="base",
        gates=gates, about_these=("mt_bench_branch",),
    )  # fmt: skip
    return RunReport.of(run)


def pairs(before: Sequence[float], after: Sequence[float], *gates: str, folder: str = "") -> list[Annotation]:
    return pair_annotations(report(rated("lab", after), rated("base", before), *gates), folder)


def test_a_pair_that_flipped_is_a_warning_at_the_line_of_its_question() -> None:
    (found,) = pairs([9, 8, 8], [2, 8, 9])
    assert (found.level, found.path, found.line) == ("warning", FILE, 10)
    assert found.message == f"9 with base, 2 of 10 with lab: flipped ({FILE}:1)"


def test_pairs_behind_a_failed_gate_are_errors_worst_first() -> None:
    found = pairs([9, 9, 9, 9, 9], [7, 8.6, 2, 7.5, 9.5], GATE)
    assert [(entry.level, entry.line) for entry in found] == [("error", 30), ("error", 10), ("error", 40)]
    assert found[0].message.endswith(f"{GATE} failed; flipped ({FILE}:3)")


def test_a_small_drop_is_noticed_where_the_mean_certainly_fell() -> None:
    before = [8.0, 7.0, 9.0, 8.0, 7.0, 8.0, 9.0, 7.0]
    found = pairs(before, [value - 0.5 - 0.01 * number for number, value in enumerate(before)])
    assert [entry.line for entry in found] == [80, 70, 60, 50, 40, 30, 20, 10]
    assert {entry.message.partition(": ")[2].partition(" (")[0] for entry in found} == {
        "the drop of the mean is certain"
    }


@pytest.mark.parametrize("after", [[8, 8, 8], [9, 9, 8], [7.9, 8.1, 8]])
def test_pairs_that_are_not_worse_or_no_more_than_by_chance_are_not_annotated(after: list[float]) -> None:
    assert pairs([8, 8, 8], after, "mt_bench_branch >= 9") == []


def test_a_pair_that_was_changed_is_not_one_that_got_worse() -> None:
    same = rated("base", [9, 9], content="a")
    changed = [*rated("lab", [1], content="b"), *rated("lab", [1, 9], content="a")[1:]]
    assert pair_annotations(report(changed, same)) == []


def test_a_run_is_compared_with_its_baseline_too() -> None:
    run = Run(tuple(rated("lab", [2])), models={"lab": "lab"})
    (found,) = pair_annotations(RunReport.of(run, Baseline({}, tuple(rated("lab", [9])))))
    assert found.message == f"9 in the baseline, 2 of 10 now: flipped ({FILE}:1)"


def test_a_taxonomy_inside_a_repository_has_its_folder_in_front() -> None:
    (found,) = pairs([9], [2], folder="data/taxonomy")
    assert found.path == f"data/taxonomy/{FILE}"


def test_what_has_no_place_in_a_taxonomy_is_not_annotated() -> None:
    ours, theirs = (
        [Result("own", "a", "", name, scores=(Score(value),))]
        for name, value in (("lab", 0.0), ("base", 1.0))
    )
    assert pair_annotations(report(ours, theirs)) == []


def annotation(level: str = "error", **more: Any) -> Annotation:
    known = {"path": FILE, "line": 4, "title": "t", "message": "m", "benchmark": "b", "identity": ("b",)}
    return Annotation(level=level, **{**known, **more})  # type: ignore[arg-type]


def test_github_is_told_the_worst_ten_of_each_kind_and_how_many_more_there_are() -> None:
    found = [annotation(line=line) for line in range(1, 13)] + [annotation("warning")] * 11
    lines = github_commands(found)
    assert [line.partition(" ")[0] for line in lines] == ["::error"] * SHOWN + ["::warning"] * SHOWN + [
        "::notice"
    ]
    assert lines[0] == f"::error file={FILE},line=1,title=t::m"
    assert "2 errors and 1 warning more" in lines[-1]
    assert github_commands(found[:1]) == lines[:1]
    assert github_commands([]) == []


def test_a_pair_whose_line_is_unknown_is_annotated_at_its_file() -> None:
    assert github_commands([annotation(line=None)]) == [f"::error file={FILE},title=t::m"]
    assert json.loads(code_quality([annotation(line=None)]))[0]["location"]["lines"] == {"begin": 1}


def unescaped(command: str) -> tuple[str, dict[str, str], str]:
    """A command as GitHub's runner reads it."""
    match = re.fullmatch(r"::(\w+) ([^\n\r]*?)::([^\n\r]*)", command)
    assert match is not None, command
    properties = dict(part.split("=", 1) for part in match[2].split(","))
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        properties = {name: value.replace(code, character) for name, value in properties.items()}
    text = match[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    return match[1], properties, text


@given(
    name=st.text(min_size=1, max_size=30)
    | st.sampled_from(["100%0A::error::x", "a,line=1::b", "##[add-mask]a"]),
    file=st.text(min_size=1, max_size=30),
)
def test_no_name_forges_a_command_or_leaves_its_line(name: str, file: str) -> None:
    result = Result(
        name,
        name,
        file,
        "lab",
        scores=(Score(0.0, evidence=Evidence(origin=Origin(qna_file=file, qna_line=3))),),
    )
    run = Run(
        (result, Result(name, name, file, "base", scores=(Score(1.0),))),
        models={"lab": "", "base": ""},
        base="base",
    )
    found = pair_annotations(RunReport.of(run))
    (command,) = github_commands(found)
    kind, properties, text = unescaped(command)
    assert (kind, properties["line"], set(properties)) == ("warning", "3", {"file", "line", "title"})
    assert properties["file"] == found[0].path
    assert text == found[0].message
    assert command.isprintable() or " " in command
    assert len(command.splitlines()) == 1
    (issue,) = json.loads(code_quality(found).encode("utf-8"))
    assert issue["location"] == {"path": found[0].path, "lines": {"begin": 3}}


def test_gitlab_gets_what_it_reads() -> None:
    (issue,) = json.loads(code_quality(pairs([9, 9], [1, 9])))
    assert issue.pop("fingerprint")
    assert issue == {
        "description": "mt_bench_branch: this pair got worse: 9 with base, 1 of 10 with lab: flipped "
        f"({FILE}:1)",
        "check_name": "pytest-instructlab-eval/mt_bench_branch",
        "severity": "minor",
        "location": {"path": FILE, "lines": {"begin": 10}},
    }
    (serious,) = json.loads(code_quality(pairs([9, 9], [1, 9], GATE)))
    assert serious["severity"] == "major"
    assert json.loads(code_quality([])) == []


def test_a_fingerprint_is_that_of_the_pair_whatever_its_score_and_line() -> None:
    def fingerprints(after: Sequence[float], *gates: str) -> list[str]:
        return [issue["fingerprint"] for issue in json.loads(code_quality(pairs([9, 9], after, *gates)))]

    first = fingerprints([1, 2])
    assert len(set(first)) == 2
    assert sorted(fingerprints([2, 1], GATE)) == sorted(first)


def test_two_candidates_have_an_annotation_each() -> None:
    results = (*rated("lab", [1]), *rated("other", [2]), *rated("base", [9]))
    run = Run(results, models={"lab": "", "other": "", "base": ""}, base="base")
    found = pair_annotations(RunReport.of(run))
    said = [entry.message.partition(": ")[0] for entry in found]
    assert said == ["9 with base, 1 of 10 with lab", "9 with base, 2 of 10 with other"]
    assert len({issue["fingerprint"] for issue in json.loads(code_quality(found))}) == 2
