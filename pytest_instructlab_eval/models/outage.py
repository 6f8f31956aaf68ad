"""The silence of a server: it is tried again, waited for or given up for all questions together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from pytest_instructlab_eval.models.replies import Failure, HttpReply
from pytest_instructlab_eval.models.reply_reader import AWAY, FailedTry, ReplyReader


class OutageClock:
    """The clock of a server's silence: how long it has given no reply to anybody.

    `probe` asks the server for its models. It is given up after `patience` seconds: `given_up` then says so
    in a sentence, and `close` ends what is in flight there, which would wait in vain. `failing` is whether
    the last question failed through all its tries without a reply. `ended` returns why the server will not
    come back, None where that is not known.
    """

    def __init__(
        self,
        server: ReplyReader,
        *,
        retries: int,
        patience: float,
        probe: Callable[[], Awaitable[HttpReply | Failure]],
        close: Callable[[], Awaitable[None]],
        ended: Callable[[], str | None],
    ) -> None:
        self.given_up: str | None = None
        self.failing = False
        self._server = server
        self._retries = retries
        self._patience = patience
        self._probe = probe
        self._close = close
        self._ended = ended
        self._last_reply = float("-inf")
        self._since: float | None = None
        self._probing = asyncio.Lock()
        self._probed = float("-inf")

    def note(self, reply: HttpReply | Failure) -> None:
        """End the silence where the reply is the server's own."""
        if isinstance(reply, HttpReply) and reply.status not in AWAY:
            self._last_reply, self._since = time.monotonic(), None

    async def verdict(
        self, problem: FailedTry, failures: int, started: float
    ) -> Literal["again", "away", "fail"]:
        """Return what to do with a question after so many failures, the last of a try begun at `started`.

        Before the last try and after it, and where the server was silent for too long, the server is asked
        for its models. If it answers, the last try is made, and if that fails the fault is the question's. If
        not, the server is away, and all questions wait until it is back or given up.
        """
        if problem.silent:
            self.given_up = self.given_up or self._ended()
        if not problem.passing or self.given_up or not self._retries:
            return "fail"
        retries = 0 if self.failing else self._retries
        if problem.silent and not await self._may_answer(started, tries_left=failures < retries):
            return "fail" if self.given_up else "away"
        return "fail" if failures > retries else "again"

    async def _may_answer(self, started: float, *, tries_left: bool) -> bool:
        """Return whether to try the server again, which is asked for its models where that is in doubt.

        It is asked once for all questions that fail at the same time, and given up where it has been silent
        for too long.
        """
        if self._since is None:
            self._since = max(started, self._last_reply)
        patient = time.monotonic() - self._since < self._patience
        if (tries_left and patient) or self._last_reply >= started:
            return True
        entered = time.monotonic()
        async with self._probing:
            since = self._since
            if self._probed < entered and since is not None and not self.given_up:
                reply = await self._probe()
                self._probed = time.monotonic()
                if self._since is not None and self._probed - since >= self._patience:
                    self.given_up = (
                        f"{self._server} gave no reply for {self._probed - since:.0f} s and was given up "
                        f"({reply.reason}); the scores so far are kept; "
                        f"to wait longer, use {self._server.prefix}wait SECONDS"
                    )
                    await self._close()
            return self._since is None
