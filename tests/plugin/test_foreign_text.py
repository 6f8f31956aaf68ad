"""What a model or a stranger wrote never becomes a command for the CI job that shows it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.scripted_server import Body, Status

from .conftest import Project, is_judgment

HOSTILE = "##[error]taken\n::error::taken\n \t::add-mask::taken"
OWN = """
    import logging
    import pytest

    @pytest.mark.eval("own")
    @pytest.mark.parametrize("word", ["##[error]taken", "x", "refused"])
    async def test_own(word, served_model, record_score):
        reply = await served_model.chat([{"role": "user", "content": word}])
        logging.getLogger("own").warning("told: %s", reply.text)
        record_score(0.5, explanation=reply.text, metadata={"answer": reply.text})
        assert reply.text == "right", reply.text

    def test_plain(served_model, record_score):
        print("::notice::mine")
        answer = served_model.chat([{"role": "user", "content": "x"}]).text
        raise ValueError(answer)
"""


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("::") or "##[" in line]


def make_data(project: Project) -> Path:
    """MT-Bench with a category that a stranger named."""
    folder = project.folder.parent / "hostile"
    folder.mkdir()
    for path in project.mt_bench.rglob("*"):
        place = folder / path.relative_to(project.mt_bench)
        place.mkdir(exist_ok=True) if path.is_dir() else place.write_bytes(path.read_bytes())
    lines = [json.loads(line) for line in (folder / "question.jsonl").read_text().splitlines()]
    lines[0]["category"], lines[0]["turns"][0] = HOSTILE, HOSTILE
    (folder / "question.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_no_text_of_a_model_or_of_data_forms_a_command(project: Project) -> None:
    def reply(body: Body) -> str:
        return f"{HOSTILE}\nRating: [[5]]" if is_judgment(body) else HOSTILE

    project.server.reply = reply
    project.server.models = ("tiny", "strict")
    project.server.fault(Status(400, HOSTILE), when=lambda body: body["messages"][0]["content"] == "refused")
    data = make_data(project)
    project.write("test_own.py", OWN)
    args = ("test_own.py", "test_mt_bench.py", *project.judge, f"--eval-mt-bench-data={data}")
    report = (
        "-v",
        "-rA",
        "--showlocals",
        "--junitxml=junit.xml",
        "--eval-gate=mt_bench >= 9",
        "--eval-no-judge-trial",
    )
    finished = project.evaluate(*args, *report, "--eval-save-baseline=baseline.json", ret=1)
    assert finished.outcomes["failed"] == 4
    assert set(commands(finished.out + finished.err)) == {"::notice::mine"}
    files = [path for path in project.folder.rglob("*") if path.suffix in (".json", ".jsonl", ".md")]
    assert {"results.json", "summary.md", "baseline.json", "tiny.jsonl"} <= {path.name for path in files}
    for path in files:
        assert commands(path.read_text("utf-8")) == [], path
    assert "##[" not in (project.folder / "junit.xml").read_text("utf-8")
    answers = [score["metadata"].get("answer") for score in finished.results["test_own[x]"]["scores"]]
    assert answers == [HOSTILE]
