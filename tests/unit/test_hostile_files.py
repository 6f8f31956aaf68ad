"""Whatever bytes a stranger's file has, each reader reads them or says in one sentence what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pytest_instructlab_eval.data.answers import asked_turns, read_answers, read_questions
from pytest_instructlab_eval.data.mmlu_rows import read_mmlu
from pytest_instructlab_eval.data.safe_yaml import read_yaml
from pytest_instructlab_eval.data.task_files import find_task_files
from pytest_instructlab_eval.data.task_rows import count_rows, read_rows
from pytest_instructlab_eval.data.taxonomy import Taxonomy
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.records.baseline import read_baseline
from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.reports.kept_runs import read_kept_run
from pytest_instructlab_eval.suites.mt_bench_files import mt_bench_branch_files, mt_bench_files

from .test_changed_files import SCHEMA_1

ROW = json.dumps({"question": "Why?", "choices": ["a", "b", "c", "d"], "answer": 1})
ANSWER = json.dumps({"question_id": 81, "choices": [{"turns": ["a", "b"]}]})
PAIRS = "seed_examples:\n- question: Why?\n  answer: So.\n"
TURNS = json.dumps({"question_id": 81, "turns": ["a"]})
RUN, BASELINE = ((SCHEMA_1 / f"{name}.json").read_text("utf-8") for name in ("one", "baseline"))
TASK = 'task: lamps\ntag: mmlu_pr\ndataset_kwargs:\n  data_files:\n    test: "rows.jsonl"\n'

Reader = Callable[[Path], object]
READERS: dict[str, tuple[str, str, Reader]] = {
    "YAML": ("a.yaml", PAIRS, lambda folder: read_yaml(folder / "a.yaml")),
    "qna.yaml": ("compositional_skills/qna.yaml", PAIRS, lambda folder: Taxonomy(folder).read()),
    "task": ("a.yaml", TASK, find_task_files),
    "trusted task": ("a.yaml", TASK, lambda folder: find_task_files(folder, trust=True)),
    "rows": ("rows.jsonl", ROW, lambda folder: read_rows(folder / "rows.jsonl")),
    "number of rows": ("rows.jsonl", ROW, lambda folder: count_rows(folder / "rows.jsonl")),
    "MMLU": ("test/a_test.csv", "Why?,a,b,c,d,A\n", lambda folder: read_mmlu(folder, "test", "a")),
    "MT-Bench": ("question.jsonl", ANSWER, mt_bench_files),
    "prompts": ("system_prompts.json", '{"mistral": "Hi"}', mt_bench_branch_files),
    "answers": ("model_answer/m.jsonl", ANSWER, lambda folder: read_answers(folder, "m")),
    "turns": ("question.jsonl", TURNS, asked_turns),
    "questions": ("question.jsonl", TURNS, lambda folder: read_questions(folder, [])),
    "results": ("r.json", RUN, lambda folder: read_run(folder / "r.json")),
    "run of a history": (
        "r/results.json", RUN, lambda folder: read_kept_run(folder / "r/results.json", folder)
    ),
    "baseline": ("b.json", BASELINE, lambda folder: read_baseline(folder / "b.json")),
}  # fmt: skip

# What breaks readers, put anywhere into a good file: half characters, brackets without end, odd numbers.
ODD = [
    b"", b"\xff", b"\xed\xa0\x80", b"\0", b"\x1b[2J", b"\xef\xbb\xbf", b"\r", b"\n", "\u2028".encode(),
    b"\\ud800", b"[" * 5000, b'{"a":' * 5000, b"9" * 5000, b"1e999", b"NaN", b"&a [*a]", b"---\n",
    b"!!python/name:os.system", b"null", b"{}", b'"', b"'", b"\t",
]  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), odd=st.sampled_from(ODD) | st.binary(max_size=20), cut=st.booleans())
@example(place=0.0, odd=b"[" * 200_000, cut=True)
def test_any_file_is_read_or_refused_in_a_sentence(
    tmp_path: Path, name: str, place: float, odd: bytes, cut: bool
) -> None:
    file, text, read = READERS[name]
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    good = text.encode()
    at = round(place * len(good))
    path.write_bytes(good[:at] + odd + (b"" if cut else good[at:]))
    try:
        read(tmp_path)
    except DataError as error:
        message = str(error)
    else:
        return
    assert str(tmp_path) in message
    assert message.replace("\n", "").isprintable()
