"""A benchmark of the user's own: an ordinary test function with the plugin's fixtures."""

import json
from collections.abc import Callable, Iterator

import pytest

from pytest_instructlab_eval.records.results_file import read_run
from tests.scripted_server import Hang, ScriptedServer, Until, default_reply

from .conftest import Finished, Project, properties

SLOW = 1.0

CITIES = """
    import logging
    import pytest

    log = logging.getLogger(__name__)

    @pytest.mark.eval("capitals", max_score=10, group="geography")
    @pytest.mark.parametrize("city", [f"city{number}" for number in range(20)])
    async def test_capital(city, served_model, record_score):
        log.warning("asking about %s", city)
        reply = await served_model.chat([{"role": "user", "content": f"What about {city}?"}])
        log.warning("the answer on %s is %r", city, reply.text)
        if city != "city9":
            record_score(5, metadata={"question": f"on {city}", "answer": reply.text})
        shown = reply.text.split()[-1]
        assert shown != "city7?"
"""


UNAWAITED = """
    async def test_own(served_model, record_score):
        served_model.chat("Hello?")
        record_score(1.0)
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_call_that_no_test_awaited_fails_the_run(project: Project, processes: str) -> None:
    project.write("test_own.py", UNAWAITED)
    finished = project.start("test_own.py", *project.model, "-n", processes).finish()
    assert finished.ret == 7
    finished.shows("ERROR: *test_own.py:*: chat was called without `await`, so no request was sent*")


@pytest.mark.parametrize(
    ("keyword", "says"),
    [
        ("max_score='ten'", "max_score of the marker eval must be a number above 0 (got 'ten')"),
        ("max_score=0", "max_score of the marker eval must be a number above 0 (got 0)"),
        ("max_score=None", "max_score of the marker eval must be a number above 0 (got None)"),
        ("gates=5", "gates of the marker eval must be a text or a list of texts (got 5)"),
        ("'other'", "the marker eval takes one name (got 'own', 'other')"),
    ],
)
def test_a_marker_that_cannot_be_meant_ends_the_run(project: Project, keyword: str, says: str) -> None:
    project.write(
        "test_own.py",
        f"import pytest\n\n@pytest.mark.eval('own', {keyword})\n"
        "async def test_own(record_score):\n    record_score(1)\n",
    )
    refused = project.evaluate("test_own.py", ret=4)
    assert f"ERROR: test_own.py::test_own: {says}" in refused.out + refused.err


@pytest.fixture(scope="module")
def city_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.fault(Hang(SLOW), when=lambda body: "city3?" in str(body))
        server.fault(Until(lambda: server.in_flight_peak == 20), times=None)
        yield server


@pytest.fixture(scope="module")
def cities(make_project: Callable[[ScriptedServer], Project], city_server: ScriptedServer) -> Finished:
    """A run of a parametrized benchmark: one item fails, one takes long, one records nothing."""
    project = make_project(city_server)
    project.write("test_capitals.py", CITIES)
    args = ("test_capitals.py", "--junitxml=junit.xml", "-o", "junit_family=xunit1", "--log-level=INFO")
    return project.evaluate(*args, ret=1, passed=19, failed=1)


def test_an_asynchronous_test_is_run_ahead_of_its_turn(cities: Finished, city_server: ScriptedServer) -> None:
    assert city_server.in_flight_peak == 20


def test_each_item_asks_once(cities: Finished, city_server: ScriptedServer) -> None:
    asked = [body["messages"][0]["content"] for body in city_server.chats]
    assert sorted(asked) == sorted(f"What about city{number}?" for number in range(20))


def test_a_failing_assertion_is_explained_with_the_values_of_its_item(cities: Finished) -> None:
    failure = cities.failure("test_capital[city7]")
    assert "city = 'city7'" in failure
    assert '>       assert shown != "city7?"' in failure
    assert "E       AssertionError: assert 'city7?' != 'city7?'" in failure
    assert "engine.py" not in failure


def test_a_failure_shows_what_was_recorded_with_it(cities: Finished) -> None:
    failure = cities.failure("test_capital[city7]")
    assert "recorded scores" in failure
    assert "score: 5 of 10\nquestion:\n    on city7\nanswer:\n    Answer to: What about city7?" in failure


def test_log_records_are_reported_with_the_item_that_made_them(cities: Finished) -> None:
    failure = cities.failure("test_capital[city7]")
    assert "Captured log call" in failure
    assert "asking about city7" in failure
    assert "the answer on city7 is" in failure
    assert "asking about city6" not in cities.out
    assert "asking about city8" not in cities.out


def test_an_item_takes_as_long_as_its_own_coroutine(cities: Finished) -> None:
    times = {name: float(case.attrib["time"]) for name, case in cities.cases.items()}
    long = times["test_capital[city3]"]
    assert long > SLOW
    assert min(times[f"test_capital[city{number}]"] for number in range(4, 20)) < long


def test_scores_are_in_the_table_and_the_files(cities: Finished) -> None:
    assert cities.row("capitals") == ["5.00 of 10", "19", "0", "0"]
    assert set(cities.results) == {f"test_capital[city{n}]" for n in range(20) if n != 9}
    assert properties(cities.cases["test_capital[city7]"]) == {
        "eval.benchmark": "capitals",
        "eval.question": "test_capital[city7]",
        "eval.group": "geography",
        "eval.model": "tiny",
        "eval.outcome": "scored",
        "eval.score": "5.0",
    }


TURNS = """
    import os
    import pytest

    prepared = []

    def is_its_turn(name):
        return f"::{name} " in os.environ.get("PYTEST_CURRENT_TEST", "")

    async def ask(model, text):
        return (await model.chat([{"role": "user", "content": text}])).text

    @pytest.fixture
    def own(tmp_path):
        path = tmp_path / "answer"
        yield path
        assert path.read_text() == "Answer to: own"

    async def test_first(served_model):
        await ask(served_model, "first")

    async def test_ahead(served_model, record_score):
        assert not is_its_turn("test_ahead")
        record_score(0.5)
        await ask(served_model, "ahead")

    async def test_own_fixture(own, served_model):
        assert is_its_turn("test_own_fixture")
        own.write_text(await ask(served_model, "own"))

    @pytest.mark.skip(reason="skipped by mark")
    async def test_skip(served_model):
        await ask(served_model, "unwanted")

    @pytest.mark.skipif("True", reason="skipped by condition")
    async def test_skipif(served_model):
        await ask(served_model, "unwanted")

    @pytest.mark.skipif("False", reason="not skipped")
    async def test_not_skipped(served_model):
        await ask(served_model, "not skipped")

    @pytest.mark.xfail(reason="known", raises=ZeroDivisionError)
    async def test_xfail(served_model):
        await ask(served_model, "xfail")
        1 / 0

    @pytest.mark.xfail(run=False, reason="not run")
    async def test_xfail_without_a_run(served_model):
        await ask(served_model, "unwanted")

    async def test_skip_from_inside(served_model):
        await ask(served_model, "inside")
        pytest.skip("skipped from inside")

    async def test_xfail_from_inside(served_model):
        pytest.xfail("given up from inside")

    class TestInClass:
        @pytest.fixture(autouse=True)
        def prepare(self):
            self.prepared = True

        async def test_method(self, served_model):
            assert self.prepared
            await ask(served_model, "method")

    class TestBareClass:
        @pytest.mark.parametrize("number", [1, 2])
        async def test_bare_method(self, number, served_model, record_score):
            record_score(number / 2)
            await ask(served_model, f"bare {number}")

    def test_plain(served_model, judge, record_score):
        reply = served_model.chat([{"role": "user", "content": "plain"}])
        assert reply.text == "Answer to: plain"
        score = judge.grade("plain", reply.text, reference="a reference")
        assert score.value is not None
        record_score(score)
        assert len(served_model.choice_logprobs("The answer is", [" A", " B"])) == 2

    @pytest.mark.eval("marked alone")
    async def test_without_a_fixture():
        assert not is_its_turn("test_without_a_fixture")

    @pytest.fixture
    def shadowed():
        return "own"

    async def test_a_parameter_shadowed_by_a_fixture(shadowed, served_model):
        assert is_its_turn("test_a_parameter_shadowed_by_a_fixture")
        assert shadowed == "own"
"""


def test_what_needs_its_turn_gets_it_and_marks_are_kept(project: Project) -> None:
    project.write("test_turns.py", TURNS)
    project.server.reply = lambda body: "[[7]]" if "<Question>" in str(body) else default_reply(body)
    finished = project.evaluate(
        "test_turns.py", *project.judge, "-rsx", passed=10, skipped=3, xfailed=3
    )  # fmt: skip
    reasons = (
        "skipped by mark",
        "skipped by condition",
        "skipped from inside",
        "known",
        "given up from inside",
    )
    assert [reason for reason in reasons if reason not in finished.out] == []
    asked = [body["messages"][-1]["content"] for body in project.server.chats]
    asked = sorted(text for text in asked if "<Question>" not in text)
    assert asked == [
        "ahead", "bare 1", "bare 2", "first", "inside", "method", "not skipped", "own", "plain", "xfail",
    ]  # fmt: skip
    assert {record["benchmark"] for record in finished.document["results"]} == {
        "ahead", "bare_method", "plain",
    }  # fmt: skip
    (graded,) = finished.results["test_plain"]["scores"]
    assert (graded["metric"], graded["maximum"]) == ("rating", 10.0)
    assert "<Reference answer>" in str(project.server.chats)


PREPARED = """
    import os
    import pytest

    @pytest.fixture(autouse=True)
    def prepare(request, monkeypatch):
        monkeypatch.setenv("PREPARED_FOR", request.node.name)

    @pytest.mark.parametrize("number", range(5))
    async def test_relies_on_it(number, served_model):
        await served_model.chat([{"role": "user", "content": f"number {number}"}])
        assert os.environ["PREPARED_FOR"] == f"test_relies_on_it[{number}]"
"""


def test_a_fixture_of_the_module_for_all_its_tests_is_in_force_when_they_run(project: Project) -> None:
    project.write("test_prepared.py", PREPARED)
    project.evaluate("test_prepared.py", passed=5)
    assert len(project.server.chats) == 5
    assert project.server.in_flight_peak == 1


ENDINGS = """
    import asyncio
    import sys
    import pytest

    @pytest.mark.parametrize("number", range(3))
    async def test_before(number, served_model):
        await served_model.chat([{"role": "user", "content": f"before {number}"}])

    async def test_division(served_model, record_score):
        1 / 0

    async def test_timeout(served_model):
        await asyncio.wait_for(asyncio.sleep(30), 0.01)

    async def test_cancelled(served_model):
        raise asyncio.CancelledError

    async def test_failed(served_model, record_score):
        record_score(0.25)
        pytest.fail("failed on purpose")

    async def test_system_exit(served_model):
        sys.exit(3)

    @pytest.mark.parametrize("value", [1.0, None, float("nan")], ids=str)
    async def test_number(value, served_model, record_score):
        record_score(value)

    @pytest.mark.parametrize("number", range(3))
    async def test_after(number, served_model):
        await served_model.chat([{"role": "user", "content": f"after {number}"}])
"""


def test_however_a_coroutine_ends_the_others_go_on(project: Project) -> None:
    project.write("test_endings.py", ENDINGS)
    finished = project.evaluate("test_endings.py", ret=1, passed=7, unscored=1, failed=6)
    for name, reason in (
        ("division", "ZeroDivisionError"),
        ("timeout", "TimeoutError"),
        ("cancelled", "CancelledError"),
        ("failed", "failed on purpose"),
        ("system_exit", "SystemExit"),
        ("number[nan]", "a score must be a finite number (got nan)"),
    ):
        assert reason in finished.failure(f"test_{name}")
    assert "0.25 of 1" in finished.failure("test_failed").partition("recorded scores")[2]
    assert finished.results["test_division"]["error"] == "ZeroDivisionError: division by zero"
    assert finished.row("division") == ["no score", "0", "0", "1"]
    assert finished.row("number") == ["1.0000", "1", "1", "1"]
    assert json.dumps(finished.document, allow_nan=False)


MISTAKES = """
    import pytest

    async def test_await_is_forgotten(served_model, record_score):
        reply = served_model.chat("Hello")
        record_score(float("Hello" in reply.text))

    async def test_wrong(served_model, record_score):
        assert (await served_model.chat("Hello")).text == "Good bye"
        record_score(1)

    async def test_judged(served_model, judge, record_score):
        record_score(await judge.grade("Hello", "Hi"))

    def test_judged_without_await(served_model, judge):
        judge.grade("Hello", "Hi")
"""


def test_a_mistake_in_a_test_is_told_as_what_it_is(project: Project) -> None:
    project.write("test_mistakes.py", MISTAKES)
    finished = project.evaluate("test_mistakes.py", "-W", "ignore", ret=1, failed=2, skipped=2)
    assert "is an `await` missing?" in finished.failure("test_await_is_forgotten")
    assert "assert 'Answer to: Hello' == 'Good bye'" in finished.failure("test_wrong")
    assert "could not be asked" not in finished.out
    finished.shows("skipped: 2 tests without a judge; name one with --eval-judge-model")


THINGS = ["whales", "lamps", "ropes", "knots", "piers", "boats"]
PASSAGES = f"""
    import pytest

    @pytest.mark.eval("reading", max_score=5, cluster="passage")
    @pytest.mark.parametrize("number", range(10))
    @pytest.mark.parametrize("passage", {THINGS})
    async def test_reading(passage, number, record_score):
        record_score(len(set(passage)) % 5 + 1)
"""


def test_questions_about_one_thing_widen_the_error_of_the_mean(project: Project) -> None:
    def error(source: str) -> float:
        project.write("test_own.py", source)
        document = project.evaluate("test_own.py", passed=60).document
        clusters = {record["cluster"] for record in document["results"]}
        assert clusters == (set(THINGS) if "cluster=" in source else {""})
        return float(document["summaries"][0]["overall"]["stderr"])

    assert error(PASSAGES) > 3 * error(PASSAGES.replace(', cluster="passage"', ""))


OBJECTS = """
    import pytest

    class Odd:
        id, group, content, requests, references, asked = 1, [2], 3, "4", 5, 6

    @pytest.mark.parametrize("odd", [Odd()], ids=["odd"])
    async def test_own(odd, served_model, judge, record_score):
        record_score(1)
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_an_object_of_the_users_is_only_a_parameter(project: Project, processes: str) -> None:
    project.write("test_own.py", OBJECTS)
    run = project.evaluate("test_own.py", "--eval-judge-model=reference", "-n", processes, passed=1)
    (result,) = run.document["results"]
    assert (result["question"], result["group"], result["cluster"]) == ("odd", "", "")


def test_a_sample_is_said_to_take_no_part_of_a_benchmark_of_ones_own(project: Project) -> None:
    project.write("test_own.py", "async def test_own(record_score): record_score(1)")
    run = project.evaluate("test_own.py", "--eval-sample=2", passed=1)
    run.shows("note: --eval-sample does not apply to your own benchmarks: every question of own is asked")
    assert run.document["notes"] == [
        "--eval-sample does not apply to your own benchmarks: every question of own is asked"
    ]


# --- answering and judging as runs of their own ---

JUDGED = """
    import pytest

    @pytest.mark.eval("talks", max_score=10)
    @pytest.mark.parametrize("city", ["Oslo", "Rome", "Lima"])
    async def test_talk(city, served_model, judge, record_score):
        chat = [{"role": "user", "content": f"Where is {city}?"}]
        first = await served_model.chat(chat)
        chat += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "Sure?"}]
        second = await served_model.chat(chat, temperature=0.5, max_tokens=64)
        record_score(await judge.grade(f"Where is {city}?", second.text, reference=f"answer on {city}"))

    @pytest.mark.eval("words", max_score=100)
    async def test_words(served_model, record_score):
        record_score(len((await served_model.chat("Say hello.")).text))
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_benchmark_of_ones_own_is_answered_and_judged_in_two_runs(project: Project, processes: str) -> None:
    project.write("test_own.py", JUDGED)
    arguments = ("test_own.py", "--eval-judge-model=reference")
    answering = project.evaluate(*arguments, "--eval-stage=answer", "-n", processes)
    assert "3 answered" in answering.lines[-1]
    assert len(project.server.chats) == 7
    chats = answering.results["test_talk[Rome]"]["chats"]
    assert [chat["messages"][-1]["content"] for chat in chats] == ["Where is Rome?", "Sure?"]
    assert (chats[1]["temperature"], chats[1]["max_tokens"], chats[1]["finish_reason"]) == (0.5, 64, "stop")
    assert chats[1]["completion_tokens"] > 0
    judging = project.evaluate(*arguments, "--eval-stage=judge", "-n", processes, passed=3, skipped=1)
    assert len(project.server.chats) == 7
    assert "test_words" not in judging.results
    at_once = project.evaluate(*arguments, "-k", "talk", passed=3, deselected=1)
    assert judging.row("talks") == at_once.row("talks")


def test_what_was_not_answered_before_is_an_error_of_its_question(project: Project) -> None:
    project.write("test_own.py", JUDGED)
    arguments = ("test_own.py", "--eval-judge-model=reference")
    project.evaluate(*arguments, "--eval-stage=answer", "-k", "Oslo or Rome")
    project.write("test_own.py", JUDGED.replace("Where is {city}?", "Where lies {city}?"))
    judging = project.evaluate(
        *arguments, "--eval-stage=judge", "-k", "Oslo or Lima", ret=7, failed=2, deselected=2
    )
    judging.shows("*tiny has no recorded answer to this question; ask it with --eval-stage answer*")
    assert {result["outcome"] for result in judging.results.values()} == {"error"}


def test_a_judging_run_without_answers_of_ones_own_benchmark_is_refused(project: Project) -> None:
    project.write("test_own.py", JUDGED)
    refused = project.evaluate(
        "test_own.py", "--eval-judge-model=reference",
        "--eval-stage=judge",
        ret=4,
    )  # fmt: skip
    assert "there are no answers of tiny in " in refused.err
    assert "eval_output/answers/tiny.jsonl; write them with --eval-stage answer" in refused.err
    assert project.server.chats == []


# --- a benchmark as an object ---

WITH_BENCHMARK = """
    from dataclasses import dataclass

    import pytest

    from pytest_instructlab_eval import Benchmark

    @dataclass(frozen=True)
    class Passage:
        id: str
        group: str
        content: object = None
        requests: int = 1

    QUESTIONS = [Passage(f"{file}{number}", f"{file}.txt") for file in "ab" for number in range(3)]
    PASSAGES = Benchmark("passages", "Passages", Passage, lambda settings: QUESTIONS, {"likeness": 5.0},
                         cluster="group")

    @pytest.mark.eval(PASSAGES)
    @pytest.mark.parametrize("passage", QUESTIONS, ids=lambda passage: passage.id)
    async def test_passages(passage, served_model, record_score):
        record_score(len((await served_model.chat(passage.id)).text) % 5)
"""


def test_the_marker_takes_a_benchmark_as_an_object(project: Project) -> None:
    project.write("test_own.py", WITH_BENCHMARK)
    results = project.evaluate("test_own.py", passed=6).results
    found = results["test_passages[a0]"]
    assert (found["benchmark"], found["group"], found["cluster"]) == ("passages", "a.txt", "a.txt")
    assert found["scores"][0]["maximum"] == 5.0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("7", "the marker eval takes a name or a Benchmark (got 7)"),
        ("replace(PASSAGES, name='mmlu')", "a second benchmark named mmlu; give it another name"),
    ],
)
def test_a_marker_of_something_else_ends_the_run(project: Project, given: str, says: str) -> None:
    text = WITH_BENCHMARK.replace("import dataclass", "import dataclass, replace")
    project.write("test_own.py", text.replace("eval(PASSAGES)", f"eval({given})"))
    refused = project.evaluate("test_own.py", ret=4)
    assert says in refused.err


SEVERAL_MODELS = """
    import pytest

    @pytest.fixture(autouse=True)
    def own():
        "Keeps the tests from running ahead."

    @pytest.mark.eval("plain", max_score=10)
    @pytest.mark.parametrize("city", ["Oslo", "Rome"])
    def test_plain(city, served_model, judge, record_score):
        record_score(judge.grade(city, served_model.chat(city).text, reference="answer"))

    @pytest.mark.eval("awaited", max_score=10)
    @pytest.mark.parametrize("city", ["Oslo", "Rome"])
    async def test_awaited(city, served_model, judge, record_score):
        reply = await served_model.chat(city)
        record_score(await judge.grade(city, reply.text, reference="answer"))
"""


def test_of_several_models_each_test_has_its_own_answers(project: Project) -> None:
    project.server.models = ("tiny", "small")
    project.write("test_own.py", SEVERAL_MODELS)
    both = ("test_own.py", "--eval-model=small", "--eval-judge-model=reference")
    answering = project.evaluate(*both, "--eval-stage=answer")
    assert "8 answered" in answering.lines[-1]
    assert [len(result["chats"]) for result in answering.results.values()] == [1] * 8
    asked = len(project.server.chats)
    project.server.reply = lambda body: "another answer altogether"
    judging = project.evaluate(*both, "--eval-stage=judge", passed=8)
    assert len(project.server.chats) == asked
    for name, result in judging.results.items():
        assert result["chats"][0]["answer"] == answering.results[name]["chats"][0]["answer"]


MIXED = """
    import pytest

    @pytest.mark.eval("graded", max_score=10)
    async def test_graded(served_model, judge, record_score):
        await served_model.choice_logprobs("a", ["b", "c"])
        record_score(await judge.grade("q", "a", reference="a"))

    @pytest.mark.eval("likely", gates=["likely >= 0.9"])
    async def test_likely(served_model, record_score):
        record_score(1)

    @pytest.mark.eval("alone", max_score=10)
    async def test_alone(judge, record_score):
        record_score(await judge.grade("q", "a", reference="a"))
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_judging_run_needs_the_answers_of_judged_tests_alone(project: Project, processes: str) -> None:
    project.write("test_own.py", MIXED)
    arguments = ("test_own.py", "--eval-judge-model=reference", "-n", processes)
    refused = project.evaluate(*arguments, "--eval-stage=judge", ret=4)
    assert "there are no answers of tiny in" in refused.err
    project.evaluate(*arguments, "--eval-stage=answer", "-k", "not graded")
    judging = project.evaluate(*arguments, "--eval-stage=judge", "-k", "not graded")
    assert (judging.outcomes["passed"], judging.outcomes["skipped"]) == (1, 1)
    assert set(judging.results) == {"test_alone"}


TWICE = """
    import pytest

    @pytest.mark.eval("dup", max_score=10)
    async def test_dup(served_model, judge, record_score):
        reply = await served_model.chat("QUESTION", max_tokens=None)
        record_score(await judge.grade("q", reply.text, reference="a"))
"""


def test_tests_of_one_name_in_two_files_have_their_own_answers(project: Project) -> None:
    for name in ("one", "two"):
        project.write(f"test_{name}.py", TWICE.replace("QUESTION", name))
    arguments = ("test_one.py", "test_two.py", "--eval-judge-model=reference")
    project.evaluate(*arguments, "--eval-stage=answer")
    project.evaluate(*arguments, "--eval-stage=judge", passed=2)
    project.evaluate("test_one.py", "--eval-judge-model=reference", "--eval-stage=answer", "--collect-only")
    assert read_run(project.folder / "eval_output" / "results.json").results


def test_a_judge_that_is_asked_for_late_skips_where_there_is_none(project: Project) -> None:
    project.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.eval("late")
        def test_late(request, served_model, record_score):
            request.getfixturevalue("judge").grade("q", "a")
        """,
    )
    project.evaluate("test_own.py", skipped=1)


def test_an_answering_run_leaves_no_answer_of_an_earlier_one(project: Project) -> None:
    project.write("test_own.py", TWICE)
    arguments = ("test_own.py", "--eval-judge-model=reference")
    project.evaluate(*arguments, "--eval-stage=answer")
    asks_nothing = TWICE.replace('reply = await served_model.chat("QUESTION", max_tokens=None)', "")
    project.write("test_own.py", asks_nothing.replace("reply.text", '"so"'))
    project.evaluate(*arguments, "--eval-stage=answer")
    project.write("test_own.py", TWICE)
    judging = project.evaluate(*arguments, "--eval-stage=judge", ret=7, failed=1)
    judging.shows("*tiny has no recorded answer to this question*")
