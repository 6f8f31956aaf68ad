"""What NVIDIA's nemo-evaluator and this plugin say of the same four inputs: `python -m tests.perf.nemo NEL`.

NEL is the command `nel` of `nemo-evaluator[stats]`, in an environment of its own. Both tools ask the same
scripted server the same 500 questions, of which it answers each second one right, and both allow a drop of
0.05. Each line has the command that decides, its exit status, and what it said.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.scripted_server import Body, ScriptedServer, content_text

QUESTIONS, FEW = 500, 10
DROP = "0.05"
SAME, LOST = "ten identical answers", "490 of 500 results lost"
THEIRS = """
from nemo_evaluator.environments.custom import benchmark, scorer


ROWS = [{{"q": f"question {{n}}", "target": "right"}} for n in range({count})]


@benchmark(name="numbers", dataset=lambda: ROWS, prompt="{{q}}")
@scorer
def score(sample):
    return {{"correct": sample.response.strip() == "right"}}
"""
OURS = """
import pytest


@pytest.mark.eval("numbers")
@pytest.mark.parametrize("number", range({count}))
async def test_numbers(number, served_model, record_score):
    reply = await served_model.chat(f"question {{number}}")
    record_score(float(reply.text == "right"))
"""
SAID = re.compile(r"VERDICT: .*|^Merging.*|^Warning.*|^Error.*|^\w*Error: .*", re.MULTILINE)
OUR_GATES = re.compile(r"^  \w+: numbers\..*?(?=^  \w+: |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Said:
    """How a command ended, and its output."""

    status: int
    text: str


class Tool:
    """Runs commands in a folder."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.folder, self.command = folder, tuple(command)
        folder.mkdir()

    def __call__(self, *arguments: str, **environment: str) -> Said:
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Said(done.returncode, done.stdout)

    def needed(self, *arguments: str, **environment: str) -> None:
        said = self(*arguments, **environment)
        assert said.status == 0, said.text


def reply(body: Body) -> str:
    number = int(content_text(body["messages"][-1]).split()[-1])
    return "wrong" if number % 2 else "right"


def theirs(folder: Path, nel: str, url: str) -> dict[str, Said]:
    tool = Tool(folder, [nel])
    for count in (FEW, QUESTIONS):
        (folder / f"numbers_{count}.py").write_text(THEIRS.format(count=count))

    def evaluate(count: int, out: str, **environment: str) -> None:
        asked = ("--bench", f"./numbers_{count}.py", "--model-url", url, "--model-id", "tiny", "-o", out)
        tool.needed("eval", "run", *asked, **environment)

    def compare(before: str, after: str) -> Said:
        return tool("compare", before, after, "--max-drop", DROP, "--no-report")

    evaluate(FEW, "ten")
    evaluate(FEW, "ten-again")
    evaluate(QUESTIONS, "whole")
    shutil.copytree(folder / "whole", folder / "lost")
    results = folder / "lost" / "numbers" / "results.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:FEW]))
    evaluate(QUESTIONS, "one/shard_0", NEL_SHARD_IDX="0", NEL_TOTAL_SHARDS="2")
    for number in (0, 1):
        shutil.copytree(folder / "one" / "shard_0", folder / "twice" / f"shard_{number}")
    said = {
        SAME: compare("ten", "ten-again"),
        LOST: compare("whole", "lost"),
    }
    for name, parts in (("one of two shards merged", "one"), ("the same shard twice", "twice")):
        said[f"{name}: merge"] = tool("eval", "merge", parts)
        said[f"{name}: compare"] = compare("whole", f"{parts}/numbers")
    return said


def ours(folder: Path, url: str) -> dict[str, Said]:
    pytest = Tool(folder, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"])
    command = Tool(folder / "commands", [sys.executable, "-m", "pytest_instructlab_eval"])
    for count in (FEW, QUESTIONS):
        (folder / f"test_{count}.py").write_text(OURS.format(count=count))

    def evaluate(count: int, out: str, *options: str) -> None:
        asked = (
            "--eval-model=tiny",
            f"--eval-base-url={url}",
            f"--eval-output-dir={out}",
            f"test_{count}.py",
        )
        pytest.needed(*asked, *options)

    def compare(before: str, after: str) -> Said:
        return command("compare", f"../{before}", f"../{after}", "--gate", f"numbers.drop <= {DROP}")

    def merge(*parts: str) -> Said:
        gate = ("--baseline", "../whole", "--gate", f"numbers.drop <= {DROP}")
        return command("merge", *(f"../{part}" for part in parts), "--out", "merged", *gate)

    evaluate(FEW, "ten")
    evaluate(FEW, "ten-again")
    evaluate(QUESTIONS, "whole")
    shutil.copytree(folder / "whole", folder / "lost")
    results = folder / "lost" / "results.json"
    document = json.loads(results.read_text("utf-8"))
    for result in document["results"][FEW:]:
        result |= {"scores": [], "outcome": "error", "error": "the server did not answer"}
    results.write_text(json.dumps(document), "utf-8")
    evaluate(QUESTIONS, "half", "--eval-shard=1/2")
    shutil.copytree(folder / "half", folder / "half-again")
    return {
        SAME: compare("ten", "ten-again"),
        LOST: compare("whole", "lost"),
        "one of two shards merged: merge": merge("half"),
        "the same shard twice: merge": merge("half", "half-again"),
    }


def lines(said: Said) -> str:
    """What of the output says how it ended."""
    found = SAID.findall(said.text) or OUR_GATES.findall(said.text) or said.text.splitlines()[-3:]
    return " / ".join(" ".join(text.split()) for text in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nel", help="the command nel")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ScriptedServer(models=("tiny",)) as server:
        server.reply = reply
        version = subprocess.run(
            [options.nel, "--version"], capture_output=True, text=True, check=True
        ).stdout
        print(version.strip())
        for title, found in (("nel", theirs(Path(name, "nel"), options.nel, server.url)),
                             ("this plugin", ours(Path(name, "ours"), server.url))):  # fmt: skip
            for case, said in found.items():
                print(f"{title}: {case}: status {said.status}: {lines(said)}")


if __name__ == "__main__":
    main()
