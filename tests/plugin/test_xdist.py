"""With -n: the same scores, no question twice, and no item that is lost without a word."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.scripted_server import ScriptedServer, Status, Until

from .conftest import Finished, Project

OWN = """
    import asyncio
    import pytest
    from pytest_instructlab_eval.records.samples import Sample
    from pytest_instructlab_eval.records.scores import Score

    CHOICES = (" A", " B", " C", " D")

    @pytest.mark.eval("sampled")
    @pytest.mark.parametrize("task", range(40))
    async def test_sampled(task, served_model, record_score):
        async def sample(number):
            found = await served_model.choice_logprobs(f"Task {task}, question {number}:", CHOICES)
            return Sample(str(number), float(found[0] == max(found)), logprobs=tuple(found))

        record_score(Score.mean_of(await asyncio.gather(*map(sample, range(4))), metric="acc"))

    @pytest.mark.eval("said", max_score=100)
    @pytest.mark.parametrize("number", range(40))
    async def test_said(number, served_model, record_score):
        reply = await served_model.chat([{"role": "user", "content": f"Say {number}"}])
        record_score(int(reply.text.split()[-1]))
"""
BUDGET = 5


def findings(finished: Finished) -> Any:
    """The summaries, and each result with all its samples: everything but times and the order of arrival."""
    document = finished.document
    for summary in document["summaries"]:
        summary["groups"].sort(key=lambda row: row["label"])
    document["summaries"].sort(key=lambda summary: summary["benchmark"])
    document["results"].sort(key=lambda record: record["nodeid"])
    for record in document["results"]:
        del record["duration"]
        for chat in record["chats"]:
            del chat["seconds"]
    return rounded([document["summaries"], document["results"]])


def rounded(value: Any) -> Any:
    """The same without the last digits, which depend on the order of a sum."""
    if isinstance(value, float):
        return round(value, 12)
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def asked_again(server: ScriptedServer) -> list[str]:
    """What was asked more than once."""
    asked = [json.dumps(body["messages"]) for body in server.chats]
    asked += [json.dumps(prompt) for prompt in server.prompts]
    return [text for text, count in Counter(asked).items() if count > 1]


@pytest.fixture(scope="module")
def alone(make_project: Callable[[ScriptedServer], Project]) -> Iterator[Finished]:
    """A run of OWN in one process."""
    with ScriptedServer() as server:
        project = make_project(server)
        project.write("test_own.py", OWN)
        yield project.evaluate("test_own.py", passed=80)


def test_several_processes_find_what_one_does_within_the_same_budget(
    project: Project, alone: Finished
) -> None:
    project.write("test_own.py", OWN)
    project.server.fault(Until(lambda: project.server.in_flight_peak > 1), times=None)
    finished = project.evaluate("test_own.py", "-n2", "-v", f"--eval-max-concurrency={BUDGET}", passed=80)
    assert findings(finished) == findings(alone)
    assert asked_again(project.server) == []
    assert 1 < project.server.in_flight_peak <= BUDGET
    finished.shows("scheduling tests via LookAheadScheduling")


def test_the_installed_benchmarks_find_the_same_in_several_processes(
    project: Project, main_run: Finished
) -> None:
    project.server.models = ("tiny", "org/judge")
    finished = project.evaluate(*project.judge, *project.data, "-n2", passed=65)
    assert findings(finished) == findings(main_run)
    assert asked_again(project.server) == []


FIRST_FAILS = """
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(200))
    async def test_number(number, served_model, record_score):
        await served_model.chat([{"role": "user", "content": f"number {number}"}])
        record_score(1)
        assert number != 0
"""


def test_the_failure_limit_ends_the_run_in_every_process(project: Project) -> None:
    project.write("test_own.py", FIRST_FAILS)
    project.server.latency = 0.1
    finished = project.evaluate("test_own.py", "-n2", "-x", "--eval-max-concurrency=8", ret=2)
    finished.shows("*stopping after 1 failures*")
    assert finished.outcomes["failed"] == 1
    assert finished.outcomes.get("passed", 0) < 60
    assert len(project.server.chats) < 100
    assert len(finished.document["results"]) >= 1 + finished.outcomes.get("passed", 0)


DEADLY = """
    import os
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(30))
    async def test_number(number, served_model, record_score):
        await served_model.chat([{"role": "user", "content": f"number {number}"}])
        record_score(number / 30)

    def test_deadly():
        os._exit(9)
"""

DEADLY_AHEAD = """
    import os
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(30))
    async def test_number(number, served_model, record_score):
        await served_model.chat([{"role": "user", "content": f"number {number}"}])
        record_score(number / 30)
        if number == 12:
            os._exit(9)
"""


def test_a_process_that_dies_loses_the_item_that_killed_it_alone(project: Project) -> None:
    project.write("test_own.py", DEADLY)
    finished = project.evaluate("test_own.py", "-n2", ret=7, passed=30, failed=1)
    finished.shows("FAILED test_own.py::test_deadly - worker *gw* crashed while running *")
    score, _, *counts = finished.row("own")
    assert (score, counts) == ("0.4833", ["30", "0", "0"])
    assert len(finished.results) == 30


def test_an_item_that_kills_its_process_ahead_of_its_turn_costs_one_other_at_most(project: Project) -> None:
    project.write("test_own.py", DEADLY_AHEAD)
    finished = project.start(*project.model, "test_own.py", "-n2", "--max-worker-restart=2").finish()
    finished.shows("FAILED test_own.py::test_number[[]12[]] - worker *gw* crashed while running *")
    assert finished.ret == 7
    assert finished.outcomes["failed"] <= 2
    assert len(finished.results) >= 28
    assert "test_number[12]" not in finished.results


LOST = """
    from xdist.dsession import DSession

    arrived = DSession.worker_testreport

    def worker_testreport(self, node, rep):
        if rep.nodeid != "test_own.py::test_number[7]":
            arrived(self, node, rep)

    DSession.worker_testreport = worker_testreport
"""


def test_a_result_that_never_arrives_fails_the_run_under_any_distribution(project: Project) -> None:
    project.write("conftest.py", LOST)
    project.write("test_own.py", DEADLY.partition("    def test_deadly")[0])
    finished = project.evaluate("test_own.py", "-n1", "-v", "--dist=load", ret=7, passed=29)
    finished.shows("scheduling tests via LoadScheduling")
    finished.shows("ERROR: 1 of 30 tests never reported a result; a worker may have died")
    assert len(finished.results) == 29


def test_a_server_cannot_end_a_process_by_what_it_says(project: Project) -> None:
    project.write("test_own.py", DEADLY.partition("    def test_deadly")[0])
    project.server.fault(Status(400, "half a character \ud83d and \x1b[2J"), times=None)
    finished = project.evaluate("test_own.py", "-n1", ret=7, failed=30)
    assert finished.out.count(r"answered 400: half a character \ud83d and \x1b[2J") >= 30


STRANGE_GROUP = """
    import pytest

    @pytest.mark.eval("own", group="a folder of half a character: \\udcff")
    @pytest.mark.parametrize("number", range(4))
    async def test_number(number, served_model, record_score):
        record_score(1, metric="\\udcff")
"""


def test_a_name_that_no_report_can_carry_loses_no_result(project: Project) -> None:
    project.write("test_own.py", STRANGE_GROUP)
    finished = project.evaluate("test_own.py", "-n1", "--junitxml=junit.xml", passed=4)
    assert {record["group"] for record in finished.results.values()} == {"a folder of half a character: ?"}


def test_data_that_only_a_process_meets_is_told_in_one_sentence(project: Project) -> None:
    data = project.own_mmlu()
    (data / "test" / "anatomy_test.csv").unlink()
    project.write("test_own.py", "async def test_own(mmlu_task, served_model):\n    pass\n")
    finished = project.evaluate("test_own.py", "-n1", f"--eval-mmlu-data={data}", ret=7)
    assert "anatomy_test.csv cannot be read (No such file or directory)" in finished.out
    assert "Traceback" not in finished.out
    assert "pytest_instructlab_eval/" not in finished.out


def test_work_is_stolen_though_an_options_value_is_a_folder_for_which_the_run_starts_anew(
    project: Project,
) -> None:
    project.write("conftest.py", "def pytest_report_header(config):\n    return config.option.dist\n")
    finished = project.evaluate("--collect-only", "-n", "2", "--eval-mmlu-data", str(project.mmlu))
    finished.shows("worksteal")
