"""Each exit status has its cause, and results.json, summary.md and the JUnit file say the same."""

from xml.etree import ElementTree

import pytest

from tests.scripted_server import Status

from .conftest import Finished, Project

JUNIT = "--junitxml=junit.xml"
TESTS = """
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("number", range(8))
    async def test_own(number, served_model, record_score):
        reply = await served_model.chat(f"number {number}")
        record_score(float(reply.text))
        assert number != REFUTED
"""


def said(finished: Finished) -> str:
    """The headline and the status, after a check that all files say the same."""
    document = finished.document
    suite = ElementTree.parse(finished.folder / "junit.xml").getroot()[0]
    properties = {each.get("name"): each.get("value") for each in suite.iterfind("./properties/property")}
    page = (finished.folder / "eval_output/summary.md").read_text("utf-8")
    assert properties["eval.headline"] == document["headline"] == page.partition(":")[0].split()[-1]
    assert properties["eval.exit_status"] == str(document["exit_status"]) == str(finished.ret)
    return f"{document['headline']} {finished.ret}"


@pytest.mark.parametrize(
    ("answers", "refuted", "refused", "args", "expected"),
    [
        ("1", -1, 0, ("--eval-gate=own >= 0.5",), "passed 0"),
        ("0", -1, 0, ("--eval-gate=own >= 0.5",), "failed 1"),
        ("1", 3, 0, (), "failed 1"),
        ("1", -1, 1, (), "broken 7"),
        ("1", -1, 99, (), "broken 7"),
        ("0", -1, 1, ("--eval-gate=own >= 0.5",), "failed 1"),  # of several causes the first
        ("1", 3, 1, (), "failed 1"),
        ("1", -1, 1, ("--eval-gate=own.error_rate <= 50%",), "broken 7"),
        ("1", -1, 0, ("--eval-gate=own.n >= 9",), "broken 7"),
        ("1", -1, 0, ("--eval-gate=own.metric >= 0.5",), "broken 7"),  # refused
        ("1", -1, 0, ("--eval-gate=own >= 1 surely", "--eval-inconclusive=fail"), "inconclusive 6"),
        ("1", -1, 1, ("-n2",), "broken 7"),
        ("1", 3, 1, ("-n2",), "failed 1"),
        ("1", -1, 1, ("--eval-gate=own >= 0.9 surely", "--eval-inconclusive=fail"), "broken 7"),
    ],
)
def test_the_status_tells_the_cause(
    project: Project,
    answers: str,
    refuted: int,
    refused: int,
    args: tuple[str, ...],
    expected: str,
) -> None:
    project.write("test_own.py", TESTS.replace("REFUTED", str(refuted)))
    project.server.reply = lambda _: answers
    if refused:
        project.server.fault(Status(400), times=refused)
    finished = project.evaluate("test_own.py", JUNIT, *args, ret=int(expected.split()[1]))
    assert said(finished) == expected
