"""Where a run's results go: to a folder of its own, and never nowhere."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from pytest_instructlab_eval.session.output_lock import OutputLock
from tests.scripted_server import GENERATION

from .conftest import Project

OWN = """
    import shutil
    from pathlib import Path

    async def test_own(served_model, record_score):
        await served_model.chat([{"role": "user", "content": "Hello"}])
        record_score(1)

    def test_last():
        shutil.rmtree("eval_output", ignore_errors=True)
        if Path("in the way").exists():
            Path("eval_output").write_text("mine")
"""


def test_results_that_cannot_be_written_are_in_a_second_place_that_is_named(project: Project) -> None:
    project.write("test_own.py", OWN)
    project.write("in the way", "")
    running = project.start(*project.model, "test_own.py")
    finished = running.finish()
    assert finished.ret == 7
    found = re.search(
        r"ERROR: the results could not be written to \S+ \(.*\); they are in (\S+)", finished.out
    )
    assert found, finished.out
    place = Path(found[1])
    assert json.loads((place / "results.json").read_text("utf-8"))["results"][0]["outcome"] == "scored"
    assert "could not be written" in (place / "summary.md").read_text("utf-8")
    assert f"results: {place}/results.json" in finished.out
    shutil.rmtree(place)


def test_a_second_run_in_the_same_folder_is_refused_before_it_asks_anything(project: Project) -> None:
    project.write("test_own.py", OWN.partition("    def test_last")[0])
    first = OutputLock(project.folder / "eval_output")
    first.acquire()
    for processes in ("0", "1"):
        second = project.evaluate("test_own.py", f"-n{processes}", ret=4)
        who = rf"\(process {os.getpid()} on .+\)"
        assert re.search(rf"another run writes to \S+eval_output {who}; wait for its end", second.err)
    assert not GENERATION.intersection(received.path for received in project.server.requests)
    project.evaluate("test_own.py", "--eval-shard=1/2", passed=1)
    first.release()
    assert sorted(os.listdir(project.folder / "eval_output")) == ["shard-1-of-2"]
    made = sorted(os.listdir(project.folder / "eval_output" / "shard-1-of-2"))
    assert made == ["journal", "report.html", "results.json", "summary.md"]
