"""The steps before the first request: checks of data, paths, servers and gates, and the start of models."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval import options
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.session import garbage_collection
from pytest_instructlab_eval.session.collection import Collection
from pytest_instructlab_eval.session.installed_benchmarks import benchmark_file
from pytest_instructlab_eval.session.items import forked_problem, model_roles, questions_of_item
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.xdist_internals import is_controller, worker_id
from pytest_instructlab_eval.suites.registry import benchmark_fixtures

if TYPE_CHECKING:
    import warnings

    from pytest_instructlab_eval.session.collected_tests import CollectedTests


class Preparation:
    """The hooks before the first test, in the process that decides whether the run starts."""

    def __init__(self, session: EvalSession, collection: Collection) -> None:
        self._eval = session
        self._config = session.config
        self._settings = session.settings
        self._collection = collection
        self._nothing_to_ask = False
        self._has_gates = False
        self._has_servers = False
        self._unknown_names: list[str] = []  # of the ini file

    # --- hooks ---

    def pytest_report_header(self) -> list[str]:
        """Return the lines of the header."""
        from pytest_instructlab_eval.session.header import header_lines

        lines = header_lines(self._settings, self._config, self._eval.questions.unasked)
        if not self._eval.without_tests:
            lines += self._eval.journal.header
        return [escape_line(line) for line in lines]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Under xdist, check the data before any worker is started."""
        if not is_controller(self._config):
            return
        named = {Path(argument.partition("::")[0]) for argument in self._config.args}
        with self._eval.refusing():
            installed = {benchmark_file(name): fixture for fixture, name in benchmark_fixtures().items()}
            named_fixtures = [fixture for file, fixture in installed.items() if file in named]
            self._check_data(named_fixtures)
            self._nothing_to_ask = named <= {*installed} and self._eval.questions.asks_nothing(named_fixtures)

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Record the unknown names in the ini file."""
        _, unknown, name = str(warning_message.message).partition("Unknown config option: ")
        if unknown:
            self._unknown_names.append(name.strip())

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Check the collected tests, and the servers if tests use models."""
        option = self._config.option
        runs = not session.testsfailed or option.continue_on_collection_errors
        # pytest calls this hook even after one that ended the run.
        if option.collectonly or not runs or self._eval.has_refused:
            return
        wanted = [item for item in session.items if model_roles([item])]
        self.check_forked(forked_problem(wanted))
        self.check_collected(self._collection.collected(session))
        if wanted and not self._settings.plan:
            with self._eval.refusing():
                self._eval.servers.check()
                self._eval.servers.check_judge(chain.from_iterable(map(questions_of_item, wanted)))
            self._eval.servers.expect(worker_id(self._config))
            self.serve(model_roles(wanted))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Check the names of the ini file, and under xdist the servers, while the workers collect.

        pytest reports the unknown names only after the collection. Run no test with --eval-plan.
        """
        with self._eval.refusing():
            for name in self._unknown_names:
                options.check_ini_name(name)
        if is_controller(self._config):
            if not self._nothing_to_ask:
                with self._eval.refusing():
                    self._eval.servers.check()
            garbage_collection.exempt_existing_objects()
        return True if self._settings.plan and not session.testsfailed else None

    # --- checks of the collected tests, from here or from a worker; each ends a run that cannot start ---

    def check_forked(self, problem: str | None) -> None:
        """End the run if pytest-forked would fork tests that use a model."""
        if problem is not None:
            raise self._eval.refused(ConfigurationError(problem))

    def check_collected(self, collected: CollectedTests) -> None:
        """End the run if the gates do not fit the collected tests, or the results cannot be saved."""
        if self._has_gates or not (collected.groups or self._settings.gate):
            return
        self._has_gates = True
        with self._eval.refusing():
            self._check_data([])
            if not self._eval.without_tests:
                self._eval.lock_output()
            self._eval.gating.prepare(collected)
            self._eval.models.check_answers(collected.judged)
            plan = self._eval.gating.plan(self._eval.window)
            for warning in () if self._settings.plan else plan.warnings:  # --eval-plan shows them at the end
                self._eval.say(warning)
            may_recall = self._settings.reuse_verdict and collected.asks
            if not self._eval.without_tests and not may_recall:
                self._eval.set_aside_last_run()  # else only once its verdict is not given again

    def serve(self, fixtures: set[str]) -> None:
        """Try the judges if tests use one, and start the run's own servers; only once.

        `fixtures` are the models' fixtures that tests use.
        """
        if self._has_servers:
            return
        self._has_servers = True
        tries = self._eval.gating.gated and not self._settings.no_judge_trial
        with self._eval.refusing():
            self._eval.identities.look(fixtures)
            self._eval.gating.check_identities(self._eval.identities.judges)
            self._eval.recall_verdict()
            if self._eval.recalled is not None:
                return
            if self._settings.reuse_verdict:
                self._eval.set_aside_last_run()
            self._eval.journal.know_models(self._eval.identities)
            planned = self._eval.gating.collected.planned
            if (to_ask := self._eval.journal.requests_to_ask(planned)) is not None:
                self._eval.say(to_ask)
            if tries and "judge" in fixtures:
                self._eval.servers.try_judges()
            self._eval.servers.serve(fixtures, tried=tries, asks_later=not is_controller(self._config))

    def _check_data(self, fixtures: Sequence[str]) -> None:
        """Raise ConfigurationError for a path that cannot be written, or unusable data of these fixtures."""
        _check_folder("--eval-output-dir", self._settings.output_dir)
        baseline = self._settings.save_baseline
        if baseline is not None:
            if baseline.is_dir():
                raise ConfigurationError(f"--eval-save-baseline: {baseline} is a folder; name a file")
            _check_folder("--eval-save-baseline", baseline.parent)
        page = self._settings.report_file
        if page is not None:
            if page.is_dir():
                raise ConfigurationError(f"--eval-report: {page} is a folder; name a file")
            _check_folder("--eval-report", page.parent)
        for fixture in fixtures:
            self._eval.questions.of_fixture(fixture)


def _check_folder(option: str, folder: Path) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{option}: {folder} cannot be written, as {existing} is not a writable folder "
            f"({error.strerror}); name another folder"
        ) from None
