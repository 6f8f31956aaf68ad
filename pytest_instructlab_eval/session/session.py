"""`EvalSession`: the objects that the parts of one pytest run share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, EvalError, JudgeTrialError, OutputInUseError
from pytest_instructlab_eval.escaping import escape_line, escape_text
from pytest_instructlab_eval.judges.transcribed_judge import TranscribedJudge
from pytest_instructlab_eval.models import Blocking
from pytest_instructlab_eval.models.transcribed_model import TranscribedModel
from pytest_instructlab_eval.serving import Rotation
from pytest_instructlab_eval.session import distribution
from pytest_instructlab_eval.session.engine import Engine, current_run
from pytest_instructlab_eval.session.item_state import state_of
from pytest_instructlab_eval.session.items import coroutine_function, identity_of, run_roles
from pytest_instructlab_eval.session.output_lock import OutputLock
from pytest_instructlab_eval.session.progress import Progress
from pytest_instructlab_eval.session.pytest_internals import (
    fixture_names,
    terminal_reporter,
    uncaptured_output,
)
from pytest_instructlab_eval.session.run_identities import RunIdentities
from pytest_instructlab_eval.session.run_journal import RunJournal
from pytest_instructlab_eval.session.run_models import RunModels
from pytest_instructlab_eval.session.run_questions import RunQuestions
from pytest_instructlab_eval.session.servers import Servers
from pytest_instructlab_eval.session.xdist_internals import is_worker, worker_count, worker_id, worker_number
from pytest_instructlab_eval.settings import Settings

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges import Judge
    from pytest_instructlab_eval.models import Model
    from pytest_instructlab_eval.records.run_inputs import RunInputs
    from pytest_instructlab_eval.session.gating import Gating
    from pytest_instructlab_eval.session.recalled_verdict import RecalledVerdict, Replayed

NEEDS_JUDGE = "needs a judge; name one with --eval-judge-model"
NOT_JUDGED = "--eval-stage judge skips it: it needs no judge and already has its score"


class EvalSession:
    """The shared state of one run: settings, questions, models, servers and gates."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.signs = distribution.Signs.for_worker(config)
        self.progress = Progress()
        self.engine = Engine()
        self.questions = RunQuestions(settings)
        self.models = RunModels(
            settings,
            self.engine,
            budget=self.budget,
            rotation=lambda: self.rotation,
            share=(worker_number(config), worker_count(config)),
        )
        self.identities = RunIdentities(settings, self.engine, self.models)
        self.servers = Servers(
            settings,
            engine=self.engine,
            models=self.models,
            questions=self.questions,
            signs=self.signs,
            say=self.say,
        )
        self.journal = RunJournal(
            settings, config, models=self.models, progress=self.progress, signs=self.signs
        )
        self.recalled: RecalledVerdict | None = None
        self.inputs: RunInputs | None = None
        self._lock = OutputLock(settings.output_dir)
        self.has_refused = False

    @cached_property
    def gating(self) -> Gating:
        """The gates of the run; not used in xdist's workers."""
        from pytest_instructlab_eval.session.gating import Gating

        return Gating(self.settings, self.questions.digests, self.config.invocation_params.dir)

    @property
    def budget(self) -> int:
        """The number of requests that this process may have in flight per server."""
        return distribution.divide_budget(self.settings.max_concurrency, self.config)

    @property
    def window(self) -> int:
        """The number of tests that may run ahead of pytest; all of them where models are swapped."""
        if self.settings.rotates_models:
            return sys.maxsize // 4
        return distribution.look_ahead_window(self.budget)

    @property
    def requests_ahead(self) -> int:
        """The number of requests of tasks that may run ahead; those of all tasks where models are swapped."""
        return sys.maxsize if self.settings.rotates_models else distribution.requests_ahead(self.budget)

    @cached_property
    def rotation(self) -> Rotation:
        """The turns of the models that the run serves, for which this process waits."""
        return Rotation(self.signs.folder, worker_id(self.config), current_run.get)

    @property
    def without_tests(self) -> bool:
        """True if pytest will not run the tests, as with --eval-plan or --collect-only."""
        if self.settings.plan:
            return True
        named = ("collectonly", "setuponly", "setupplan")
        return any(self.config.getoption(name, False) for name in named)

    def fixture(self, name: str, item: pytest.Item, label: str | None = None) -> object:
        """Return the value of a fixture for an item; in a plain `def` test, models and judges block.

        `label` is that of the evaluated model, None for the first one.
        """
        if name == "record_score":
            return state_of(item).recorder
        if name == "eval_settings":
            return self.settings
        if (reason := self.skip_reason(item)) is not None:
            pytest.skip(reason)
        value: Model | Judge | None
        if name == "served_model":
            value = TranscribedModel(self._model(item, label), state_of(item).chats, state_of(item).requests)
        elif name == "judge":
            judge = self.models.judge(self.journal.wrap(item, "judge"))
            if judge is None:
                pytest.skip(NEEDS_JUDGE)
            value = TranscribedJudge(judge, state_of(item).gradings)
        else:
            raise LookupError(name)
        is_async = isinstance(item, pytest.Function) and coroutine_function(item) is not None
        return value if is_async else Blocking(value, self.engine.call)

    def _model(self, item: pytest.Item, label: str | None) -> Model:
        """Return the model that an item asks: in a judging run, the answers that it had."""
        if self.settings.stage != "judge":
            label = label if label is not None else next(iter(self.settings.labels))
            return self.journal.wrap(item, "model")(label, self.models.candidate(label))
        assert isinstance(item, pytest.Function)  # noqa: S101  (only functions have fixtures)
        about = identity_of(item)
        return self.models.answered(label, about.benchmark, about.question)

    def skip_reason(self, item: pytest.Item) -> str | None:
        """Return why the run does not have the models that an item uses, None where it has them."""
        used = fixture_names(item)
        # A fixture `judge` of the user's own may need no judge of the run.
        needs_judge = "judge" in (run_roles(item) if isinstance(item, pytest.Function) else used)
        if needs_judge and self.settings.stage != "answer" and not self.models.judges:
            return NEEDS_JUDGE
        if self.settings.stage == "judge" and "served_model" in used and "judge" not in used:
            return NOT_JUDGED
        return None

    def say(self, text: str) -> None:
        """Show the user what the run waits for; any thread may call this."""
        reporter = terminal_reporter(self.config)
        if reporter is not None and self.config.get_verbosity() >= 0:
            with uncaptured_output(self.config):
                self.progress.hide(self.config)
                reporter.ensure_newline()
                reporter.write_line(escape_line(f"instructlab-eval: {text}"))

    # --- the end ---

    def lock_output(self) -> None:
        """Lock the output folder; raises ConfigurationError where another run has it."""
        self._lock.acquire()

    def set_aside_last_run(self) -> None:
        """Move the files of the output folder's last run; raises ConfigurationError where that fails.

        With --eval-resume its journal stays.
        """
        from pytest_instructlab_eval.records.previous_runs import FOLDER, set_aside

        folder = self.settings.output_dir
        try:
            if self.settings.resume:
                self.journal.go_on()
            set_aside(folder, self.settings.keep_previous, journal=not self.settings.resume)
        except OSError as error:
            raise ConfigurationError(
                f"--eval-output-dir: the last run in {folder} cannot be moved to {folder / FOLDER} "
                f"({error.strerror}); name another folder"
            ) from None

    def recall_verdict(self) -> None:
        """Find the verdict of the last run, with --eval-reuse-verdict; say so, or why questions are asked."""
        from pytest_instructlab_eval.records.previous_runs import RESULTS
        from pytest_instructlab_eval.records.run_inputs import RunInputs, file_digest
        from pytest_instructlab_eval.session.code_digest import code_digest
        from pytest_instructlab_eval.session.recalled_verdict import recall

        if not self.settings.reuse_verdict:
            return
        collected, identities = self.gating.collected, self.identities
        baseline = self.gating.baseline_file
        self.inputs = RunInputs(
            collected.digest, code_digest(self.config), file_digest(baseline), collected.uninspected
        )
        now = self.gating.run(
            (), identities=identities.models, judge_identities=identities.judges, inputs=self.inputs
        )
        found = recall(self.settings.output_dir / RESULTS, now, self.gating.baseline)
        if isinstance(found, str):
            self.say(f"questions are asked in spite of --eval-reuse-verdict: {found}")
            return
        self.recalled = found
        self.signs.leave("recalled", found.tests)
        self.say(found.note)

    @cached_property
    def recalled_tests(self) -> Replayed | None:
        """The tests of a recorded run that are reported again, None where all are run.

        Known once the tests are about to run.
        """
        if self.recalled is not None or not is_worker(self.config):
            return None if self.recalled is None else self.recalled.tests
        return cast("Replayed | None", self.signs.read("recalled"))

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Return a context that ends the run on an EvalError."""
        try:
            yield
        except EvalError as error:
            raise self.refused(error) from None

    def refused(self, error: EvalError) -> pytest.UsageError:
        """End the run, write its summary, and return the UsageError to raise."""
        self.end()
        self.tell_refusal(
            str(error),
            of_another=isinstance(error, OutputInUseError),
            texts=error.texts if isinstance(error, JudgeTrialError) else (),
        )
        return pytest.UsageError(escape_text(str(error)))

    def tell_refusal(
        self, reason: str, *, of_another: bool = False, texts: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Write the reason why the run did not start, once; not for --collect-only."""
        from pytest_instructlab_eval.session.run_output import write_refusal

        lists = self.config.option.collectonly or is_worker(self.config)
        if not self.has_refused and not lists:
            folder = None if of_another else self.settings.output_dir
            baseline = self.settings.baseline
            is_baseline = baseline is not None and folder in (baseline, baseline.parent)
            keep = None if is_baseline else self.settings.keep_previous
            write_refusal(folder, self.settings.candidates, reason, keep=keep, texts=texts)
        self.has_refused = True

    def close(self, timeout: float = 1.0) -> None:
        """Stop the engine within `timeout` seconds; running tests are cancelled."""
        with contextlib.suppress(Exception):
            self.engine.close(timeout)
        self.journal.close()
        self.servers.begin_to_stop()

    def end(self) -> None:
        """Stop all threads and servers, and release the output folder."""
        self.close()
        self.servers.stop()
        self._lock.release()
