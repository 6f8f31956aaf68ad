"""MMLU-Branch's files: those of InstructLab's SDG are taken, others refused before they can do harm."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.mmlu_rows import MMLURow
from pytest_instructlab_eval.data.task_files import TaskFile, find_task_files, sdg_folders
from pytest_instructlab_eval.data.task_rows import TaskRows, check_answer, count_rows, read_rows
from pytest_instructlab_eval.errors import DataError
from tests.branch_tasks import TEMPLATE, rows, settings, write_included, write_rows, write_task

ADVICE = (
    "; such a task can make lm-eval run code, so use --eval-trust-tasks only if you trust everyone who "
    "wrote the tasks"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tasks beside which other files may lie."""
    folder = tmp_path / "node_datasets_2025"
    folder.mkdir()
    return folder


def refusal(folder: Path, *, trust: bool = False) -> str:
    """Why the folder, or its one task that can't be asked, is refused."""
    try:
        (problem,) = [task.problem for task in find_task_files(folder, trust=trust) if task.problem]
    except DataError as error:
        return str(error)
    return problem


def append(path: Path, text: str) -> Path:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
    return path


def line_of(path: Path, begin: str) -> int:
    """The last line of a file that begins so, blanks aside."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return max(number for number, line in enumerate(lines, 1) if line.strip().startswith(begin))


# --- tasks as SDG writes them ---


def test_a_task_that_scores_texts_is_found_with_the_rows_beside_it(folder: Path) -> None:
    path = write_task(folder, "lamps")
    assert find_task_files(folder) == [TaskFile("lamps", path, folder / "mmlubench_lamps.jsonl", "texts")]


def test_a_task_that_scores_letters_is_found(folder: Path) -> None:
    write_task(folder, "lamps", letters=True)
    assert [task.form for task in find_task_files(folder)] == ["letters"]


def test_a_task_of_the_older_form_is_found_with_what_it_includes(folder: Path) -> None:
    path = write_included(folder, "lamps")
    assert find_task_files(folder) == [TaskFile("lamps", path, folder / "lamps.jsonl", "letters")]


def test_tasks_of_all_folders_below_are_found_sorted_by_name(folder: Path) -> None:
    write_task(folder / "z", "a")
    write_task(folder / "y" / "x", "c")
    write_included(folder, "b")
    assert [task.name for task in find_task_files(folder)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tag": ["mmlu_pr", "other"]},
        {"tag": None, "group": "mmlu_pr"},
        {"metadata": {"version": 1.0}},
        {"metric_list": None},
        {"metric_list": [{"metric": "acc"}, {"metric": "acc_norm", "higher_is_better": True}]},
    ],
    ids=str,
)
def test_what_makes_no_difference_may_differ(folder: Path, changes: dict[str, Any]) -> None:
    write_task(folder, "lamps", **changes)
    assert len(find_task_files(folder)) == 1


def test_other_yaml_files_are_passed_by(folder: Path) -> None:
    write_task(folder, "lamps")
    write_task(folder, "other", tag="anything")
    write_task(folder / ".hidden", "hidden")
    (folder / "recipe.yaml").write_text("- a\n- b: !own x\n", encoding="utf-8")
    (folder / "empty.yaml").write_text("", encoding="utf-8")
    assert [task.name for task in find_task_files(folder)] == ["lamps"]


def test_a_folder_without_tasks_is_refused_with_what_was_looked_for(folder: Path) -> None:
    write_task(folder, "lamps", tag="other")
    assert refusal(folder) == (
        f"{folder} has no task with `tag: mmlu_pr` or `group: mmlu_pr` in any of its 1 .yaml files; "
        "--eval-tasks-dir must be a folder that InstructLab's SDG wrote, such as node_datasets_<date>"
    )


def test_a_folder_that_is_not_there_is_refused_with_the_option(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path / "none")
        == f"--eval-tasks-dir: {tmp_path / 'none'} is not a folder; give the folder of the tasks"
    )


def test_two_tasks_of_one_name_are_refused_with_both_files(folder: Path) -> None:
    one, other = write_task(folder / "a", "lamps"), write_task(folder / "b", "lamps")
    assert refusal(folder) == f"{one} and {other} both define the task lamps; remove one"


def test_a_task_that_cannot_be_asked_stops_no_other(folder: Path) -> None:
    write_task(folder, "fine")
    write_task(folder, "evil", doc_to_text="{{ open('ran', 'w') }}")
    task_with_data(folder, "nowhere.jsonl").rename(folder / "gone_task.yaml")
    found = {task.path.name: task.problem for task in find_task_files(folder)}
    assert found["fine_task.yaml"] is None
    assert "expected the data file nowhere.jsonl" in str(found["gone_task.yaml"])
    assert "doc_to_text must be " in str(found["evil_task.yaml"])


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("node_datasets_2024-07-26T17_05_21", "node_datasets_2025-01-15T09_00_00"),
        ("node_datasets_2025-01-15T09_00_00", "node_datasets_2025-01-15T09_00_01"),
        ("node_datasets_2025-01-15T09_00_00", "node_datasets_2025-01-15T10:00:00"),
        ("node_datasets_20250115", "node_datasets_2025-01-16"),
        ("a/node_datasets_2025-01-16", "b/node_datasets_2025-01-17"),
        ("z/node_datasets_2024-12-31T23_59_59", "node_datasets_2025-01-01T00_00_00"),
    ],
)
def test_the_newest_of_several_folders_of_sdgs_is_read(folder: Path, older: str, newer: str) -> None:
    tasks = folder.parent / "datasets"
    write_task(tasks / newer, "lamps")  # the newer one was copied first
    write_task(tasks / older, "lamps")
    write_task(tasks / older, "doors")
    write_task(tasks, "beside")
    assert sdg_folders(tasks) == [tasks / newer, tasks / older]
    found = {task.name: task.path.parent for task in find_task_files(tasks)}
    assert found == {"beside": tasks, "lamps": tasks / newer}
    assert [task.name for task in find_task_files(tasks / older)] == ["doors", "lamps"]


def test_without_a_date_the_time_of_the_last_change_decides(folder: Path) -> None:
    tasks = folder.parent / "datasets"
    for name, changed in (("node_datasets_new", 2_000_000_000), ("node_datasets_9999-99-99", 1_000_000_000)):
        write_task(tasks / name, "lamps")
        os.utime(tasks / name, (changed, changed))
    write_task(tasks / "node_datasets_2025-01-15", "lamps")
    assert [path.name for path in sdg_folders(tasks)] == [
        "node_datasets_new", "node_datasets_2025-01-15", "node_datasets_9999-99-99",
    ]  # fmt: skip


# --- where the rows are ---


def task_with_data(folder: Path, data: object) -> Path:
    path = folder / "lamps_task.yaml"
    path.write_text(yaml.safe_dump(settings("lamps", data), sort_keys=False), encoding="utf-8")  # type: ignore[arg-type]
    return path


def test_a_path_inside_the_folder_is_taken(folder: Path) -> None:
    write_rows(folder / "deep" / "rows.jsonl", rows(1))
    write_rows(folder / "rows.jsonl", rows(2))
    task_with_data(folder, str(folder / "deep" / "rows.jsonl"))
    assert find_task_files(folder)[0].data == folder / "deep" / "rows.jsonl"


def test_a_relative_path_is_taken_from_the_task_or_from_where_the_run_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(folder / "deep" / "rows.jsonl", rows(1))
    task_with_data(folder, "deep/rows.jsonl")
    assert find_task_files(folder)[0].data == folder / "deep" / "rows.jsonl"
    monkeypatch.chdir(folder.parent)
    task_with_data(folder, f"{folder.name}/deep/rows.jsonl")
    assert read_rows(find_task_files(folder)[0].data or folder) == read_rows(folder / "deep" / "rows.jsonl")


def test_rows_that_are_nowhere_are_asked_for(folder: Path) -> None:
    path = task_with_data(folder, "/home/trainer/rows.jsonl")
    message = (
        f"{path}, line {line_of(path, 'test:')}: expected the data file /home/trainer/rows.jsonl in "
        f"{folder}, or rows.jsonl beside lamps_task.yaml (found neither); put the task's JSONL file there"
    )
    assert refusal(folder) == message
    assert refusal(folder, trust=True) == message


def outside_absolute(folder: Path) -> None:
    write_rows(folder.parent / "secret.jsonl", rows(1))
    task_with_data(folder, str(folder.parent / "secret.jsonl"))


def outside_by_dots(folder: Path) -> None:
    write_rows(folder.parent / "secret.jsonl", rows(1))
    task_with_data(folder, "../secret.jsonl")


def outside_by_dots_after_the_folder(folder: Path) -> None:
    write_rows(folder.parent / "secret.jsonl", rows(1))
    task_with_data(folder, f"{folder}/../secret.jsonl")


def outside_by_a_link(folder: Path) -> None:
    write_rows(folder.parent / "secret.jsonl", rows(1))
    (folder / "secret.jsonl").symlink_to("../secret.jsonl")
    task_with_data(folder, "secret.jsonl")


def outside_by_a_linked_folder(folder: Path) -> None:
    write_rows(folder.parent / "elsewhere" / "secret.jsonl", rows(1))
    (folder / "data").symlink_to(folder.parent / "elsewhere")
    task_with_data(folder, "data/secret.jsonl")


@pytest.mark.parametrize(
    "attack",
    [
        outside_absolute,
        outside_by_dots,
        outside_by_dots_after_the_folder,
        outside_by_a_link,
        outside_by_a_linked_folder,
    ],
)
def test_rows_outside_the_folder_are_refused(folder: Path, attack: Callable[[Path], None]) -> None:
    attack(folder)
    path, message = folder / "lamps_task.yaml", refusal(folder)
    assert message.startswith(f"{path}, line {line_of(path, 'test:')}: expected the data file ")
    assert message.endswith(f"or secret.jsonl beside lamps_task.yaml (found neither){ADVICE}")
    assert find_task_files(folder, trust=True)[0].form is None


@pytest.mark.parametrize("attack", [outside_absolute, outside_by_dots])
def test_the_file_of_that_name_beside_the_task_is_taken_for_one_outside(
    folder: Path, attack: Callable[[Path], None]
) -> None:
    attack(folder)
    write_rows(folder / "secret.jsonl", rows(2))
    assert find_task_files(folder)[0].data == folder / "secret.jsonl"


@pytest.mark.parametrize(
    "data", [None, 7, ["a.jsonl"], "a\0.jsonl", "a\n.jsonl", {"url": "https://example.org/a.jsonl"}], ids=repr
)
def test_data_files_that_are_no_path_are_refused(folder: Path, data: object) -> None:
    task_with_data(folder, data)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'lamps_task.yaml'}, line ")
    assert message.endswith(f": dataset_kwargs must have data_files with one file, called test{ADVICE}")


@pytest.mark.parametrize(
    "data", ["", "/", "..", "x" * 5000, "https://example.org/a.jsonl", "*.jsonl"], ids=repr
)
def test_data_files_that_are_no_file_are_asked_for(folder: Path, data: str) -> None:
    task_with_data(folder, data)
    assert refusal(folder).endswith("put the task's JSONL file there")


# --- attacks in a task ---


def test_a_function_is_refused_and_not_imported(folder: Path) -> None:
    (folder / "steps.py").write_text("open(__file__ + '.ran', 'w')\ndef f(docs): return docs\n", "utf-8")
    path = append(write_task(folder, "lamps"), "process_docs: !function steps.f\n")
    assert (
        refusal(folder)
        == f"{path}, line {line_of(path, 'process_docs')}: process_docs has the tag !function{ADVICE}"
    )
    assert sorted(os.listdir(folder)) == ["lamps_task.yaml", "mmlubench_lamps.jsonl", "steps.py"]


@pytest.mark.parametrize("tag", ["!function os.system", "!!python/object/apply:os.system [touch ran]"])
def test_a_tag_deep_inside_a_task_is_refused_with_its_line(folder: Path, tag: str) -> None:
    path = append(write_task(folder, "lamps"), f"metadata:\n  version: 1\n  notes:\n  - {tag}\n")
    message = refusal(folder)
    assert message.startswith(f"{path}, line {line_of(path, '- !')}: metadata has the tag ")
    assert message.endswith(ADVICE)


def test_a_function_in_what_is_included_is_refused_with_that_file(folder: Path) -> None:
    write_included(folder, "lamps")
    path = append(folder / TEMPLATE, "process_results: !function os.system\n")
    line = line_of(path, "process_results")
    assert refusal(folder).startswith(f"{path}, line {line}: process_results has the tag !function")


ATTACK = "{{ ''.__class__.__mro__[1].__subclasses__() }}"


@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_choice", "doc_to_target"])
@pytest.mark.parametrize("letters", [True, False])
def test_a_template_that_sdg_does_not_write_is_refused_with_its_line(
    folder: Path, key: str, letters: bool
) -> None:
    path = write_task(folder, "lamps", None, letters=letters, **{key: ATTACK})
    message = refusal(folder)
    assert message.startswith(f"{path}, line {line_of(path, key)}: {key} must be ")
    assert "__subclasses__" in message
    assert find_task_files(folder, trust=True)[0].form is None


@pytest.mark.parametrize(
    "key",
    [
        "description",
        "gen_prefix",
        "doc_to_image",
        "doc_to_audio",
        "doc_to_decontamination_query",
        "use_prompt",
        "fewshot_config",
        "fewshot_split",
        "target_delimiter",
        "process_docs",
        "process_results",
        "custom_dataset",
        "filter_list",
        "generation_kwargs",
        "num_fewshot",
        "unsafe_code",
        "class",
        "task_list",
        "<<",
        "invented\n\x1b[2J",
    ],
)
def test_a_key_that_sdg_does_not_write_is_refused(folder: Path, key: str) -> None:
    path = append(write_task(folder, "lamps"), f"{json.dumps(key)}: {json.dumps(ATTACK)}\n")
    line, shown = line_of(path, json.dumps(key)), ascii(key) if "\n" in key else key
    assert (
        refusal(folder) == f"{path}, line {line}: {shown} is not a key that InstructLab's SDG writes{ADVICE}"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset_path": "./evil.py"},
        {"dataset_path": "stranger/dataset"},
        {"dataset_path": None},
        {"dataset_name": "other"},
        {"test_split": "train"},
        {"output_type": "generate_until"},
        {"doc_to_choice": ["A", "B", "C"]},
        {"doc_to_target": 0},
    ],
    ids=str,
)
def test_a_value_that_sdg_does_not_write_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    write_task(folder, "lamps", **changes)
    (key,) = changes
    assert f": {key} must be " in refusal(folder)


@pytest.mark.parametrize(
    "key", [key for key in settings("lamps", "") if key.startswith(("doc_", "test", "out"))]
)
def test_a_task_that_leaves_something_to_lm_eval_is_refused(folder: Path, key: str) -> None:
    path = write_task(folder, "lamps")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    del content[key]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert refusal(folder).startswith(f"{path}: {key} must be ")


@pytest.mark.parametrize("key", ["trust_remote_code", "data_dir", "revision", "storage_options"])
def test_another_argument_of_the_data_sets_loader_is_refused(folder: Path, key: str) -> None:
    arguments = {"data_files": {"test": "mmlubench_lamps.jsonl"}, key: True}
    path = write_task(folder, "lamps", dataset_kwargs=arguments)
    message = refusal(folder)
    assert message.startswith(f"{path}, line ")
    assert message.endswith(f": {key} is not a key that InstructLab's SDG writes in dataset_kwargs{ADVICE}")


@pytest.mark.parametrize(
    "metrics",
    [
        "acc",
        [],
        ["acc"],
        [{"aggregation": "mean"}],
        [{"metric": "acc_norm"}],
        [{"metric": "acc", "hf_evaluate": True}],
        [{"metric": "acc", "aggregation": "median"}],
        [{"metric": "acc"}, {"metric": "stranger/metric", "hf_evaluate": True}],
    ],
    ids=str,
)
def test_other_metrics_are_refused(folder: Path, metrics: object) -> None:
    write_task(folder, "lamps", metric_list=metrics)
    assert ": metric_list must have the mean of acc, and no other metric than acc_norm" in refusal(folder)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b]0;x\x07", "x" * 201, None, 7, ["a"]], ids=repr)
def test_a_name_that_cannot_be_shown_is_refused_even_if_trusted(folder: Path, name: object) -> None:
    write_task(folder, "lamps", task=name)
    message = refusal(folder)
    assert ": task must be a name of at most 200 printable characters" in message
    assert message.isprintable()
    assert refusal(folder, trust=True) == message


# --- attacks by what a task includes ---


def including(folder: Path, name: object) -> Path:
    path = write_included(folder, "lamps")
    content = {**yaml.safe_load(path.read_text(encoding="utf-8")), "include": name}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_template_that_is_not_there_is_asked_for(folder: Path) -> None:
    path = including(folder, "_missing")
    assert refusal(folder) == (
        f"{path}, line 5: the task includes _missing, which does not exist; put the template that the tasks "
        "were written with beside them"
    )


@pytest.mark.parametrize("how", ["absolute", "dots", "link"])
def test_an_include_outside_the_folder_is_refused(folder: Path, how: str) -> None:
    outside = folder.parent / "outside.yaml"
    outside.write_text("tag: mmlu_pr\nsecret: 1\n", encoding="utf-8")
    (folder / "link").symlink_to(outside)
    path = including(folder, {"absolute": str(outside), "dots": "../outside.yaml", "link": "link"}[how])
    message = refusal(folder)
    assert message.startswith(f"{path}, line 5: include must be a file in {folder} (got ")
    assert message.endswith(ADVICE)


@pytest.mark.parametrize("name", [["a", "b"], 7, "a\0b"], ids=repr)
def test_an_include_that_is_not_one_file_is_refused(folder: Path, name: object) -> None:
    including(folder, name)
    assert ": include must be the name of one file; " in refusal(folder)


def test_a_chain_of_includes_is_refused(folder: Path) -> None:
    write_included(folder, "lamps")
    append(folder / TEMPLATE, "include: lamps_task.yaml\n")
    assert ": an included file must not include another; " in refusal(folder)


def test_lm_eval_reads_what_a_trusted_task_includes(folder: Path) -> None:
    outside = folder.parent / "outside.yaml"
    outside.write_text("tag: mmlu_pr\ndescription: Hm.\n", encoding="utf-8")
    write_task(folder, "lamps", tag="other")
    path = append(write_task(folder, "boats"), "include: ../outside.yaml\n")
    found = find_task_files(folder, trust=True)
    assert found == [TaskFile("boats", path, folder / "mmlubench_boats.jsonl", None)]


def test_a_task_file_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    path = write_task(folder.parent / "elsewhere", "lamps")
    (folder / "lamps_task.yaml").symlink_to(path)
    assert refusal(folder) == f"{folder / 'lamps_task.yaml'} is a link to outside of {folder}{ADVICE}"


# --- attacks by the file itself ---


def test_a_task_of_64_kib_is_the_largest_that_is_read(folder: Path) -> None:
    path = append(write_task(folder, "lamps"), f"metadata: {'x' * 65536}\n")
    assert refusal(folder) == f"{path} is larger than 65,536 bytes, the limit for such a file"


def test_a_scalar_of_100_mb_is_not_read(folder: Path) -> None:
    path = append(write_task(folder, "lamps"), "metadata: ")
    with path.open("ab") as file:
        file.truncate(100 * 2**20)
    begin = time.process_time()
    assert "is larger than 65,536 bytes" in refusal(folder)
    assert time.process_time() - begin < 5


def test_an_alias_bomb_is_refused(folder: Path) -> None:
    bomb = "metadata:\n  a: &a [x]\n" + "".join(
        f"  {chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)
    )
    path = append(write_task(folder, "lamps"), bomb)
    assert (
        refusal(folder)
        == f"{path}, line {line_of(path, 'b: ')}: aliases are not supported (got *a); write the value out"
    )


def test_a_key_twice_is_refused(folder: Path) -> None:
    path = append(write_task(folder, "lamps"), "dataset_path: ./evil.py\n")
    assert refusal(folder).startswith(
        f"{path}, line {line_of(path, 'dataset_path')}: dataset_path is there twice, first in line "
    )


def test_another_encoding_is_refused(folder: Path) -> None:
    path = write_task(folder, "lamps")
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))
    assert refusal(folder) == f"{path}, line 1: not UTF-8 (byte 0xff); save the file as UTF-8"


def test_a_file_name_that_would_change_the_terminal_is_escaped(folder: Path) -> None:
    path = write_task(folder, "lamps", dataset_path="evil")
    path.rename(folder / "a\n\x1b[2J.yaml")
    message = refusal(folder)
    assert message.isprintable()
    assert r"a\n\x1b[2J.yaml" in message


# --- rows ---


def rows_file(tmp_path: Path, *lines: str | bytes) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
    return path


def rows_refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(path)
    return str(caught.value)


def line(**changes: Any) -> str:
    row = {"question": "Why?", "choices": ["a", "b", "c", "d"], "answer": 1, **changes}
    return json.dumps({key: value for key, value in row.items() if value is not ...})


def test_rows_are_read_in_order_without_blank_lines(tmp_path: Path) -> None:
    path = rows_file(tmp_path, line(), "", line(question=" Ü? ", answer=3, subject="x"))
    choices = ("a", "b", "c", "d")
    assert read_rows(path).questions == (MMLURow("Why?", choices, 1), MMLURow(" Ü? ", choices, 3))


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(texts, st.lists(texts, min_size=4, max_size=4), st.integers(0, 3)), min_size=1))
def test_any_questions_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, list[str], int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    write_rows(path, [{"question": q, "choices": c, "answer": a} for q, c, a in written])
    assert [(row.question, list(row.choices), row.answer) for row in read_rows(path).questions] == written


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line(question=...), "expected question, choices and answer (got no question)"),
        (line(choices=...), "expected question, choices and answer (got no choices)"),
        (line(answer=...), "expected question, choices and answer (got no answer)"),
        (line(question=7), "question must be a text (got 7)"),
        (line(question=""), "question must be a text (got '')"),
        (line(question="\ud800"), "it has a text with half a character (a lone surrogate)"),
        (line(choices=["a", "b", "c"]), "choices must be four texts (got ['a', 'b', 'c'])"),
        (line(choices=["a", "b", "c", ""]), "choices must be four texts (got ['a', 'b', 'c', ''])"),
        (line(choices="abcd"), "choices must be four texts (got 'abcd')"),
        (line(answer=4), "answer must be 0 to 3, for A to D (got 4)"),
        (line(answer=-1), "answer must be 0 to 3, for A to D (got -1)"),
        (line(answer="B"), "answer must be 0 to 3, for A to D (got 'B')"),
        (line(answer=True), "answer must be 0 to 3, for A to D (got True)"),
        (line(answer=1.5), "answer must be 0 to 3, for A to D (got 1.5)"),
        (line(answer="4"), "answer must be 0 to 3, for A to D (got '4')"),
        (line(answer="-1"), "answer must be 0 to 3, for A to D (got '-1')"),
        (line(answer="1.5"), "answer must be 0 to 3, for A to D (got '1.5')"),
        (line(answer=""), "answer must be 0 to 3, for A to D (got '')"),
        (line(answer="\u0661"), "answer must be 0 to 3, for A to D (got '\u0661')"),
        (line(answer=None), "answer must be 0 to 3, for A to D (got None)"),
        (line(answer=[1]), "answer must be 0 to 3, for A to D (got [1])"),
        (
            '{"question": "Why?", "choices": ["a", "b", "c", "d"], "answer": NaN}',
            "it has NaN, which is not a JSON number",
        ),
        ("[1]", "expected a JSON object"),
        ('{"question": "Why?"', "not JSON at line 1, column 20: Expecting ',' delimiter"),
        ('{"answer": 1, "answer": 2}', 'it has the key "answer" twice in one object'),
        ('{"a": ' + "[" * 200_000, "it is nested deeper than 100 levels"),
        ('{"answer": ' + "9" * 5000 + "}", "it has a number of too many digits"),
        (b'{"question": "\xff"}', "not UTF-8 (byte 0xff)"),
        (line().encode("utf-16"), "not UTF-8 (byte 0xff)"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_row_that_is_no_question_is_refused_with_the_line(
    tmp_path: Path, bad: str | bytes, message: str
) -> None:
    path = rows_file(tmp_path, line(), "", bad, line())
    assert rows_refusal(path).startswith(f"{path}, line 3: {message}")


def test_a_row_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = rows_file(tmp_path, line(), line(question="x" * 2**20))
    size = "1,048,576 bytes, the limit for a line"
    assert rows_refusal(path) == f"{path}, line 2 is larger than {size}"


@pytest.mark.parametrize("answer", [2, 2.0, "2", " 2", "2.0", "2\n"])
def test_a_number_is_taken_however_it_is_written(tmp_path: Path, answer: object) -> None:
    assert [row.answer for row in read_rows(rows_file(tmp_path, line(answer=answer))).questions] == [2]


@pytest.mark.parametrize("lines", [(), ("", " ")])
def test_a_file_may_have_no_questions(tmp_path: Path, lines: tuple[str, ...]) -> None:
    path = rows_file(tmp_path, *lines)
    assert read_rows(path) == TaskRows(())
    assert count_rows(path) == 0


def test_a_file_of_more_than_256_mib_is_not_read(tmp_path: Path) -> None:
    path = rows_file(tmp_path, line())
    with path.open("ab") as file:
        file.truncate(2**28 + 1)
    assert rows_refusal(path) == f"{path} is larger than 268,435,456 bytes, the limit for such a file"


def test_rows_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert (
        rows_refusal(tmp_path / "none") == f"{tmp_path / 'none'} cannot be read (No such file or directory)"
    )


# --- the right answer ---


def renumbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their letters numbered as SDG does it: those that occur, in their order."""
    letters = sorted({record["answer"] for record in records})
    return [{**record, "answer": letters.index(record["answer"])} for record in records]


@pytest.mark.parametrize("field", ["mmlubench_answer", "targets"])
@pytest.mark.parametrize("never", [{0}, {1}, {0, 2}, {0, 1, 2}])
def test_where_letters_were_shifted_the_rows_own_text_decides(
    tmp_path: Path, never: set[int], field: str
) -> None:
    right = [row for row in rows(12, own_text=field) if row["answer"] not in never]
    path = tmp_path / "rows.jsonl"
    write_rows(path, renumbered(right))
    found = read_rows(path)
    assert [row.answer for row in found.questions] == [row["answer"] for row in right]
    shifted = [row["answer"] for row, was in zip(renumbered(right), right, strict=True) if row != was]
    assert found.recovered == len(shifted) > 0


def test_a_single_wrong_number_is_counted(tmp_path: Path) -> None:
    written = rows(8)
    right = written[5]["answer"]
    written[5]["answer"] = (right + 1) % 4
    write_rows(tmp_path / "rows.jsonl", written)
    found = read_rows(tmp_path / "rows.jsonl")
    assert (found.questions[5].answer, found.recovered) == (right, 1)


def test_a_row_without_its_own_text_is_refused_where_others_are_shifted(tmp_path: Path) -> None:
    path = rows_file(tmp_path, line(), line(answer=0, mmlubench_answer="B) b"))
    assert rows_refusal(path) == (
        f"{path}, line 1: in other rows the number of the right choice differs from its text, and this "
        "row has no such text (mmlubench_answer); correct its answer and add the text"
    )
    assert read_rows(rows_file(tmp_path, line(), line(mmlubench_answer="B) b"))).recovered == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"choices": ["a", "b", "c", "b"], "mmlubench_answer": "B) b"},
            "answer is 0, which is A, but mmlubench_answer says B ('B) b'), whose text is that of B and D",
        ),
        (
            {"mmlubench_answer": "B) c"},
            "answer is 0, which is A, but mmlubench_answer says B ('B) c'), whose text is that of C",
        ),
        (
            {"mmlubench_answer": "B) b", "targets": "C) c"},
            "targets says C and mmlubench_answer says B",
        ),
    ],
)
def test_a_text_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = rows_file(tmp_path, line(answer=0, **changes))
    assert rows_refusal(path) == f"{path}, line 1: {message}; correct the row"


@pytest.mark.parametrize("text", ["C) In spring", " C) In spring", "C)", "C"])
def test_a_text_that_begins_with_the_letter_names_the_answer(text: str) -> None:
    check_answer({"targets": text}, 2, "here")
    with pytest.raises(DataError, match="here: answer is 0, which is A, but targets says C"):
        check_answer({"targets": text}, 0, "here")


@pytest.mark.parametrize(
    "text", ["Cows (all of them)", "C. Elegans", "", None, 7, ["C) In spring"], "E) None"]
)
def test_a_text_without_a_letter_names_none(text: object) -> None:
    check_answer({"targets": text, "mmlubench_answer": text}, 0, "here")
