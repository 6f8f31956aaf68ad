"""Which questions are about one passage, and what becomes of them in a score and in files."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.mmlu_rows import read_mmlu
from pytest_instructlab_eval.data.passages import own_passage, passages_of
from pytest_instructlab_eval.data.task_rows import read_rows
from pytest_instructlab_eval.records.baseline import read_baseline
from pytest_instructlab_eval.records.baseline_writer import write_baseline
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.statistics import clustered_standard_error, standard_error
from pytest_instructlab_eval.stats.values import Values, units_of
from tests.branch_tasks import rows, write_rows

LIGHTHOUSE = "The lighthouse of Brindle Bay was built in a year of storms. " * 5
FERRY = "The night ferry leaves the harbour when the last lamp is lit. " * 5
INSTRUCTION = "Read the text with care and choose the one answer that the text itself supports. " * 3
QUESTIONS = ("Who built the tower by the sea?", "When does the keeper go home?", "What burns in the lamp?")


def numbered(passages: tuple[str, ...]) -> list[int]:
    """The passages by the order in which they come first; 0 for none."""
    order = [passage for passage in dict.fromkeys(passages) if passage]
    return [order.index(passage) + 1 if passage else 0 for passage in passages]


def found(*questions: str) -> list[int]:
    return numbered(passages_of([""] * len(questions), questions))


# --- which passage a row names ---


@pytest.mark.parametrize("field", ["context", "document", "content"])
def test_a_row_names_its_passage_as_we_and_the_versions_of_sdg_do(field: str) -> None:
    assert own_passage({field: f" {FERRY} ", "question": "?"}) == FERRY.strip()


@pytest.mark.parametrize("value", [None, "", " \n", 7, ["a"], {"a": "b"}])
def test_what_is_no_text_names_no_passage(value: object) -> None:
    assert own_passage({"context": value}) == ""
    assert own_passage({"context": value, "document": "Rain."}) == "Rain."


def test_rows_of_one_passage_share_a_digest_and_a_row_alone_with_its_passage_has_none() -> None:
    assert numbered(passages_of(["a", "b", "a", "c", "b", "b"], ["?"] * 6)) == [1, 2, 1, 0, 2, 2]


def test_questions_of_a_task_that_has_one_passage_are_independent() -> None:
    assert passages_of(["a", "a", "a"], QUESTIONS) == ("", "", "")


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=9), st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference(own: list[str], draw: random.Random) -> None:
    questions = [f"Question {number}?" for number in range(len(own))]
    pairs = list(zip(own, questions, strict=True))
    draw.shuffle(pairs)
    before = dict(zip(questions, passages_of(own, questions), strict=True))
    after = passages_of([text for text, _ in pairs], [question for _, question in pairs])
    assert dict(zip((question for _, question in pairs), after, strict=True)) == before


# --- which passage questions begin with ---


def test_a_passage_that_questions_begin_with_is_found() -> None:
    asked = [f"{text}\n{question}" for text in (LIGHTHOUSE, FERRY) for question in QUESTIONS]
    assert found(*asked, "How many lamps does Brindle Bay need?") == [1, 1, 1, 2, 2, 2, 0]


def test_an_instruction_before_all_questions_is_no_passage() -> None:
    assert found(*(f"{INSTRUCTION}\n{question}" for question in QUESTIONS)) == [0, 0, 0]


def test_an_instruction_before_passages_makes_them_no_single_one() -> None:
    texts = (LIGHTHOUSE, FERRY, "Moss owls sleep by day and hunt along the old stone walls at night. " * 5)
    asked = [f"{INSTRUCTION}\n{text}\n{question}" for text in texts for question in QUESTIONS[:2]]
    assert found(*asked, "How many lamps does Brindle Bay need?") == [1, 1, 2, 2, 3, 3, 0]


def test_a_short_instruction_before_some_questions_is_no_passage() -> None:
    asked = [f"Choose the right answer to this question about the sea. {text}" for text in QUESTIONS]
    assert found(*asked, "How many lamps does Brindle Bay need?") == [0, 0, 0, 0]


def test_an_instruction_before_formulas_is_no_passage() -> None:
    asked = [f"{INSTRUCTION}\n{formula}" for formula in ("~G > H", "E > (F v ~G)", "~K = L")]
    assert found(*asked, "How many lamps does Brindle Bay need?") == [0, 0, 0, 0]


def test_one_long_sentence_that_is_filled_in_is_no_passage() -> None:
    begin = "In a survey of all the people of Brindle Bay and of the villages round it, held in the year " * 3
    asked = [f"{begin}{year}, how many had a lamp?" for year in (1, 2)]
    assert found(*asked, "Who has a lamp?") == [0, 0, 0]


PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "mmlu"


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="MMLU as it was published isn't here")
@pytest.mark.parametrize(
    ("subject", "least", "most"),
    [
        ("high_school_european_history", 0.95, 1.0),  # each question has the source that it is about
        ("high_school_world_history", 0.95, 1.0),
        ("formal_logic", 0.0, 0.03),  # a long instruction before formulas
        ("professional_law", 0.0, 0.03),  # long questions, each with its own story
        ("professional_medicine", 0.0, 0.03),
        ("high_school_geography", 0.0, 0.0),
    ],
)
def test_in_real_questions_those_about_one_source_are_found_and_no_others(
    subject: str, least: float, most: float
) -> None:
    questions = [row.question.strip() for row in read_mmlu(PUBLISHED, "test", subject)]
    passages = passages_of([""] * len(questions), questions)
    assert least <= sum(map(bool, passages)) / len(passages) <= most


@given(st.lists(st.tuples(st.sampled_from(["", FERRY, LIGHTHOUSE]), st.text(max_size=30)), max_size=8))
def test_any_questions_have_a_digest_or_none_each(parts: list[tuple[str, str]]) -> None:
    questions = [f"{text}{rest}" for text, rest in parts]
    passages = passages_of([""] * len(questions), questions)
    assert len(passages) == len(questions)
    assert all(not passage or passages.count(passage) > 1 for passage in passages)
    assert all(not passage or set(passage) <= set(string.hexdigits) for passage in passages)


# --- in rows, scores and files ---


def test_the_rows_of_a_task_have_their_passages(tmp_path: Path) -> None:
    records = rows(6)
    for number, record in enumerate(records):
        record["document"] = (LIGHTHOUSE, FERRY)[number // 3]
    write_rows(tmp_path / "rows.jsonl", records)
    assert numbered(read_rows(tmp_path / "rows.jsonl").passages) == [1, 1, 1, 2, 2, 2]
    write_rows(tmp_path / "rows.jsonl", rows(6))
    assert read_rows(tmp_path / "rows.jsonl").passages == ("",) * 6


def task(*values: float | None, passages: str) -> Result:
    """A result of a task whose questions have a letter for their passage, "-" for none."""
    samples = [
        Sample(str(number), value, passage=passage.strip("-"))
        for number, (value, passage) in enumerate(zip(values, passages, strict=True))
    ]
    return Result("mmlu_branch", "task", "task", "tiny", scores=(Score.mean_of(samples, metric="acc"),))


def test_the_standard_error_of_a_score_is_that_of_its_passages() -> None:
    score = task(1.0, 1.0, 0.0, 1.0, 0.0, passages="aabb-").scores[0]
    assert score.stderr == pytest.approx(clustered_standard_error([[1.0, 1.0], [0.0, 1.0], [0.0]]))


def test_without_passages_it_is_that_of_independent_questions() -> None:
    values = [1.0, 1.0, 0.0]
    assert task(*values, passages="---").scores[0].stderr == standard_error(values)


def test_questions_of_a_single_passage_have_no_standard_error() -> None:
    assert task(1.0, 0.0, None, passages="aab").scores[0].stderr is None


def test_the_values_of_a_task_come_by_passage() -> None:
    values = Values.scored(units_of([task(1.0, 0.0, 1.0, 0.0, passages="a-ab")]))
    assert values.passages == [[[1.0, 1.0], [0.0], [0.0]]]
    assert values.have_passages
    assert values.are_answers


def test_a_baseline_keeps_the_passages(tmp_path: Path) -> None:
    result = task(1.0, 0.0, None, passages="a-a")
    write_baseline(tmp_path / "base.json", [result], {})
    (read,) = read_baseline(tmp_path / "base.json").results
    assert [sample.passage for sample in read.scores[0].samples] == ["a", "", "a"]


def test_a_baseline_without_passages_is_as_it_was_before(tmp_path: Path) -> None:
    write_baseline(tmp_path / "base.json", [task(1.0, 0.0, passages="--")], {})
    written = json.loads((tmp_path / "base.json").read_text("utf-8"))
    assert written["benchmarks"]["mmlu_branch"]["questions"] == {"task": {"scores": {"acc": "10"}}}


def test_a_sample_without_a_passage_is_written_as_before() -> None:
    assert "passage" not in Sample("0", 1.0).to_plain()
    assert Sample.from_plain(Sample("0", 1.0, passage="a").to_plain()).passage == "a"
