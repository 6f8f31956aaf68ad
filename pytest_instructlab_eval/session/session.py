"""`EvalSession`: what the parts of one pytest run share, and those parts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval.errors import EvalError, OutputInUseError
from pytest_instructlab_eval.models import Blocking
from pytest_instructlab_eval.models.transcribed import TranscribedModel
from pytest_instructlab_eval.serving import Turns
from pytest_instructlab_eval.session import distribution
from pytest_instructlab_eval.session.engine import Engine, current_run
from pytest_instructlab_eval.session.item_state import state
from pytest_instructlab_eval.session.items import coroutine_function, identity
from pytest_instructlab_eval.session.output_lock import OutputLock
from pytest_instructlab_eval.session.progress import Progress
from pytest_instructlab_eval.session.pytest_internals import fixture_names, terminal, uncaptured
from pytest_instructlab_eval.session.questions import Questions
from pytest_instructlab_eval.session.run_models import RunModels
from pytest_instructlab_eval.session.servers import Servers
from pytest_instructlab_eval.session.xdist_internals import is_worker, worker_id, worker_number, workers
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.visible import visible, visible_line

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges import Judge
    from pytest_instructlab_eval.models import Model
    from pytest_instructlab_eval.session.gating import Gating

__all__ = ["NEEDS_JUDGE", "NOT_JUDGED", "EvalSession"]

NEEDS_JUDGE = "needs a judge: name one with --eval-judge-model"
NOT_JUDGED = "--eval-stage judge skips it: it needs no judge and already has its score"


class EvalSession:
    """What the parts of one run share: settings, questions, models, servers and gates; and how it ends."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.signs = distribution.Signs.for_worker(config)
        self.progress = Progress()
        self.engine = Engine()
        self.questions = Questions(settings)
        self.models = RunModels(
            settings,
            self.engine,
            budget=self.budget,
            turns=lambda: self.turns,
            share=(worker_number(config), workers(config)),
        )
        self.servers = Servers(
            settings,
            engine=self.engine,
            models=self.models,
            questions=self.questions,
            signs=self.signs,
            say=self._say,
        )
        self._lock = OutputLock(settings.output_dir)
        self._told_refusal = False

    @cached_property
    def gating(self) -> Gating:
        """What the run must hold to; not needed in xdist's workers."""
        from pytest_instructlab_eval.session.gating import Gating

        return Gating(self.settings, self.questions.digests, self.config.invocation_params.dir)

    @property
    def budget(self) -> int:
        """How many requests this process may have in flight per server."""
        return distribution.divide(self.settings.max_concurrency, self.config)

    @property
    def window(self) -> int:
        """How many tests may be under way ahead of pytest; all of them where models take turns."""
        if self.settings.takes_turns:
            return sys.maxsize // 4
        return distribution.look_ahead_window(self.budget)

    @cached_property
    def turns(self) -> Turns:
        """Where this process waits for models that the run serves."""
        return Turns(self.signs.folder, worker_id(self.config), current_run.get)

    @property
    def without_tests(self) -> bool:
        """Whether pytest was asked not to run the tests."""
        named = ("collectonly", "setuponly", "setupplan")
        return any(self.config.getoption(name, False) for name in named)

    def fixture(self, name: str, item: pytest.Item, label: str | None = None) -> object:
        """Return the value of one of our fixtures for an item: models wait in a plain `def` test.

        `label` is what the model under evaluation is called; None is the first one.
        """
        if name == "record_score":
            return state(item).recorder
        if name == "eval_settings":
            return self.settings
        if (reason := self.skip_reason(item)) is not None:
            pytest.skip(reason)
        value: Model | Judge | None
        if name == "served_model":
            if self.settings.stage == "judge":
                assert isinstance(item, pytest.Function)  # noqa: S101  (nothing else asks for a fixture)
                about = identity(item)
                asked = self.models.answered(label, about.benchmark, about.question)
            else:
                asked = self.models.candidate(label)
            value = TranscribedModel(asked, state(item).chats)
        elif name == "judge":
            value = self.models.judge
            if value is None:
                pytest.skip(NEEDS_JUDGE)
        else:
            raise LookupError(name)
        is_async = isinstance(item, pytest.Function) and coroutine_function(item) is not None
        return value if is_async else Blocking(value, self.engine.call)

    def skip_reason(self, item: pytest.Item) -> str | None:
        """Return why the run can't give an item the models that it asks for, None where it can."""
        asked = fixture_names(item)
        if "judge" in asked and self.models.judge is None:
            return NEEDS_JUDGE
        if self.settings.stage == "judge" and "served_model" in asked and "judge" not in asked:
            return NOT_JUDGED
        return None

    def _say(self, text: str) -> None:
        """Tell the user what the run waits for, from whichever thread."""
        reporter = terminal(self.config)
        if reporter is not None and self.config.get_verbosity() >= 0:
            with uncaptured(self.config):
                self.progress.hide(self.config)
                reporter.ensure_newline()
                reporter.write_line(visible_line(f"instructlab-eval: {text}"))

    # --- the end ---

    def lock_output(self) -> None:
        """Keep the output folder to this run; raises ConfigurationError where another one has it."""
        self._lock.acquire()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """End the run where the context finds that it can't begin."""
        try:
            yield
        except EvalError as error:
            raise self.refused(error) from None

    def refused(self, error: EvalError) -> pytest.UsageError:
        """Return what to raise where the run can't begin; its summary says why, and no earlier run's."""
        self.end()
        self.tell_refusal(str(error), of_another=isinstance(error, OutputInUseError))
        return pytest.UsageError(visible(str(error)))

    def tell_refusal(self, reason: str, *, of_another: bool = False) -> None:
        """Write why the run did not begin, where no reason was written yet; not for a list of its tests."""
        from pytest_instructlab_eval.session.ending import write_refusal

        lists = self.config.option.collectonly or is_worker(self.config)
        if not self._told_refusal and not lists:
            write_refusal(None if of_another else self.settings.output_dir, self.settings.candidates, reason)
        self._told_refusal = True

    def close(self, timeout: float = 1.0) -> None:
        """Stop the engine in so many seconds at most; what is under way is cancelled."""
        with contextlib.suppress(Exception):
            self.engine.close(timeout)
        self.servers.begin_to_stop()

    def end(self) -> None:
        """Leave nothing behind: no thread, no server."""
        self.close()
        self.servers.stop()
        self._lock.release()
