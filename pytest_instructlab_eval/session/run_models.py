"""The models of one run as one process sees them: each asked at its server, or where the run serves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from functools import cached_property, partial
from typing import Any

from pytest_instructlab_eval.judges import Judge, LLMJudge, Panel, ReferenceJudge
from pytest_instructlab_eval.judges.stages import PostponedJudge, RecordedAnswers, RecordedChats
from pytest_instructlab_eval.models import Endpoint, Model, ServedModel
from pytest_instructlab_eval.models.adaptations import Adaptation, Role, record_of
from pytest_instructlab_eval.models.endpoint import PATIENCE, RETRIES, Traffic
from pytest_instructlab_eval.models.replicas import Replicas
from pytest_instructlab_eval.serving import LOCAL, ModelInTurn, Turns
from pytest_instructlab_eval.session.engine import Engine
from pytest_instructlab_eval.settings import REFERENCE_JUDGE, Settings
from pytest_instructlab_eval.suites import registry
from pytest_instructlab_eval.suites.chats import Chats, read_chats
from pytest_instructlab_eval.suites.recorded import recorded_answers

__all__ = ["RunModels"]

MIB = 2**20
RETRIES_OF_OWN = 2  # a server of the run's that has ended doesn't come back
PATIENCE_WITH_OWN = 5.0  # seconds


class RunModels:
    """Makes each model once.

    `budget` is how many requests may be in flight per server, `turns` where models that the run serves
    wait (None where it serves none), `share` this process's number and how many share the machine.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        budget: int,
        turns: Callable[[], Turns],
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._budget = budget
        self._turns = turns
        self._share = share
        self._endpoints: dict[tuple[str, str | None], Endpoint] = {}
        self._made: dict[tuple[str, ...], Any] = {}
        self._served: list[tuple[tuple[str, ...], ServedModel]] = []  # each by its key among those made
        self._roles: dict[tuple[str, ...], set[Role]] = {}
        self._chats: dict[str, Chats] = {}  # of an earlier run
        self._local: Model | None = None
        self._local_traffic: list[Traffic] = []

    @property
    def traffic(self) -> list[Traffic]:
        """What servers, and models in this process, were asked so far."""
        return [endpoint.traffic for endpoint in self._endpoints.values()] + self._local_traffic

    @property
    def adaptations(self) -> list[dict[str, Any]]:
        """How requests were adapted to servers so far, and which servers were given up, as plain records."""
        return [
            record_of(adaptation, role, self._settings.label(key[0]))
            for key, model in self._served
            for role in sorted(self._roles.get(key, ()))
            for adaptation in (*model.adaptations, *_given_up(model))
        ]

    def candidate(self, label: str | None = None) -> Any:
        """A model under evaluation by its label, by default the first."""
        settings = self._settings
        names = settings.labels
        label = label if label is not None else next(iter(names))
        name = names[label]
        merge = settings.merge_model_system_message
        return self._model(name, settings.urls(name), *self._key(name), "model", merge=merge)

    def answered(self, label: str | None, benchmark: str, question: str) -> Model:
        """Return a candidate that gives its answers of an earlier run to a test of this question.

        Raises ConfigurationError where there are none.
        """
        label = label if label is not None else next(iter(self._settings.labels))
        known = registry.benchmark(benchmark)
        if known is None or known.files is None:
            if label not in self._chats:
                self._chats[label] = read_chats(self._settings.output_dir, label)
            return RecordedChats(label, self._chats[label].get((benchmark, question), ()))
        key = (label, benchmark, "recorded")
        if key not in self._made:
            self._made[key] = RecordedAnswers(label, recorded_answers(self._settings, known, label))
        found: Model = self._made[key]
        return found

    def _key(self, name: str) -> tuple[str | None, str]:
        """The variable that holds the key for a model that is asked, and the option that names it.

        A key goes to no server but the one it was given for.
        """
        settings = self._settings
        own_server = name == settings.base_model and settings.urls(name) != settings.base_url
        if name == settings.base_model and (settings.base_model_api_key_env is not None or own_server):
            return settings.base_model_api_key_env, "--eval-base-model-api-key-env"
        return settings.api_key_env, "--eval-api-key-env"

    @cached_property
    def judges(self) -> dict[str, Judge]:
        """Each judge by what it is called; empty where none is asked."""
        if self._settings.stage == "answer":
            return {}
        return {label: self._judge(name) for label, name in self._settings.judges.items()}

    @cached_property
    def judge(self) -> Judge | None:
        """The judge, or the panel of judges; None where none was named."""
        if self._settings.stage == "answer":
            return PostponedJudge(self._settings.judge)
        if len(self.judges) > 1:
            return Panel(self.judges)
        return next(iter(self.judges.values()), None)

    async def judge_at(self, name: str, url: str) -> Judge:
        """A judge that the run serves, asked where it is served though its turn isn't announced yet."""
        return self._grading(await self._judging_model(name).at(url))

    async def let_go(self, name: str) -> None:
        """Close a judge that this process won't ask again."""
        await self._judging_model(name).close()

    def _judge(self, name: str) -> Judge:
        if name == REFERENCE_JUDGE:
            return ReferenceJudge()
        return self._grading(self._judging_model(name))

    def _grading(self, model: Model) -> LLMJudge:
        settings = self._settings
        merge = settings.merge_system_user_message or None
        return LLMJudge(
            model, merge_system_user_message=merge, repeats=settings.judge_repeat, seed=settings.seed
        )

    def _judging_model(self, name: str) -> Any:
        """The model behind a judge."""
        settings, urls = self._settings, self._settings.judge_urls(name)
        variable, option = settings.judge_api_key_env, "--eval-judge-api-key-env"
        if urls == settings.base_url and variable is None:
            variable, option = settings.api_key_env, "--eval-api-key-env"
        return self._model(name, urls, variable, option, "judge")

    async def check(self, benchmarks: Collection[str]) -> None:
        """Raise ConfigurationError where a server that runs already can't be reached or lacks its model.

        Or, where the candidates are not asked again, their answers to these benchmarks are missing.
        """
        models: list[object] = []
        for label in self._settings.labels:
            if self._settings.stage == "judge":
                models += [self.answered(label, benchmark, "") for benchmark in benchmarks]
            else:
                models.append(self.candidate(label))
        models += [self._judging_model(name) for name in self._settings.judging_models]
        for model in models:
            if isinstance(model, (ServedModel, Replicas)):
                await model.find(self._settings.wait)

    def _model(
        self,
        name: str,
        urls: tuple[str, ...],
        variable: str | None,
        option: str,
        role: Role,
        *,
        merge: bool = False,
    ) -> Any:
        key = (name, " ".join(urls), "merged" if merge else "", variable or "")
        self._roles.setdefault(key, set()).add(role)
        if key not in self._made:
            if not urls:
                self._made[key] = ModelInTurn(name, self._turns(), partial(self._connect, key))
                self._engine.on_close(self._made[key].close)
            else:
                endpoints = [self._endpoint(url, variable, option) for url in urls]
                served = [self._at(key, endpoint) for endpoint in endpoints]
                self._made[key] = served[0] if len(served) == 1 else Replicas(served, self._patience)
        return self._made[key]

    def _at(self, key: tuple[str, ...], endpoint: Endpoint) -> ServedModel:
        model = ServedModel(key[0], endpoint, merge_system=bool(key[2]), add_bos=self._settings.add_bos)
        self._served.append((key, model))
        return model

    @property
    def _patience(self) -> float:
        """Seconds without a reply after which a server that the run did not start is given up."""
        return max(PATIENCE, self._settings.wait)

    def _endpoint(
        self, url: str, variable: str | None = None, option: str = "", *, owned: bool = False
    ) -> Endpoint:
        key = (url, variable)
        if key not in self._endpoints:
            self._endpoints[key] = endpoint = Endpoint(
                url,
                api_key=os.environ.get(variable) if variable else None,
                key_source=f"{option} {variable}" if variable else option,
                budget=self._budget,
                timeout=self._settings.request_timeout,
                retries=RETRIES_OF_OWN if owned else RETRIES,
                patience=PATIENCE_WITH_OWN if owned else self._patience,
                max_reply=self._settings.max_reply * MIB,
            )
            self._engine.on_close(endpoint.close)
        return self._endpoints[key]

    async def _connect(self, key: tuple[str, ...], name: str, url: str) -> Model:
        """The model behind a server that the run has started, or in this process."""
        if not url.startswith(LOCAL):
            return self._at(key, self._endpoint(url, owned=True))
        from pytest_instructlab_eval.models.local import LocalModel

        if self._local is not None:
            if self._local.name == name:
                return self._local
            await self._local.close()
        number, processes = self._share
        self._local = model = LocalModel(
            name, worker=number, workers=processes, add_bos=self._settings.add_bos
        )
        self._local_traffic.append(model.traffic)
        return model


def _given_up(model: ServedModel) -> Iterator[Adaptation]:
    if model.endpoint.given_up is not None:
        yield Adaptation("given_up", model.endpoint.given_up)
