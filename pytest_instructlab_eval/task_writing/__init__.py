"""MMLU-Branch tasks made of a taxonomy's knowledge: a teacher model asks, and a second look checks."""

from pytest_instructlab_eval.task_writing.task_folder import TaskFolder
from pytest_instructlab_eval.task_writing.task_maker import FileOutcome, PassageOutcome, make_tasks
from pytest_instructlab_eval.task_writing.teacher import Teacher, TeacherModel

__all__ = ["FileOutcome", "PassageOutcome", "TaskFolder", "Teacher", "TeacherModel", "make_tasks"]
