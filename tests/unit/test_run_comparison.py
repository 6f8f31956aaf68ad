"""`python -m pytest_instructlab_eval compare`: of models by name, and never green over what was lost."""

from __future__ import annotations

from pathlib import Path

import click.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.records.run import ModelAdaptation, Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import OWN_CONTENT, Result, Score
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.stats.lost_questions import lost_questions

TASKS = ("anatomy", "law", "virology")
ROWS = 8
DROP = ("--gate", "mmlu.drop <= 0.5")


def task(subject: str, model: str = "tiny", rows: int = ROWS, benchmark: str = "mmlu") -> Result:
    samples = [Sample(str(number), float(number % 2)) for number in range(rows)]
    return Result(benchmark, subject, subject, model, scores=(Score.mean_of(samples, metric="acc"),))


def own(name: str, value: float | None = 1.0, error: str | None = None) -> Result:
    scores = () if error else (Score(value),)
    return Result("own", name, "", "tiny", scores=scores, error=error, content=f"{OWN_CONTENT}abc")


def save(folder: Path, *results: Result, **settings: object) -> str:
    fingerprint = {"few_shots": 5, **settings.pop("fingerprint", {})}  # type: ignore[dict-item]
    models = {result.model: result.model for result in results}
    folder.mkdir()
    run = Run(results, {"few_shots": 5}, fingerprint, models, **settings)  # type: ignore[arg-type]
    write_results(folder / "results.json", RunReport.of(run))
    return str(folder)


def compare(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["compare", *arguments])


# --- what was lost ---


def test_a_gate_on_a_run_that_lacks_results_is_not_decided(tmp_path: Path) -> None:
    before = save(tmp_path / "before", *map(task, TASKS))
    after = save(tmp_path / "after", task("law"))
    done = compare(before, after, *DROP)
    assert done.exit_code == 7
    assert (
        f"{after} cannot be gated: it has no result of 16 of 24 questions of mmlu that {before} has "
        "(anatomy:0, anatomy:1, " in done.stderr
    )
    assert "run it again, or gate what both have with --allow-mismatch" in done.stderr
    assert compare(before, after, *DROP, "--allow-mismatch").exit_code == 0
    assert compare(before, after).exit_code == 0  # it only shows what changed
    assert compare(after, before, *DROP).exit_code == 0  # more questions than before are no loss


def test_a_loss_of_one_row_of_a_task_is_a_loss(tmp_path: Path) -> None:
    before = save(tmp_path / "before", *map(task, TASKS))
    after = save(tmp_path / "after", *map(task, TASKS[:2]), task("virology", rows=ROWS - 1))
    assert "no result of 1 of 24 questions of mmlu" in compare(before, after, *DROP).stderr


def test_a_loss_in_a_benchmark_that_is_not_gated_is_none(tmp_path: Path) -> None:
    before = save(tmp_path / "before", task("law"), own("a"), own("b"))
    after = save(tmp_path / "after", task("law"), own("a"))
    assert compare(before, after, *DROP).exit_code == 0
    assert "no result of 1 of 2 questions of own" in compare(before, after, "--gate", "own >= 0.1").stderr


def test_an_error_and_a_missing_rating_are_results_which_have_gates_of_their_own(tmp_path: Path) -> None:
    before = save(tmp_path / "before", own("a"), own("b"), own("c"))
    after = save(tmp_path / "after", own("a"), own("b", None), own("c", error="the server is away"))
    done = compare(before, after, "--gate", "own >= 0.1")
    assert done.exit_code == 7
    assert "failed: own.error_rate <= 0" in done.stdout
    assert "failed: own.unscored_rate <= 0.05" in done.stdout


def test_the_gates_of_a_part_of_a_benchmark_are_skipped_as_in_its_run(tmp_path: Path) -> None:
    before = save(tmp_path / "before", *map(task, TASKS))
    after = save(tmp_path / "after", task("law"), left_out={"mmlu": "16 questions were deselected"})
    done = compare(before, after, *DROP)
    assert (done.exit_code, "skipped: mmlu.drop <= 0.5: 16 questions were" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("chosen", "rows", "status"),
    [
        ({"sample": 9, "sample_seed": 0}, (3, 3, 3), 0),
        ({"sample": 9, "sample_seed": 0}, (3, 3, 2), 7),
        ({"sample": 900, "sample_seed": 0}, (8, 8, 8), 0),
        ({"sample": 900, "sample_seed": 0}, (8, 8), 7),
        ({"first_n": 2}, (2, 2, 2), 0),
        ({"first_n": 2}, (2, 2), 7),
        ({"first_n": 900}, (8, 8, 8), 0),
    ],
)
def test_a_sample_and_the_first_rows_of_each_task_are_known_by_their_number(
    tmp_path: Path, chosen: dict[str, int], rows: tuple[int, ...], status: int
) -> None:
    before = save(tmp_path / "before", *map(task, TASKS))
    results = [task(name, rows=count) for name, count in zip(TASKS, rows, strict=False)]
    done = compare(before, save(tmp_path / "after", *results, fingerprint=chosen), *DROP)
    assert done.exit_code == status, done.output


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 14), st.integers(0, 1))
def test_so_many_are_lost_as_were_taken_away(kept: list[bool], sample: int, seed: int) -> None:
    names = [f"q{number}" for number in range(len(kept))]
    theirs = [own(name) for name in names]
    ours = [own(name) for name, keep in zip(names, kept, strict=True) if keep]
    whole = {"sample": sample, "sample_seed": seed}
    lost = lost_questions(ours, theirs, whole, whole)
    assert lost.names == tuple(name for name, keep in zip(names, kept, strict=True) if not keep)
    assert lost_questions(ours, theirs, {}, whole) == lost
    part = lost_questions(ours, theirs, whole, {})
    assert part.count == max(0, min(sample, len(names)) - len(ours))


# --- which models, which configurations ---


def test_two_models_of_one_run_are_compared_by_name(tmp_path: Path) -> None:
    run = save(tmp_path / "run", *(task(name, model) for name in TASKS for model in ("first", "second")))
    done = compare(run, run, "--before-model", "first", "--after-model", "second", *DROP)
    assert done.exit_code == 0
    assert "mmlu: second against first" in done.stdout
    assert "against first" in done.stdout.partition("gates: ")[2]
    unknown = compare(run, run, "--before-model", "frist")
    assert unknown.exit_code == 1
    assert f"{run} has no model frist (known: first, second); did you mean first?" in unknown.stderr


def test_each_note_below_several_models_names_its_model(tmp_path: Path) -> None:
    results = [task(name, model) for name in TASKS for model in ("first", "second")]
    before = save(tmp_path / "before", *results)
    after = save(tmp_path / "after", *results[2:])
    lines = [line for line in compare(before, after).stdout.splitlines() if line.startswith("mmlu ")]
    assert [line for line in lines if "against the baseline (first)" in line]
    assert [line for line in lines if line.startswith("mmlu (first): 8 questions not compared")]
    assert [line for line in lines if line.startswith("mmlu (second): 8 questions not compared")]


def test_models_that_have_no_counterpart_lead_to_the_options_that_name_them(tmp_path: Path) -> None:
    before = save(tmp_path / "before", task("law", "a"), task("law", "b"))
    after = save(tmp_path / "after", task("law", "c"))
    assert "name one of each with --before-model and --after-model" in compare(before, after).stderr
    assert "mmlu: c against b" in compare(before, after, "--before-model", "b").stdout


def test_runs_of_different_configurations_are_named_each_by_its_folder(tmp_path: Path) -> None:
    merged = ModelAdaptation("model", "tiny", "merged_system_message", "merged", changes_answers=True)
    before = save(tmp_path / "before", task("law"))
    adapted = Run((), adaptations=(merged,)).adapted()
    after = save(tmp_path / "after", task("law"), fingerprint={"adaptations": adapted, "few_shots": 0})
    done = compare(before, after)
    assert done.exit_code == 1
    assert f"few_shots is 0 in {after} and 5 in {before}; " in done.stderr
    assert (
        f"adaptations is ['model: merged_system_message'] in {after} and not set in {before}" in done.stderr
    )
    assert "; ask both with --eval-merge-model-system-message, or allow the comparison with" in done.stderr
