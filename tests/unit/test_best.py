"""`python -m pytest_instructlab_eval best`: the path of the best model, never of one without a score."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result as Found
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport

NO_NUMBER = "expected a finite log-probability (got nan)"


def task(model: str, answers: str, benchmark: str = "mmlu") -> Found:
    """A task of a model's: right ("1"), wrong ("0"), and questions that could not be asked ("-")."""
    values = {"1": 1.0, "0": 0.0, "-": None}
    samples = [
        Sample(str(number), values[sign], error=NO_NUMBER if sign == "-" else None)
        for number, sign in enumerate(answers)
    ]
    return Found(benchmark, "law", "law", model, scores=(Score.mean_of(samples, metric="acc"),))


def best(tmp_path: Path, *results: Found) -> Result:
    models = {result.model: f"/checkpoints/{result.model}" for result in results}
    write_results(tmp_path / "results.json", RunReport.of(Run(results, models=models)))
    return CliRunner().invoke(main, ["best", str(tmp_path)])


def test_the_path_of_the_best_model_is_printed(tmp_path: Path) -> None:
    done = best(tmp_path, task("a", "0111"), task("b", "0011"))
    assert (done.exit_code, done.stdout) == (0, "/checkpoints/a\n")


def test_a_model_without_a_measured_question_is_never_the_best_and_is_named(tmp_path: Path) -> None:
    done = best(tmp_path, task("broken", "----"), task("a", "0001"), task("b", "0011"))
    assert (done.exit_code, done.stdout) == (0, "/checkpoints/b\n")
    assert done.stderr.startswith(
        "not ranked: broken has no score on mmlu (4 of 4 questions could not be asked; the first, question 0"
        f": {NO_NUMBER})\n"
    )


def test_where_one_of_two_models_has_a_score_it_is_the_best(tmp_path: Path) -> None:
    done = best(tmp_path, task("broken", "----"), task("a", "0000"))
    assert (done.exit_code, done.stdout) == (0, "/checkpoints/a\n")
    assert "not ranked: broken has no score on mmlu" in done.stderr


def test_where_no_model_has_a_score_nothing_is_printed_and_the_status_is_1(tmp_path: Path) -> None:
    for results in ([task("a", "----")], [task("a", "----"), task("b", "---")]):
        done = best(tmp_path, *results)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "results.json: no best model, as no model has a score: a has no score on mmlu" in done.stderr
        assert NO_NUMBER in done.stderr


def test_models_with_scores_on_different_benchmarks_are_not_compared(tmp_path: Path) -> None:
    done = best(tmp_path, task("a", "11"), task("b", "11", "own"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert (
        "a has no score on own (it got no question); b has no score on mmlu (it got no question)"
        in done.stderr
    )


def test_a_model_that_may_be_ahead_only_for_its_errors_is_not_printed(tmp_path: Path) -> None:
    done = best(tmp_path, task("a", "1---"), task("b", "0111"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "a is ahead of b, but perhaps only because 3 of its questions ended in an error" in done.stderr


def test_a_model_that_is_ahead_whatever_its_errors_would_have_been_is_the_best(tmp_path: Path) -> None:
    done = best(tmp_path, task("a", "111-"), task("b", "0100"))
    assert (done.exit_code, done.stdout) == (0, "/checkpoints/a\n")


def test_a_folder_is_printed_by_its_path_from_here_wherever_the_run_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, here = tmp_path / "training", tmp_path / "elsewhere"
    (started / "models/a").mkdir(parents=True)
    here.mkdir()
    results = (task("a", "0111"), task("hub", "0011"))
    run = Run(results, models={"a": "models/a", "hub": "org/hub"}, directory=str(started))
    write_results(tmp_path / "results.json", RunReport.of(run))
    monkeypatch.chdir(here)
    done = CliRunner().invoke(main, ["best", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "../training/models/a\n")


def test_the_location_of_a_model_that_is_no_folder_of_the_run_is_its_name(tmp_path: Path) -> None:
    run = Run((), models={"lab": "org/lab", "tiny": str(tmp_path)}, directory=str(tmp_path))
    names = {label: run.model_location(label) for label in ("lab", "tiny", "unlabelled")}
    assert names == {"lab": "org/lab", "tiny": str(tmp_path), "unlabelled": "unlabelled"}


def test_who_may_equal_the_best_and_how_much_of_its_score_is_luck_is_said_beside_the_path(
    tmp_path: Path,
) -> None:
    done = best(tmp_path, task("a", "0111"), task("b", "0011"), task("c", "1010"))
    equal, luck = done.stderr.splitlines()
    assert equal == "note: a may not be the best: b, c may equal it; ask more questions"
    assert re.fullmatch(
        r"note: the score of a is about 0\.\d{4} too high, since the highest of 3 scores is partly luck", luck
    )


def test_of_a_best_model_that_leads_by_far_nothing_is_said_beside_the_path(tmp_path: Path) -> None:
    done = best(tmp_path, task("a", "1" * 90 + "0" * 10), task("b", "1" * 10 + "0" * 90))
    assert (done.stdout, done.stderr) == ("/checkpoints/a\n", "")
