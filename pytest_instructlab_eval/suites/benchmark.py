"""The benchmark: one object, from which options, fixtures, gates, files and reports work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_instructlab_eval.settings import Settings

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges.judge import Judge
    from pytest_instructlab_eval.records.scores import Score
    from pytest_instructlab_eval.suites.option import Option


class Question(Protocol):
    """The object behind one test: a question, or a task of many; in each benchmark a frozen dataclass."""

    @property
    def id(self) -> str:
        """Return the name of the test, unique in its benchmark."""
        ...

    @property
    def group(self) -> str:
        """Return the row of the tables that it counts in: a category, a file, the task itself."""
        ...

    @property
    def content(self) -> object:
        """Return the content that differs from that of other questions of its name; None if not known yet."""
        ...

    @property
    def requests(self) -> int | None:
        """Return the number of its requests as far as it is known now; None if not known yet."""
        ...


class Conversation(Protocol):
    """A question in InstructLab's files: its number there, and the user's turns."""

    @property
    def number(self) -> str:
        """Return InstructLab's id."""
        ...

    @property
    def turns(self) -> tuple[str, ...]:
        """Return the user's turns."""
        ...


@dataclass(frozen=True)
class Need:
    """A setting without which a benchmark is left out.

    `setting` is its name. `unless` returns whether this run needs it not.
    """

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
    """A named set of questions, with how they are asked and scored.

    The questions:

    - `name` is what users call it, and `title` what tables call it.
    - `question` is the type of its questions, and `read` returns them for the settings of a run.
    - `read_of_base` returns those of the base model, where it gets questions of its own.
    - `check` raises DataError where a selected question cannot be asked.
    - `with_repeats` returns the asked questions with how often each is asked, for `--eval-repeat auto`.
    - `unasked` returns a sentence for each part of the data that a run leaves out.
    - `of_tasks` says that a test is a task of many questions. Then `read` itself takes the part that
      `--eval-sample` and `--eval-first-n` ask for. Of any other benchmark they take a part of the tests.

    The scores:

    - `metrics` has the scores of a question by name, each with its maximum. The benchmark's score is the
      mean over all of them where they have one maximum. Where they have several, it is the first one's mean.
      A judge's grade is called "rating" and a bare number "score", unless `metric=` says otherwise.
    - `judged` says that answers are graded by a judge. A run without one leaves the benchmark out.
    - `references` returns the reference answers of a question.
    - `judged_like` is for the judge's trial. It takes a question and returns an `async def` function of a
      judge, a question's text, its reference answer and an answer. That function grades the answer as the
      benchmark does, and returns the Score. Without it the trial uses the judge's own prompt, and ratings
      from 1 to 10.
    - `cluster` says whose errors are independent: those of each "question", or of each "group".

    Comparisons:

    - `version` must be raised where a release asks or grades in another way, so that scores do not compare.
    - `about_these` says whether a run's drops are about its very questions, where these have several answers,
      and not about questions like them.
    - `compared` is "whole" where two runs must have the same data, and "each" where single questions may
      differ, as on a branch that changes some of them.
    - `fixed_groups` says that every run has the same groups. A gate of the ini file on any other group ends
      the run.

    When it runs:

    - `needs` has the settings without which it is left out.
    - `own_settings` has the names of settings that mean this benchmark: where one is given and the
      benchmark is left out, the header says so.
    - `by_default` says that the header gives the reason where a run that names no benchmark leaves it out.
      Each benchmark that has all that it needs is a part of such a run.
    - `tests` is the module that `--eval-benchmark` collects, called `test_NAME`.
    - `options` has options of its own, whose values are in `Settings.own`.
    - `files` has its place in InstructLab's file layout.
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
    about_these: Callable[[Settings], bool] = lambda settings: False
    read_of_base: Callable[[Settings], Sequence[Question]] | None = None
    check: Callable[[Sequence[Any]], None] | None = None
    with_repeats: Callable[[Sequence[Any], Settings], Sequence[Question]] | None = None
    references: Callable[[Any], Sequence[str]] | None = None
    judged_like: Callable[[Any], Callable[[Judge, str, str, str], Awaitable[Score]]] | None = None
    unasked: Callable[[Settings], list[str]] = lambda settings: []
    of_tasks: bool = False
    tests: str = ""
    options: tuple[Option, ...] = ()
    files: AnswerFiles | None = None

    @property
    def maximum(self) -> float:
        """Return the largest score of the main metric."""
        return next(iter(self.metrics.values()))

    @property
    def main_metric(self) -> str:
        """Return the first metric where the metrics have several scales, so that no mean is over all.

        Empty where they have one: then the benchmark's score is the mean over all of them.
        """
        return next(iter(self.metrics)) if len(set(self.metrics.values())) > 1 else ""
