"""The identities of a run's models and judges, looked at before its first request and at its end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Collection, Mapping

from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.models.adaptations import Role
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.serving.hosted_identity import hosted_identity
from pytest_instructlab_eval.session.engine import Engine
from pytest_instructlab_eval.session.run_models import FindableModel, RunModels
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.mt_bench_files import cache_folder

APART = 2.0  # seconds between two looks at a time of creation; servers that make it up count in seconds
TIMEOUTS = (asyncio.TimeoutError, concurrent.futures.TimeoutError)  # two classes in Python 3.10
LAST_LOOK = 5.0  # seconds for it, as nothing else waits for a server at the end

FIXTURE_OF: Mapping[Role, str] = {"model": "served_model", "judge": "judge"}


class RunIdentities:
    """The identities of the run's models and of its judges, by label; empty before `look`.

    Only the process that starts the run has them.
    """

    def __init__(self, settings: Settings, engine: Engine, models: RunModels) -> None:
        self.models: dict[str, ModelIdentity] = {}
        self.judges: dict[str, ModelIdentity] = {}
        self._settings = settings
        self._engine = engine
        self._run_models = models
        self._looked = float("inf")

    @property
    def are_compared(self) -> bool:
        """True if something depends on them: a baseline, replies of a journal, or a verdict given again."""
        settings = self._settings
        compared = settings.baseline or settings.save_baseline
        return bool(compared or settings.reuse_verdict or settings.resume)

    def look(self, fixtures: Collection[str]) -> None:
        """Look at the models of these fixtures, closely where something depends on it.

        That is 16 short requests. Otherwise only what a server has listed anyway is kept. Of a model that the
        run serves it is always a digest of its files, which the journal depends on.
        """
        roles = [role for role, fixture in FIXTURE_OF.items() if fixture in fixtures]
        seen: dict[FindableModel, ModelIdentity] = {}  # a model may also be a judge
        for role, label, model in self._run_models.at_servers():
            if role in roles:
                if model not in seen:
                    look = model.looked_at() if self.are_compared else model.listed()
                    seen[model] = self._engine.call(look)
                self._of(role)[label] = seen[model]
        settings = self._settings
        named: Mapping[Role, Collection[str]] = {
            "model": settings.evaluated,
            "judge": settings.judging_models,
        }
        for name in settings.hosted:  # the keys of a journal have their digests
            identity = hosted_identity(settings, name, cache_folder())
            for role in roles:
                if name in named[role]:
                    self._of(role)[settings.label(name)] = identity
        self._looked = time.monotonic()

    def look_again(self) -> None:
        """Confirm the times of creation, or drop them.

        Nothing waits for it: a run of less than two seconds has none.
        """
        if not self.are_compared or time.monotonic() - self._looked < APART:
            return
        for role, label, model in self._run_models.at_servers():
            known = self._of(role)
            if label in known and known[label].created_once is not None:
                with contextlib.suppress(EvalError, *TIMEOUTS):  # the server is gone
                    later = self._engine.call(asyncio.wait_for(_found(model), LAST_LOOK))
                    known[label] = known[label].confirmed(later)

    def _of(self, role: Role) -> dict[str, ModelIdentity]:
        return self.models if role == "model" else self.judges


async def _found(model: FindableModel) -> ModelIdentity:
    await model.find()
    return await model.listed()
