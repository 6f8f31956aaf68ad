"""Judges: several as a panel, one that is the model itself, and one that can't tell good from bad."""

import json
import statistics

import pytest

from pytest_instructlab_eval.judges.trial import TRIAL_QUESTIONS
from pytest_instructlab_eval.stats.agreement import krippendorff_alpha
from tests.scripted_server import Body, content_text, default_reply, rating_of

from .conftest import Project, is_judgment, make_gated

OWN = """
    async def test_own(served_model):
        assert (await served_model.chat([{"role": "user", "content": "Hello"}])).text
"""


def is_of_trial(body: Body) -> bool:
    return any(trial.question in content_text(body["messages"][-1]) for trial in TRIAL_QUESTIONS)


def fair(body: Body) -> str:
    """A judge that knows what is plainly good."""
    text = content_text(body["messages"][-1])
    if not is_of_trial(body):
        return default_reply(body)
    return "[[9]]" if any(trial.good in text for trial in TRIAL_QUESTIONS) else "[[2]]"


def test_a_panel_rates_by_its_mean_and_tells_how_far_its_judges_agree(project: Project) -> None:
    project.server.models = ("tiny", "kind")

    def reply(body: Body) -> str:
        rating = rating_of(content_text(body["messages"][-1]))
        kind = is_judgment(body) and body["model"] == "kind"
        return f"Good! [[{min(10, rating + 2)}]]" if kind else default_reply(body)

    project.server.reply = reply
    panel = ("--eval-judge-model=tiny", "--eval-judge-model=kind")
    data = ("--eval-benchmark=mt_bench", f"--eval-mt-bench-data={project.mt_bench}")
    finished = project.evaluate(*panel, *data, passed=8)
    finished.shows(
        f"judge: tiny at {project.server.url}",
        f"judge: kind at {project.server.url}",
        "warning: tiny judges its own answers, and models favour their own answers; *",
    )
    strict = {
        content_text(body["messages"][-1]): rating_of(content_text(body["messages"][-1]))
        for body in project.server.chats
        if is_judgment(body)
    }
    pairs = [[rating, min(10, rating + 2)] for rating in strict.values()]
    assert len(pairs) == 16
    mean = statistics.fmean(map(statistics.fmean, pairs))
    assert finished.row("mt_bench")[0] == f"{mean:.2f} of 10"
    assert finished.row("agreement (Krippendorff's alpha)") == [f"{krippendorff_alpha(pairs):.2f}", "16"]
    (summary,) = finished.document["summaries"]
    assert (summary["judge"], summary["agreement_n"]) == ("tiny, kind", 16)
    folder = project.folder / "eval_output" / "mt_bench" / "model_judgment"
    scores = {
        path.name: [json.loads(line)["score"] for line in path.read_text("utf-8").splitlines()]
        for path in folder.iterdir()
    }
    assert sorted(scores["tiny_single.jsonl"]) == sorted(first for first, _ in pairs)
    assert sorted(scores["kind_single.jsonl"]) == sorted(second for _, second in pairs)


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_gated_run_ends_before_its_first_question_where_the_judge_is_unfit(
    project: Project, processes: str
) -> None:
    make_gated(project)
    finished = project.evaluate(*project.mt_bench_only, "-n", processes, ret=4)
    errors = [line for line in (finished.out + finished.err).splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 1
    assert "ERROR: the judge 'tiny' does not rate every good answer of its trial above" in errors[0]
    assert len(project.server.chats) == 6
    assert all(map(is_of_trial, project.server.chats))
    summary = (project.folder / "eval_output" / "summary.md").read_text("utf-8")
    assert all(trial.question in summary for trial in TRIAL_QUESTIONS)
    assert summary.count("### What it said of the ") == 6


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_fit_judge_is_tried_once_and_before_all_questions(project: Project, processes: str) -> None:
    make_gated(project)
    project.server.reply = fair
    project.evaluate(*project.mt_bench_only, "-n", processes, passed=8)
    assert [is_of_trial(body) for body in project.server.chats] == [True] * 6 + [False] * 32


@pytest.mark.parametrize("name", ["no_judge_trial", "no_canaries"])
@pytest.mark.parametrize("in_ini_file", [False, True], ids=["flag", "ini"])
def test_the_trial_has_two_names(project: Project, name: str, in_ini_file: bool) -> None:
    """Canaries are what it was called first."""
    make_gated(project)
    if in_ini_file:
        path = project.folder / "pytest.ini"
        path.write_text(path.read_text(encoding="utf-8") + f"eval_{name} = true\n", encoding="utf-8")
        project.evaluate(*project.mt_bench_only, passed=8)
    else:
        project.evaluate(*project.mt_bench_only, f"--eval-{name.replace('_', '-')}", passed=8)
    assert not any(map(is_of_trial, project.server.chats))


def test_the_trial_can_be_left_out_and_is_left_out_where_nothing_is_judged(project: Project) -> None:
    make_gated(project)
    project.evaluate(*project.mt_bench_only, "--eval-no-judge-trial", passed=8)
    project.write("test_own.py", OWN)
    project.evaluate(*project.judge, "test_own.py", passed=1)
    assert not any(map(is_of_trial, project.server.chats))


OWN_JUDGE = """
    import pytest

    from pytest_instructlab_eval import Judge, Score

    class Brevity(Judge):
        @property
        def name(self):
            return "brevity"

        async def rate(self, submission):
            return Score(9.0, submission.metric, maximum=submission.scale.highest)

    @pytest.fixture
    def judge({argument}):
        return Brevity()

    @pytest.mark.eval("brevity", max_score=10, gates=["brevity >= 5"])
    async def test_brevity(served_model, judge, record_score):
        reply = await served_model.chat("Hello")
        record_score(await judge.grade("Hello", reply.text))
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_fixture_of_ones_own_needs_no_judge_of_the_run(project: Project, processes: str) -> None:
    project.write("test_own.py", OWN_JUDGE.format(argument=""))
    finished = project.evaluate("test_own.py", "-n", processes, passed=1)
    assert finished.row("brevity")[0] == "9.00 of 10"


def test_one_that_asks_for_the_runs_judge_is_skipped_without_it_and_its_gate_refused(
    project: Project,
) -> None:
    project.write("test_own.py", OWN_JUDGE.format(argument="judge"))
    project.evaluate("test_own.py", "-rs", ret=7, skipped=1).shows("SKIPPED *needs a judge; name one with *")


BREAD = """
    import pytest

    @pytest.mark.eval("bread", max_score=4, group="shaping", gates=["bread >= 2"])
    @pytest.mark.parametrize("number", range(20))
    async def test_shaping(number, served_model, judge, record_score):
        reply = await served_model.chat(f"Question {number}")
        record_score(await judge.grade("q", reply.text, reference="a"))

    @pytest.mark.eval("bread", max_score=4, group="baking", gates=["bread >= 2"])
    async def test_baking(served_model, record_score):
        await served_model.chat("How hot is an oven?")
        record_score(4)
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_gate_on_tests_of_which_some_lack_a_judge_is_refused_before_anything_is_asked(
    project: Project, processes: str
) -> None:
    project.write("test_bread.py", BREAD)
    refused = project.evaluate("test_bread.py", "-n", processes, ret=4)
    assert (
        "gate 'bread >= 2': 20 of 21 tests of bread need a judge, and this run has none; name one with "
        "--eval-judge-model"
    ) in refused.err
    assert project.server.chats == []


def test_a_gate_on_tests_that_need_no_judge_is_evaluated_beside_others_that_need_one(
    project: Project,
) -> None:
    project.write("test_bread.py", BREAD.replace(', gates=["bread >= 2"]', ""))
    finished = project.evaluate("test_bread.py", "--eval-gate=bread[baking] >= 2", passed=1, skipped=20)
    assert finished.gates == {"passed": 3}
    refused = project.evaluate("test_bread.py", "--eval-gate=bread[shaping].n >= 1", ret=4)
    assert "20 of 20 tests of bread[shaping] need a judge" in refused.err


def test_a_judging_run_does_not_gate_what_it_has_only_a_part_of(project: Project) -> None:
    project.write("test_bread.py", BREAD)
    arguments = ("test_bread.py", "--eval-judge-model=reference")
    project.evaluate(*arguments, "--eval-stage=answer")
    refused = project.evaluate(*arguments, "--eval-stage=judge", ret=4)
    assert "1 of 21 tests of bread need no judge, and --eval-stage judge skips them" in refused.err


def test_a_judge_that_is_asked_for_late_fails_a_gated_run_that_has_none(project: Project) -> None:
    project.write(
        "test_own.py",
        """
        import pytest

        @pytest.mark.eval("late", gates=["late >= 1"])
        @pytest.mark.parametrize("is_judged", [True, False])
        def test_late(is_judged, request, served_model, record_score):
            if is_judged:
                request.getfixturevalue("judge").grade("q", "a")
            record_score(1)
        """,
    )
    finished = project.evaluate("test_own.py", ret=7, passed=1, skipped=1)
    finished.shows("ERROR: 1 test of late had no judge and no score, so its gates are about the others; *")
    assert "❌ broken" in (project.folder / "eval_output/summary.md").read_text("utf-8")
