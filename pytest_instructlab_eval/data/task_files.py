"""MMLU-Branch's task files as InstructLab's SDG writes them, read without running anything in them.

lm-eval imports the code that a task's YAML names and renders its templates without a sandbox. Here a
task is compared, key by key, with what SDG writes, and what differs is refused; so no template, no
function and no path of a stranger ever reaches lm-eval, Jinja or a data set's loader.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from pytest_instructlab_eval.data.mmlu_rows import LETTERS
from pytest_instructlab_eval.data.safe_yaml import YamlMapping, first_tag, read_yaml
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import escape

GROUP = "mmlu_pr"  # the group (in older files) or tag of MMLU-Branch's tasks
Form = Literal["letters", "texts"]

MOST_YAML_BYTES = 2**16  # SDG's have about 1 KiB
MOST_NAME = 200  # characters
SDG_FOLDER = "node_datasets_"
DATE = re.compile(r"(\d{4})\D?(\d\d)\D?(\d\d)(?:\D?(\d\d)\D?(\d\d)(?:\D?(\d\d))?)?(?!\d)")

TEXT = (
    "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\n"
    "C. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:"
)
CHOICES: Mapping[Form, object] = {
    "letters": list(LETTERS),
    "texts": "{{[choices[0], choices[1], choices[2], choices[3]]}}",
}
WRITTEN: Mapping[str, tuple[object, ...]] = {  # by key, the values that SDG has written over time
    "dataset_path": ("json",),
    "dataset_name": (None,),
    "test_split": ("test",),
    "output_type": ("multiple_choice",),
    "doc_to_text": (TEXT,),
    "doc_to_choice": tuple(CHOICES.values()),
    "doc_to_target": ("answer", "{{answer}}"),
}
METRIC: Mapping[str, tuple[object, ...]] = {
    "metric": ("acc", "acc_norm"),
    "aggregation": ("mean",),
    "higher_is_better": (True, "true"),
}
NAMES_AND_NOTES = {"task", "tag", "group", "metadata"}
KNOWN = {*WRITTEN, *NAMES_AND_NOTES, "dataset_kwargs", "metric_list"}


class UntrustedTask(DataError):
    """A task holds what SDG doesn't write, and lm-eval might run it."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"{message}; such a task can make lm-eval run code, so use --eval-trust-tasks only if you trust "
            "everyone who wrote the tasks"
        )


@dataclass(frozen=True)
class TaskFile:
    """One task: lm-eval's name of it, its YAML, its rows (JSONL) and what is scored as a choice.

    `form` is None for a task that SDG didn't write, which only lm-eval can ask. `data` is None where
    such a task has its rows elsewhere. `problem` says why the task cannot be asked.
    """

    name: str
    path: Path
    data: Path | None
    form: Form | None
    problem: str | None = None


def find_task_files(folder: Path, *, trust: bool = False) -> list[TaskFile]:
    """Return the tasks of group or tag `mmlu_pr` in a folder and those below it, sorted by name.

    Of several folders that SDG wrote, the newest is read. A task that cannot be asked says why: its rows are
    missing, or, without `trust`, it holds what SDG doesn't write. Raises DataError for a file whose task is
    not known by name, and where there is no task.
    """
    if not folder.is_dir():
        raise DataError(f"--eval-tasks-dir: {escape(folder)} is not a folder; give the folder of the tasks")
    older, paths = sdg_folders(folder)[1:], list[Path]()
    for root, folders, files in _walk(folder):
        folders[:] = [name for name in folders if Path(root, name) not in older]
        paths += [Path(root, name) for name in fnmatch.filter(sorted(files), "*.yaml")]
    tasks = list(filter(None, (_task_file(path, folder, trust) for path in paths)))
    if not tasks:
        raise DataError(
            f"{escape(folder)} has no task with `tag: {GROUP}` or `group: {GROUP}` in any of its "
            f"{len(paths)} .yaml files; --eval-tasks-dir must be a folder that InstructLab's SDG wrote, such "
            "as node_datasets_<date>"
        )
    tasks.sort(key=lambda task: task.name)
    for one, other in itertools.pairwise(tasks):
        if one.name == other.name:
            raise DataError(
                f"{escape(one.path)} and {escape(other.path)} both define the task {escape(one.name)}; "
                "remove one"
            )
    return tasks


def sdg_folders(folder: Path) -> list[Path]:
    """Return the folders that SDG wrote in a run each (`node_datasets_*`), the newest first.

    The date in a folder's name decides, or, where it has none, when the folder was last changed.
    """
    if folder.name.startswith(SDG_FOLDER):
        return [folder]
    paths = []
    for root, folders, _ in _walk(folder):
        paths += [Path(root, name) for name in folders if name.startswith(SDG_FOLDER)]
        folders[:] = [name for name in folders if not name.startswith(SDG_FOLDER)]
    return sorted((path for path in paths if not path.is_symlink()), key=_writing_time, reverse=True)


def _walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what `os.walk` does, without hidden folders; the caller may take out others."""
    for root, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        yield root, folders, files


def _writing_time(folder: Path) -> tuple[datetime, str]:
    """Return when SDG wrote a folder, and its path, so that no two are of the same age."""
    parts = DATE.search(folder.name)
    with contextlib.suppress(ValueError):  # such as the 31st of February
        if parts is not None:
            return datetime(*(int(part) for part in parts.groups() if part)), str(folder)  # type: ignore[arg-type]
    return datetime.fromtimestamp(folder.stat().st_mtime), str(folder)


# --- one task ---


@dataclass(frozen=True)
class TaskSetting:
    """A value of a task, and the file and line where it stands."""

    value: object
    file: str
    line: int | None = None

    @property
    def location(self) -> str:
        """Return the place as a message names it."""
        return self.file if self.line is None else f"{self.file}, line {self.line}"

    def inside(self) -> dict[str, TaskSetting]:
        """Return the values of a mapping; of anything else none."""
        if not isinstance(self.value, dict):
            return {}
        lines = self.value.lines if isinstance(self.value, YamlMapping) else {}
        entries = self.value.items()
        return {str(key): TaskSetting(value, self.file, lines.get(key, self.line)) for key, value in entries}


@dataclass(frozen=True)
class TaskSettings:
    """All that a task says, in its own file or the one that it includes."""

    file: str
    entries: Mapping[str, TaskSetting]

    def get(self, key: str) -> TaskSetting:
        """Return the setting of a key; its value is None where the task has none."""
        return self.entries.get(key, TaskSetting(None, self.file))

    @property
    def is_member(self) -> bool:
        """Return whether the task is one of MMLU-Branch's."""
        values = [self.get(key).value for key in ("tag", "group")]
        return any(value == GROUP or (isinstance(value, list) and GROUP in value) for value in values)

    @property
    def name(self) -> str:
        """Return the task's name; raises DataError where it has none."""
        setting = self.get("task")
        name = setting.value
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > MOST_NAME:
            raise DataError(
                f"{setting.location}: task must be a name of at most {MOST_NAME} printable characters "
                f"(got {escape(name, 40)})"
            )
        return name


def _task_file(path: Path, folder: Path, trust: bool) -> TaskFile | None:
    """Return the task of a YAML file, None where it has none of MMLU-Branch's."""
    try:
        settings = _task_settings(path, folder)
    except UntrustedTask:
        if not trust:
            raise
        settings = _settings_by_lm_eval(path)
    if not settings.is_member:
        return None
    task = TaskFile(settings.name, path, None, None)
    try:
        try:
            return replace(task, form=_choice_form(settings), data=_rows_file(settings, path, folder))
        except UntrustedTask:
            if not trust:
                raise
        with contextlib.suppress(
            UntrustedTask
        ):  # lm-eval's rows may lie as those of SDG's tasks, or elsewhere
            if settings.get("dataset_path").value == "json":
                return replace(task, data=_rows_file(settings, path, folder))
        return task
    except DataError as error:
        return replace(task, problem=str(error))


def _task_settings(path: Path, folder: Path) -> TaskSettings:
    """Return what a task and the file that it includes say; both are in the folder."""
    own = _read_yaml_inside(path, folder)
    include = own.pop("include", None)
    if include is None:
        return TaskSettings(escape(path), own)
    name = include.value
    if not isinstance(name, str) or not name.isprintable():
        raise UntrustedTask(f"{include.location}: include must be the name of one file")
    target = path.parent / name
    if not _is_inside(target, folder):
        raise UntrustedTask(
            f"{include.location}: include must be a file in {escape(folder)} (got {escape(name)})"
        )
    if not os.path.isfile(target):
        raise DataError(
            f"{include.location}: the task includes {escape(name)}, which does not exist; put the template "
            "that the tasks were written with beside them"
        )
    included = _read_yaml_inside(target, folder)
    if "include" in included:
        raise UntrustedTask(f"{included['include'].location}: an included file must not include another")
    return TaskSettings(escape(path), {**included, **own})


def _read_yaml_inside(path: Path, folder: Path) -> dict[str, TaskSetting]:
    if not _is_inside(path, folder):
        raise UntrustedTask(f"{escape(path)} is a link to outside of {escape(folder)}")
    return TaskSetting(read_yaml(path, most_bytes=MOST_YAML_BYTES), escape(path)).inside()


def _settings_by_lm_eval(path: Path) -> TaskSettings:
    """Return what a trusted file says; functions are named, not imported."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        values = load_yaml(path, resolve_func=False)
    except Exception as error:
        raise DataError(f"{escape(path)}: lm-eval cannot read the task: {escape(error)}") from None
    return TaskSettings(escape(path), TaskSetting(values, escape(path)).inside())


def _choice_form(settings: TaskSettings) -> Form:
    """Return what a task of SDG's scores as its choices; raises Untrusted for any other task."""
    for key, setting in settings.entries.items():
        tag = first_tag(setting.value)
        if tag is not None:
            location = replace(setting, line=tag.line).location
            raise UntrustedTask(f"{location}: {escape(key, 40)} has the tag {tag.tag}")
        if key not in KNOWN:
            raise UntrustedTask(
                f"{setting.location}: {escape(key, 40)} is not a key that InstructLab's SDG writes"
            )
    for key, values in WRITTEN.items():
        setting = settings.get(key)
        if setting.value not in values:
            expected = " or ".join(repr(value) for value in values)
            raise UntrustedTask(
                f"{setting.location}: {key} must be {expected}, as InstructLab's SDG writes it "
                f"(got {escape(repr(setting.value))})"
            )
    _check_metrics(settings.get("metric_list"))
    choices = settings.get("doc_to_choice").value
    return next(form for form, written in CHOICES.items() if written == choices)


def _check_metrics(setting: TaskSetting) -> None:
    if setting.value is None:  # lm-eval's own choice, which has acc
        return
    metrics = setting.value if isinstance(setting.value, list) else []
    names = [
        metric["metric"]
        for metric in metrics
        if isinstance(metric, dict)
        and "metric" in metric
        and all(value in METRIC.get(key, ()) for key, value in metric.items())
    ]
    if len(names) < len(metrics) or "acc" not in names:
        raise UntrustedTask(
            f"{setting.location}: metric_list must have the mean of acc, and no other metric than acc_norm"
        )


# --- where its rows are ---


def _rows_file(settings: TaskSettings, path: Path, folder: Path) -> Path:
    """Return the file of a task's rows: where SDG wrote it if that is in the folder, else beside the YAML."""
    kwargs = settings.get("dataset_kwargs")
    for key, unknown in kwargs.inside().items():
        if key != "data_files":
            raise UntrustedTask(
                f"{unknown.location}: {escape(key, 40)} is not a key that InstructLab's SDG writes in "
                "dataset_kwargs"
            )
    files = kwargs.inside().get("data_files", kwargs).inside()
    setting = files.get("test", kwargs)
    file_name = setting.value
    if len(files) != 1 or not isinstance(file_name, str) or not file_name.isprintable():
        raise UntrustedTask(
            f"{setting.location}: dataset_kwargs must have data_files with one file, called test"
        )
    beside = path.parent / os.path.basename(file_name)
    existing = list(filter(os.path.isfile, (path.parent / file_name, Path(file_name), beside)))
    for candidate in existing:
        if _is_inside(candidate, folder):
            return candidate
    message = (
        f"{setting.location}: expected the data file {escape(file_name)} in {escape(folder)}, or "
        f"{escape(beside.name)} beside {escape(path.name)} (found neither)"
    )
    if existing:
        raise UntrustedTask(message)
    raise DataError(f"{message}; put the task's JSONL file there")


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
