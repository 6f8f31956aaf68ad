"""Joins single prompts to requests of many: one HTTP request for a dozen multiple-choice questions."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.endpoint import Endpoint

__all__ = ["CompletionBatcher", "Prompt"]

REFUSALS = (400, 413, 422)  # the statuses by which a server refuses what it is asked
Prompt = str | Sequence[int]


@dataclasses.dataclass
class Job:
    """One prompt that waits for its completion; jobs of equal `parameters` can share a request."""

    prompt: Prompt
    parameters: Mapping[str, Any]
    done: asyncio.Future[dict[str, Any]]


class CompletionBatcher:
    """Sends prompts to /completions, several in a request, in the order they came.

    Each prompt takes a place of the server's budget, as if it were a request of its own; a request
    takes a quarter of the budget at most, so that while the server works at one the next is waiting.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._most = max(1, endpoint.budget.size // 4)
        self._waiting: collections.deque[Job] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatching = False

    async def complete(self, prompt: Prompt, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The API's `choice` for one prompt; raises ModelError."""
        job = Job(prompt, parameters, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if not self._dispatching:
            self._dispatching = True
            self._spawn(self._dispatch())
        return await job.done

    def _spawn(self, coroutine: Any) -> None:
        # In a context of its own: the work is done for many callers, not for the first.
        task = contextvars.Context().run(asyncio.get_running_loop().create_task, coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dispatch(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # let those who are about to ask come along
                places = min(len(self._waiting), self._most)
                await self._endpoint.budget.take(places)
                jobs = self._next_jobs(places)
                self._endpoint.budget.give_back(places - len(jobs))
                if jobs:
                    self._spawn(self._send(jobs))
        finally:
            self._dispatching = False

    def _next_jobs(self, most: int) -> list[Job]:
        """The jobs at the head of the queue that can share a request, without the abandoned ones."""
        jobs: list[Job] = []
        while self._waiting and len(jobs) < most:
            if jobs and self._waiting[0].parameters != jobs[0].parameters:
                break
            job = self._waiting.popleft()
            if not job.done.done():
                jobs.append(job)
        return jobs

    async def _send(self, jobs: Sequence[Job]) -> None:
        try:
            await self._ask(jobs)
        finally:
            self._endpoint.budget.give_back(len(jobs))

    async def _ask(self, jobs: Sequence[Job]) -> None:
        body = {**jobs[0].parameters, "prompt": [job.prompt for job in jobs]}
        try:
            choices = _choices(await self._endpoint.post("/completions", body), len(jobs))
        except ModelError as error:
            if len(jobs) > 1 and error.status in REFUSALS:
                for job in jobs:  # one of them is at fault; find out which
                    await self._ask([job])
                return
            for job in jobs:
                _fail(job, error)
        else:
            self._endpoint.traffic.requests += len(jobs)
            for job, choice in zip(jobs, choices, strict=True):
                if not job.done.done():
                    job.done.set_result(choice)


def _choices(reply: Mapping[str, Any], expected: int) -> list[dict[str, Any]]:
    """The reply's choices in the order of the prompts."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or len(choices) != expected:
        count = len(choices) if isinstance(choices, list) else "no"
        raise ModelError(f"the server gave {count} completions for {expected} prompts")
    try:
        return sorted(choices, key=lambda choice: int(choice["index"]))
    except (LookupError, TypeError, ValueError):
        raise ModelError("the server gave completions that don't say which prompt they are for") from None


def _fail(job: Job, error: ModelError) -> None:
    if not job.done.done():
        prompt = job.prompt if isinstance(job.prompt, str) else ""
        job.done.set_exception(type(error)(str(error), prompt=prompt, status=error.status))
