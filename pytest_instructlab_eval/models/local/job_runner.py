"""Does the jobs, in the thread that owns the weights."""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.endpoint import Traffic
from pytest_instructlab_eval.models.local.chat_writer import NOT_FINITE, ChatWriter
from pytest_instructlab_eval.models.local.encoder import Encoder
from pytest_instructlab_eval.models.local.grouping import first_group
from pytest_instructlab_eval.models.local.jobs import (
    ChatJob,
    ChoiceJob,
    LocalJob,
    fail_jobs,
    settle_jobs,
    short_error,
)
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel
from pytest_instructlab_eval.models.local.row_scorer import RowScorer

J = TypeVar("J", bound="LocalJob[object]")


class ModelClosed(Exception):
    """The model is being closed."""


class JobRunner:
    """Does the jobs of `waiting`, those of a kind together, in the order they came."""

    def __init__(
        self,
        loaded: LoadedModel,
        waiting: collections.deque[LocalJob[object]],
        traffic: Traffic,
        stop: threading.Event,
        *,
        add_bos: bool = False,
    ) -> None:
        self._waiting = waiting
        self._name = loaded.name
        self._traffic = traffic
        self._stop = stop
        self._encoder = Encoder(loaded, add_bos=add_bos)
        self._scorer = RowScorer(loaded)
        self._writer = ChatWriter(loaded)

        # A closed model ends within a forward pass: Ctrl-C waits for it, and one can take minutes.
        def look(*_: object) -> None:
            if stop.is_set():
                raise ModelClosed

        for layers in loaded.network.modules():
            if isinstance(layers, torch.nn.ModuleList):
                for layer in layers:
                    layer.register_forward_pre_hook(look)

    def work(self, arrivals: Sequence[LocalJob[object]]) -> None:
        """Queue the new jobs, and do the first batch of chats or group of questions."""
        rendered: list[LocalJob[object]] = []
        for job in arrivals:
            with self._failing([job]):
                self._encoder.render(job)
                rendered.append(job)
        with self._failing(rendered):
            for job, head in zip(rendered, self._encoder.heads(rendered), strict=True):
                with self._failing([job]):
                    self._encoder.encode(job, head)
                    self._waiting.append(job)
        while self._waiting and self._waiting[0].done.done():
            self._waiting.popleft()
        if not self._waiting:
            return
        with torch.inference_mode():
            if isinstance(self._waiting[0], ChoiceJob):
                self._score()
            elif isinstance(self._waiting[0], ChatJob):
                self._write()
            else:
                settle_jobs([self._waiting.popleft()], [None])

    def _score(self) -> None:
        questions = list(_leading(self._waiting, ChoiceJob))
        group = questions[: first_group([question.context for question in questions])]
        self._leave(group)
        with self._failing(group):
            for batch, values in self._scorer.score(group):
                self._count(len(batch), sum(len(question.context) for question in batch), 0)
                for question, logprobs in zip(batch, values, strict=True):
                    with self._failing([question]):
                        broken = next(itertools.filterfalse(math.isfinite, logprobs), None)
                        if broken is not None:
                            raise ModelError(NOT_FINITE.format(model=self._name, value=broken))
                        settle_jobs([question], [logprobs])

    def _write(self) -> None:
        chats = list(_leading(self._waiting, ChatJob))
        batch = chats[: self._writer.most(chats)]
        self._leave(batch)
        with self._failing(batch):
            completions = self._writer.write(batch)
            self._count(
                len(batch),
                sum(completion.prompt_tokens for completion in completions),
                sum(completion.completion_tokens for completion in completions),
            )
            settle_jobs(batch, completions)

    def _leave(self, jobs: Sequence[LocalJob[object]]) -> None:
        for _ in jobs:
            self._waiting.popleft()

    def _count(self, requests: int, read: int, written: int) -> None:
        self._traffic.requests += requests
        self._traffic.tokens += read + written
        self._traffic.prompt_tokens += read
        self._traffic.completion_tokens += written

    @contextlib.contextmanager
    def _failing(self, jobs: Sequence[LocalJob[object]]) -> Iterator[None]:
        """Fail those of the jobs that have no result yet, where an error is raised in the context."""
        try:
            yield
        except ModelError as error:
            fail_jobs(jobs, error)
        except ModelClosed:
            fail_jobs(jobs, ModelError(f"{self._name} was closed"))
        except Exception as error:
            fail_jobs(jobs, ModelError(f"{self._name} failed ({short_error(error)})"))


def _leading(jobs: Iterable[LocalJob[object]], kind: type[J]) -> Iterator[J]:
    for job in jobs:
        if not isinstance(job, kind):
            return
        yield job
