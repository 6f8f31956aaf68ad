"""How long a server may be away, by a clock of the test: it is waited for, or given up within a bound."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from pytest_instructlab_eval.errors import UnreachableError
from pytest_instructlab_eval.models import Completion, Endpoint, ServedModel, endpoint, outage
from pytest_instructlab_eval.models.endpoint import PATIENCE, PROBE_TIME
from pytest_instructlab_eval.models.exchange import Http
from pytest_instructlab_eval.models.replies import Failure, HttpReply
from tests.raw_server import chat

AWAY_FROM = 5.0  # seconds
MORE = 1800.0
QUESTIONS = 20
LISTED = {"object": "list", "data": [{"id": "tiny"}]}
_turn = asyncio.sleep


class Clock:
    """A clock that goes on where something waits; the server is away from `AWAY_FROM` on for some seconds."""

    def __init__(self, away: float) -> None:
        self.now = 0.0
        self._back = AWAY_FROM + away

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await _turn(0)
        self.now = max(self.now, until)

    async def exchange(self, method: str, url: str, body: object, timeout: float) -> HttpReply | Failure:
        """Reply as a server does that takes a second, or refuses the connection."""
        if AWAY_FROM <= self.now < self._back:
            await self.sleep(0.01)
            return Failure("connection", "connection refused")
        await self.sleep(1.0)
        reply = LISTED if url.endswith("/models") else chat("Paris")
        return HttpReply(200, {}, json.dumps(reply).encode())


def ask_all(
    monkeypatch: pytest.MonkeyPatch, away: float, patience: float
) -> tuple[Clock, list[Completion | BaseException]]:
    """Return the clock, and what becomes of each question."""
    clock = Clock(away)
    monkeypatch.setattr(outage, "time", clock)
    monkeypatch.setattr(endpoint, "time", clock)
    monkeypatch.setattr(endpoint, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": clock.sleep}))
    monkeypatch.setattr(Http, "exchange", clock.exchange)

    async def ask() -> list[Completion | BaseException]:
        server = Endpoint("http://127.0.0.1:9/v1", budget=4, patience=patience)
        model = ServedModel("tiny", server)
        await model.find()
        try:
            questions = (model.chat(f"question {number}") for number in range(QUESTIONS))
            return await asyncio.gather(*questions, return_exceptions=True)
        finally:
            await server.close()

    return clock, asyncio.run(ask())


@pytest.mark.parametrize(("away", "patience"), [(10, PATIENCE), (30, PATIENCE), (120, MORE)])
def test_a_server_that_comes_back_has_answered_all(
    monkeypatch: pytest.MonkeyPatch, away: float, patience: float
) -> None:
    clock, answers = ask_all(monkeypatch, away, patience)
    assert all(isinstance(answer, Completion) for answer in answers)
    assert clock.now >= AWAY_FROM + away


@pytest.mark.parametrize("away", [120.0, 1e9])
def test_a_server_that_stays_away_too_long_is_given_up_within_its_bound(
    monkeypatch: pytest.MonkeyPatch, away: float
) -> None:
    clock, answers = ask_all(monkeypatch, away, PATIENCE)
    errors = [answer for answer in answers if not isinstance(answer, Completion)]
    assert 0 < len(errors) < QUESTIONS  # what was answered before is kept
    assert all(isinstance(error, UnreachableError) and "was given up" in str(error) for error in errors)
    pauses = 4 * endpoint.LONGEST_PAUSE  # of all in flight, which this clock takes one after the other
    assert AWAY_FROM + PATIENCE <= clock.now < AWAY_FROM + PATIENCE + PROBE_TIME + pauses
