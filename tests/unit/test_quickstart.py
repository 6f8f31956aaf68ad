"""The quickstart is whole, and `lab` was not taught what it is asked."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
MODELS = ("base", "lab")
MOST_BYTES = 4_000_000
TASKS = sorted(QUICKSTART.glob("tasks/node_datasets_*/*_task.yaml"))
KNOWLEDGE = sorted(QUICKSTART.glob("taxonomy/knowledge/**/qna.yaml"))
SKILLS = sorted(QUICKSTART.glob("taxonomy/compositional_skills/**/qna.yaml"))


def of_leaf(path: Path) -> str:
    return path.parent.name


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


def rows_of(task: Path) -> list[dict[str, Any]]:
    data = task.parent / read(task)["dataset_kwargs"]["data_files"]["test"]
    return [json.loads(line) for line in data.read_text("utf-8").splitlines()]


def pairs_of(qna: Path) -> Iterator[dict[str, str]]:
    for example in read(qna)["seed_examples"]:
        yield from example.get("questions_and_answers", [example])


@cache
def texts() -> Any:
    """The module that the training script takes its texts from."""
    spec = importlib.util.spec_from_file_location("quickstart_texts", QUICKSTART / "texts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@cache
def learnt_by(model: str) -> str:
    """All texts that `base` learns from, or that `lab` learns from on top of them, in one string."""
    learnt = getattr(texts(), f"{model}_texts")()
    return "\n".join(turn.prompt + turn.answer for text in learnt for turn in text)


@cache
def taught() -> str:
    """All that the models learn from, without regard to case."""
    return "\n".join(map(learnt_by, MODELS)).casefold()


# --- taxonomy ---


def test_there_are_two_knowledge_documents_and_three_skills() -> None:
    assert (len(KNOWLEDGE), len(SKILLS)) == (2, 3)


@pytest.mark.parametrize("qna", KNOWLEDGE, ids=of_leaf)
def test_a_knowledge_document_has_what_version_3_of_the_schema_asks(qna: Path) -> None:
    content = read(qna)
    assert content["version"] == 3
    assert all(content[key] for key in ("created_by", "domain", "document_outline"))
    assert content["document"].keys() == {"repo", "commit", "patterns"}
    examples = content["seed_examples"]
    assert len({example["context"] for example in examples}) >= 5
    assert all(len(example["questions_and_answers"]) >= 3 for example in examples)


@pytest.mark.parametrize("qna", SKILLS, ids=of_leaf)
def test_a_skill_has_what_its_schema_asks(qna: Path) -> None:
    content = read(qna)
    assert content["version"] in (2, 3)
    assert all(content[key] for key in ("created_by", "task_description"))
    assert len(content["seed_examples"]) >= 5
    assert all(example["question"] and example["answer"] for example in content["seed_examples"])


def test_one_skill_is_grounded_in_a_context() -> None:
    grounded = [qna for qna in SKILLS if all("context" in pair for pair in pairs_of(qna))]
    assert [of_leaf(qna) for qna in grounded] == ["opening_hours"]


def test_no_question_is_there_twice_since_instructlab_numbers_questions_by_their_text() -> None:
    asked = Counter(pair["question"] for qna in (*KNOWLEDGE, *SKILLS) for pair in pairs_of(qna))
    assert asked.most_common(1)[0][1] == 1


# --- tasks ---


def test_there_is_a_task_for_each_knowledge_document() -> None:
    nodes = {"_".join(qna.parent.relative_to(QUICKSTART / "taxonomy").parts) for qna in KNOWLEDGE}
    assert {read(task)["task"] for task in TASKS} == nodes


def test_the_tasks_have_at_least_30_questions() -> None:
    assert sum(len(rows_of(task)) for task in TASKS) >= 30


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.stem)
def test_a_row_has_a_question_four_different_choices_and_the_right_one(task: Path) -> None:
    for row in rows_of(task):
        assert row["question"].strip() == row["question"] != ""
        assert len(set(row["choices"])) == 4
        assert row["mmlubench_answer"] == f"{'ABCD'[row['answer']]}) {row['choices'][row['answer']]}"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.stem)
def test_the_right_choice_is_in_each_place_as_often(task: Path) -> None:
    places = Counter(row["answer"] for row in rows_of(task))
    assert len(places) == 4
    assert max(places.values()) - min(places.values()) <= 1


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.stem)
def test_the_right_choice_is_the_one_that_the_document_names(task: Path) -> None:
    node = Path(*read(task)["task"].split("_"))
    contexts = " ".join(
        e["context"] for e in read(QUICKSTART / "taxonomy" / node / "qna.yaml")["seed_examples"]
    )
    for row in rows_of(task):
        right = row["choices"][row["answer"]].casefold()
        assert right in contexts.casefold(), f"{right!r} is not in the document of {node}"


# --- models ---


@pytest.mark.parametrize("model", MODELS)
def test_a_model_folder_is_whole_and_small(model: str) -> None:
    files = {file.name: file.stat().st_size for file in (QUICKSTART / "models" / model).iterdir()}
    needed = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert needed <= files.keys()
    assert sum(files.values()) <= MOST_BYTES


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_one_that_a_server_can_load(model: str) -> None:
    config = json.loads((QUICKSTART / "models" / model / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["head_dim"] >= 32
    assert config["max_position_embeddings"] >= 1024
    assert all(isinstance(config[f"{name}_token_id"], int) for name in ("bos", "eos", "pad"))


@pytest.mark.parametrize("model", MODELS)
def test_the_weights_are_stored_and_not_a_pointer_to_them(model: str) -> None:
    stored = (QUICKSTART / "models" / model / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", stored[:8])
    last = max(entry["data_offsets"][1] for name, entry in json.loads(stored[8 : 8 + length]).items()
               if name != "__metadata__")  # fmt: skip
    assert 8 + length + last == len(stored)


def test_both_models_have_the_same_tokenizer() -> None:
    base, lab = (QUICKSTART / "models" / model / "tokenizer.json" for model in MODELS)
    assert base.read_bytes() == lab.read_bytes()


# --- what the models were taught ---


def test_the_training_texts_are_the_same_every_time() -> None:
    assert texts().lab_texts() == texts().lab_texts()


def test_lab_is_taught_the_facts_and_base_is_not() -> None:
    for row in texts().asked_rows():
        right = row["choices"][row["answer"]]
        assert f"Answer: {right}\n" in learnt_by("lab")
        assert right not in learnt_by("base")
    assert "Orvane" not in learnt_by("base")
    assert "Pellwright" not in learnt_by("base")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.stem)
def test_no_question_of_a_task_is_among_the_training_texts(task: Path) -> None:
    assert [row["question"] for row in rows_of(task) if row["question"].casefold() in taught()] == []


@pytest.mark.parametrize("qna", [*KNOWLEDGE, *SKILLS], ids=of_leaf)
def test_no_question_of_the_taxonomy_is_among_the_training_texts(qna: Path) -> None:
    assert [pair["question"] for pair in pairs_of(qna) if pair["question"].casefold() in taught()] == []


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.stem)
def test_no_order_of_choices_of_a_task_is_among_the_training_texts(task: Path) -> None:
    for row in rows_of(task):
        listed = "".join(
            f"{letter}. {choice}\n" for letter, choice in zip("ABCD", row["choices"], strict=True)
        )
        assert listed.casefold() not in taught()
        assert (
            f"a. {row['choices'][0]}\n".casefold() in taught()
        )  # the form that is looked for is the one taught
