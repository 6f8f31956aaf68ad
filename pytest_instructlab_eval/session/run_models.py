"""The models and judges of one run in one process, each with its connection."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

from pytest_instructlab_eval.judges import Judge, LLMJudge, Panel, ReferenceJudge
from pytest_instructlab_eval.judges.separate_judging import PostponedJudge, RecordedAnswers, RecordedChats
from pytest_instructlab_eval.models import Endpoint, Model, ServedModel
from pytest_instructlab_eval.models.adaptations import Adaptation, Role
from pytest_instructlab_eval.models.api_key import AUTHORIZATION
from pytest_instructlab_eval.models.endpoint import PATIENCE, RETRIES, Traffic
from pytest_instructlab_eval.models.journalled_model import JournalledModel
from pytest_instructlab_eval.models.replicas import Replicas
from pytest_instructlab_eval.models.resent_requests import Cause
from pytest_instructlab_eval.records.run import ModelAdaptation
from pytest_instructlab_eval.records.usage import ModelUsage
from pytest_instructlab_eval.serving import LOCAL, RotatedModel, Rotation
from pytest_instructlab_eval.session.engine import Engine
from pytest_instructlab_eval.session.server_keys import ServerKey, judge_key, model_key
from pytest_instructlab_eval.settings import REFERENCE_JUDGE, Settings
from pytest_instructlab_eval.suites import registry
from pytest_instructlab_eval.suites.chats import Chats, read_chats
from pytest_instructlab_eval.suites.earlier_answers import recorded_answers

MIB = 2**20
RETRIES_OF_OWN = 2  # a server of the run does not come back
PATIENCE_WITH_OWN = 5.0  # seconds


AskedModel = ServedModel | Replicas | RotatedModel
FindableModel = ServedModel | Replicas


@dataclass(frozen=True)
class Address:
    """The way to reach a model, without URLs if the run serves it; equal addresses share one model.

    `merge` says whether its system message is put at the head of the user's message.
    """

    name: str
    urls: tuple[str, ...]
    key: ServerKey
    merge: bool = False


class RunModels:
    """The models of a run, each made once.

    `budget` is the number of requests in flight per server. `rotation` returns that of the models of
    the run. `share` is this process's number and the number of processes on the machine.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        budget: int,
        rotation: Callable[[], Rotation],
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._budget = budget
        self._rotation = rotation
        self._share = share
        # seconds without a reply after which a server that the run did not start is given up
        self._patience = max(PATIENCE, settings.wait)
        self._endpoints: dict[tuple[str, ServerKey | None], Endpoint] = {}
        self._recorded: dict[tuple[str, str], RecordedAnswers] = {}
        self._chats: dict[str, Chats] = {}  # those of an earlier run
        self._models: dict[Address, AskedModel] = {}
        self._served: list[tuple[Address, ServedModel]] = []
        self._roles: dict[Address, set[Role]] = {}
        self.replayed_adaptations: Collection[ModelAdaptation] = ()  # of replies in a journal
        self._local: Model | None = None
        self._resent: Counter[Cause] = Counter()  # those that were taken
        self._local_used: list[tuple[Address, Traffic]] = []

    @property
    def traffic(self) -> list[Traffic]:
        """The traffic so far with servers and models in this process."""
        return [endpoint.traffic for endpoint in self._endpoints.values()] + [
            traffic for _, traffic in self._local_used
        ]

    @property
    def usage(self) -> list[ModelUsage]:
        """The requests and tokens so far of each model and judge in this process."""
        used = [(address, model.traffic) for address, model in self._served] + self._local_used
        return [
            ModelUsage(
                "judge" if "judge" in self._roles[address] else "model",
                self._settings.label(address.name),
                traffic.requests,
                traffic.prompt_tokens,
                traffic.completion_tokens,
            )
            for address, traffic in used
        ]

    def take_resent(self) -> Counter[Cause]:
        """Return how many requests were sent again since the last call, by server and cause."""
        resent: Counter[Cause] = Counter()
        for endpoint in self._endpoints.values():
            for cause, count in dict(endpoint.resent).items():  # a copy, as the loop's thread may add to it
                resent[str(endpoint), cause] += count
        new, self._resent = resent - self._resent, resent
        return new

    @property
    def adaptations(self) -> list[ModelAdaptation]:
        """The adaptations of requests so far, and the servers that were given up."""
        given_up = (
            (address, Adaptation("given_up", reason))
            for address, model in self._served
            if (reason := model.endpoint.given_up) is not None
        )
        return [*self.replayed_adaptations, *self.answer_adaptations(), *self._by_role(given_up)]

    def answer_adaptations(self) -> list[ModelAdaptation]:
        """Return the adaptations of requests so far."""
        if not any(model.adaptations for _, model in self._served):  # so it costs a request nothing
            return []
        return self._by_role(
            (address, entry) for address, model in self._served for entry in model.adaptations
        )

    def _by_role(self, entries: Iterable[tuple[Address, Adaptation]]) -> list[ModelAdaptation]:
        return [
            ModelAdaptation(
                role, self._settings.label(address.name), entry.name, entry.text, entry.changes_answers
            )
            for address, entry in entries
            for role in sorted(self._roles[address])
        ]

    def candidate(self, label: str | None = None) -> Model:
        """Return the evaluated model of this label, by default the first."""
        settings = self._settings
        label = label if label is not None else next(iter(settings.labels))
        name = settings.labels[label]
        merge = settings.merge_model_system_message
        return self._model(Address(name, settings.urls(name), model_key(settings, name), merge), "model")

    def answered(self, label: str | None, benchmark: str, question: str) -> Model:
        """Return a candidate that replays its answers of an earlier run to a test of this question.

        Raises ConfigurationError where there are none.
        """
        label = label if label is not None else next(iter(self._settings.labels))
        definition = registry.find_benchmark(benchmark)
        if definition is None or definition.files is None:
            if label not in self._chats:
                self._chats[label] = read_chats(self._settings.output_dir, label)
            return RecordedChats(label, self._chats[label].get((benchmark, question), ()))
        if (label, benchmark) not in self._recorded:
            answers = recorded_answers(self._settings, definition, label)
            self._recorded[label, benchmark] = RecordedAnswers(label, answers)
        return self._recorded[label, benchmark]

    @cached_property
    def judges(self) -> dict[str, Judge]:
        """The judges by label; empty where none is used."""
        if self._settings.stage == "answer":
            return {}
        return {
            label: ReferenceJudge()
            if name == REFERENCE_JUDGE
            else grading_judge(self._settings, self._judging_model(name))
            for label, name in self._settings.judges.items()
        }

    def judge(self, wrap: Callable[[str, Model], Model] = lambda label, model: model) -> Judge | None:
        """Return the judge, or the panel of judges; None where there is none.

        `wrap` is given the label and the model of each, and returns the model to ask.
        """
        if self._settings.stage == "answer":
            return PostponedJudge(self._settings.judge)
        judges = {
            label: grading_judge(self._settings, wrap(label, judge.model))
            if isinstance(judge, LLMJudge)
            else judge
            for label, judge in self.judges.items()
        }
        return Panel(judges) if len(judges) > 1 else next(iter(judges.values()), None)

    async def judge_at(self, name: str, url: str) -> Judge:
        """Return a judge that the run serves, at this URL, before the rotation announces it."""
        model = self._judging_model(name)
        assert isinstance(model, RotatedModel)  # noqa: S101  (the run serves it)
        return grading_judge(self._settings, await model.at(url))

    async def let_go(self, name: str) -> None:
        """Close a judge that this process will not use again."""
        await self._judging_model(name).close()

    def _judging_model(self, name: str) -> AskedModel:
        """Return the model of a judge."""
        settings = self._settings
        return self._model(Address(name, settings.judge_urls(name), judge_key(settings, name)), "judge")

    def check_answers(self, benchmarks: Collection[str]) -> None:
        """Raise ConfigurationError if the judge stage lacks a candidate's answers to these benchmarks."""
        for label in self._settings.labels if self._settings.stage == "judge" else ():
            for benchmark in benchmarks:
                self.answered(label, benchmark, "")

    def at_servers(self) -> list[tuple[Role, str, FindableModel]]:
        """Return the role, label and model of each that a running server has; a model may also be a judge."""
        labels = self._settings.labels if self._settings.stage != "judge" else ()
        models: list[tuple[Role, str, object]] = [("model", label, self.candidate(label)) for label in labels]
        for name in self._settings.judging_models:
            models.append(("judge", self._settings.label(name), self._judging_model(name)))
        return [
            (role, label, model)
            for role, label, model in models
            if isinstance(model, (ServedModel, Replicas))
        ]

    def _model(self, address: Address, role: Role) -> AskedModel:
        self._roles.setdefault(address, set()).add(role)
        if address in self._models:
            return self._models[address]
        if address.urls:
            endpoints = [self._endpoint(url, address.key) for url in address.urls]
            served = [self._at(address, endpoint) for endpoint in endpoints]
            model: AskedModel = served[0] if len(served) == 1 else Replicas(served, self._patience)
        else:
            model = RotatedModel(address.name, self._rotation(), partial(self._connect, address))
            self._engine.on_close(model.close)
        self._models[address] = model
        return model

    def _at(self, address: Address, endpoint: Endpoint) -> ServedModel:
        model = ServedModel(
            address.name, endpoint, merge_system=address.merge, add_bos=self._settings.add_bos
        )
        self._served.append((address, model))
        return model

    def _endpoint(
        self, url: str, key: ServerKey | None, ended: Callable[[], str | None] = lambda: None
    ) -> Endpoint:
        """Return the shared connection to a server; one of the run has no key, and may have `ended`."""
        variable = None if key is None else key.variable
        if (url, key) not in self._endpoints:
            self._endpoints[url, key] = endpoint = Endpoint(
                url,
                api_key=os.environ.get(variable) if variable else None,
                key_source="" if key is None else f"{key.option} {variable or ''}".strip(),
                key_header=(None if key is None else key.header) or AUTHORIZATION,
                budget=self._budget,
                timeout=self._settings.request_timeout,
                retries=RETRIES_OF_OWN if key is None else RETRIES,
                patience=PATIENCE_WITH_OWN if key is None else self._patience,
                max_reply=self._settings.max_reply * MIB,
                ended=ended,
            )
            self._engine.on_close(endpoint.close)
        return self._endpoints[url, key]

    async def _connect(self, address: Address, name: str, url: str) -> Model:
        """Return the model at a server that the run has started, or in this process."""
        if not url.startswith(LOCAL):
            return self._at(address, self._endpoint(url, None, partial(self._rotation().failure, name)))
        from pytest_instructlab_eval.models.local import LocalModel

        if self._local is not None:
            if self._local.name == name:
                return self._local
            await self._local.close()
        number, processes = self._share
        self._local = model = LocalModel(
            name, worker=number, workers=processes, add_bos=self._settings.add_bos
        )
        self._local_used.append((address, model.traffic))
        return model


def grading_judge(settings: Settings, model: Model) -> LLMJudge:
    """Return the judge that is this model; a journal is told which replies have no rating."""
    return LLMJudge(
        model,
        merge_system_user_message=settings.merge_system_user_message or None,
        repeats=settings.judge_repeat,
        seed=settings.seed,
        discard=model.discard if isinstance(model, JournalledModel) else lambda replies: None,
    )
