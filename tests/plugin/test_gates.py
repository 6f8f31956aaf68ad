"""Gates: each a test of its own, in the terminal, in the JUnit file and in the exit status."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.scripted_server import Body, ScriptedServer, Status, default_reply

from .conftest import Finished, Project, is_judgment, properties

OWN = """
    import pytest

    @pytest.mark.eval("own", gates=["own >= 0.25"])
    @pytest.mark.parametrize("number", range(40))
    async def test_number(number, served_model, record_score):
        reply = await served_model.chat([{"role": "user", "content": f"number {number}"}])
        record_score(float(reply.text == "right"))
"""


def right_up_to(limit: int) -> Callable[[Body], str]:
    """Answers that are right for the numbers below the limit."""

    def reply(body: Body) -> str:
        number = int(body["messages"][0]["content"].split()[-1])
        return "right" if number < limit else "wrong"

    return reply


def own(
    project: Project, *args: str, right: int, ret: int = 0, passed: int = 40, **outcomes: int
) -> Finished:
    """A run of forty questions, of which the first are answered right."""
    project.write("test_own.py", OWN)
    project.server.reply = right_up_to(right)
    finished = project.evaluate("test_own.py", *args, ret=ret)
    assert finished.outcomes == {
        word: count for word, count in {"passed": passed, **outcomes}.items() if count
    }
    return finished


def refused(project: Project, *args: str) -> str:
    """What a run says that ends before anything is asked."""
    project.write("test_own.py", OWN)
    asked = len(project.server.chats)
    finished = project.evaluate("test_own.py", *args, ret=4)
    assert len(project.server.chats) == asked
    return finished.out + finished.err


JUNIT = ("--junitxml=junit.xml", "-o", "junit_family=xunit1")


@pytest.mark.parametrize("processes", ["0", "1"])
def test_each_gate_is_a_test_of_its_own(project: Project, processes: str) -> None:
    project.write("pytest.ini", "[pytest]\neval_gates =\n    own >= 0.4\n    own.error_rate <= 10%\n")
    gates = ("--eval-gate=own >= 0.9", "--eval-gate=own <= 60%")
    finished = own(project, *gates, "-v", "-n", processes, *JUNIT, right=20, ret=1)
    finished.shows(
        "gates::own >= 0.9 FAILED *",
        "gates::own.error_rate <= 10% PASSED *",
        "gates::own <= 60% PASSED *",
        "gates::own.unscored_rate <= 0.05 PASSED *",
        "_* own >= 0.9 _*",
        "expected >= 0.9, got 0.5000 (95 % interval 0.3520 to 0.6480, 40 questions); *",
        "gates: 1 failed, 3 passed (1 default)",
        "  failed: own >= 0.9: expected >= 0.9, got 0.5000 *",
        "FAILED gates::own >= 0.9 - expected >= 0.9, got 0.5000 *",
    )
    assert finished.failure("own >= 0.9").count("\n") <= 2, "only the sentence is shown"
    case = finished.gate_cases["own >= 0.9"]
    assert case.find("failure") is not None
    assert properties(case)["eval.verdict"] == "failed"
    assert properties(case)["eval.value"] == "0.5"
    assert [name for name, case in finished.gate_cases.items() if case.find("failure") is None] == [
        "own.error_rate <= 10%",
        "own <= 60%",
        "own.unscored_rate <= 0.05",
    ]
    assert [report["verdict"] for report in finished.document["verdicts"]].count("failed") == 1


def test_a_gate_of_a_marker_holds_and_can_be_replaced(project: Project) -> None:
    failed = own(project, right=4, ret=1)
    failed.shows("FAILED gates::own >= 0.25 - *")
    own(project, "--eval-gate=own >= 0.05", right=4)


def test_a_question_that_could_not_be_asked_fails_the_default_gate_too(project: Project) -> None:
    project.server.fault(Status(400, "not today"), when=lambda body: "number 7'" in str(body))
    finished = own(project, right=40, ret=7, passed=39, failed=1)
    finished.shows(
        "FAILED gates::own.error_rate <= 0 - expected <= 0, got 0.0250 (1 of 40 ended in an error*"
    )
    assert "affected: test_number[7] (no score)" in finished.out


def test_too_many_questions_without_a_rating_fail_the_default_gate(project: Project) -> None:
    project.server.reply = lambda body: (
        "Hm." if is_judgment(body) and "out of tea" in str(body) else default_reply(body)
    )
    finished = project.evaluate(*project.mt_bench_only, ret=7, passed=7, unscored=1)
    finished.shows("FAILED gates::mt_bench.unscored_rate <= 0.05 - *")
    lenient = project.evaluate(
        *project.mt_bench_only, "--eval-gate=mt_bench.unscored_rate <= 20%", "--eval-no-judge-trial"
    )
    assert lenient.gates == {"passed": 2}


def test_a_gate_over_deselected_questions_is_skipped_and_says_why(project: Project) -> None:
    finished = own(project, "-k", "1", "-rs", "--eval-gate=own >= 0.9", right=0, passed=13, deselected=27)
    finished.shows("SKIPPED [[]1] gates:0: 27 questions of own were deselected*")


def test_a_run_that_was_stopped_is_neither_gated_nor_a_baseline(project: Project) -> None:
    project.server.fault(Status(400, "not today"), when=lambda body: "number 0'" in str(body), times=1)
    finished = own(project, "-x", "--eval-save-baseline=main.json", right=40, ret=7, passed=0, failed=1)
    assert finished.gates == {}
    finished.shows(
        "ERROR: --eval-save-baseline: no baseline was saved, as the run is incomplete: the run was stopped *"
    )
    assert not (project.folder / "main.json").exists()
    page = (project.folder / "eval_output/summary.md").read_text("utf-8")
    assert "the gates were not evaluated: the run was stopped before its end" in page


def test_a_gate_that_fails_ends_no_run_before_its_end(project: Project) -> None:
    gates = ("--eval-gate=own >= 0.9", "--eval-gate=own <= 0.1")
    finished = own(project, "-x", *gates, "--eval-save-baseline=main.json", right=20, ret=1)
    assert finished.gates == {"failed": 2, "passed": 2}
    assert (project.folder / "main.json").exists()
    assert "ERROR" not in finished.out


def test_half_a_benchmark_is_no_baseline(project: Project) -> None:
    args = ("-k", "1", "--eval-save-baseline=main.json")
    finished = own(project, *args, right=40, ret=7, passed=13, deselected=27)
    finished.shows(
        "ERROR: --eval-save-baseline: no baseline was saved, * 27 questions of own were deselected*"
    )
    assert not (project.folder / "main.json").exists()


PLAIN = """
    import pytest

    @pytest.mark.eval("own", gates="own >= 0.75")
    @pytest.mark.parametrize("score", [0.25, 0.75])
    def test_first(score, record_score):
        record_score(score)

    @pytest.mark.eval("own", gates=["own >= 0.9", "own <= 0.4"])
    def test_second(record_score):
        record_score(0.5)
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_tests_that_ask_no_model_and_are_not_async_are_held_to_their_markers_too(
    project: Project, processes: str
) -> None:
    project.write("test_plain.py", PLAIN)
    finished = project.evaluate("test_plain.py", "-n", processes, ret=1, passed=3)
    finished.shows(
        "  failed: own >= 0.9: expected >= 0.9, got 0.5000 *",
        "  failed: own <= 0.4: expected <= 0.4, got 0.5000 *",
    )
    assert finished.gates == {"failed": 2, "passed": 2}
    gate = ("--eval-gate=own >= 0.1", "--eval-gate=own <= 1")
    part = project.evaluate("test_plain.py", *gate, "-k", "second", "-n", processes)
    assert part.gates == {"skipped": 2, "passed": 2}


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_gate_over_a_part_that_pytest_collects_by_itself_is_skipped_too(
    project: Project, processes: str
) -> None:
    project.write("test_plain.py", PLAIN)
    named = project.evaluate("test_plain.py::test_first[0.25]", "-n", processes, "-rs", passed=1)
    named.shows("SKIPPED * only the tests of own named in the command were run; *")
    assert named.gates == {"skipped": 1, "passed": 2}
    project.write("test_plain.py", PLAIN.replace("record_score(0.5)", "assert record_score(0.5)"))
    project.evaluate("test_plain.py", "-n", processes, ret=1, passed=2, failed=1)
    again = project.evaluate(".", "--lf", "-n", processes, "-rs", ret=1, failed=1)
    again.shows("SKIPPED * only the tests of own that failed last time (--lf) were run; *")


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ("own > = 1", "--eval-gate: gate 'own > = 1': column 7: expected a number such as 0.5 or 50%"),
        ("onw >= 0.5", "gate 'onw >= 0.5': there is no benchmark 'onw'"),
    ],
)
def test_a_gate_that_cannot_be_meant_ends_the_run_before_anything_is_asked(
    project: Project, gate: str, reason: str
) -> None:
    assert reason in refused(project, f"--eval-gate={gate}")


def test_workers_tell_the_controller_what_can_be_gated(project: Project) -> None:
    assert "own has no group 'blue' in this run" in refused(project, "--eval-gate=own[blue] >= 0.5", "-n1")


# --- baselines ---


def test_a_run_is_compared_with_a_saved_one_question_by_question(project: Project, earlier: str) -> None:
    project.write("main.json", earlier)
    baseline = ("--eval-baseline=main.json", "--eval-gate=own.drop <= 5%")
    same = own(project, *baseline, right=38)
    same.shows(
        "  passed: own.drop <= 5%: expected <= 0.05, got 0.0000 (40 questions *, all with the same score)*"
    )
    worse = own(project, *baseline, *JUNIT, right=20, ret=1)
    worse.shows(
        "own against the baseline * 0.9500 * 0.5000 * -0.4500 *",
        "own: with this many questions a drop of *",
        "FAILED gates::own.drop <= 5% - expected <= 0.05, got 0.4500 *",
    )
    assert "18 answers became wrong and 0 became right (McNemar p = 3.7e-05)" in worse.out
    assert "eval.interval_low" in properties(worse.gate_cases["own.drop <= 5%"])
    (change,) = worse.document["changes"]
    assert change["overall"]["difference"] == pytest.approx(-0.45)


@pytest.fixture(scope="module")
def earlier(make_project: Callable[[ScriptedServer], Project]) -> str:
    """A baseline with 38 right answers."""
    with ScriptedServer() as server:
        project = make_project(server)
        own(project, "--eval-save-baseline=main.json", right=38)
    return (project.folder / "main.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("verdict", "ret", "shown"),
    [("warn", 0, "INCONCLUSIVE"), ("fail", 6, "FAILED"), ("pass", 0, "PASSED")],
)
def test_a_drop_that_cannot_be_told_is_inconclusive(
    project: Project, earlier: str, verdict: str, ret: int, shown: str
) -> None:
    project.write("main.json", earlier)
    project.write("test_own.py", OWN)
    project.server.reply = right_up_to(36)
    gate = ("--eval-baseline=main.json", "--eval-gate=own.drop <= 0.01", f"--eval-inconclusive={verdict}")
    finished = project.evaluate("test_own.py", *gate, "-v", ret=ret)
    finished.shows(f"gates::own.drop <= 0.01 {shown} *", "gates: 1 inconclusive, 3 passed (2 default)")
    assert "inconclusive: the 95 % interval (" in finished.out


def test_several_drops_of_a_run_say_the_confidence_of_their_intervals_everywhere(
    project: Project, earlier: str
) -> None:
    project.write("main.json", earlier)
    gates = ("--eval-gate=own.drop <= 0.01", "--eval-gate=own.score.drop <= 0.02")
    finished = own(project, "--eval-baseline=main.json", *gates, *JUNIT, right=36)
    finished.shows(
        "gates: 2 inconclusive, 3 passed (2 default)",
        "  2 drops are gated together, so their intervals have up to 97.5 % confidence",
        "*the 97.5 % interval (*",
    )
    assert "95 % interval (" not in finished.out
    verdicts = [verdict for verdict in finished.document["verdicts"] if verdict["minimum_detectable_drop"]]
    assert [verdict["confidence"] for verdict in verdicts] == [pytest.approx(0.975)] * 2
    assert properties(finished.gate_cases["own.drop <= 0.01"])["eval.confidence"].startswith("0.975")
    page = (project.folder / "eval_output" / "summary.md").read_text("utf-8")
    assert "2 drops are gated together, so their intervals have up to 97.5 % confidence." in page
    assert "97.5 % interval" in page


def test_a_whole_results_json_is_a_baseline_too(project: Project) -> None:
    own(project, "--eval-output-dir=before", right=30)
    finished = own(project, "--eval-baseline=before/results.json", right=31)
    finished.shows("own against the baseline * +0.0250 *")


def test_a_baseline_of_another_configuration_is_refused_with_the_differences(project: Project) -> None:
    path = project.folder / "main.json"
    project.evaluate(*project.mt_bench_only, f"--eval-save-baseline={path}", "--eval-first-n=4", passed=4)
    asked = len(project.server.chats)
    compared = (*project.mt_bench_only, f"--eval-baseline={path}", "--eval-no-judge-trial")
    finished = project.evaluate(*compared, "--eval-judge-repeat=2", ret=4)
    assert "main.json has another configuration: judge_repeat is 2 here and 1 in the" in finished.err
    assert len(project.server.chats) == asked
    insisted = project.evaluate(*compared, "--eval-judge-repeat=2", "--eval-allow-mismatch", passed=8)
    insisted.shows("mt_bench: 4 questions not compared (changed, or no score on one side)")


def test_a_sample_is_compared_with_a_whole_run_on_the_questions_that_it_has(project: Project) -> None:
    path = project.folder / "main.json"
    project.evaluate(*project.mt_bench_only, f"--eval-save-baseline={path}", passed=8)
    compared = (*project.mt_bench_only, f"--eval-baseline={path}", "--eval-no-judge-trial")
    for chosen in ("--eval-sample=5", "--eval-first-n=5"):
        finished = project.evaluate(*compared, chosen, "--eval-gate=mt_bench.drop <= 0.1", passed=5)
        finished.shows(
            "  passed: mt_bench.drop <= 0.1: expected <= 0.1, got 0.00 (5 questions * same score)*"
        )


def test_a_baseline_of_other_questions_is_refused(project: Project) -> None:
    other = project.own_mmlu()
    save = project.folder / "main.json"
    project.evaluate(f"--eval-mmlu-data={other}", f"--eval-save-baseline={save}")
    path = other / "test" / "anatomy_test.csv"
    path.write_text(path.read_text("utf-8").replace("?", "!", 1), "utf-8")
    args = (f"--eval-mmlu-data={other}", "-k", "anatomy", f"--eval-baseline={save}")
    assert "data of mmlu is" in project.evaluate(*args, ret=4).err


# --- a base model ---


def test_a_base_model_answers_the_same_questions_and_is_what_drops_are_measured_against(
    project: Project,
) -> None:
    with ScriptedServer(models=("base",)) as server:
        server.reply = right_up_to(38)
        base = ("--eval-base-model=base", f"--eval-base-model-url={server.url}", "--eval-gate=own.drop <= 5%")
        finished = own(project, *base, right=20, ret=1, passed=80)
        assert len(server.chats) == len(project.server.chats) == 40
    finished.shows(
        f"compared with: base at {server.url}",
        "own tiny  * 0.5000 *",
        "own base  * 0.9500 *",
        "own: tiny against base * 0.9500 * 0.5000 * -0.4500 *",
        "FAILED gates::own.drop <= 5% - expected <= 0.05, got 0.4500 *",
    )
    assert "ranking" not in finished.out


# --- the summary ---


def test_the_summary_says_the_verdict_first_and_is_shown_by_the_ci_job(
    project: Project, earlier: str
) -> None:
    shown = project.folder / "step.md"
    shown.write_text("earlier\n", "utf-8")
    project.write("main.json", earlier)
    args = ("--eval-baseline=main.json", "--eval-gate=own.drop <= 5%")
    project.write("test_own.py", OWN)
    project.server.reply = right_up_to(20)
    project.evaluate("test_own.py", *args, ret=1, env={"GITHUB_STEP_SUMMARY": str(shown)}, passed=40)
    page = (project.folder / "eval_output/summary.md").read_text("utf-8")
    assert shown.read_text("utf-8") == "earlier\n" + page
    head, *sections = page.split("\n### ")
    assert head.splitlines()[0] == "## ❌ failed: evaluation of `tiny`"
    assert [section.splitlines()[0] for section in sections] == [
        "What to do next", "Gates", "What got worse", "Questions that got worse", "Scores",
        "Tokens and requests",
    ]  # fmt: skip
    assert "| ❌ failed | `own.drop <= 5%` | expected &#60;= 0.05, got 0.4500 " in page
    assert "| `own as a whole` | 0.9500 | 0.5000 | -0.4500 | " in page


# --- parts of a run ---


def test_parts_of_a_run_find_together_what_the_whole_does(project: Project) -> None:
    whole = own(project, "--eval-gate=own >= 0.6", right=20, ret=1)
    for part in (1, 2, 3):
        args = (f"--eval-shard={part}/3", f"--eval-output-dir=part{part}", "--eval-gate=own >= 0.6")
        count = len(range(part - 1, 40, 3))
        finished = own(project, *args, right=20, passed=count, deselected=40 - count)
        assert finished.gates == {}
    merge = project.script("merge", "part1", "part2", "part3", "--out", "merged")
    assert merge.returncode == 1
    assert "  failed: own >= 0.6: expected >= 0.6, got 0.5000" in merge.stdout
    document = json.loads((project.folder / "merged/results.json").read_text("utf-8"))
    assert [result["nodeid"] for result in document["results"]] == [
        result["nodeid"] for result in whole.document["results"]
    ]
    assert [report["message"] for report in document["verdicts"]] == [
        report["message"] for report in whole.document["verdicts"]
    ]
    incomplete = project.script("merge", "part1", "part3", "--out", "merged")
    assert incomplete.returncode == 1
    assert incomplete.stderr == "Error: of 3 parts, these are missing: 2; give all parts\n"
    project.script("merge", "part1", "part2", "part3", "--out", "merged", "--save-baseline", "whole.json")
    own(project, "--eval-baseline=whole.json", "--eval-gate=own.drop <= 0", right=20)
    compared = project.script("compare", "merged", "eval_output", "--gate", "own.drop <= 0")
    assert compared.returncode == 0, compared.stderr
    assert "40 questions against the baseline, all with the same score" in compared.stdout


def test_a_part_may_have_nothing_to_do_and_counts_all_the_same(project: Project) -> None:
    project.write("test_plain.py", PLAIN)
    for part, processes in enumerate("01001", start=1):  # of three tests
        args = (f"--eval-shard={part}/5", f"--eval-output-dir=part{part}")
        project.evaluate("test_plain.py", "-n", processes, *args)
    merge = project.script("merge", *(f"part{part}" for part in range(1, 6)))
    assert "gates: 2 failed, 2 passed" in merge.stdout, merge.stderr


def test_a_part_that_was_stopped_is_not_taken_for_whole(project: Project) -> None:
    project.server.fault(Status(400, "not today"), when=lambda body: "number 0'" in str(body))
    project.write("test_own.py", OWN)
    project.evaluate("test_own.py", "--eval-shard=1/2", "--eval-output-dir=part1", "-x", ret=7)
    project.evaluate("test_own.py", "--eval-shard=2/2", "--eval-output-dir=part2")
    merge = project.script("merge", "part1", "part2")
    assert merge.returncode == 1
    assert merge.stderr == (
        "Error: part1/results.json is incomplete: the run was stopped before its end; run this part again\n"
    )


# --- what is a part of a benchmark, and what is no run at all ---

CLASSES = """
    import pytest

    @pytest.mark.eval("own", gates=["own >= 0.5"])
    class TestFirst:
        @pytest.mark.parametrize("number", [1, 2])
        def test_it(self, number, record_score):
            record_score(1)

    @pytest.mark.eval("own")
    class TestSecond:
        @pytest.mark.parametrize("number", [1, 2])
        def test_it(self, number, record_score):
            record_score(0.25)

    class TestAlone:
        def test_alone(self, record_score):
            record_score(1)
"""


@pytest.mark.parametrize(
    ("named", "gates"),
    [
        ("test_own.py", {"passed": 5}),
        ("test_own.py::TestAlone", {"passed": 2}),
        ("test_own.py::TestFirst", {"skipped": 1, "passed": 2}),
        ("test_own.py::TestFirst::test_it", {"skipped": 1, "passed": 2}),
        ("test_own.py::TestFirst::test_it[1]", {"skipped": 1, "passed": 2}),
    ],
)
def test_tests_that_are_named_one_by_one_are_a_part(
    project: Project, named: str, gates: dict[str, int]
) -> None:
    project.write("test_own.py", CLASSES)
    finished = project.evaluate(named, "--eval-save-baseline=main.json", ret=7 if "skipped" in gates else 0)
    assert finished.gates == gates
    assert (project.folder / "main.json").exists() == ("skipped" not in gates)


def test_questions_of_several_functions_are_told_apart_by_the_function(project: Project) -> None:
    project.write("test_own.py", CLASSES)
    finished = project.evaluate("test_own.py", "--eval-save-baseline=main.json", passed=5)
    names = {result["question"]: result["scores"][0]["value"] for result in finished.document["results"]}
    assert names == {
        "TestFirst::test_it[1]": 1.0,
        "TestFirst::test_it[2]": 1.0,
        "TestSecond::test_it[1]": 0.25,
        "TestSecond::test_it[2]": 0.25,
        "TestAlone::test_alone": 1.0,
    }
    same = project.evaluate(
        "test_own.py", "--eval-baseline=main.json", "--eval-gate=own.drop <= 0", "-n1", passed=5
    )
    assert "4 questions against the baseline, all with the same score" in same.out


def test_after_a_gate_alone_has_failed_lf_runs_and_gates_all_again(project: Project) -> None:
    own(project, "--eval-gate=own >= 0.9", right=20, ret=1)
    again = own(project, "--eval-gate=own >= 0.9", "--lf", right=20, ret=1)
    assert again.gates == {"failed": 1, "passed": 2}


@pytest.mark.parametrize("processes", ["0", "1"])
def test_where_nothing_is_selected_there_is_nothing_to_gate(project: Project, processes: str) -> None:
    project.write("pytest.ini", "[pytest]\neval_gates = own >= 0.9\n")
    project.write("test_own.py", OWN)
    assert project.evaluate("test_own.py", "-k", "nothing", "-n", processes, ret=5).gates == {}
    asked_for = ("test_own.py", "-k", "nothing", "-n", processes, "--eval-gate=own >= 0.9")
    refused = project.evaluate(*asked_for, ret=4)
    assert "gate 'own >= 0.9': none of its tests is selected" in refused.out + refused.err


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_gate_that_is_asked_for_is_not_forgotten_where_no_test_scores(
    project: Project, processes: str
) -> None:
    project.write("test_plain.py", "def test_nothing():\n    pass\n")
    finished = project.evaluate("test_plain.py", "--eval-gate=own >= 0.9", "-n", processes, ret=4)
    assert "there is no benchmark 'own' in this run" in finished.out + finished.err
    without = project.run("test_plain.py", "--eval-gate=own >= 0.9", ret=4)
    assert "--eval-gate needs a model to evaluate; name one with --eval-model" in without.out + without.err


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_misspelt_keyword_of_the_marker_is_not_ignored(project: Project, processes: str) -> None:
    project.write("test_own.py", OWN.replace("gates=", "gate="))
    finished = project.evaluate("test_own.py", "-n", processes, ret=4)
    assert (
        "the marker eval has no argument 'gate' (known: max_score, group, cluster, gates, content); did you "
        "mean gates?" in (finished.out + finished.err)
    )


FAILS_IN_SETUP = """
    import pytest

    @pytest.fixture
    def tool(request):
        assert request.node.callspec.params["number"], "no tool"

    @pytest.mark.eval("own", gates=["own >= 0.5"])
    @pytest.mark.parametrize("number", range(4))
    def test_number(number, tool, record_score):
        record_score(1)
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_test_whose_setup_fails_is_an_error_that_counts(project: Project, processes: str) -> None:
    project.write("test_own.py", FAILS_IN_SETUP)
    finished = project.evaluate("test_own.py", "-n", processes, ret=1)
    assert finished.row("own") == ["1.0000", "3", "0", "1"]
    finished.shows("  failed: own.error_rate <= 0: expected <= 0, got 0.2500 (1 of 4 ended in an error, *")


def test_an_earlier_summary_does_not_stand_for_a_run_that_was_stopped_or_refused(project: Project) -> None:
    project.write("test_own.py", FAILS_IN_SETUP)
    project.evaluate("test_own.py", "--deselect=test_own.py::test_number[0]", passed=3, deselected=1)
    page = project.folder / "eval_output/summary.md"
    assert page.read_text("utf-8").startswith("## ✅ passed")
    stopped = project.evaluate("test_own.py", "-x", ret=1)
    assert page.read_text("utf-8").startswith("## ❌ failed")
    stopped.shows("gates not evaluated: the run was stopped before its end")
    project.write("test_broken.py", "import nothing_of_this_name\n")
    for args, ret, reason in (
        (("--eval-gate=onw >= 1",), 4, "there is no benchmark 'onw'"),
        (("--eval-few-shots=9",), 4, "--eval-few-shots: expected a whole number"),
        (("--eval-fewshots=1",), 4, "unknown option --eval-fewshots"),
        (("test_missing.py",), 4, "pytest could not run these arguments"),
        (("test_broken.py",), 2, "not all tests could be collected: test_broken.py failed"),
    ):
        page.write_text("## ✅ passed", "utf-8")
        project.evaluate("test_own.py", *args, ret=ret)
        told = page.read_text("utf-8").replace("&#95;", "_")
        assert told.startswith("## ❌ refused: evaluation of `tiny`\n\n")
        assert "No question was asked." in told
        assert reason in told.replace("&gt;", ">")


@pytest.mark.parametrize(("listing", "made"), [((), True), (("--collect-only",), False)])
def test_a_refused_run_leaves_its_summary_and_a_list_of_tests_leaves_no_folder(
    project: Project, listing: tuple[str, ...], made: bool
) -> None:
    broken = ("--eval-benchmark=mmlu", "--eval-mmlu-data=none")
    project.evaluate(*broken, "--eval-output-dir=new", *listing, ret=4)
    assert (project.folder / "new/summary.md").exists() == made


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_run_whose_tests_could_not_all_be_collected_is_no_baseline(
    project: Project, processes: str
) -> None:
    project.write("test_own.py", CLASSES)
    project.write("test_broken.py", "import nothing_of_this_name\n")
    args = ("test_own.py", "test_broken.py", "--continue-on-collection-errors", "-n", processes)
    finished = project.evaluate(*args, "--eval-save-baseline=main.json", ret=7)
    finished.shows("ERROR: *not all tests could be collected: test_broken.py failed")
    assert not (project.folder / "main.json").exists()


def test_a_run_that_lost_a_test_with_its_worker_is_no_baseline(project: Project) -> None:
    dies = PLAIN.replace("record_score(0.5)", "import os; os._exit(1)")
    project.write("test_plain.py", dies)
    finished = project.evaluate(
        "test_plain.py", "-n1", "--eval-save-baseline=main.json", ret=1
    )  # its gates failed, too
    finished.shows("ERROR: *1 test ended because a worker died: test_plain.py::test_second")
    assert not (project.folder / "main.json").exists()


def test_a_comparison_of_a_part_does_not_gate_it(project: Project) -> None:
    own(project, "--eval-output-dir=whole", right=20)
    own(project, "--eval-output-dir=part", "-k", "1", right=20, passed=13, deselected=27)
    compared = project.script("compare", "whole", "part", "--gate", "own >= 0.1")
    assert "skipped: own >= 0.1: 27 questions of own were deselected" in compared.stdout


def test_a_comparison_with_a_gate_fails_where_the_second_run_lost_questions(project: Project) -> None:
    own(project, "--eval-output-dir=whole", right=20)
    document = json.loads((project.folder / "whole/results.json").read_text("utf-8"))
    for result in document["results"][4:]:
        result |= {"scores": [], "outcome": "error", "error": "the server did not answer"}
    project.write("lost/results.json", json.dumps(document))
    compared = project.script("compare", "whole", "lost", "--gate", "own.drop <= 0.05")
    assert compared.returncode == 7
    assert "  failed: own.error_rate <= 0: expected <= 0, got 0.9000 (36 of 40" in compared.stdout
    allowed = project.script("compare", "whole", "lost", "--gate", "own.error_rate <= 90%")
    assert allowed.returncode == 0, allowed.stdout


GARBAGE = """
    import gc, sys
    import pytest

    gc.disable()
    assert pytest.main(sys.argv[1:]) == 0
    assert not gc.isenabled()
    assert gc.get_freeze_count() == 0
"""


def test_the_garbage_collector_is_left_as_it_was(project: Project) -> None:
    project.write("test_plain.py", "def test_it(record_score):\n    record_score(1)\n")
    script = project.write("run.py", GARBAGE)
    command = [sys.executable, str(script), *project.model, "test_plain.py", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=project.folder, env=project.environment(), check=False)
    assert done.returncode == 0


SILENT = """
    import pytest

    @pytest.fixture
    def late(record_score):
        yield
        record_score(0.5)

    @pytest.mark.eval("own", gates=["own >= 0.5"])
    def test_silent(record_score):
        pass

    @pytest.mark.eval("own")
    def test_late(late):
        pass

    @pytest.mark.eval("own")
    def test_that_forgot_to_ask_for_the_recorder():
        pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_tests_that_pass_and_record_nothing_do_not_pass_a_gate(project: Project, processes: str) -> None:
    project.write("test_own.py", SILENT)
    finished = project.evaluate("test_own.py", "-n", processes, ret=1, passed=3, errors=1)
    finished.shows("  refused: own >= 0.5: no test of own recorded a score (3 passed); *")
    assert "record_score was called after the test's end; call it in the test itself" in finished.out


SKIPPED = """
    import unittest
    import pytest

    pytestmark = pytest.mark.eval("own", gates=["own >= 0.5"])

    @pytest.fixture(params=["skip", "xfail", "unittest"])
    def tool(request):
        if request.param == "unittest":
            raise unittest.SkipTest("no tool")
        getattr(pytest, request.param)("no tool")

    def test_in_setup(tool, record_score):
        record_score(0)

    @pytest.mark.xfail(run=False)
    def test_not_run(record_score):
        record_score(0)

    def test_in_call(record_score):
        raise unittest.SkipTest("no tool")
"""


def test_what_is_skipped_or_expected_to_fail_is_no_error_but_does_not_pass_a_gate(project: Project) -> None:
    project.write("test_own.py", SKIPPED)
    finished = project.evaluate("test_own.py", ret=7, skipped=3, xfailed=2)
    finished.shows("  refused: own >= 0.5: no test of own recorded a score (5 skipped); *")
    project.write("test_more.py", ONE_MORE)
    finished = project.evaluate("test_own.py", "test_more.py", passed=1, skipped=3, xfailed=2)
    finished.shows("  passed: own >= 0.5: expected >= 0.5, got 0.7500 *; 1 of 6 tests recorded a score")
    assert {test["outcome"] for test in finished.document["silent"]} == {"skipped"}


ONE_MORE = """
    import pytest

    @pytest.mark.eval("own")
    def test_one(record_score):
        record_score(0.75)
"""

RETRIED = """
    import pytest
    from _pytest.runner import runtestprotocol

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if any(report.failed for report in reports):
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        return True
"""


def test_a_test_that_is_run_again_records_anew(project: Project) -> None:
    project.write("conftest.py", RETRIED)
    project.write(
        "test_own.py",
        """
        tries = []

        def test_own(record_score):
            tries.append(1)
            record_score(len(tries) / 2)
            assert len(tries) > 1
        """,
    )
    finished = project.evaluate("test_own.py", passed=1)
    assert finished.row("own")[0] == "1.0000"
