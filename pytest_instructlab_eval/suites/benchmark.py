"""What a benchmark is: one object, from which options, fixtures, gates, files and reports work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_instructlab_eval.settings import Settings

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges.trial import Put
    from pytest_instructlab_eval.suites.option import Option


class Question(Protocol):
    """What one test asks: a question, or a task of many; a frozen dataclass each."""

    @property
    def id(self) -> str:
        """What the test is called by; unique in its benchmark."""
        ...

    @property
    def group(self) -> str:
        """What the tables break the benchmark down by: a category, a file, the task itself."""
        ...

    @property
    def content(self) -> object:
        """What tells it from another question of its name, None where that is not known yet."""
        ...

    @property
    def requests(self) -> int | None:
        """How many requests it takes, None where that is not known yet."""
        ...


class Conversation(Protocol):
    """What InstructLab's files say of a question: its number there, and the user's turns."""

    @property
    def number(self) -> str:
        """InstructLab's id."""
        ...

    @property
    def turns(self) -> tuple[str, ...]:
        """What the user says."""
        ...


@dataclass(frozen=True)
class Need:
    """A setting without which a benchmark is left out, unless it is not needed this time."""

    setting: str
    unless: Callable[[Settings], bool] = lambda settings: False


@dataclass(frozen=True)
class AnswerFiles:
    """A benchmark's files in InstructLab's layout.

    `folder` is where they are below the output folder, for a Git ref or none, and `conversation` what they
    say of a question. `with_questions` says whether its questions and reference answers are among them.
    """

    folder: Callable[[str | None], Path]
    conversation: Callable[[Any], Conversation]
    with_questions: bool = False


@dataclass(frozen=True)
class Benchmark:
    """A named set of questions, and how they are asked and scored.

    `read` gives its questions, which are of the type `question`, and `read_of_base` those that the base model
    is asked where it has questions of its own. `metrics` are the scores of a question by name, each with its
    maximum. `version` is raised where a release asks or grades otherwise, so that scores do not compare.
    `cluster` says whose errors are independent: each question's, or each group's as a whole.

    `needs` are the settings without which it is left out, `own_settings` those that nobody makes who does not
    mean it, and `by_default` says whether it is meant where nothing is said. `compared` says what an earlier
    run must have in common: its data as a "whole", or "each" question by itself, as a branch may change one
    and keep the rest. `fixed_groups` says whether every run has the same groups.

    `check` raises DataError where one of the questions that will be asked can't be, `references` are a
    question's reference answers, and `judged_like` is how an answer is put to the judge, as for one of the
    questions. `unasked` says, in sentences, what a run leaves out of the data.

    `of_tasks` says that an item is a task of many questions, of which `read` itself takes the part that
    --eval-sample and --eval-first-n ask for; of any other benchmark they take a part of the items. `tests` is
    the module that --eval-benchmark collects, called test_NAME, and `options` are its own; `Settings.own` has
    their values.
    """

    name: str
    title: str
    question: type[Any]
    read: Callable[[Settings], Sequence[Question]]
    metrics: Mapping[str, float]
    version: int = 1
    judged: bool = False
    cluster: Literal["question", "group"] = "question"
    needs: tuple[Need, ...] = ()
    own_settings: tuple[str, ...] = ()
    by_default: bool = False
    compared: Literal["whole", "each"] = "whole"
    fixed_groups: bool = False
    read_of_base: Callable[[Settings], Sequence[Question]] | None = None
    check: Callable[[Sequence[Any]], None] | None = None
    references: Callable[[Any], Sequence[str]] | None = None
    judged_like: Callable[[Any], Put] | None = None
    unasked: Callable[[Settings], list[str]] = lambda settings: []
    of_tasks: bool = False
    tests: str = ""
    options: tuple[Option, ...] = ()
    files: AnswerFiles | None = None

    @property
    def maximum(self) -> float:
        """Return the largest score of any metric."""
        return max(self.metrics.values())
