"""report.html without a browser: it can be written of any run, and says what the run's verdict is."""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.parsers import parse_price
from pytest_instructlab_eval.records.evidence import Evidence, Judgment, ModelReply
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.html.charts import histogram
from pytest_instructlab_eval.reports.html.page import html_page
from pytest_instructlab_eval.reports.html.page_data import page_data
from pytest_instructlab_eval.reports.html.question_table import question_table
from pytest_instructlab_eval.reports.html.score_blocks import short_file_names
from pytest_instructlab_eval.reports.run_report import RunReport


def headline(*results: Result, **more: object) -> str:
    models = {result.model: result.model for result in results} or {"lab": "lab"}
    page = html_page(RunReport.of(Run(results, models=models, **more)))  # type: ignore[arg-type]
    found = re.search(r'<h1 id="headline">(.*?)</h1>', page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def test_a_run_without_a_score_is_never_said_to_have_passed() -> None:
    said = headline(Result("own", "a", "", "lab", error="no"))
    assert said.startswith(
        "no question of own has a score: no; 1 test failed; own.error_rate <= 0 failed: expected"
    )


def test_a_run_without_results_says_so() -> None:
    assert headline() == "No question was asked."


def test_a_run_that_passed_says_so() -> None:
    passed = Result("own", "a", "", "lab", scores=(Score(1.0),))
    assert headline(passed) == "No gate failed: 2 passed (2 default)."


@given(text=st.text(max_size=40), value=st.none() | st.floats(0, 1))
def test_any_text_and_any_score_make_a_page(text: str, value: float | None) -> None:
    score = Score(value, f"m {text}", explanation=text)
    assert headline(Result(f"b {text}", f"q {text}", text, f"m {text}", scores=(score,)))


def test_a_question_of_a_task_has_the_samples_of_all_its_scores() -> None:
    def sampled(metric: str, *samples: Sample) -> Score:
        return Score.mean_of(samples, metric=metric)

    one, other = Sample("a", 1.0), Sample("a", 0.0)
    task = Result(
        "own", "t", "t", "lab", scores=(sampled("acc", one, Sample("b", 1.0)), sampled("f1", other))
    )
    alone = Result("own", "q", "", "lab", scores=(Score(1.0),))
    rows = question_table(RunReport.of(Run((task, alone), models={"lab": "lab"}))).rows
    assert [len(row.samples) for row in rows] == [2, 1, 0]
    assert rows[0].samples == [one, other]


def test_doubts_about_a_test_are_not_told_of_each_question_of_its_task() -> None:
    judgment = Judgment(5.0, "five, or one", contradictory=(1.0, 5.0))
    evidence = Evidence(replies=(ModelReply("so", "length"),), judgments=(judgment,))
    samples = (Sample("a", 0.0), Sample("b", 1.0))
    score = Score(0.5, "acc", n=2, samples=samples, evidence=evidence)
    alone = Score(0.5, "acc", evidence=evidence)
    results = [Result("own", name, "", "lab", scores=(one,)) for name, one in [("t", score), ("q", alone)]]
    rows = question_table(RunReport.of(Run(tuple(results), models={"lab": "lab"}))).rows
    flags = [(row.of(0).cut_off, row.of(0).contradictory) for row in rows]
    assert flags == [(False, False), (False, False), (True, True)]


@pytest.mark.parametrize(
    ("maximum", "labels"),
    [(3.0, ["1", "2", "3"]), (2.0, ["0 to 0.2", "0.2 to 0.4"]), (0.5, ["0 to 0.05", "0.05 to 0.1"])],
)
def test_a_histogram_has_a_bar_for_each_whole_number_or_tenth(maximum: float, labels: list[str]) -> None:
    assert [bar.label for bar in histogram([[maximum]], maximum)][: len(labels)] == labels


def test_bars_are_shares_of_their_side_and_the_highest_of_all_is_1() -> None:
    bars = histogram([[0.2, 3.0, 3.4, 9.0], [1.0, 2.0]], 3.0)
    assert [(bar.label, bar.shares, bar.counts) for bar in bars] == [
        ("0", (0.3333, 0.0), (1, 0)),
        ("1", (0.0, 0.6667), (0, 1)),
        ("2", (0.0, 0.6667), (0, 1)),
        ("3", (1.0, 0.0), (3, 0)),
    ]


def index_of(*samples: Sample) -> dict[str, Any]:
    """The columns that a page reads first, of a task with these samples."""
    result = Result("mmlu", "task", "task", "lab", scores=(Score.mean_of(samples, metric="acc"),))
    report = RunReport.of(Run((result,), models={"lab": "lab"}))
    packed = base64.b64decode(page_data(question_table(report)).index)
    return dict(json.loads(zlib.decompress(packed)))


def test_a_choice_is_known_by_its_letter_or_its_text() -> None:
    texts, likelihoods = ("red", "green"), (-1.0, -2.0)
    index = index_of(
        Sample("letter", 0.0, "B", "A", likelihoods, choices=texts),
        Sample("text", 1.0, "green", "green", likelihoods, choices=texts),
        Sample("no texts", 1.0, "B", "B", likelihoods),
        Sample("beyond", 0.0, "Z", "blue", likelihoods, choices=texts),
        Sample("error", None, error="no"),
    )
    assert index["findings"][0]["choice"] == [1, 1, 1, -1, -1]
    assert index["right"] == [0, 1, 1, -1, -1]


@given(st.builds(Sample, st.text(), st.floats(0, 1), st.text() | st.none(), st.text() | st.none(),
                 choices=st.lists(st.text(), max_size=30).map(tuple)))  # fmt: skip
def test_any_choice_has_a_place_among_the_choices_or_none(sample: Sample) -> None:
    index = index_of(sample)
    places = [*index["findings"][0]["choice"], *index["right"]]
    assert all(-1 <= place < len(sample.choices) for place in places)


def test_a_page_has_its_script_before_the_texts_of_the_questions() -> None:
    page = html_page(RunReport.of(Run((Result("own", "a", "", "lab", scores=(Score(1.0),)),))))
    assert page.index('id="index"') < page.index("<script>") < page.index('class="details"')


def test_long_names_may_be_broken_behind_their_separators() -> None:
    results = [Result("own", group, group, "lab", scores=(Score(1.0),)) for group in ("one_two/<b>", "c")]
    page = html_page(RunReport.of(Run(tuple(results))))
    assert "<bdi>one_<wbr>two/&lt;b&gt;</bdi>" in page


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["writing", "math"], ["writing", "math"]),
        (["a/b/qna.yaml", "a/c/qna.yaml"], ["b", "c"]),
        (["a/b/qna.yaml", "c/b/qna.yaml"], ["a/b", "c/b"]),
        (["a/one.yaml", "b/two.yaml"], ["one.yaml", "two.yaml"]),
        (["a/b", "alone"], ["a/b", "alone"]),
        ([], []),
    ],
)
def test_a_radar_names_files_by_what_tells_them_apart(names: list[str], short: list[str]) -> None:
    assert short_file_names(names) == short


@pytest.mark.parametrize("text", ["0", "0.5", "my-judge=2.5", "a=b=3"])
def test_a_price_is_read(text: str) -> None:
    assert parse_price(text) == text


@pytest.mark.parametrize("text", ["", "x", "judge=", "-1", "inf", "nan"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected PRICE or NAME=PRICE, such as"):
        parse_price(text)
