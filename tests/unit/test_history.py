"""The history of scores: which runs a folder keeps, which scores may be compared, and which gates failed."""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Shown
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.records.recorded_run import BLANK_CHECKSUM, CHECKSUM, write_with_checksum
from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports import kept_runs
from pytest_instructlab_eval.reports.benchmark_scores import whole_scores
from pytest_instructlab_eval.reports.history import output_history, read_history
from pytest_instructlab_eval.reports.history_table import history_lines
from pytest_instructlab_eval.reports.html.history_chart import history_blocks
from pytest_instructlab_eval.reports.html.page import html_page
from pytest_instructlab_eval.reports.kept_runs import kept_files, read_kept_run
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport

from .test_changed_files import SCHEMA_1

Keep = Callable[..., Path]


def write_checked(path: Path, text: str) -> None:
    """Write a results.json with its checksum."""
    with path.open("wb") as file:
        write_with_checksum(file, [text])


def finished(right: int = 6, of: int = 10, *, model: str = "lab", maximum: float = 1.0, **more: Any) -> Run:
    """A run of one benchmark, `own`, whose first questions are answered well."""
    results = tuple(
        Result("own", str(number), "", model, scores=(Score(maximum * (number < right), maximum=maximum),))
        for number in range(of)
    )
    return Run(results, models={model: model}, **more)


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """A function that writes a run to a folder of this name, as of this day of November 2026."""

    def write(name: str, run: Run, day: int) -> Path:
        path = tmp_path / name / "results.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_results(path, RunReport.of(run))
        lines = path.read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith((' "created"', ' "checksum"'))]
        stamp = f' "created": "2026-11-{day:02}T10:00:00+00:00",\n'
        path.write_text("".join([kept[0], ' "checksum": "",\n', stamp, *kept[1:]]), "utf-8")
        write_checked(path, path.read_text("utf-8"))
        return path

    return write


def history(folder: Path, *arguments: str) -> Shown:
    return CliRunner().invoke(main, ["history", str(folder), *arguments], catch_exceptions=False)


def values(folder: Path) -> list[float | None]:
    (scores,) = read_history(folder).scores
    return [point.score.value for point in scores.points]


# --- which runs ---


def test_the_run_of_an_output_folder_and_those_before_it_come_oldest_first(
    tmp_path: Path, keep: Keep
) -> None:
    keep(".", finished(8), 9)
    keep("previous/2026-11-08T10-00-00Z", finished(7), 8)
    keep("previous/2026-11-07T10-00-00Z", finished(6), 7)
    assert values(tmp_path) == [0.6, 0.7, 0.8]
    assert output_history(tmp_path) == read_history(tmp_path)


def test_runs_that_ci_jobs_left_are_found_below_any_folder_and_named_by_it(
    tmp_path: Path, keep: Keep
) -> None:
    keep("102/artifact/eval_output", finished(7), 2)
    keep("101/artifact", finished(6), 1)
    lines = history_lines(read_history(tmp_path))
    assert lines[0] == "history: own of lab, 0 to 1"
    assert lines[3].startswith("2026-11-01 10:00 101/artifact ")
    assert lines[4].startswith("2026-11-02 10:00 102/artifact/eval_output ")


def test_a_run_that_two_folders_have_counts_once(tmp_path: Path, keep: Keep) -> None:
    first = keep("1/eval_output", finished(6), 1)
    copy = tmp_path / "2/eval_output/previous/2026-11-01T10-00-00Z/results.json"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(first.read_bytes())
    keep("2/eval_output", finished(7), 2)
    assert values(tmp_path) == [0.6, 0.7]


def test_parts_stopped_runs_and_those_without_a_score_are_left_out_and_named(
    tmp_path: Path, keep: Keep
) -> None:
    keep("whole", finished(), 1)
    keep("part", finished(configuration={"shard": [1, 4]}), 2)
    keep("stopped", finished(incomplete="the run was stopped before its end"), 3)
    keep("unscored", Run((Result("own", "1", "", "lab", error="away"),), models={"lab": "lab"}), 4)
    found = read_history(tmp_path)
    assert len(found.scores[0].points) == 1
    assert found.notes == (
        "part is left out, as it is part 1/4 of a run; join the parts with merge",
        "stopped is left out, as it is not whole: the run was stopped before its end",
        "unscored is left out, as it has no score",
    )


def test_of_many_runs_the_last_are_shown_and_the_number_of_all_is_told(tmp_path: Path, keep: Keep) -> None:
    for day in range(1, 6):
        keep(str(day), finished(day), day)
    shown = history(tmp_path, "--last", "2")
    assert shown.exit_code == 0
    assert "2026-11-03" not in shown.output
    assert "note: the last 2 of 5 runs are shown; --last 5 shows all" in shown.output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no JSON", "is not a results.json of this plugin (not JSON at line 1"),
        ("[]", "is not a results.json of this plugin (it has no schema_version)"),
        ('{"schema_version": 2}', "has schema version 2, newer than the 1"),
        ('{"schema_version": 1}', "is damaged: it has no configuration"),
        ("\xff", "is not a results.json of this plugin (not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_the_status_is_1(
    tmp_path: Path, keep: Keep, text: str, why: str
) -> None:
    keep("good", finished(), 1)
    path = keep("bad", finished(), 2)
    path.write_text(text, "latin-1")
    shown = history(tmp_path)
    assert shown.exit_code == 1
    assert f"left out: {path} {why}" in shown.stderr
    assert "history: own of lab" in shown.stdout


def test_a_folder_without_a_run_is_an_error_that_names_it(tmp_path: Path, keep: Keep) -> None:
    assert history(tmp_path).stderr == f"Error: {tmp_path} has no run with scores\n"
    keep("part", finished(configuration={"shard": [1, 4]}), 2)
    shown = history(tmp_path)
    assert shown.exit_code == 1
    assert "has no run with scores: part is left out, as it is part 1/4 of a run" in shown.stderr


def test_neither_hidden_nor_very_deep_folders_are_looked_at(tmp_path: Path, keep: Keep) -> None:
    keep(".hidden", finished(), 1)
    keep("1/2/3/4/5/6", finished(), 1)
    assert kept_files(tmp_path) == []


def test_a_folder_with_too_many_folders_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_runs, "MOST_FOLDERS", 3)
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(DataError, match="has more than 3 folders; name the one of the runs"):
        kept_files(tmp_path)


# --- what a file says ---


def test_the_scores_at_the_head_of_a_file_are_those_of_its_questions(tmp_path: Path, keep: Keep) -> None:
    path = keep(".", finished(7, gates=("own >= 0.5",)), 1)
    kept = read_kept_run(path, tmp_path)
    assert kept.scores == tuple(whole_scores(RunReport.of(read_run(path), gated=False)))
    assert kept.scores[0].interval is not None
    assert kept.ended == datetime.datetime(2026, 11, 1, 10, tzinfo=datetime.timezone.utc)
    assert next((gate.gate, gate.verdict) for gate in kept.verdicts) == ("own >= 0.5", "passed")


def test_a_file_that_was_changed_is_read_whole(tmp_path: Path, keep: Keep) -> None:
    path = keep(".", finished(7), 1)
    path.write_text(path.read_text("utf-8").replace('"value": 0.7', '"value": 0.9'), "utf-8")
    assert read_kept_run(path, tmp_path).scores[0].value == 0.7
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))), "utf-8")
    assert read_kept_run(path, tmp_path).scores[0].value == 0.7


@pytest.mark.parametrize("name", ["one", "panel", "two"])
def test_a_file_of_an_earlier_version_has_its_scores_computed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes((SCHEMA_1 / f"{name}.json").read_bytes())
    run = read_run(path, check_gate=parse_gate)
    kept = read_kept_run(path, tmp_path)
    assert kept.scores == tuple(whole_scores(RunReport.of(run, gated=False)))
    assert kept.unusable is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(place=st.floats(0, 1), odd=st.sampled_from(["", "null", "-1", "1e999", "[[[", '"x"', "{}", "7", "\\"]))
def test_a_changed_head_with_a_right_checksum_is_read_or_refused_in_a_sentence(
    tmp_path: Path, keep: Keep, place: float, odd: str
) -> None:
    path = tmp_path / "results.json"
    good = tmp_path / "good"
    if not good.exists():
        good.write_bytes(keep(".", finished(7, gates=("own >= 0.5",)), 1).read_bytes())
    head, line, rest = good.read_text("utf-8").partition('\n "results"')
    words = head.split(" ")
    words[round(place * (len(words) - 1))] = odd
    text = re.sub(CHECKSUM, BLANK_CHECKSUM + b"\n", (" ".join(words) + line + rest).encode()).decode()
    write_checked(path, text)
    found = read_history(tmp_path)
    history_lines(found)
    history_blocks(found, {("own", "lab")})
    assert all(str(path) in sentence for sentence in found.unread)


# --- which scores are of one line ---


def one_line(folder: Path) -> bool:
    (scores,) = read_history(folder).scores
    assert bool(scores.notes) == (scores.lines > 1)
    return scores.lines == 1


@pytest.mark.parametrize(
    ("before", "after", "alike"),
    [
        ({}, {}, True),
        ({"model": ["a"]}, {"model": ["b"]}, True),
        ({"sample": 10, "sample_seed": 1}, {"sample": 20, "sample_seed": 2}, True),
        ({"data": {"own": "a", "other": "a"}}, {"data": {"own": "a", "other": "b"}}, True),
        ({"judge_model": ["x"]}, {"judge_model": ["y"]}, True),  # no judge rated it
        ({"data": {"own": "a"}}, {"data": {"own": "b"}}, False),
        ({"prompts": {"own": 1}}, {"prompts": {"own": 2}}, False),
        ({"first_n": 5}, {"first_n": None}, False),
        ({"few_shots": 5}, {"few_shots": 0}, False),
        ({"system_prompt": None}, {"system_prompt": "Be brief."}, False),
    ],
)
def test_scores_that_were_measured_alike_are_of_one_line(
    tmp_path: Path, keep: Keep, before: dict[str, Any], after: dict[str, Any], alike: bool
) -> None:
    keep("1", finished(6, fingerprint=before), 1)
    keep("2", finished(7, fingerprint=after), 2)
    assert one_line(tmp_path) == alike


def test_another_scale_and_other_questions_begin_a_line(tmp_path: Path, keep: Keep) -> None:
    keep("1", finished(6), 1)
    keep("2", finished(6, maximum=10), 2)
    keep("3", finished(6, maximum=10, left_out={"own": "-k"}), 3)
    (scores,) = read_history(tmp_path).scores
    assert [point.line for point in scores.points] == [1, 2, 3]
    assert scores.notes[0] == (
        "line 2 begins at 2026-11-02 10:00, as scores are not comparable: scale is 10.0 at 2026-11-02 10:00 "
        "and 1.0 at 2026-11-01 10:00"
    )


def test_two_kinds_of_runs_by_turns_are_two_lines(tmp_path: Path, keep: Keep) -> None:
    for day in range(1, 7):
        keep(str(day), finished(6, fingerprint={"data": {"own": "ab"[day % 2]}}), day)
    (scores,) = read_history(tmp_path).scores
    assert [point.line for point in scores.points] == [1, 2, 1, 2, 1, 2]
    assert len(scores.notes) == 1


def test_another_model_under_the_same_name_is_told_and_goes_on_with_the_line(
    tmp_path: Path, keep: Keep
) -> None:
    for day, digest in enumerate(["a", "a", "b"], 1):
        identity = ModelIdentity("lab", digest=digest)
        keep(str(day), finished(6, identities={"lab": identity}), day)
    (scores,) = read_history(tmp_path).scores
    assert scores.lines == 1
    assert scores.notes == (
        "another model under the name lab at 2026-11-03 10:00 than at 2026-11-02 10:00: its digest of "
        "weights and tokenizer is 'b' now and was 'a'",
    )


def test_each_model_has_a_history_of_its_own(tmp_path: Path, keep: Keep) -> None:
    keep("1", finished(6), 1)
    keep("2", finished(7, model="other"), 2)
    assert [(scores.model, len(scores.points)) for scores in read_history(tmp_path).scores] == [
        ("lab", 1), ("other", 1),
    ]  # fmt: skip


# --- what is shown ---


@pytest.fixture
def three(tmp_path: Path, keep: Keep) -> Path:
    """Three runs, of which the second failed its gate."""
    for day, right in enumerate([8, 2, 7], 1):
        keep(str(day), finished(right, gates=("own >= 0.5",)), day)
    return tmp_path


def test_a_table_has_the_scores_their_intervals_and_the_gates(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = history_lines(read_history(three))
    assert lines[1].split("  ")[0] == "run (UTC)"
    second = lines[4]
    assert "0.2000" in second
    assert second.isascii()
    assert second.endswith("failed")
    assert "o" in second
    assert max(map(len, lines)) <= 80
    assert lines[-2:] == [
        "gates that failed in 3 runs:",
        "  failed: 2026-11-02 10:00 own >= 0.5: expected >= 0.5, got 0.2000",
    ]


def test_the_page_draws_each_run_and_rings_those_whose_gate_failed(three: Path) -> None:
    found = read_history(three)
    (block,) = history_blocks(found, {("own", "lab")})
    assert [dot.failed for dot in block.dots] == [False, True, False]
    assert [dot.x for dot in block.dots] == sorted(dot.x for dot in block.dots)
    assert block.dots[1].y > block.dots[2].y > block.dots[0].y  # down is worse
    assert len(block.strokes) == 2
    page = html_page(RunReport.of(finished()), found)
    assert page.count('class="fail"') == 1
    assert "own &gt;= 0.5: expected &gt;= 0.5, got 0.2000" in page


def test_scores_of_two_lines_are_not_joined_in_the_page(tmp_path: Path, keep: Keep) -> None:
    for day, data in enumerate("aab", 1):
        keep(str(day), finished(day, fingerprint={"data": {"own": data}}), day)
    (block,) = history_blocks(read_history(tmp_path), {("own", "lab")})
    assert len(block.strokes) == 1


def test_the_page_has_no_history_of_one_run_or_of_other_models(three: Path, keep: Keep) -> None:
    found = read_history(three)
    assert history_blocks(found, {("own", "other")}) == []
    assert history_blocks(read_history(three, 1), {("own", "lab")}) == []


def test_names_of_strangers_are_only_text(tmp_path: Path, keep: Keep) -> None:
    name = "<img src=x>\x1b[2J"
    for day in (1, 2):
        keep(str(day), finished(2, model=name, gates=("own >= 0.5",)), day)
    assert "\x1b" not in history(tmp_path).output
    page = html_page(RunReport.of(finished(model=name)), read_history(tmp_path))
    assert "<img" not in page


def test_the_page_of_a_run_shows_the_history_of_another_folder(
    three: Path, keep: Keep, tmp_path: Path
) -> None:
    path = keep("elsewhere", finished(), 9)
    command = ["report", str(path)]
    for more, shown in (([], False), (["--history", str(three)], True)):
        ended = CliRunner().invoke(main, [*command, *more], catch_exceptions=False)
        assert ended.exit_code == 0
        page = (path.parent / "report.html").read_text("utf-8")
        assert ('id="history"' in page) == shown


def test_a_folder_that_cannot_be_entered_has_no_runs(tmp_path: Path, keep: Keep) -> None:
    keep("1", finished(), 1)
    (tmp_path / "link").symlink_to(tmp_path / "1")
    os.symlink("nowhere", tmp_path / "results.json")
    found = read_history(tmp_path)
    assert len(found.scores[0].points) == 1
    assert len(found.unread) == 1
