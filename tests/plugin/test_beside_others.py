"""Beside plugins that run asynchronous tests of other kinds, in the modes in which they take them all."""

import pytest

from .conftest import Project

EVAL_TESTS = """
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(4))
    async def test_eval(number, served_model, record_score):
        reply = await served_model.chat([{"role": "user", "content": f"number {number}"}])
        record_score(number / 4)
        assert reply.text == f"Answer to: number {number}"

    async def test_eval_without_a_mark(served_model):
        await served_model.chat([{"role": "user", "content": "number 4"}])

    def test_plain():
        pass
"""

ASYNCIO_TESTS = """
    import asyncio
    import pytest
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def prepared():
        yield "prepared"

    async def test_of_pytest_asyncio(prepared):
        await asyncio.sleep(0)
        assert prepared == "prepared"

    async def test_eval_with_its_fixture(prepared, served_model, record_score):
        await served_model.chat([{"role": "user", "content": "number 5"}])
        record_score(float(prepared == "prepared"))

    @pytest.mark.asyncio
    async def test_eval_with_its_mark(served_model, record_score):
        await served_model.chat([{"role": "user", "content": "number 6"}])
        record_score(1)
"""

ANYIO_TESTS = """
    import anyio
    import pytest

    @pytest.fixture(params=["asyncio", pytest.param(("asyncio", {"debug": True}), id="debug")])
    def anyio_backend(request):
        return request.param

    @pytest.fixture
    async def prepared():
        yield "prepared"

    async def test_of_anyio(prepared):
        await anyio.sleep(0)
        assert prepared == "prepared"

    @pytest.mark.anyio
    async def test_eval_with_its_mark(served_model, record_score):
        await served_model.chat([{"role": "user", "content": "number 5"}])
        record_score(1)

    async def test_eval_beside(served_model):
        await served_model.chat([{"role": "user", "content": "number 6"}])
"""


@pytest.mark.parametrize(
    ("ini", "others", "passed"),
    [
        ("asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function", ASYNCIO_TESTS, 9),
        ("anyio_mode = auto", ANYIO_TESTS, 10),
    ],
    ids=["pytest-asyncio", "anyio"],
)
def test_eval_tests_run_once_and_ahead_and_the_others_as_ever(
    project: Project, ini: str, others: str, passed: int
) -> None:
    project.write("pytest.ini", f"[pytest]\nfilterwarnings = error\n{ini}\n")
    project.write("test_eval.py", EVAL_TESTS)
    project.write("test_others.py", others)
    project.server.latency = 0.3
    without = ("-p", "no:hypothesispytest", *(("-p", "no:asyncio") if ini.startswith("anyio") else ()))
    finished = project.evaluate(*without, "test_eval.py", "test_others.py", bare=False, passed=passed)
    asked = sorted(body["messages"][0]["content"] for body in project.server.chats)
    assert asked == [f"number {number}" for number in range(7)]
    assert project.server.in_flight_peak > 4
    assert finished.row("own")[0] == "0.3750"
