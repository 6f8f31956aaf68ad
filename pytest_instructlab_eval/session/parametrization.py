"""The parameters of a run's tests: an item for each question and model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.escaping import escape_line, escape_text
from pytest_instructlab_eval.session.items import our_fixture_names
from pytest_instructlab_eval.session.marker import marked_gates
from pytest_instructlab_eval.session.session import EvalSession
from pytest_instructlab_eval.session.xdist_internals import is_worker
from pytest_instructlab_eval.suites.benchmark import Question
from pytest_instructlab_eval.suites.registry import benchmark_fixtures, find_benchmark
from pytest_instructlab_eval.suites.selection import asked_questions


class Parametrization:
    """The hooks that make the items; `unreadable` is the error of questions that cannot be read."""

    def __init__(self, session: EvalSession) -> None:
        self.unreadable: EvalError | None = None
        self._eval = session
        self._settings = session.settings
        self._is_worker = is_worker(session.config)
        self._with_models: set[str] = set()  # the tests whose questions came with their models

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make an item for each question of a test."""
        names = metafunc.fixturenames
        named = metafunc.definition.get_closest_marker("eval") or not our_fixture_names().isdisjoint(names)
        if named and inspect.iscoroutinefunction(metafunc.function) and "anyio_backend" in names:
            names.remove("anyio_backend")  # anyio's auto mode would run each test once for each backend
        for fixture, name in benchmark_fixtures().items():
            if fixture in names:
                self._parametrize(metafunc, fixture, name)

    def _parametrize(self, metafunc: pytest.Metafunc, fixture: str, name: str) -> None:
        questions = self._read(
            lambda: self._eval.questions.of_fixture(fixture, marked_gates(metafunc.definition))
        )
        definition, settings = find_benchmark(name), self._settings
        apart = settings.base_questions == "base" and "served_model" in metafunc.fixturenames
        if definition is None or definition.read_of_base is None or not apart:
            ids = [escape_line(question.id) for question in questions]
            metafunc.parametrize(fixture, questions, ids=ids)
            return
        of_base = self._read(partial(asked_questions, definition, settings, of_base=True))
        pairs = [
            (question, label)
            for label in settings.labels
            for question in (of_base if label == settings.base_label else questions)
        ]
        metafunc.parametrize(
            (fixture, "served_model"),
            pairs,
            ids=[escape_line(f"{question.id}-{label}") for question, label in pairs],
            indirect=["served_model"],
        )
        self._with_models.add(metafunc.definition.nodeid)

    @pytest.hookimpl(specname="pytest_generate_tests", trylast=True)
    def pytest_generate_model_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make an item for each of several models; the items of one model are adjacent."""
        models = list(self._settings.labels)
        has_models = metafunc.definition.nodeid in self._with_models
        if len(models) > 1 and "served_model" in metafunc.fixturenames and not has_models:
            metafunc.parametrize(
                "served_model", models, ids=list(map(escape_line, models)), indirect=True, scope="session"
            )

    def pytest_make_parametrize_id(self, val: object) -> str | None:
        """Return a harmless id for a text that a CI job would take for a command."""
        return escape_line(val) if isinstance(val, str) and "##[" in val else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self) -> None:
        """End the run if the questions cannot be read."""
        if self.unreadable is not None:
            raise self._eval.refused(self.unreadable)

    def _read(self, read: Callable[[], Sequence[Question]]) -> Sequence[Question]:
        try:
            return read()
        except EvalError as error:
            if self._is_worker:
                raise pytest.Collector.CollectError(escape_text(str(error))) from None
            self.unreadable = self.unreadable or error
            return []
