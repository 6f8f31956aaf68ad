"""Scored, unscored and error: what a question that goes wrong does to its item, the others and the run."""

import csv
import math
import re
from collections.abc import Callable, Iterator

import pytest

from tests.scripted_server import (
    COMPLETIONS,
    Altered,
    Body,
    Finish,
    NullContent,
    Reply,
    ScriptedServer,
    Status,
    default_reply,
)

from .conftest import Finished, Project, is_judgment, properties

NO_RATING = "I would rather not say."
REFUSAL = "no grading today"


def answers(text: str) -> Callable[[Body], bool]:
    return lambda body: text in str(body["messages"]) and not is_judgment(body)


def judgments(text: str) -> Callable[[Body], bool]:
    return lambda body: text in str(body["messages"]) and is_judgment(body)


def reply(body: Body) -> str | Reply:
    """No rating at all for 83-extraction; for 84-math one at the second try."""
    if is_judgment(body) and "red boat" in str(body["messages"]):
        return NO_RATING
    if is_judgment(body) and "14 planks" in str(body["messages"]) and body["temperature"] == 0:
        return NO_RATING
    return default_reply(body)


@pytest.fixture(scope="module")
def troubled_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.reply = reply
        server.fault(Status(400, "not my taste"), when=answers("lighthouse"))
        server.fault(NullContent(), when=answers("grumpy ferry"))
        server.fault(Status(400, REFUSAL), when=judgments("list of tides"))
        server.fault(Finish("content_filter"), when=answers("Ada docks"))
        yield server


@pytest.fixture(scope="module")
def troubled(make_project: Callable[[ScriptedServer], Project], troubled_server: ScriptedServer) -> Finished:
    """A run of MT-Bench in which five of eight questions have some trouble."""
    project = make_project(troubled_server)
    report = ("--junitxml=junit.xml", "-o", "junit_family=xunit1")
    return project.evaluate(*project.mt_bench_only, "-v", *report, ret=7, passed=3, unscored=1, failed=4)


def test_a_refused_question_fails_its_item_with_question_and_reason(troubled: Finished) -> None:
    failure = troubled.failure("test_mt_bench[81-writing]")
    assert "turn_1: the server at http://127.0.0.1:" in failure
    assert "answered 400: not my taste" in failure
    assert "question:\n    Write a postcard from a lighthouse keeper who has run out of tea." in failure
    troubled.shows("FAILED test_mt_bench.py::test_mt_bench[[]81-writing] - *not my taste")


def test_an_answer_without_content_or_end_is_an_error(troubled: Finished) -> None:
    assert "answered without text" in troubled.failure("test_mt_bench[82-roleplay]")
    assert "finish_reason 'content_filter'" in troubled.failure("test_mt_bench[86-reasoning]")


def test_no_failure_shows_the_insides_of_the_plugin(troubled: Finished) -> None:
    for inside in (
        "Traceback",
        "site-packages",
        "pytest_instructlab_eval/",
        "session.py",
        "engine.py",
        "await ",
    ):
        assert inside not in troubled.out.partition("= FAILURES =")[2]


def test_a_plain_test_whose_request_fails_shows_its_own_line_and_the_reason(project: Project) -> None:
    project.server.fault(Status(400, "not my taste"), times=None)
    project.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.eval("own")
        def test_plain(served_model, record_score):
            record_score(len(served_model.chat("a question").text))
        """,
    )
    failed = project.evaluate("test_own.py", ret=7, failed=1)
    failed.shows(
        '>*record_score(len(served_model.chat("a question").text))', "E * answered 400: not my taste*"
    )
    assert "blocking_model.py" not in failed.out
    assert "During handling" not in failed.out


def test_what_was_not_answered_is_never_judged(troubled: Finished, troubled_server: ScriptedServer) -> None:
    judged = str([body for body in troubled_server.chats if is_judgment(body)])
    for text in ("lighthouse", "grumpy ferry", "Ada docks"):
        assert text in str(troubled_server.chats)
        assert text not in judged
    assert {score["value"] for score in troubled.results["test_mt_bench[82-roleplay]"]["scores"]} == {None}


def test_a_judgment_without_a_rating_is_asked_for_once_more(
    troubled: Finished, troubled_server: ScriptedServer
) -> None:
    def temperatures(text: str) -> list[float]:
        found = [body["temperature"] for body in troubled_server.chats if judgments(text)(body)]
        return sorted(found)

    assert temperatures("red boat") == temperatures("14 planks") == [0.0, 0.0, 0.7, 0.7]
    assert temperatures("kettle") == [0.0, 0.0]
    assert troubled.results["test_mt_bench[84-math]"]["outcome"] == "scored"


def test_a_question_without_a_rating_is_unscored(troubled: Finished) -> None:
    troubled.shows("test_mt_bench.py::test_mt_bench[[]83-extraction] UNSCORED *")
    result = troubled.results["test_mt_bench[83-extraction]"]
    assert result["outcome"] == "unscored"
    assert [(score["value"], score["unscored"]) for score in result["scores"]] == [(None, 1), (None, 1)]
    assert result["scores"][0]["metadata"]["judgment"] == NO_RATING
    shown = properties(troubled.cases["test_mt_bench[83-extraction]"])
    assert shown["eval.outcome"] == "unscored"
    assert "eval.score" not in shown


def test_a_judge_that_refuses_one_turn_leaves_the_other_scored(troubled: Finished) -> None:
    failure = troubled.failure("test_mt_bench[85-coding]")
    assert "turn_1: the judge could not be asked: the server at" in failure
    assert REFUSAL in failure
    assert "Write a Python function" in failure
    first, second = troubled.results["test_mt_bench[85-coding]"]["scores"]
    assert (first["value"], first["errors"]) == (None, 1)
    assert second["value"] is not None


def test_the_rest_is_scored_and_the_table_counts_what_is_not(troubled: Finished) -> None:
    assert troubled.row("mt_bench")[-3:] == ["4", "2", "7"]
    assert troubled.row("extraction") == ["no score", "0", "2", "0"]
    assert troubled.row("writing") == ["no score", "0", "0", "2"]
    assert troubled.row("stem")[-3:] == ["1", "0", "0"]


def test_a_benchmark_without_any_score_fails_the_run(project: Project) -> None:
    project.server.reply = lambda body: NO_RATING if is_judgment(body) else default_reply(body)
    finished = project.evaluate(*project.mt_bench_only, "--eval-first-n=2", ret=7, unscored=2)
    finished.shows(
        "test_mt_bench.py uu *",
        "mt_bench * no score * 0 * 4 * 0",
        "ERROR: no question of mt_bench has a score",
    )


def without_numbers(reply: Body) -> Body:
    """The reply of a server whose model has broken weights."""
    for choice in reply["choices"]:
        (top,) = choice["logprobs"]["top_logprobs"]
        top.update(dict.fromkeys(top, math.nan))
    return reply


def test_a_model_whose_log_probabilities_are_no_numbers_has_no_score_and_is_never_the_best(
    make_project: Callable[[ScriptedServer], Project],
) -> None:
    with ScriptedServer(models=("good", "broken")) as server:
        broken = Altered(without_numbers)
        server.fault(broken, path=COMPLETIONS, times=None, when=lambda body: body["model"] == "broken")
        project = make_project(server)
        models = ("--eval-model=broken", "--eval-model=good", f"--eval-base-url={server.url}")
        data = (f"--eval-mmlu-data={project.own_mmlu()}", "-k", "anatomy")
        finished = project.run(*models, *data, ret=7, passed=1, failed=1, deselected=112)
        best = project.script("best", "eval_output")
    assert "expected a finite log-probability (got nan)" in finished.failure("test_mmlu[anatomy-broken]")
    assert finished.row("mmlu broken")[:2] == ["no score", "0"]
    assert "ERROR: " not in finished.out
    assert finished.document["ranking"] == []
    assert (best.returncode, best.stdout) == (0, "good\n")
    assert best.stderr.startswith("not ranked: broken has no score on mmlu")


def test_a_question_that_is_too_long_is_named_and_its_task_keeps_the_others(project: Project) -> None:
    data = project.own_mmlu()
    path = data / "test" / "anatomy_test.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    rows[1][0] = "bone " * 5000
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    args = (f"--eval-mmlu-data={data}", "-k", "anatomy or virology")
    finished = project.evaluate(*args, ret=7, passed=1, failed=1, deselected=55)
    failure = finished.failure("test_mmlu[anatomy]")
    assert "acc: 1 of 3 questions could not be asked; the first, question 1: the prompt needs 5," in failure
    assert "tokens and the answer 1 more, and the model's context has 4,096" in failure
    assert "pytest_instructlab_eval/" not in failure
    (score,) = finished.results["test_mmlu[anatomy]"]["scores"]
    assert (score["n"], score["errors"], score["value"] is None) == (2, 1, False)
    assert [sample["error"] is None for sample in score["samples"]] == [True, False, True]
    assert finished.row("mmlu, mean over tasks")[-3:] == ["5", "0", "1"]
    prompts = list(map(str, project.server.prompts))
    assert len(set(prompts)) == 6


RATED = """
    import pytest

    @pytest.mark.eval("own", max_score=10)
    @pytest.mark.parametrize("score", [7.5, 2])
    async def test_own(score, record_score):
        record_score(score)
        assert score > 5

    @pytest.mark.eval("exact")
    async def test_exact(record_score):
        record_score(0.25)
"""


def test_the_score_stands_beside_the_outcome_and_verdicts_have_their_colours(project: Project) -> None:
    project.write("test_own.py", RATED)
    gates = ("--eval-gate=own >= 9", "--eval-gate=exact >= 0.2")
    finished = project.evaluate("test_own.py", "-v", "--color=yes", *gates, ret=1)
    assert re.search(r"test_own\[7\.5\] .*\x1b\[32mPASSED 7\.50 of 10\x1b\[0m", finished.out)
    assert re.search(r"test_own\[2\] .*\x1b\[31mFAILED 2\.00 of 10\x1b\[0m", finished.out)
    assert re.search(r"test_exact .*\x1b\[32mPASSED 0\.25\x1b\[0m", finished.out)
    assert re.search(r"\x1b\[31m  failed: own >= 9: .*\x1b\[0m", finished.out)
    assert re.search(r"\x1b\[32m  passed: exact >= 0\.2: .*\x1b\[0m", finished.out)
