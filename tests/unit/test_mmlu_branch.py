"""MMLU-Branch: the prompts, choices and scores of SDG's tasks are lm-eval's, without lm-eval."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_instructlab_eval.errors import DataError, ModelError
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.suites import mmlu_branch
from pytest_instructlab_eval.suites.mmlu_branch import MMLUBranchTask
from tests.branch_tasks import TEMPLATE, TEXT, rows, write_included, write_task

from .fakes import FakeModel, Prompt

REPOSITORY = Path(__file__).parents[2]

Asked = list[tuple[str, str]]  # prompts and continuations, a chat's prompt as JSON


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """lm-eval keeps data sets in the user's cache folder, and compiles a template whenever it is used."""
    import datasets
    import lm_eval.utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lm_eval.utils.env, "from_string", cache(lm_eval.utils.env.from_string))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


def weight(prompt: str, continuation: str) -> float:
    """A log-likelihood that is as good as random and always the same."""
    digest = hashlib.sha256(f"{prompt}|{continuation}".encode()).digest()
    return -1.0 - int.from_bytes(digest[:4], "big") / 2**32


def by_us(task: MMLUBranchTask) -> tuple[Asked, Score]:
    """What we ask, and the score of a model that answers by `weight`."""
    asked: Asked = []

    def weigh(prompt: Prompt, choices: Sequence[str]) -> list[float]:
        text = prompt if isinstance(prompt, str) else json.dumps(prompt)
        asked.extend((text, choice) for choice in choices)
        return [weight(text, choice) for choice in choices]

    return asked, asyncio.run(mmlu_branch.score_mmlu_branch(task, FakeModel(weigh=weigh)))


def by_lm_eval(
    task: object,
    folder: Path,
    *,
    shots: int = 5,
    first_n: int | None = None,
    system_prompt: str | None = None,
) -> tuple[Asked, float]:
    """What lm-eval's `simple_evaluate` asks, called as InstructLab calls it, and its accuracy."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    asked: Asked = []

    class Weigher(LM):  # type: ignore[misc]
        tokenizer_name = "none"

        def loglikelihood(self, requests: Sequence[Any], **_: object) -> list[tuple[float, bool]]:
            asked.extend(request.args for request in requests)
            return [(weight(*request.args), False) for request in requests]

        def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
            return json.dumps(messages)

        def loglikelihood_rolling(self, requests: object, **_: object) -> Any:
            raise NotImplementedError

        generate_until = loglikelihood_rolling

    found = simple_evaluate(
        model=Weigher(),
        tasks=[task],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        num_fewshot=shots,
        limit=first_n,
        system_instruction=system_prompt,
        apply_chat_template=system_prompt is not None,
        bootstrap_iters=0,
    )
    (result,) = found["results"].values()
    return asked, result["acc,none"]


def one_task(folder: Path, **options: Any) -> MMLUBranchTask:
    (task,) = mmlu_branch.mmlu_branch_tasks(folder, **options)
    return task


def with_real_path(path: Path, data: Path) -> None:
    """Change a task so that lm-eval finds its rows too."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["dataset_kwargs"]["data_files"]["test"] = str(data)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


# --- beside lm-eval ---


@pytest.mark.parametrize("system_prompt", [None, "", "You keep lamps."])
@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("letters", [True, False])
def test_prompts_choices_and_accuracy_are_lm_evals(
    tmp_path: Path, letters: bool, shots: int, system_prompt: str | None
) -> None:
    path = write_task(tmp_path, "lamps", rows(24), letters=letters)
    with_real_path(path, tmp_path / "mmlubench_lamps.jsonl")
    asked, accuracy = by_lm_eval("mmlu_pr", tmp_path, shots=shots, system_prompt=system_prompt)
    ours, score = by_us(one_task(tmp_path, few_shots=shots, system_prompt=system_prompt))
    assert len(asked) == 24 * 4
    assert ours == asked
    assert score.value == accuracy
    assert 0 < accuracy < 1


def test_the_first_questions_alone_are_asked_as_lm_eval_asks_them_with_a_limit(tmp_path: Path) -> None:
    path = write_task(tmp_path, "lamps", rows(24))
    with_real_path(path, tmp_path / "mmlubench_lamps.jsonl")
    asked, accuracy = by_lm_eval("mmlu_pr", tmp_path, first_n=7)
    ours, score = by_us(one_task(tmp_path, first_n=7))
    assert ours == asked
    assert (score.value, score.n) == (accuracy, 7)


def test_a_task_that_includes_a_template_is_asked_as_lm_eval_asks_it(tmp_path: Path) -> None:
    from lm_eval.api.task import ConfigurableTask

    path = write_included(tmp_path, "lamps", rows(24, own_text="targets"))
    config = yaml.safe_load((tmp_path / TEMPLATE).read_text(encoding="utf-8"))
    config["task"] = "lamps"
    config["dataset_kwargs"] = {"data_files": {"test": str(tmp_path / "lamps.jsonl")}}
    asked, accuracy = by_lm_eval(ConfigurableTask(config=config), path.parent)
    ours, score = by_us(one_task(tmp_path))
    assert ours == asked
    assert score.value == accuracy


AWKWARD = [
    "  blanks around  ",
    "{{ question }} and {% raw %} and {{ ''.__class__ }}",
    "Is 0 < 1 & 'a' \"quoted\" \\n?",
    "several\nlines\n\nand a blank one\n",
    "7",
    "é \u2028 😀 \x07",
    "['a', 'b']",
]


@pytest.mark.parametrize("letters", [True, False])
def test_questions_of_any_text_are_put_as_by_lm_eval(tmp_path: Path, letters: bool) -> None:
    awkward = [
        {"question": text, "choices": [text, "b", f"{text}{text}", "{{c}}"], "answer": number % 4}
        for number, text in enumerate(AWKWARD)
    ]
    path = write_task(tmp_path, "awkward", awkward, letters=letters)
    with_real_path(path, tmp_path / "mmlubench_awkward.jsonl")
    asked, accuracy = by_lm_eval("mmlu_pr", tmp_path, shots=3)
    ours, score = by_us(one_task(tmp_path, few_shots=3))
    assert ours == asked
    assert score.value == accuracy


# --- tasks ---


def test_a_task_is_called_as_lm_eval_calls_it(tmp_path: Path) -> None:
    path = write_task(tmp_path, "knowledge_lamps")
    task = one_task(tmp_path)
    assert (task.name, task.id, task.group) == ("knowledge_lamps",) * 3
    assert (task.file, task.data) == (path, tmp_path / "mmlubench_knowledge_lamps.jsonl")


def test_every_task_is_asked_in_the_same_way_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        write_task(tmp_path, name)
    found = mmlu_branch.mmlu_branch_tasks(tmp_path, few_shots=2, first_n=3, system_prompt="Hm.")
    assert [task.name for task in found] == ["a", "b", "c"]
    assert {(task.few_shots, task.first_n, task.system_prompt) for task in found} == {(2, 3, "Hm.")}


def test_as_in_instructlab_five_solved_examples_come_first(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps")
    ours, _ = by_us(one_task(tmp_path))
    assert {prompt.count("Answer: ") for prompt, _ in ours} == {5}


def test_a_task_takes_a_request_a_question(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", rows(8))
    assert one_task(tmp_path).requests == 8
    assert one_task(tmp_path, first_n=3).requests == 3
    assert one_task(tmp_path, first_n=99).requests == 8


def test_whole_data_passes_the_check(tmp_path: Path) -> None:
    write_task(tmp_path / "one", "texts")
    write_included(tmp_path / "two", "letters")
    mmlu_branch.check_mmlu_branch(mmlu_branch.mmlu_branch_tasks(tmp_path))


def test_malformed_rows_are_found_before_anything_is_asked(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", [*rows(5), {"question": "Why?", "choices": ["a"], "answer": 0}])
    with pytest.raises(DataError, match=r"mmlubench_lamps\.jsonl, line 6: choices must be four texts"):
        mmlu_branch.check_mmlu_branch(mmlu_branch.mmlu_branch_tasks(tmp_path))


def test_too_few_questions_for_the_examples_are_refused_with_the_option(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", rows(4))
    with pytest.raises(DataError, match=r"expected 5 questions or more, .* \(got 4\)"):
        mmlu_branch.check_mmlu_branch(mmlu_branch.mmlu_branch_tasks(tmp_path))
    mmlu_branch.check_mmlu_branch(mmlu_branch.mmlu_branch_tasks(tmp_path, few_shots=4))


def test_a_task_of_sdgs_is_read_without_lm_eval_jinja_or_datasets(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps")
    program = (
        "import sys; from pathlib import Path; from pytest_instructlab_eval.suites import mmlu_branch; "
        f"tasks = mmlu_branch.mmlu_branch_tasks(Path({str(tmp_path)!r})); "
        "mmlu_branch.check_mmlu_branch(tasks); "
        "print(len(mmlu_branch._load_branch_questions(tasks[0])), "
        "sorted({'lm_eval', 'jinja2', 'datasets', 'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "8 []"


def test_rows_of_a_sample_have_the_examples_that_they_have_in_the_whole(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", rows(24))
    every, _ = by_us(one_task(tmp_path))
    some, score = by_us(dataclasses.replace(one_task(tmp_path), rows=(2, 17)))
    assert some == every[2 * 4 : 3 * 4] + every[17 * 4 : 18 * 4]
    assert [sample.id for sample in score.samples] == ["2", "17"]


# --- score ---


def test_the_score_is_the_share_of_questions_whose_right_choice_is_the_likeliest(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", rows(4))  # whose answers are B, A, D and C
    model = FakeModel(weigh=lambda prompt, choices: [-2.0, -0.5, -3.0, -0.5])
    score = asyncio.run(mmlu_branch.score_mmlu_branch(one_task(tmp_path, few_shots=0), model))
    assert [sample.choice for sample in score.samples] == ["B"] * 4
    assert [sample.answer for sample in score.samples] == ["B", "A", "D", "C"]
    assert (score.value, score.metric, score.n, score.maximum) == (0.25, "acc", 4, 1.0)


def test_a_question_that_could_not_be_asked_is_an_error_and_no_part_of_the_mean(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", rows(4))
    failing = iter([True, False, False, False])

    def weigh(prompt: Prompt, choices: Sequence[str]) -> list[float]:
        if next(failing):
            raise ModelError("the server is away")
        return [-1.0, -2.0, -2.0, -2.0]

    score = asyncio.run(
        mmlu_branch.score_mmlu_branch(one_task(tmp_path, few_shots=0), FakeModel(weigh=weigh))
    )
    assert score.value == pytest.approx(1 / 3)
    assert (score.n, score.errors) == (3, 1)


# --- tasks of another form ---

OWN_TEXT = "Lamps! {{question | upper}}\n" + TEXT


def trusted(folder: Path, **options: Any) -> MMLUBranchTask:
    return one_task(folder, trust=True, **options)


@pytest.mark.parametrize("system_prompt", [None, "You keep lamps."])
def test_a_trusted_template_is_asked_as_lm_eval_asks_it(tmp_path: Path, system_prompt: str | None) -> None:
    path = write_task(tmp_path, "lamps", rows(24), doc_to_text=OWN_TEXT, description="About lamps.\n")
    with_real_path(path, tmp_path / "mmlubench_lamps.jsonl")
    asked, accuracy = by_lm_eval("mmlu_pr", tmp_path, system_prompt=system_prompt)
    ours, score = by_us(trusted(tmp_path, system_prompt=system_prompt))
    assert ours == asked
    assert score.value == accuracy


def test_a_trusted_task_may_say_that_it_takes_no_examples(tmp_path: Path) -> None:
    path = write_task(tmp_path, "lamps", rows(24), num_fewshot=0)
    with_real_path(path, tmp_path / "mmlubench_lamps.jsonl")
    asked, _ = by_lm_eval("mmlu_pr", tmp_path)
    assert by_us(trusted(tmp_path))[0] == asked


def test_a_trusted_task_of_the_older_form_finds_the_rows_beside_it(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", rows(6), doc_to_text=OWN_TEXT, tag=None, group="mmlu_pr")
    task = trusted(tmp_path, few_shots=0)
    mmlu_branch.check_mmlu_branch([task])
    assert task.requests is None
    assert by_us(task)[1].n == 6


def test_a_trusted_tasks_function_is_run_when_the_task_is_loaded_and_not_before(tmp_path: Path) -> None:
    path = write_task(tmp_path, "lamps", rows(6))
    with path.open("a", encoding="utf-8") as file:
        file.write("process_docs: !function lamp_steps.last\n")
    (tmp_path / "lamp_steps.py").write_text(
        "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
        "def last(docs):\n    return docs.select([5])\n",
        encoding="utf-8",
    )
    task = trusted(tmp_path, few_shots=0)
    assert not (tmp_path / "lamp_steps.ran").exists()
    assert by_us(task)[1].n == 1
    assert (tmp_path / "lamp_steps.ran").exists()


def test_a_trusted_task_with_shifted_letters_is_refused_all_the_same(tmp_path: Path) -> None:
    shifted = [{**row, "answer": (row["answer"] + 1) % 4} for row in rows(6)]
    write_task(tmp_path, "lamps", shifted, doc_to_text=OWN_TEXT)
    with pytest.raises(DataError, match=r"lamps_task\.yaml, question 0: answer is 2, .* says B"):
        mmlu_branch.check_mmlu_branch([trusted(tmp_path, few_shots=0)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doc_to_text": "{{ nothing }}"}, r"lm-eval could not load the task \(UndefinedError"),
        ({"output_type": "generate_until"}, "only multiple choice"),
        ({"filter_list": [{"name": "f", "filter": [{"function": "take_first"}]}]}, "only multiple choice"),
        ({"doc_to_target": "{{ 'maybe' }}"}, "question 0 must have one right answer"),
        ({"doc_to_target": "{{ [0, 1] }}"}, "question 0 must have one right answer"),
        ({"doc_to_target": "{{ -1 }}"}, "question 0 must have one right answer"),
    ],
    ids=str,
)
def test_a_trusted_task_that_cannot_be_asked_is_found_before_anything_is(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_task(tmp_path, "lamps", rows(6), **changes)
    with pytest.raises(DataError, match=rf"lamps_task\.yaml: {message}"):
        mmlu_branch.check_mmlu_branch([trusted(tmp_path, few_shots=0)])


def test_rows_of_a_sample_of_a_trusted_task_are_asked_as_in_the_whole(tmp_path: Path) -> None:
    write_task(tmp_path, "lamps", rows(8), doc_to_text=OWN_TEXT)
    task = trusted(tmp_path)
    every, _ = by_us(task)
    some, score = by_us(dataclasses.replace(task, rows=(2, 7)))
    assert task.size == 8
    assert some == every[2 * 4 : 3 * 4] + every[7 * 4 : 8 * 4]
    assert [sample.id for sample in score.samples] == ["2", "7"]
