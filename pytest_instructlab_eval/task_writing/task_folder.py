"""Tasks on disk, in the form in which InstructLab's SDG writes them: a YAML and its rows in JSONL.

All that a stranger could have written (questions, choices, subjects) goes into the rows, which are data.
The YAML has lm-eval's templates as `task_files` knows them, and names made of letters, digits, - and _.
"""

from __future__ import annotations

import collections
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from pytest_instructlab_eval.data.mmlu_rows import LETTERS
from pytest_instructlab_eval.data.safe_yaml import read_yaml
from pytest_instructlab_eval.data.task_files import CHOICES, GROUP, TEXT
from pytest_instructlab_eval.data.task_rows import read_rows
from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.escaping import escape, escape_json
from pytest_instructlab_eval.task_writing.drafts import TaskQuestion

MOST_PASSAGE = 10_000  # characters of a passage in each of its rows, which have a limit
MOST_NAME = 120  # characters; a file's name has 255 bytes
OTHER = re.compile(r"[^A-Za-z0-9_-]+")
DIGITS = 16  # of a digest in a name
DIGEST = re.compile(rf"_[0-9a-f]{{{DIGITS}}}\Z")


def task_names(paths: Sequence[str]) -> dict[str, str]:
    """Return the task of each qna.yaml by its path: its folders, as SDG joins them.

    Where that would leave out a character, be long, look like a digest or be another's name too, a
    digest of the path is put behind it. Names that differ in upper and lower case alone count as one, as
    some file systems have it.
    """
    names = {path: path.rpartition("/")[0].replace("/", "_") or path for path in paths}
    uses = collections.Counter(name.casefold() for name in names.values())
    for path, name in names.items():
        is_odd = len(name) > MOST_NAME or OTHER.search(name) or DIGEST.search(name)
        if is_odd or uses[name.casefold()] > 1:
            digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
            names[path] = f"{OTHER.sub('_', name)[:MOST_NAME]}_{digest}"
    return names


class TaskFolder:
    """The folder of the tasks, made when the first one is written.

    A task that is there is replaced only with `overwrite`, by another of the same name.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigurationError(f"--out: {escape(folder)} is not a folder; give a folder for the tasks")
        self.folder = folder.resolve()
        if not str(self.folder).isprintable():
            raise ConfigurationError(
                f"--out: {escape(self.folder)} has unprintable characters; give another folder"
            )
        self._overwrite = overwrite

    def finished(self, name: str, made_from: str) -> int | None:
        """Return how many questions the task has that was made from the same; None where there is none.

        Raises DataError where something else is there, unless it may be overwritten.
        """
        task, rows = self._files(name)
        if self._overwrite or not (task.exists() or rows.exists()):
            return None
        try:
            match read_yaml(task):
                case {"metadata": {"made_from": found}} if found == made_from:
                    return len(read_rows(rows).questions)
        except DataError:
            pass
        there = task if task.exists() else rows
        raise DataError(
            f"{escape(there)} exists, and was not made of the same passages by the same teacher "
            "and options; give another folder, or --overwrite"
        )

    def write(self, name: str, questions: Sequence[TaskQuestion], subject: str, made_from: str) -> None:
        """Write a task; the YAML comes last, so that a task with a YAML is complete.

        Raises ConfigurationError where the folder can't be written to.
        """
        import yaml

        task, rows = self._files(name)
        records = [
            {
                "question": question.question,
                "choices": list(question.choices),
                "answer": question.answer,
                "context": question.passage[:MOST_PASSAGE],  # whose questions are not independent
                "subject": subject,
                "mmlubench_answer": f"{LETTERS[question.answer]}) {question.choices[question.answer]}",
                "dataset_type": "mcq_qa",
                "leaf_node_path": name,
                "leaf_node_type": "knowledge",
            }
            for question in questions
        ]
        settings = {
            "task": name,
            "tag": GROUP,
            "dataset_path": "json",
            # As SDG does: lm-eval would look for a relative path where it is started. Moved elsewhere, this
            # plugin finds the rows beside the task.
            "dataset_kwargs": {"data_files": {"test": str(rows)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": TEXT,
            "doc_to_choice": CHOICES["texts"],
            "doc_to_target": "{{answer}}",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 1.0, "made_from": made_from},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_text(rows, escape_json("".join(json.dumps(record) + "\n" for record in records)))
            replace_text(task, yaml.safe_dump(settings, sort_keys=False))
        except OSError as error:
            raise ConfigurationError(
                f"--out: {escape(self.folder)} cannot be written to ({error.strerror})"
            ) from None

    def discard(self, name: str) -> None:
        """Delete a task that was to be overwritten and has no question any more."""
        if self._overwrite:
            for path in self._files(name):
                path.unlink(missing_ok=True)

    def _files(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}_task.yaml", self.folder / f"mmlubench_{name}.jsonl"
