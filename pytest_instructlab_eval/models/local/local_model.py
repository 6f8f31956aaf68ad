"""The model as it is asked: requests go to a thread of its own, which loads it first."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import queue
import sys
import threading
from collections.abc import Sequence
from typing import TypeVar

from pytest_instructlab_eval.errors import ConfigurationError, EvalError, ModelError
from pytest_instructlab_eval.models.background import heavy_libraries, in_daemon_thread
from pytest_instructlab_eval.models.endpoint import Traffic
from pytest_instructlab_eval.models.local.jobs import ChatJob, ChoiceJob, LocalJob, fail_jobs, short_error
from pytest_instructlab_eval.models.local.model_spec import ModelSpec
from pytest_instructlab_eval.models.protocol import ChoiceLogprobs, Completion, Message, as_messages

R = TypeVar("R")

EXTRA = "pip install 'pytest-instructlab-eval[local]'"


class LocalModel:
    """A `Model` in this process: a folder with a checkpoint, or a name on the hub.

    Where no `device` is named ("cpu", "cuda", "cuda:1", "mps"), worker number `worker` of so many
    `workers` takes the GPU of its number; on a CPU the workers share the cores. `dtype` is by default
    the checkpoint's own, on a CPU float32. `batch_size` limits the rows of a forward pass; by default
    they are as many as the device has use and memory for. Loaded at the first request, or by `load`.
    No code that comes with a checkpoint is run. `add_bos` begins each prompt of multiple choice with the
    beginning-of-text token, also where the tokenizer adds none by itself.
    """

    def __init__(
        self,
        name_or_path: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | None = None,
        worker: int = 0,
        workers: int = 1,
        add_bos: bool = False,
    ) -> None:
        self.traffic = Traffic()
        self._add_bos = add_bos
        self._spec = ModelSpec(name_or_path, device, dtype, batch_size, worker, workers)
        self._queue: queue.SimpleQueue[list[LocalJob[object]]] = queue.SimpleQueue()
        self._gathering: list[LocalJob[object]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self._spec.name

    async def load(self) -> None:
        """Load the weights now; raises ConfigurationError, which says what is missing."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._ask(LocalJob(done))

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the model's answer to a chat; see `Model`. Its latency is the seconds of its batch.

        At a temperature above 0 it is drawn from the whole distribution. A prompt that leaves no room
        for `max_tokens` is refused, as vLLM does.
        """
        done: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        chat = ChatJob(done, as_messages(messages), temperature, max_tokens, seed)
        return (await self._answer(chat)).split(self.name, chat.text)

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice; see `Model`.

        Special tokens are as lm-eval's `hf` model has them: a beginning-of-text token where the
        tokenizer adds one and the prompt has none.
        """
        done: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        return ChoiceLogprobs(await self._answer(ChoiceJob(done, prompt, choices)), "local")

    async def close(self) -> None:
        """Stop within a layer of the model, and free its memory; waiting requests raise ModelError."""
        self._stop.set()
        self._queue.put([])
        if self._thread is not None:
            await in_daemon_thread(self._thread.join)

    async def _answer(self, job: LocalJob[R]) -> R:
        try:
            return await self._ask(job)
        except ConfigurationError as error:
            raise ModelError(str(error), prompt=job.text) from None

    async def _ask(self, job: LocalJob[R]) -> R:
        if self._stop.is_set():
            raise ModelError(f"{self.name} was closed", prompt=job.text)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="instructlab-eval-model", daemon=True)
            self._thread.start()
        if not self._gathering:  # those who are about to ask come along
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._gathering.append(job)
        return await job.done

    def _hand_over(self) -> None:
        jobs, self._gathering = self._gathering, []
        self._queue.put(jobs)

    # --- in the thread ---

    def _serve(self) -> None:
        waiting: collections.deque[LocalJob[object]] = collections.deque()
        error = self._work(waiting)
        if "torch" in sys.modules:
            from pytest_instructlab_eval.models.local.memory import free_memory

            free_memory()  # here, where no frame holds the weights any more
        fail_jobs(waiting, error)
        while not self._stop.is_set():
            fail_jobs(self._arrivals(wait=True), error)
        fail_jobs(self._arrivals(wait=False), error)

    def _work(self, waiting: collections.deque[LocalJob[object]]) -> EvalError:
        """Load the model and work until it is closed or fails; return the error for the waiting requests."""
        try:
            source = self._spec.source()
            with heavy_libraries:
                try:
                    from pytest_instructlab_eval.models.local.job_runner import JobRunner
                    from pytest_instructlab_eval.models.local.loading import load_model
                except ImportError as error:
                    raise ConfigurationError(
                        f"{self.name} needs torch and transformers to run in this process "
                        f"({short_error(error)}): {EXTRA}"
                    ) from None
                loaded = load_model(self._spec, source)
            worker = JobRunner(loaded, waiting, self.traffic, self._stop, add_bos=self._add_bos)
            while not self._stop.is_set():
                worker.work(self._arrivals(wait=not waiting))
        except EvalError as error:
            return type(error)(str(error))
        except Exception as error:
            return ModelError(f"{self.name} failed ({short_error(error)})")
        return ModelError(f"{self.name} was closed")

    def _arrivals(self, *, wait: bool) -> list[LocalJob[object]]:
        """Return what has come since the last look; where there is nothing else to do, wait for it."""
        jobs: list[LocalJob[object]] = []
        with contextlib.suppress(queue.Empty):
            while True:
                jobs += self._queue.get(block=wait and not jobs)
                if not jobs:
                    return jobs  # woken to be closed
        return jobs

    def __repr__(self) -> str:
        return f"LocalModel({self.name!r})"
