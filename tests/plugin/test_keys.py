"""A key is nowhere, whatever fails and however verbose the run is."""

from __future__ import annotations

import itertools

from tests.raw_server import FAULTS, KEY, RawServer, Writer
from tests.scripted_server import ScriptedServer

from .conftest import Project

TEST = """
    import asyncio
    import pytest

    CHAT = [{"role": "user", "content": "Hi"}]

    @pytest.mark.eval("chats")
    @pytest.mark.parametrize("number", range(12))
    async def test_chat(number, served_model, record_score):
        record_score(float(len((await served_model.chat(CHAT)).text)))

    @pytest.mark.eval("choices")
    @pytest.mark.parametrize("number", range(2))
    async def test_choice(number, served_model, record_score):
        record_score((await served_model.choice_logprobs(f"{number}", ["a", "b"]))[0])

    @pytest.mark.eval("cancelled")
    @pytest.mark.parametrize("number", range(2))
    async def test_cancelled(number, served_model, record_score):
        record_score(float(len((await asyncio.wait_for(served_model.chat(CHAT), 0.01 * number)).text)))

    def test_plain(served_model, judge):
        try:
            served_model.chat(CHAT)
        finally:
            judge.chat(CHAT)
"""
HASTE = """
    from pytest_instructlab_eval.models import endpoint

    endpoint.FIRST_PAUSE = endpoint.LONGEST_PAUSE = 0.01
"""
VERBOSE = (
    "-vv", "-rA", "--showlocals", "--full-trace", "--log-level=DEBUG", "--log-cli-level=DEBUG", "-W", "error",
    "--junitxml=junit.xml", "-o", "junit_logging=all", "-o", "junit_log_passing_tests=true",
)  # fmt: skip


def test_a_key_is_not_told_by_any_fault(project: Project) -> None:
    project.write("test_all.py", TEST)
    project.write("conftest.py", HASTE)
    endless = ("without end", "a byte a second")  # they cost a time limit each; unit tests have them
    faults = itertools.cycle(
        fault for name, (fault, _) in FAULTS.items() if not any(part in name for part in endless)
    )

    async def script(path: str, writer: Writer) -> None:
        fault = next(faults)
        if isinstance(fault, bytes):
            writer.write(fault)
            await writer.drain()
            writer.close()
        else:
            await fault(path, writer)

    with RawServer(script) as server:
        done = project.run(
            "--eval-model=tiny", f"--eval-base-url={server.url}", "--eval-api-key-env=THE_KEY",
            "--eval-judge-model=tiny", "--eval-request-timeout=1", "--eval-max-reply=1",
            "--eval-no-judge-trial",
            *VERBOSE, "--tb=long", "test_all.py", ret=1,
            env={"THE_KEY": KEY, "PYTHONASYNCIODEBUG": "1", "PYTHONFAULTHANDLER": "1"},
        )  # fmt: skip
        assert f"authorization: bearer {KEY}" in server.heads[-1].lower()
    assert done.outcomes["failed"] >= 12
    written = [path for path in project.folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {"junit.xml", "results.json", "summary.md"} <= {path.name for path in written}
    for text in (done.out, done.err, *(path.read_text("utf-8", "replace") for path in written)):
        assert KEY not in text
        assert "Authorization" not in text


TEST_OF_BOTH = """
    import pytest

    @pytest.mark.eval("both")
    async def test_both(served_model, judge, record_score):
        record_score(float(len((await served_model.chat("Hi")).text)), maximum=1000)
        await judge.chat("Hi")
"""


def test_each_server_gets_its_key_in_its_own_header(project: Project) -> None:
    project.write("test_both.py", TEST_OF_BOTH)
    project.server.models = ("tiny", "base")
    project.server.api_key, project.server.key_header = KEY, "api-key"
    with ScriptedServer(api_key="the-judge's", models=["strict"]) as judge:
        judge.key_header = "X-Judge-Key"
        project.run(
            *project.model, "--eval-base-model=base", "--eval-api-key-env=THE_KEY",
            "--eval-api-key-header=api-key", "--eval-judge-model=strict",
            f"--eval-judge-base-url={judge.url}", "--eval-judge-api-key-env=JUDGE_KEY",
            "--eval-judge-api-key-header=X-Judge-Key", "--eval-no-judge-trial", "test_both.py", passed=2,
            env={"THE_KEY": KEY, "JUDGE_KEY": "the-judge's"},
        )  # fmt: skip
        assert not any({"authorization", "api-key"} & set(received.headers) for received in judge.requests)
    assert {received.body.get("model") for received in project.server.requests} >= {"tiny", "base"}
    assert not any("authorization" in received.headers for received in project.server.requests)
