"""Mistakes about earlier runs: baselines, and the parts of a run."""

from __future__ import annotations

import json
from typing import Any

from tests.plugin.conftest import Project

from .mistake import Mistake

OWN = """\
import pytest

@pytest.mark.eval("own")
@pytest.mark.parametrize("number", range(4))
async def test_own(number, served_model, record_score):
    reply = await served_model.chat([{"role": "user", "content": f"number {number}"}])
    record_score(0.5)
"""
FILES = {"test_own.py": OWN}
COMPARED = "pytest $MODEL test_own.py --eval-baseline=main.json --eval-gate='own.drop <= 1%'"
SAVED = "pytest $MODEL test_own.py --eval-save-baseline="


def earlier(project: Project, *options: str) -> None:
    """A run of the project's benchmark that went well."""
    running = project.start("test_own.py", *project.model, *options)
    finished = running.finish()
    if finished.ret != 0:
        raise RuntimeError(f"the earlier run went wrong:\n{finished.out}{finished.err}")


def a_baseline(project: Project) -> dict[str, Any]:
    """A baseline of the project's benchmark as it is in its file."""
    earlier(project, "--eval-save-baseline=main.json")
    document: dict[str, Any] = json.loads((project.folder / "main.json").read_text("utf-8"))
    return document


def of_another_configuration(project: Project) -> None:
    earlier(project, "--eval-save-baseline=main.json", "--eval-system-prompt=Be brief.")


def of_a_newer_schema(project: Project) -> None:
    project.write("main.json", json.dumps({**a_baseline(project), "schema_version": 99}))


def of_another_benchmark(project: Project) -> None:
    earlier(project, "--eval-save-baseline=main.json")
    text = (project.folder / "main.json").read_text("utf-8")
    project.write("main.json", text.replace('"own"', '"other"'))


def damaged(project: Project) -> None:
    text = json.dumps(a_baseline(project))
    project.write("main.json", text[: len(text) // 2])


def of_two_models(project: Project) -> None:
    project.server.models = ("tiny", "other")


def parts(*numbers: str, **options: str) -> Any:
    """Parts of a run, each in a folder of its own."""

    def make(project: Project) -> None:
        for number in numbers:
            more = [options[f"part{number}"]] if f"part{number}" in options else []
            earlier(project, f"--eval-shard={number}/3", f"--eval-output-dir=part{number}", *more)

    return make


def merged(name: str, meant: str, arguments: str, gets: str, *made: str, **more: Any) -> Mistake:
    """A mistake in joining parts of a run."""
    command = f"$SCRIPT merge {arguments} --out whole"
    return Mistake(name, meant, command, gets, **{"status": 1, "files": FILES, "given": parts(*made), **more})


MISTAKES = [
    Mistake("missing", "the baseline is misspelt", COMPARED,
            r"main\.json cannot be read \(No such file.*--eval-save-baseline", files=FILES),
    Mistake("no JSON", "another file than a baseline is named", COMPARED,
            r"main\.json is neither a baseline nor a results\.json",
            files={**FILES, "main.json": "## a report\n"}),
    Mistake("empty", "the baseline is an empty file", COMPARED,
            r"main\.json is (empty|neither a baseline nor a results\.json)", files={**FILES, "main.json": ""}),
    Mistake("other JSON", "another JSON file than a baseline is named", COMPARED,
            r"main\.json is neither a baseline nor a results\.json",
            files={**FILES, "main.json": '{"name": "granite"}\n'}),
    Mistake("a page", "a web page was saved as the baseline", COMPARED,
            r"main\.json is neither a baseline nor a results\.json",
            files={**FILES, "main.json": "<html>Not found</html>\n"}),
    Mistake("damaged", "the baseline was not copied to its end", COMPARED,
            r"main\.json is (damaged|neither a baseline nor a results\.json)", files=FILES, given=damaged),
    Mistake("of a newer version", "the baseline is of a newer version", COMPARED,
            r"main\.json has schema version 99, newer than .*upgrade pytest-instructlab-eval",
            files=FILES, given=of_a_newer_schema),
    Mistake("of another configuration", "the baseline is of a run with another system prompt", COMPARED,
            r"main\.json has another configuration: system_prompt is not set here and 'Be brief\.'",
            files=FILES, given=of_another_configuration),
    Mistake("of another benchmark", "the baseline is of another benchmark", COMPARED,
            r"gate 'own\.drop <= 1%': .*baseline", files=FILES, given=of_another_benchmark),
    Mistake("a folder without results", "a folder without results is the baseline",
            "pytest $MODEL test_own.py --eval-baseline=results",
            r"results/results\.json cannot be read", files={**FILES, "results/notes.txt": "mine\n"}),
    Mistake("of two models", "two models are to become one baseline", f"{SAVED}main.json --eval-model=other",
            r"--eval-save-baseline saves the results of one model \(got 2 models\)", files=FILES,
            given=of_two_models),
    Mistake("in a file's place", "the baseline's folder is a file", f"{SAVED}notes/main.json",
            r"--eval-save-baseline: \./notes cannot be written", files={**FILES, "notes": "mine\n"}),
    Mistake("a folder in its place", "the baseline's name is a folder's", f"{SAVED}results",
            r"--eval-save-baseline: \./results .*(is a folder|directory)", files={**FILES, "results/a": ""}),
    Mistake("with a base model", "a baseline and a base model are given", f"{COMPARED} --eval-base-model=base",
            r"--eval-base-model and --eval-baseline cannot be used together", files=FILES),
    Mistake("of a part", "a part of a run is to become a baseline", f"{SAVED}main.json --eval-shard=1/2",
            r"--eval-save-baseline needs a whole run.*merge --save-baseline", files=FILES),
    Mistake("0/4", "parts are counted from 0", "pytest $MODEL test_own.py --eval-shard=0/4",
            r"--eval-shard: expected K/N.*\(got '0/4'\)", files=FILES),
    Mistake("5/4", "there are fewer parts", "pytest $MODEL test_own.py --eval-shard=5/4",
            r"--eval-shard: expected K/N.*\(got '5/4'\)", files=FILES),
    Mistake("1-4", "a part is given with a dash", "pytest $MODEL test_own.py --eval-shard=1-4",
            r"--eval-shard: expected K/N.*\(got '1-4'\)", files=FILES),
    merged("a part is missing", "one of three parts is not merged", "part1 part3",
           r"of 3 parts, these are missing: 2; give all parts", "1", "3"),
    merged("a part twice", "one part is given twice", "part1 part1 part3",
           r"of 3 parts, these are missing: 2; give all parts", "1", "3"),
    merged("a whole run", "a whole run is merged", "eval_output",
           r"eval_output/results\.json is a whole run, not a part of one", given=earlier),
    merged("parts of two runs", "parts of runs with different settings are merged", "part1 part2 part3",
           r"part\d/results\.json and part\d/results\.json are no(t| ).*system_prompt",
           given=parts("1", "2", "3", part2="--eval-system-prompt=Be brief.")),
    merged("a missing folder", "a part's folder is misspelt", "part1 prat2", r"Path 'prat2' does not exist", "1",
           status=2),
    merged("a folder without results", "a folder without results is merged", "notes",
           r"notes/results\.json cannot be read", files={"notes/a.txt": "mine\n"}),
    merged("a wrong gate", "a gate of the merge has =", "part1 part2 part3 --gate 'own = 0.5'",
           r"gate 'own = 0\.5': column 5: expected one of >=", "1", "2", "3"),
]  # fmt: skip
