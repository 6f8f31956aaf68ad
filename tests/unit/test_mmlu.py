"""MMLU: the prompts are lm-eval's own, and the score is the share of right answers."""

from __future__ import annotations

import asyncio
import csv
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_instructlab_eval.errors import DataError, ModelError
from pytest_instructlab_eval.models import Message
from pytest_instructlab_eval.models.protocol import ChoiceLogprobs
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites import mmlu
from pytest_instructlab_eval.suites.digests import data_digest, digest
from pytest_instructlab_eval.suites.mmlu import MMLUTask
from pytest_instructlab_eval.suites.selection import asked_questions
from tests.examples_data import mmlu_rows

from .fakes import FakeModel, Prompt

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = REPOSITORY.parent / "shared" / "data" / "mmlu"
LETTERS = "ABCD"


@pytest.fixture(scope="module", autouse=True)
def _compile_templates_once() -> Iterator[None]:
    """lm-eval compiles a template whenever it is used, and a data set is hashed whenever it is made."""
    import datasets.arrow_dataset
    import lm_eval.utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lm_eval.utils.env, "from_string", cache(lm_eval.utils.env.from_string))
        patch.setattr(datasets.arrow_dataset, "generate_fingerprint", lambda dataset: "0")
        yield


# --- lm-eval's own prompts ---


@cache
def lm_eval_task(folder: Path, subject: str) -> Any:
    """lm-eval's task, made from its definition and the rows of the files without any code of ours."""
    import datasets
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask

    definitions = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
    own = yaml.safe_load((definitions / f"mmlu_{subject}.yaml").read_text(encoding="utf-8"))
    config = {**yaml.safe_load((definitions / own.pop("include")).read_text(encoding="utf-8")), **own}
    del config["tag"]

    def rows(split: str) -> Any:
        with (folder / split / f"{subject}_{split}.csv").open(newline="", encoding="utf-8") as file:
            return datasets.Dataset.from_list(
                [
                    {"question": q, "subject": subject, "choices": [a, b, c, d], "answer": LETTERS.index(x)}
                    for q, a, b, c, d, x in csv.reader(file)
                ]
            )

    config["custom_dataset"] = lambda **_: {"test": rows("test"), "dev": rows("dev")}
    return ConfigurableTask(config=config)


def lm_eval_prompts(folder: Path, subject: str, shots: int, first_n: int | None = None) -> list[str]:
    task = lm_eval_task(folder, subject)
    return [str(task.fewshot_context(doc, shots)) for doc in list(task.eval_docs)[:first_n]]


def lm_eval_chats(folder: Path, subject: str, shots: int, system: str) -> list[list[Message]]:
    """What lm-eval hands to the chat template for each question, as `simple_evaluate` has it."""
    task = lm_eval_task(folder, subject)
    chats: list[list[Message]] = []

    def keep(messages: list[Message], **_: object) -> str:
        chats.append(messages)
        return ""

    for doc in task.eval_docs:
        task.fewshot_context(
            doc,
            shots,
            system_instruction=system,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
            chat_template=keep,
        )
    return chats


def asked(task: MMLUTask) -> list[Prompt]:
    """The prompts that a model gets."""
    model = FakeModel()
    asyncio.run(mmlu.score_mmlu(task, model))
    return model.prompts


@pytest.mark.parametrize("shots", [0, 1, 5])
def test_the_prompts_of_every_task_are_lm_evals(mmlu_folder: Path, shots: int) -> None:
    for subject in mmlu.mmlu_subjects():
        assert asked(MMLUTask(subject, mmlu_folder, shots)) == lm_eval_prompts(mmlu_folder, subject, shots)


@pytest.mark.parametrize("shots", [0, 5])
def test_with_a_system_prompt_the_chats_of_every_task_are_lm_evals(mmlu_folder: Path, shots: int) -> None:
    for subject in mmlu.mmlu_subjects():
        task = MMLUTask(subject, mmlu_folder, shots, system_prompt="You are terse.")
        found = [list(prompt) for prompt in asked(task)]
        assert found == lm_eval_chats(mmlu_folder, subject, shots, "You are terse.")


@pytest.mark.parametrize("subject", ["abstract_algebra", "formal_logic", "high_school_european_history"])
def test_the_prompts_of_the_published_questions_are_lm_evals(subject: str) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip(f"the published MMLU is not beside this checkout ({PUBLISHED})")
    task = MMLUTask(subject, PUBLISHED, 5, first_n=20)
    assert asked(task) == lm_eval_prompts(PUBLISHED, subject, 5, first_n=20)


AWKWARD = [
    "  blanks around  ",
    "{{ question }} and {% raw %}",
    "Is 0 < 1 & 'a' \"quoted\"?",
    "several\nlines\n\nand a blank one\n",
    "7",
    "é \u2028 😀",
    "",
]


def test_questions_of_any_text_are_put_as_by_lm_eval(tmp_path: Path) -> None:
    write_task(tmp_path, "anatomy", [(text, text, "b", "{{c}}", text, "A") for text in AWKWARD])
    assert asked(MMLUTask("anatomy", tmp_path, 2)) == lm_eval_prompts(tmp_path, "anatomy", 2)


def test_in_a_chat_questions_of_any_text_are_put_as_by_lm_eval(tmp_path: Path) -> None:
    write_task(tmp_path, "anatomy", [(text, text, "b", "{{c}}", text, "A") for text in AWKWARD])
    found = [list(chat) for chat in asked(MMLUTask("anatomy", tmp_path, 2, system_prompt="Hm."))]
    assert found == lm_eval_chats(tmp_path, "anatomy", 2, "Hm.")


# --- tasks ---


def write_task(folder: Path, subject: str, rows: Sequence[Sequence[str]]) -> None:
    for split, content in (("dev", mmlu_rows(subject, "dev", 5)), ("test", rows)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        with (folder / split / f"{subject}_{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(content)


def test_there_are_57_subjects() -> None:
    assert len(mmlu.mmlu_subjects()) == 57
    assert "anatomy" in mmlu.mmlu_subjects()
    assert "world_religions" in mmlu.mmlu_subjects()


def test_a_task_is_called_as_lm_eval_and_its_files_call_it() -> None:
    task = MMLUTask("anatomy")
    assert (task.name, task.id, task.group) == ("mmlu_anatomy", "anatomy", "anatomy")


def test_every_task_is_asked_in_the_same_way(mmlu_folder: Path) -> None:
    found = mmlu.mmlu_tasks(data=mmlu_folder, few_shots=2, first_n=3, system_prompt="Hm.")
    assert len(found) == 57
    assert found[0] == MMLUTask("abstract_algebra", mmlu_folder, 2, 3, "Hm.")


def test_a_task_takes_a_request_a_question(mmlu_folder: Path) -> None:
    assert MMLUTask("anatomy", mmlu_folder).requests == 4
    assert MMLUTask("anatomy", mmlu_folder, first_n=3).requests == 3
    assert MMLUTask("anatomy", mmlu_folder, first_n=99).requests == 4


def test_how_many_requests_a_task_of_the_hub_takes_is_not_known_before() -> None:
    assert MMLUTask("anatomy").requests is None


def test_only_the_first_questions_are_asked_where_that_is_wanted(mmlu_folder: Path) -> None:
    every, first = MMLUTask("anatomy", mmlu_folder), MMLUTask("anatomy", mmlu_folder, first_n=3)
    assert asked(first) == asked(every)[:3]


def test_rows_of_a_sample_are_asked_as_in_the_whole_and_keep_their_numbers(mmlu_folder: Path) -> None:
    every = MMLUTask("anatomy", mmlu_folder)
    some = MMLUTask("anatomy", mmlu_folder, rows=(1, 3))
    assert asked(some) == [asked(every)[1], asked(every)[3]]
    score = asyncio.run(mmlu.score_mmlu(some, FakeModel()))
    assert [sample.id for sample in score.samples] == ["1", "3"]
    assert (some.requests, some.size, MMLUTask("anatomy").size) == (2, 4, 135)


# --- check ---


def test_whole_data_passes_the_check(mmlu_folder: Path) -> None:
    mmlu.check_mmlu(mmlu.mmlu_tasks(data=mmlu_folder))


def test_a_missing_task_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    write_task(tmp_path, "abstract_algebra", mmlu_rows("abstract_algebra", "test", 2))
    with pytest.raises(DataError, match=r"anatomy_test\.csv cannot be read"):
        mmlu.check_mmlu(mmlu.mmlu_tasks(data=tmp_path))


def test_a_missing_file_of_examples_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    write_task(tmp_path, "anatomy", mmlu_rows("anatomy", "test", 2))
    (tmp_path / "dev" / "anatomy_dev.csv").unlink()
    with pytest.raises(DataError, match=r"anatomy_dev\.csv cannot be read"):
        mmlu.check_mmlu([MMLUTask("anatomy", tmp_path)])


def test_too_few_examples_are_refused_with_the_option(tmp_path: Path) -> None:
    write_task(tmp_path, "anatomy", mmlu_rows("anatomy", "test", 2))
    with pytest.raises(DataError, match=r"expected 6 examples for anatomy \(got 5\)"):
        mmlu.check_mmlu([MMLUTask("anatomy", tmp_path, few_shots=6)])


def test_where_the_hub_cannot_be_reached_the_options_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.api.task import ConfigurableTask

    def download(*_: object, **__: object) -> None:
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(ConfigurableTask, "download", download)
    with pytest.raises(DataError) as caught:
        mmlu.check_mmlu(mmlu.mmlu_tasks())
    assert str(caught.value) == (
        "MMLU's data for abstract_algebra could not be loaded from the hub (ConnectionError: no network); "
        "give a local copy with --eval-mmlu-data, or leave MMLU out with --eval-benchmark"
    )


def test_loading_a_task_does_not_import_torch(mmlu_folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pytest_instructlab_eval.suites import mmlu; "
        f"mmlu._load_mmlu_questions(mmlu.MMLUTask('anatomy', Path({str(mmlu_folder)!r}))); "
        "print('lm_eval' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["True", "False"]


def test_naming_the_subjects_does_not_import_lm_eval() -> None:
    program = (
        "import sys; from pytest_instructlab_eval.suites import mmlu; "
        "print(len(mmlu.mmlu_subjects()), 'lm_eval' in sys.modules, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["57", "False", "False"]


# --- score ---

LIKELY, UNLIKELY = -0.5, -9.0


def score_of(folder: Path, weigh: Callable[[Prompt, Sequence[str]], list[float]]) -> Score:
    """The score of a task of four questions, whose right answers are D, A, B and C."""
    assert [row[-1] for row in mmlu_rows("anatomy", "test", 4)] == ["D", "A", "B", "C"]
    return asyncio.run(mmlu.score_mmlu(MMLUTask("anatomy", folder), FakeModel(weigh=weigh)))


def choosing(*places: int) -> list[float]:
    return [LIKELY if place in places else UNLIKELY for place in range(4)]


def test_the_likeliest_choice_is_the_answer(mmlu_folder: Path) -> None:
    score = score_of(mmlu_folder, lambda prompt, choices: choosing(3))
    assert [sample.choice for sample in score.samples] == ["D"] * 4
    assert [sample.answer for sample in score.samples] == ["D", "A", "B", "C"]
    assert [sample.value for sample in score.samples] == [1.0, 0.0, 0.0, 0.0]


def test_the_score_is_the_share_of_right_answers(mmlu_folder: Path) -> None:
    score = score_of(mmlu_folder, lambda prompt, choices: choosing(3))
    assert (score.value, score.metric, score.maximum, score.n) == (0.25, "acc", 1.0, 4)


def test_of_equally_likely_choices_the_first_is_taken(mmlu_folder: Path) -> None:
    score = score_of(mmlu_folder, lambda prompt, choices: choosing(1, 2))
    assert [sample.choice for sample in score.samples] == ["B"] * 4


def test_the_log_likelihoods_of_all_choices_are_kept(mmlu_folder: Path) -> None:
    score = score_of(mmlu_folder, lambda prompt, choices: choosing(0))
    assert score.samples[0].logprobs == (LIKELY, UNLIKELY, UNLIKELY, UNLIKELY)


def test_each_sample_says_what_was_asked_and_how_it_was_scored(mmlu_folder: Path) -> None:
    rows = mmlu_rows("anatomy", "test", 4)
    score = score_of(mmlu_folder, lambda prompt, choices: ChoiceLogprobs(choosing(0), "echo"))
    assert [(sample.question, list(sample.choices)) for sample in score.samples] == [
        (row[0], list(row[1:5])) for row in rows
    ]
    assert {sample.way for sample in score.samples} == {"echo"}


def test_a_question_that_could_not_be_asked_is_an_error_and_no_part_of_the_mean(mmlu_folder: Path) -> None:
    failing = iter([True, False, False, False])

    def weigh(prompt: Prompt, choices: Sequence[str]) -> list[float]:
        if next(failing):
            raise ModelError("the server is away")
        return choosing(0)

    score = score_of(mmlu_folder, weigh)
    assert score.value == pytest.approx(1 / 3)
    assert (score.n, score.errors, score.outcome) == (3, 1, "error")
    assert score.error == "1 of 4 questions could not be asked; the first, question 0: the server is away"


def test_where_all_choices_of_all_questions_are_equally_likely_nothing_was_measured(
    mmlu_folder: Path,
) -> None:
    score = score_of(mmlu_folder, lambda prompt, choices: [-2.0] * 4)
    assert (score.value, score.n, score.errors, score.outcome) == (None, 0, 4, "error")
    assert "question 0: all choices have the same likelihood in every question of the task" in str(
        score.error
    )


def test_one_question_whose_choices_differ_is_enough_for_a_score(mmlu_folder: Path) -> None:
    found = iter([[-2.0] * 4, [-2.0] * 4, choosing(1), [-2.0] * 4])
    score = score_of(mmlu_folder, lambda prompt, choices: next(found))
    assert (score.n, score.errors) == (4, 0)


def test_a_task_of_which_nothing_could_be_asked_has_no_score(mmlu_folder: Path) -> None:
    def weigh(prompt: Prompt, choices: Sequence[str]) -> list[float]:
        raise ModelError("the server is away")

    score = score_of(mmlu_folder, weigh)
    assert (score.value, score.n, score.errors) == (None, 0, 4)


def test_the_choices_of_a_prompt_are_letters_after_a_blank(mmlu_folder: Path) -> None:
    seen: list[Sequence[str]] = []
    score_of(mmlu_folder, lambda prompt, choices: seen.append(choices) or choosing(0))  # type: ignore[func-returns-value]
    assert set(seen) == {(" A", " B", " C", " D")}


def test_the_choices_in_a_chat_are_those_that_lm_eval_asks_for(mmlu_folder: Path) -> None:
    definition = lm_eval_task(mmlu_folder, "anatomy")
    requests = definition.construct_requests(next(iter(definition.eval_docs)), "", apply_chat_template=True)
    seen: list[Sequence[str]] = []

    def weigh(prompt: Prompt, choices: Sequence[str]) -> list[float]:
        seen.append(choices)
        return choosing(0)

    asyncio.run(
        mmlu.score_mmlu(MMLUTask("anatomy", mmlu_folder, system_prompt="Hm."), FakeModel(weigh=weigh))
    )
    assert set(seen) == {tuple(request.args[1] for request in requests)}


def test_the_digest_of_all_tasks_is_that_of_their_list_of_contents(mmlu_folder: Path) -> None:
    settings = Settings(("tiny",), ("url",), mmlu_data=mmlu_folder)
    tasks = asked_questions(mmlu.BENCHMARK, settings)
    assert data_digest(mmlu.BENCHMARK, tasks, settings) == digest([task.content for task in tasks])
