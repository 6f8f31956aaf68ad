"""The servers of one run: their checks before the first request, their start and their stop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import CancelledError

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.serving import Owner, check_sources, plan_launches
from pytest_instructlab_eval.session.distribution import Signs
from pytest_instructlab_eval.session.engine import Engine
from pytest_instructlab_eval.session.run_models import RunModels
from pytest_instructlab_eval.session.run_questions import RunQuestions
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.benchmark import Benchmark, Question


class Servers:
    """The servers of a run, in the process that starts it.

    `say` shows the user what the run waits for.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine,
        models: RunModels,
        questions: RunQuestions,
        signs: Signs,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._questions = questions
        self._engine = engine
        self._models = models
        self._signs = signs
        self._say = say
        self._asking: set[str] = set()
        self._owner: Owner | None = None

    # --- the processes that use models ---

    def expect(self, process: str) -> None:
        """Add a process that uses models: servers are not swapped before it is ready."""
        self._asking.add(process)
        if self._owner is not None:
            self._owner.expect(process)

    def forget(self, process: str) -> None:
        """Remove a process that has ended."""
        self._asking.discard(process)
        if self._owner is not None:
            self._owner.forget(process)

    # --- before the first request ---

    def check(self) -> None:
        """Raise ConfigurationError where a running server cannot be reached or lacks its model."""
        for _, _, model in self._models.at_servers():
            self._engine.call(model.find(self._settings.wait))

    def check_judge(self, questions: Iterable[tuple[Question, Benchmark]]) -> None:
        """Raise ConfigurationError where the judge cannot grade some of these questions."""
        from pytest_instructlab_eval.judges.reference import check_judge_references

        references = {
            question.id: definition.references(question)
            for question, definition in questions
            if definition.references is not None
        }
        for judge in self._models.judges.values():
            check_judge_references(references, judge)

    def try_judges(self) -> None:
        """Raise ConfigurationError where a running judge fails its trial."""
        from pytest_instructlab_eval.judges.trial import try_judge

        for label, judge in self._models.judges.items():
            if self._settings.judges[label] not in self._settings.hosted:
                self._engine.call(try_judge(label, judge, self._questions.put))

    def serve(self, roles: Collection[str], *, tried: bool, asks_later: bool) -> None:
        """Start the run's own servers that tests with these fixtures need.

        `tried` says whether its judges have a trial, `asks_later` whether this process uses them after it.
        Raises ConfigurationError where a model cannot be served, or a judge fails its trial.
        """
        settings = self._settings
        wanted = {*settings.evaluated} if "served_model" in roles else set()
        wanted |= {*settings.judge_model} if "judge" in roles else set()
        launches = {name: launch for name, launch in plan_launches(settings).items() if name in wanted}
        if not launches:
            return
        check_sources(settings, launches)
        judges = settings.judging_models if tried and "judge" in roles else ()

        def try_out(name: str, url: str) -> None:
            if name in judges:
                self._try_served(name, url, asks_later=asks_later)

        self._owner = Owner(self._signs.folder, launches, self._say, try_out)
        for process in self._asking:
            self._owner.expect(process)
        self._owner.start(list(launches))

    def _try_served(self, name: str, url: str, *, asks_later: bool) -> None:
        """Run the trial of a judge that the run has just started, in the owner's thread; see `try_judges`."""
        from pytest_instructlab_eval.judges.trial import try_judge

        async def attempt() -> None:
            judge = await self._models.judge_at(name, url)
            try:
                await try_judge(self._settings.label(name), judge, self._questions.put)
            finally:
                if not asks_later:
                    await self._models.let_go(name)

        try:
            self._engine.call(attempt())
        except CancelledError:
            raise ConfigurationError("the run ended before the trial of its judge") from None

    # --- the end ---

    @property
    def problems(self) -> list[str]:
        """The problems of the servers that the run started."""
        return [] if self._owner is None else self._owner.problems

    def begin_to_stop(self) -> None:
        """Start to stop every server of the run, without waiting."""
        if self._owner is not None:
            self._owner.begin_to_stop()

    def stop(self) -> None:
        """Stop every server of the run, and wait until all have ended."""
        if self._owner is not None:
            self._owner.stop()
