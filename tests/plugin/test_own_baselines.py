"""Tests of one's own are compared with a baseline only where they ask and grade as they did for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Project, properties

BREAD = """
    import pytest

    from pytest_instructlab_eval import JudgePrompt, Scale

    QUESTIONS = {
        "dough": ("How long does dough rest?", "An hour."),
        "oven": ("How hot is the oven?", "230 degrees."),
        "salt": ("How much salt?", "Two percent."),
    }
    PROMPT = JudgePrompt(system="You bake.", template="Is it right?\\n\\n<Answer>{answer}</Answer>")
    SCALE = Scale(0, 4)

    @pytest.mark.eval("bread", max_score=4, gates=["bread.drop <= 0.5"])
    @pytest.mark.parametrize("name", QUESTIONS)
    async def test_bread(name, served_model, judge, record_score):
        question, reference = QUESTIONS[name]
        reply = await served_model.chat(question)
        second = await served_model.chat(f"You said {reply.text}. Sure?")
        way = {"reference": reference, "scale": SCALE, "prompt": PROMPT}
        record_score(await judge.grade(question, second.text, **way))
"""
PARTS = ("--eval-baseline=before.json", "test_bread.py")


def rated(rating: int) -> Any:
    """Replies that differ with the rating, as those of a better and a worse model do."""
    return lambda body: f"[[{rating}]]" if "<Answer>" in str(body["messages"]) else f"reply of worth {rating}"


@pytest.fixture
def bread(project: Project) -> Project:
    """A project with a baseline of its own benchmark, whose answers were all rated 4."""
    project.write("test_bread.py", BREAD)
    project.server.reply = rated(4)
    project.evaluate(
        *project.judge, "test_bread.py", "--eval-no-judge-trial", "--eval-save-baseline=before.json", passed=3
    )
    return project


def compare(project: Project, ret: int) -> str:
    run = project.evaluate(*project.judge, *PARTS, "--eval-no-judge-trial", ret=ret, passed=3)
    return run.out


def test_a_worse_model_is_seen_though_it_is_asked_about_its_own_answers(bread: Project) -> None:
    bread.server.reply = rated(4)
    assert "expected <= 0.5, got 0.00 (3 questions against the baseline, all with the same" in compare(
        bread, 0
    )
    bread.server.reply = rated(1)
    assert "expected <= 0.5, got 3.00 (3 questions against the baseline)" in compare(bread, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("await served_model.chat(question)", "await served_model.chat(question + ' Be brief.')"),
        ("await served_model.chat(question)", "await served_model.choice_logprobs(question, 'ab') and None"),
        ('system="You bake."', 'system="You are strict."'),
        ("Is it right?", "Is it wrong?"),
        ("Scale(0, 4)", "Scale(1, 4)"),
        ('"reference": reference', '"reference": name'),
    ],
)
def test_changed_questions_and_prompts_are_not_compared(bread: Project, old: str, new: str) -> None:
    assert old in BREAD
    source = BREAD.replace(old, new)
    if "choice_logprobs" in new:
        source = source.replace("{reply.text}", "so")
    bread.write("test_bread.py", source)
    shown = compare(bread, 7)
    assert "gates: 1 refused, 2 passed" in shown
    assert "no question of bread has both the same content and a score in the baseline" in shown
    assert 'state what stays the same in the marker, such as content="1"' in shown


def test_a_changed_question_is_named(bread: Project) -> None:
    bread.write("test_bread.py", BREAD.replace("How much salt?", "How much yeast?"))
    shown = compare(bread, 0)
    assert "(2 questions against the baseline" in shown
    assert "not compared (changed since the baseline): salt" in shown


def test_another_maximum_is_named(bread: Project) -> None:
    bread.write("test_bread.py", BREAD.replace("Scale(0, 4)", "Scale(0, 5)"))
    shown = compare(bread, 7)
    assert (
        "the scores of bread went up to 4 in the baseline and go up to 5 here; save a new baseline with "
        "--eval-save-baseline"
    ) in shown


def test_a_baseline_of_before_is_compared_as_it_was(bread: Project) -> None:
    path = bread.folder / "before.json"
    document = json.loads(path.read_text("utf-8"))
    for question in document["benchmarks"]["bread"]["questions"].values():
        assert question.pop("content").startswith("own-")
        assert set(question.pop("gradings")) == {"rating"}
    path.write_text(json.dumps(document), "utf-8")
    bread.write("test_bread.py", BREAD.replace("Is it right?", "Is it wrong?"))
    assert "3 questions against the baseline" in compare(bread, 0)


def test_messages_that_differ_in_every_run_can_be_stated_in_the_marker(bread: Project) -> None:
    varying = BREAD.replace("chat(question)", "chat(question + str(__import__('time').time()))")
    bread.write("test_bread.py", varying)
    assert "no question of bread has both the same content" in compare(bread, 7)
    stated = varying.replace("max_score=4", "max_score=4, content='1'")
    bread.write("test_bread.py", stated)
    save = ("--eval-no-judge-trial", "--eval-save-baseline=before.json")
    bread.evaluate(*bread.judge, "test_bread.py", *save, passed=3)
    assert "3 questions against the baseline" in compare(bread, 0)
    bread.write("test_bread.py", stated.replace("content='1'", "content='2'"))
    assert "no question of bread has both the same content" in compare(bread, 7)
    bread.write("test_bread.py", stated.replace("content='1'", "content=[]"))
    refused = bread.evaluate(*bread.judge, *PARTS, ret=4)
    assert "content of the marker eval must be a text or a whole number (got [])" in refused.err


def test_tests_of_one_name_in_two_files_are_compared(project: Project) -> None:
    source = """
        import pytest

        @pytest.mark.eval("dup", gates=["dup.drop <= 0"])
        async def test_dup(served_model, record_score):
            await served_model.chat(__name__)
            record_score(1)
    """
    files = ("test_one.py", "test_two.py")
    for name in files:
        project.write(name, source)
    project.evaluate(*files, "--eval-save-baseline=before.json", passed=2)
    run = project.evaluate(*files, "--eval-baseline=before.json", passed=2)
    assert run.gates == {"passed": 3}


def test_a_judge_is_asked_for_the_rest_of_what_it_can(project: Project) -> None:
    """The judge that a test gets keeps how it was asked, and is the judge in all else."""
    project.write(
        "test_own.py",
        """
        async def test_judge(judge):
            assert not judge.needs_reference
            assert len(await judge.choice_logprobs("a", [" b", " c"])) == 2
            assert (await judge.chat("Hello?", max_tokens=7)).text

        def test_blocking(judge):
            assert judge.chat("Hello?").text
        """,
    )
    project.evaluate(*project.judge, "test_own.py", passed=2)
    assert [body["max_tokens"] for body in project.server.chats] == [7, 2048]


# --- metrics of several scales ---

SCALES = """
    from dataclasses import dataclass

    import pytest

    from pytest_instructlab_eval import Benchmark

    @dataclass(frozen=True)
    class Loaf:
        id: str
        group: str
        content: object = None
        requests: int = 1

    LOAVES = [Loaf(f"{kind}{number}", kind) for kind in ("rye", "wheat") for number in range(4)]
    BREAD = Benchmark("bread", "Bread", Loaf, lambda settings: LOAVES, {"rating": 4.0, "exact": 1.0})

    @pytest.mark.eval(BREAD, gates=["bread >= 3", "bread[rye] >= 3", "bread.exact >= 50%", "bread.drop <= 4"])
    @pytest.mark.parametrize("loaf", LOAVES, ids=lambda loaf: loaf.id)
    async def test_bread(loaf, served_model, record_score):
        await served_model.chat(loaf.id)
        record_score(EXACT, metric="exact")
        record_score(RATING, metric="rating")
"""


def of_scales(rating: float, exact: float) -> str:
    return SCALES.replace("EXACT", str(exact)).replace("RATING", str(rating))


def test_of_several_scales_the_first_metric_is_the_benchmarks_score(project: Project) -> None:
    project.write("test_bread.py", of_scales(4, 0.5))
    before = project.evaluate("test_bread.py", "--eval-save-baseline=before.json", passed=8)
    assert before.row("bread")[0] == "4.00 of 4"
    assert before.row("exact")[0] == "0.5000"
    assert before.row("rye")[0] == "4.00 of 4"
    assert before.gates == {"passed": 5, "skipped": 1}  # there is no baseline yet
    project.write("test_bread.py", of_scales(3, 1))
    report = ("--junitxml=junit.xml", "-o", "junit_family=xunit1", "-o", "eval_gates=bread.n >= 8")
    for baseline in ("before.json", "eval_output"):
        after = project.evaluate("test_bread.py", f"--eval-baseline={baseline}", *report, passed=8)
        assert after.gates == {"passed": 7}
        if baseline == "before.json":
            after.shows("bread against the baseline *4.00 *3.00 *-1.00*")
    assert {properties(case)["eval.score"] for case in after.cases.values()} == {"3.0"}
    summary = (project.folder / "eval_output/summary.md").read_text("utf-8")
    assert "| `bread, tiny` | 3.00 of 4 |" in summary


def test_a_limit_on_the_main_metrics_scale_is_checked_before_anything_is_asked(project: Project) -> None:
    project.write("test_bread.py", of_scales(4, 0.5))
    for gate, says in (
        ("bread >= 5", "expected a limit from 0 to 4 (got 5)"),
        ("bread.exact >= 2", "expected a limit from 0 to 1 (got 2"),
    ):
        refused = project.evaluate("test_bread.py", f"--eval-gate={gate}", ret=7, passed=8)
        assert says in refused.out
    with_other = of_scales(4, 0.5).replace('metric="exact"', 'metric="exact", maximum=2')
    project.write("test_bread.py", with_other)
    shown = project.evaluate("test_bread.py", ret=7, passed=8)
    assert "bread.exact has scores up to 2; write the limit as a score" in shown.out


def test_without_a_declaration_scores_of_several_scales_have_no_mean(project: Project) -> None:
    source = """
        import pytest

        @pytest.mark.eval("bread")
        @pytest.mark.parametrize("number", range(4))
        async def test_bread(number, served_model, record_score):
            await served_model.chat(f"{number}")
            record_score(3, metric="rating", maximum=4)
            record_score(1, metric="exact")
    """
    project.write("test_bread.py", source)
    run = project.evaluate("test_bread.py", "--eval-save-baseline=before.json", passed=4)
    assert run.row("bread")[0] == "several scales"
    project.write("test_bread.py", source.replace("record_score(3", "record_score(1"))
    arguments = ("--eval-baseline=before.json", "--eval-gate=bread.drop <= 1")
    run = project.evaluate("test_bread.py", *arguments, ret=7, passed=4)
    assert "bread has scores on several scales (up to 1, 4); gate one of its metrics" in run.out
    assert "bread against the baseline" not in run.out
    run = project.evaluate("test_bread.py", *arguments[:1], "--eval-gate=bread.rating.drop <= 1", ret=0)
    assert "expected <= 1, got 2.00" in run.out


def test_a_misspelt_group_of_a_standing_gate_is_a_warning(project: Project) -> None:
    source = """
        import pytest

        @pytest.mark.eval("bread", group="shaping", gates=["bread[shapping] >= 3", "bread[xyz] >= 3"])
        async def test_bread(record_score):
            record_score(1)
    """
    project.write("test_bread.py", source)
    run = project.evaluate("test_bread.py", passed=1)
    assert "warning: gate 'bread[shapping] >= 3' is skipped: bread has no group 'shapping' in" in run.out
    assert sum(line.startswith("warning: gate") for line in run.lines) == 1
    assert "did you mean shaping?" in (project.folder / "eval_output/summary.md").read_text("utf-8")
