"""What runs write is as the published schemas say: what every test's run writes is checked, and these."""

from __future__ import annotations

from tests.schemas import schema_problems
from tests.scripted_server import Body, default_reply

from .conftest import Project, is_judgment

OWN = """
    import pytest

    @pytest.mark.eval("own", gates=["own >= 0.1"])
    @pytest.mark.parametrize("kind", ["scored", "another", "unscored", "failed", "silent"])
    async def test_own(kind, served_model, record_score):
        reply = await served_model.chat([{"role": "user", "content": kind}])
        assert kind != "failed"
        if kind != "silent":
            record_score(None if kind == "unscored" else float(len(reply.text) % 2), maximum=2)
"""
PACKAGE = "pytest_instructlab_eval.benchmarks"
EVERYTHING = ("--pyargs", "test_own.py", f"{PACKAGE}.test_mt_bench", f"{PACKAGE}.test_mmlu")


def test_a_run_of_everything_is_as_the_schema_says(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.server.models = ("tiny", "other", "base", "judge", "kind")

    def reply(body: Body) -> str:
        is_odd = is_judgment(body) and body["model"] == "kind" and len(str(body)) % 3 == 0
        return "I cannot say." if is_odd else default_reply(body)

    project.server.reply = reply
    command = [
        *EVERYTHING, *project.data, "-k", "own or mt_bench or anatomy", "--eval-first-n=2",
        "--eval-few-shots=2", "--eval-model=other", "--eval-base-model=base", "--eval-judge-model=judge",
        "--eval-judge-model=kind", "--eval-no-judge-trial", "--eval-repeat=2", "--eval-judge-repeat=2",
        "--eval-gate=mt_bench.drop <= 1", "--eval-gate=mmlu >= 99%", "--eval-gate=own.error_rate <= 0",
    ]  # fmt: skip
    document = project.evaluate(*command, ret=1).document
    assert schema_problems(document) == []
    scores = [score for result in document["results"] for score in result["scores"]]
    written = {
        name: bool(document[name])
        for name in ("ranking", "summaries", "verdicts", "changes", "silent", "notes", "base", "gates")
    }
    written["samples"] = any(score["samples"] for score in scores)
    written["judgments"] = any(score["metadata"].get("judgments") for score in scores)
    assert {name for name, there in written.items() if not there} <= {"notes", "ranking"}
    assert {result["outcome"] for result in document["results"]} == {"scored", "unscored", "error"}
    assert len({verdict["verdict"] for verdict in document["verdicts"]}) > 1


def test_a_baseline_and_what_is_compared_with_it_are_as_the_schemas_say(project: Project) -> None:
    project.write("test_own.py", OWN)
    command = [
        *EVERYTHING, *project.data, *project.judge,
        "--eval-few-shots=2", "--eval-first-n=2", "--eval-repeat=2", "--eval-no-judge-trial",
    ]  # fmt: skip
    project.evaluate(*command, "--eval-save-baseline=main.json", ret=1)
    compared = project.evaluate(*command, "--eval-baseline=main.json", "--eval-gate=own.drop <= 1", ret=1)
    assert schema_problems(compared.document) == []
    assert compared.document["changes"]
