"""The journal of one run in one process: which requests it keeps, and for which test, model and judge."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.records.journal_folder import (
    FOLDER,
    is_finished,
    journal_files,
    journal_heads,
    journal_size,
    mark_finished,
    mark_unfinished,
    requests_of_tests,
)
from pytest_instructlab_eval.records.journal_models import (
    JournalModels,
    other_models,
    read_models,
    unproven_models,
    write_models,
)
from pytest_instructlab_eval.records.previous_runs import FOLDER as PREVIOUS
from pytest_instructlab_eval.records.previous_runs import set_aside
from pytest_instructlab_eval.session.item_state import equal_requests
from pytest_instructlab_eval.session.items import ItemIdentity, has_question, identity_of
from pytest_instructlab_eval.session.xdist_internals import worker_id
from pytest_instructlab_eval.suites.registry import find_benchmark

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_instructlab_eval.models import Model
    from pytest_instructlab_eval.models.adaptations import Role
    from pytest_instructlab_eval.models.journalled_model import AskedModelName, AskingTest
    from pytest_instructlab_eval.records.journal import Journal
    from pytest_instructlab_eval.records.run import JournalUse, PlannedTest
    from pytest_instructlab_eval.session.distribution import Signs
    from pytest_instructlab_eval.session.progress import Progress
    from pytest_instructlab_eval.session.run_identities import RunIdentities
    from pytest_instructlab_eval.session.run_models import RunModels
    from pytest_instructlab_eval.settings import Settings


IDENTITIES = "identities"  # a sign for the workers


class RunJournal:
    """The journal in the output folder of a run.

    It is read and written from the first test on that asks a model: before, the run may still be refused.
    """

    def __init__(
        self,
        settings: Settings,
        config: pytest.Config,
        *,
        models: RunModels,
        progress: Progress,
        signs: Signs,
    ) -> None:
        self._settings = settings
        self._folder = settings.output_dir / FOLDER
        self._models = models
        self._progress = progress
        self._signs = signs
        self.process = worker_id(config)
        self._opened: Journal | None = None
        self._knows_of_death = False
        self._names: dict[tuple[Role, str], AskedModelName] = {}
        self.notes: list[str] = []

    @property
    def problem(self) -> str | None:
        """Why nothing more can be written; None where nothing is in the way."""
        return None if self._opened is None else self._opened.problem

    @property
    def use(self) -> JournalUse | None:
        """What was taken from the journal; None without --eval-resume, and where no test asked a model."""
        return self._opened.use if self._opened is not None and self._settings.resume else None

    def wrap(self, item: pytest.Item, role: Role) -> Callable[[str, Model], Model]:
        """Return a function of the label of a model and the model, which returns it as this test asks it.

        The requests of a test without a question are not kept: nothing would tell them from others.
        """
        from pytest_instructlab_eval.models.journalled_model import JournalledModel

        if not isinstance(item, pytest.Function) or not has_question(item):
            return lambda label, model: model
        about = identity_of(item)
        evaluated = about.model if about.model is not None else next(iter(self._labels))
        test = asking_test(item, about, self._labels[evaluated])
        if self._opened is None:
            from pytest_instructlab_eval.records.journal import Journal

            self._opened = Journal(
                self._folder,
                self.process,
                reuse=self._settings.resume,
                head=lambda: {"requests": self._progress.expected},
            )
            self._models.replayed_adaptations = self._opened.adaptations.values()
        numbers, journal = equal_requests(item), self._opened
        if not self._knows_of_death and self._signs.is_up("careful"):
            self._knows_of_death = True
            journal.look_again()
        return lambda label, model: JournalledModel(
            model,
            journal,
            test=test,
            name=self._asked_name(role, label),
            numbers=numbers,
            adaptations=self._models.answer_adaptations,
        )

    @property
    def header(self) -> list[str]:
        """The line of the header about a journal in the folder; empty where the run leaves it as it is."""
        resume = self._settings.resume
        with contextlib.suppress(DataError):  # it ends a run that needs the journal
            size = journal_size(self._folder) if resume or not is_finished(self._folder) else None
            if size is not None and resume:
                return [f"journal: goes on with the run of {size.started} UTC, which has replies to {size}"]
            if size is not None and size.journalled:
                return [
                    f"journal: an unfinished run of {size.started} UTC is in {self._folder.parent}, with "
                    f"replies to {size}; --eval-resume goes on with it, and this run moves it to "
                    f"{self._folder.parent / PREVIOUS}"
                ]
        return []

    def go_on(self) -> None:
        """Note that this run goes on with the journal of the last one.

        Raises DataError where a newer version of the plugin wrote it, and OSError.
        """
        journal_heads(self._folder)
        mark_unfinished(self._folder)

    def requests_to_ask(self, tests: Sequence[PlannedTest]) -> str | None:
        """Return how many requests of these tests are to be asked, by what the journal has of each test.

        Whether its replies are to the same prompts is known only once these are made. None where nothing is
        taken from a journal, and where the number of requests is not known.
        """
        expected: Counter[tuple[str, str]] = Counter()
        for test in tests:
            if test.requests is None:
                return None
            expected[test.benchmark, test.question] += test.requests
        if not self._settings.resume or not journal_files(self._folder):
            return None
        journalled: Counter[tuple[str, str]] = Counter()
        for entry, count in requests_of_tests(self._folder).items():
            if (entry.role, entry.model) in self._identities or entry.model in self._labels:
                journalled[entry.benchmark, entry.question] += count
        self._progress.replayed = (expected & journalled).total()
        left, all_requests = (expected - journalled).total(), expected.total()
        return f"{left:,} of {all_requests:,} requests to ask (more if questions or prompts have changed)"

    def end(self, arguments: Sequence[str], *, complete: bool) -> str | None:
        """Note whether the run is complete; return the command that goes on with it, None if it is.

        `arguments` are those of pytest's command line. Without any reply there is nothing to go on with.
        """
        if not journal_files(self._folder):
            return None
        if complete:
            with contextlib.suppress(OSError):  # then --eval-resume finds all that it asks for
                mark_finished(self._folder)
            return None
        more = () if "--eval-resume" in arguments else ("--eval-resume",)
        return shlex.join(["pytest", *arguments, *more])

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._opened is not None:
            self._opened.close()

    def know_models(self, identities: RunIdentities) -> None:
        """Take over the identities of the models, for this process and for its workers.

        With --eval-resume, a journal of other models is moved to the folder of the earlier runs. Raises
        ConfigurationError where that fails.
        """
        if self._settings.resume:
            try:
                self._compare(JournalModels(models=identities.models, judges=identities.judges))
            except OSError as error:
                raise ConfigurationError(
                    f"--eval-resume: {self._folder} cannot be written ({error.strerror}); make room there, "
                    "or name another folder with --eval-output-dir"
                ) from None
        known = [("model", label, identity) for label, identity in identities.models.items()]
        known += [("judge", label, identity) for label, identity in identities.judges.items()]
        plain = [[role, label, identity.text] for role, label, identity in known]
        self._identities = _by_label(plain)
        self._signs.leave(IDENTITIES, plain)

    def _compare(self, now: JournalModels) -> None:
        """Keep the identities beside the journal, and refuse a journal of other models."""
        if journal_files(self._folder):
            try:
                then = read_models(self._folder)
                reason = None if then is None else next(other_models(now, then), None)
            except DataError as error:
                then, reason = None, str(error)
            if reason is not None:
                set_aside(self._settings.output_dir, max(1, self._settings.keep_previous), journal=True)
                self.notes.append(f"the journal was not used, and all is asked anew: {reason}")
            elif unproven := list(unproven_models(now, then)):
                self.notes.append(
                    f"whether {', '.join(unproven)} has the weights that the journal's replies are of is not "
                    "known: only its name and what its server lists were compared"
                )
        write_models(self._folder, now)

    @cached_property
    def _identities(self) -> dict[tuple[str, str], str]:
        """The identities of the models and judges by role and label, as the controller has left them."""
        return _by_label(self._signs.read(IDENTITIES))

    @cached_property
    def _labels(self) -> dict[str, str]:
        """The names of the evaluated models by their labels, for which the disk is looked at."""
        return self._settings.labels

    def _asked_name(self, role: Role, label: str) -> AskedModelName:
        """Return a model with what its replies depend on: its identity, and options that shape requests."""
        from pytest_instructlab_eval.models.journalled_model import AskedModelName

        settings = self._settings
        if (role, label) in self._names:
            return self._names[role, label]
        shaped = role == "model" and [settings.merge_model_system_message, settings.add_bos]
        name = (settings.labels if role == "model" else settings.judges)[label]
        identity = json.dumps([self._identities.get((role, label), name), shaped])
        judges = [self._identities.get(("judge", judge), text) for judge, text in settings.judges.items()]
        rating = json.dumps([judges, settings.judge_repeat, settings.merge_system_user_message])
        return self._names.setdefault((role, label), AskedModelName(role, label, identity, rating))


def _by_label(plain: object) -> dict[tuple[str, str], str]:
    entries = plain if isinstance(plain, list) else []
    return {(str(role), str(label)): str(text) for role, label, text in entries}


def asking_test(item: pytest.Function, about: ItemIdentity, model: str) -> AskingTest:
    """Return what tells the requests of a test from those of all others; `model` names the evaluated one."""
    from pytest_instructlab_eval.models.journalled_model import AskingTest

    definition = find_benchmark(about.benchmark)
    if definition is not None:
        return AskingTest(about.benchmark, definition.version, "", about.question, model)
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    location = "::".join([item.nodeid.partition("::")[0], *classes, item.originalname])
    return AskingTest(about.benchmark, 0, location, about.question, model)
