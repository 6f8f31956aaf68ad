"""Joins single prompts to requests of many: one HTTP request for a dozen multiple-choice questions."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import dataclasses
import operator
from collections.abc import Coroutine, Iterable, Mapping, Sequence

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.adaptations import Adaptations
from pytest_instructlab_eval.models.endpoint import Endpoint, Traffic

REFUSALS = (400, 413, 422)  # the statuses by which a server refuses what it is asked
FAULT = 500  # by which some servers say that they take no list
TRIALS = 2  # prompts that are asked alone after a fault, before it is taken for one of the whole server
Prompt = str | Sequence[int]


class OneCompletionError(ModelError):
    """A server gave one completion for several prompts."""


@dataclasses.dataclass
class PromptJob:
    """One prompt that waits for its completion; jobs of equal `parameters` can share a request."""

    prompt: Prompt
    parameters: Mapping[str, object]
    done: asyncio.Future[dict[str, object]]

    def fail(self, error: ModelError) -> None:
        """Fail the job with an error of its own, unless it has a result."""
        if not self.done.done():
            prompt = self.prompt if isinstance(self.prompt, str) else ""
            self.done.set_exception(type(error)(str(error), prompt=prompt, status=error.status))


class CompletionBatcher:
    """Sends prompts to /completions, several in a request, in the order they came.

    Each prompt takes a place of the server's budget, as if it were a request of its own; a request
    takes a quarter of the budget at most, so that while the server works at one the next is waiting.
    Every prompt ends in a completion or in ModelError, whatever the server answers. A server that takes
    one prompt a request gets one from then on. The `traffic` of the model is counted.
    """

    def __init__(self, endpoint: Endpoint, adaptations: Adaptations, traffic: Traffic | None = None) -> None:
        self._endpoint = endpoint
        self._adaptations = adaptations
        self._traffic = Traffic() if traffic is None else traffic
        self._most = max(1, endpoint.budget.size // 4)
        self._takes_several = False  # seen so far
        self._at_fault = False  # the last prompts that were asked alone failed by a fault of the server
        self._waiting: collections.deque[PromptJob] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatcher: asyncio.Task[None] | None = None

    async def complete(self, prompt: Prompt, parameters: Mapping[str, object]) -> dict[str, object]:
        """Return the API's `choice` for one prompt; raises ModelError."""
        job = PromptJob(prompt, parameters, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._dispatcher is None or self._dispatcher.done():
            self._dispatcher = self._spawn(self._dispatch(), self._waiting)
        return await job.done

    def _spawn(
        self, work: Coroutine[object, None, None], jobs: Iterable[PromptJob], places: int = 0
    ) -> asyncio.Task[None]:
        """Return a task that does the work and holds places of the budget.

        Where it is ended, if before it began, none of the jobs waits for ever.
        """
        # In a context of its own: the work is done for many callers, not for the first.
        task = contextvars.Context().run(asyncio.get_running_loop().create_task, work)

        def end(ended: asyncio.Task[None]) -> None:
            self._tasks.discard(ended)
            self._endpoint.budget.give_back(places)
            if ended.cancelled() or ended.exception() is not None:
                for job in jobs:
                    job.fail(ModelError(f"the run ended before {self._endpoint} replied"))

        self._tasks.add(task)
        task.add_done_callback(end)
        return task

    async def _dispatch(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # let those who are about to ask come along
            places = min(len(self._waiting), self._most)
            await self._endpoint.budget.take(places)
            # From the head of the queue, without those that nobody waits for any more.
            jobs: list[PromptJob] = []
            while self._waiting and len(jobs) < places:
                if jobs and self._waiting[0].parameters != jobs[0].parameters:
                    break
                job = self._waiting.popleft()
                if not job.done.done():
                    jobs.append(job)
            self._endpoint.budget.give_back(places - len(jobs))
            if jobs:
                self._spawn(self._send(jobs), jobs, len(jobs))

    async def _send(self, jobs: Sequence[PromptJob]) -> None:
        error = await self._ask(jobs)
        if error is None:
            return
        new_fault = error.status == FAULT and not self._at_fault
        alone_may_do = new_fault or error.status in REFUSALS or isinstance(error, OneCompletionError)
        sent = await self._ask_apart(jobs, error) if alone_may_do and len(jobs) > 1 else 0
        for job in jobs[sent:]:
            job.fail(error)

    async def _ask(self, jobs: Sequence[PromptJob]) -> ModelError | None:
        """Send the jobs in one request; return the error where it gave no completions."""
        prompts = [job.prompt for job in jobs]
        body = {**jobs[0].parameters, "prompt": prompts if len(prompts) > 1 else prompts[0]}
        try:
            reply = await self._endpoint.post("/completions", body)
            choices = self._choices(reply, len(jobs))
        except ModelError as error:
            return error
        except Exception as error:  # whatever it is, it ends these questions and no others
            return ModelError(f"{self._endpoint} gave a reply that cannot be read ({type(error).__name__})")
        self._takes_several = self._takes_several or len(jobs) > 1
        self._at_fault = False
        self._endpoint.traffic.requests += len(jobs)
        self._traffic.add(reply, len(jobs))
        for job, choice in zip(jobs, choices, strict=True):
            if not job.done.done():
                job.done.set_result(choice)
        return None

    async def _ask_alone(self, job: PromptJob) -> bool:
        """Send a job in a request of its own; return whether it got a completion."""
        error = await self._ask([job])
        if error is not None:
            job.fail(error)
        return error is None

    async def _ask_apart(self, jobs: Sequence[PromptJob], error: ModelError) -> int:
        """Send each prompt alone, after a refusal of all together; return how many were sent.

        A fault of the server itself does not multiply requests: a few prompts are tried before all are.
        """
        answered: list[bool] = []
        self._at_fault = False
        if error.status == FAULT:
            for job in jobs[:TRIALS]:
                answered.append(await self._ask_alone(job))
                if answered[-1]:
                    break
            else:
                self._at_fault = True
                return len(answered)
        answered += await asyncio.gather(*map(self._ask_alone, jobs[len(answered) :]))
        takes_one = any(answered) and isinstance(error, OneCompletionError)
        if takes_one or (all(answered) and not self._takes_several):
            self._most = 1
            self._adaptations.note(
                "one_prompt_a_request",
                "the server takes one prompt per request, so each prompt was sent alone; this changes no "
                "answer",
            )
        return len(jobs)

    def _choices(self, reply: Mapping[str, object], expected: int) -> list[dict[str, object]]:
        """Return the choices in the order of the prompts; raises ModelError where that is not said."""
        choices = reply.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise ModelError(f"{self._endpoint} gave no completions (got {self._shown(choices)})")
        if len(choices) != expected:
            kind = OneCompletionError if len(choices) == 1 else ModelError
            counts = f"{_counted(len(choices), 'completion')} for {_counted(expected, 'prompt')}"
            raise kind(f"{self._endpoint} gave {counts}")
        indices = [choice.get("index") for choice in choices]
        whole = [index for index in indices if type(index) is int]
        if sorted(whole) != list(range(expected)):
            raise ModelError(
                f"{self._endpoint} must number its completions 0 to {expected - 1}, one for each prompt (got "
                f"{self._shown(indices)})"
            )
        return sorted(choices, key=operator.itemgetter("index"))

    def _shown(self, value: object) -> str:
        return self._endpoint.safe(repr(value))[:200]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
