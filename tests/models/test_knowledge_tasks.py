"""`python -m pytest_instructlab_eval tasks` against a scripted teacher: what is asked, written and said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.data.task_files import find_task_files
from tests.scripted_server import Body, Drop, Finish, Hang, Reply, ScriptedServer, Status
from tests.scripted_teacher import is_look, teach

LAMPS = "knowledge/lamps/qna.yaml"
OWLS = "knowledge/birds/owls/qna.yaml"
SKILL = "compositional_skills/riddles/qna.yaml"


def qna(*contexts: str) -> str:
    pair = {"question": "What is told?", "answer": "This and that."}
    examples = [{"context": text, "questions_and_answers": [pair]} for text in contexts]
    return json.dumps({"version": 3, "domain": "Brindle Bay", "seed_examples": examples})


FILES = {
    LAMPS: qna("Seven lamps stand along Brindle harbour, where fishers mend their nets each evening."),
    OWLS: qna("Moss owls nest under bridges.", "Young owls learn from older owls how rivers sound."),
    SKILL: json.dumps({"seed_examples": [{"question": "A riddle?", "answer": "A riddle."}]}),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


@pytest.fixture
def taxonomy(tmp_path: Path) -> Path:
    return write(tmp_path / "taxonomy", FILES)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def server(server: ScriptedServer) -> ScriptedServer:
    server.reply = teach
    return server


def arguments(url: str, taxonomy: Path, out: Path) -> list[str]:
    given = {"--taxonomy": str(taxonomy), "--base-url": url, "--model": "tiny", "--out": str(out)}
    return ["tasks", *(part for pair in given.items() for part in pair), "--questions", "2"]


def run(server: ScriptedServer | str, taxonomy: Path, out: Path, *more: str, status: int = 0) -> Result:
    url = server if isinstance(server, str) else server.url
    done = CliRunner().invoke(main, [*arguments(url, taxonomy, out), *more])
    assert done.exit_code == status, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def names(folder: Path) -> list[str]:
    return [task.name for task in find_task_files(folder)]


def formats(chats: Sequence[Body]) -> list[Any]:
    return [chat.get("response_format") for chat in chats]


def test_every_knowledge_file_becomes_a_task(server: ScriptedServer, taxonomy: Path, out: Path) -> None:
    done = run(server, taxonomy, out)
    assert names(out) == ["knowledge_birds_owls", "knowledge_lamps"]
    assert f"{OWLS}: 4 of 4 questions kept, in the task knowledge_birds_owls" in done.output
    assert "questions asked for  6" in done.output
    assert "  kept               6" in done.output
    assert done.output.rstrip().endswith(f"--eval-tasks-dir {out} --eval-few-shots 2")
    assert len(server.chats) == 3 + 2 * 6  # a request a passage, and two looks a question


def test_the_teacher_is_kept_to_a_json_schema(server: ScriptedServer, taxonomy: Path, out: Path) -> None:
    run(server, taxonomy, out)
    for chat in server.chats:
        asked = chat["response_format"]
        assert asked["type"] == "json_schema"
        field = "answer" if is_look(chat) else "questions"
        assert asked["json_schema"]["schema"]["required"] == [field]
        assert "seed" not in chat  # docs/explanations/asking.md has why


@pytest.mark.parametrize("status", [400, 422, 501])
def test_a_server_without_schemas_is_asked_without(
    server: ScriptedServer, taxonomy: Path, out: Path, status: int
) -> None:
    refused = Status(status, "response_format is not supported")
    server.fault(refused, times=None, when=lambda body: "response_format" in body)
    run(server, taxonomy, out, "--max-concurrency", "1")
    assert names(out) == ["knowledge_birds_owls", "knowledge_lamps"]
    refusals = [chat for chat in formats(server.chats) if chat is not None]
    assert len(refusals) <= (1 if status != 501 else 6)  # 501 is tried again as any 5xx is


def test_a_refusal_for_another_reason_does_not_give_up_schemas(
    server: ScriptedServer, taxonomy: Path, out: Path
) -> None:
    server.fault(Status(400, "not in the mood"), times=2)
    done = run(server, taxonomy, out, "--max-concurrency", "1")
    assert "answered 400: not in the mood" in done.output
    assert "rejected: the teacher gave no reply  2" in done.output
    assert all(formats(server.chats[2:]))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("I'd love to! First,"), "not written"),
        (Reply('{"questions": [{"question": "Wh', "length"), "cut off by --max-tokens"),
        (Reply('{"questions": [{"question": 7}, {}]}'), "incomplete"),
    ],
)
def test_a_teacher_without_a_valid_question_is_a_failure(
    server: ScriptedServer, taxonomy: Path, out: Path, reply: Reply, said: str
) -> None:
    server.reply = lambda body: reply
    done = run(server, taxonomy, out, status=1)
    assert f"rejected: {said}" in done.output
    assert "Error: no task was written: no passage gave a valid question" in done.output
    assert not out.exists()


def test_only_what_a_branch_changes(
    server: ScriptedServer, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = write(tmp_path / "repository", FILES)

    def git(*arguments: str) -> None:
        own = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "main")
    git("checkout", "-q", "-b", "pr")
    write(folder, {LAMPS: qna("Eight lamps stand along Brindle harbour, where fishers mend their nets.")})
    git("commit", "-q", "-a", "-m", "a lamp more")
    git("checkout", "-q", "main")
    run(server, folder, out, "--branch", "pr", "--base-branch", "main")
    assert names(out) == ["knowledge_lamps"]
    assert "eight" in (out / "mmlubench_knowledge_lamps.jsonl").read_text("utf-8")
    done = run(server, folder, out, "--branch", "main", "--base-branch", "main", status=1)
    assert "at main has no knowledge file that is new or changed since main" in done.output


def test_the_same_command_asks_nothing_anew_and_another_overwrites_nothing(
    server: ScriptedServer, taxonomy: Path, out: Path
) -> None:
    run(server, taxonomy, out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    asked = len(server.chats)
    done = run(server, taxonomy, out)
    assert "4 questions of an earlier run are kept" in done.output
    done = run(server, taxonomy, out, "--seed", "7", status=1)
    assert " exists, and was not made" in done.output
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert len(server.chats) == asked
    run(server, taxonomy, out, "--seed", "7", "--overwrite")
    assert {path: path.read_bytes() for path in out.iterdir()} != before


def test_a_teacher_that_dies_leaves_the_finished_tasks_and_the_same_command_goes_on(
    server: ScriptedServer, taxonomy: Path, out: Path
) -> None:
    server.fault(Drop(), times=None, when=lambda body: "lamps stand" in str(body))
    done = run(server, taxonomy, out, "--max-concurrency", "1", status=1)
    assert "cannot be reached" in done.output
    assert "; the tasks of 1 file are kept, and the same command goes on from there" in done.output
    assert names(out) == ["knowledge_birds_owls"]
    with ScriptedServer() as other:
        other.reply = teach
        run(other, taxonomy, out)
        assert len(other.chats) == 1 + 2 * 2
    assert names(out) == ["knowledge_birds_owls", "knowledge_lamps"]


def test_ctrl_c_keeps_what_was_finished(server: ScriptedServer, taxonomy: Path, out: Path) -> None:
    server.fault(Hang(60), times=None, when=lambda body: "lamps stand" in str(body))
    command = [sys.executable, "-m", "pytest_instructlab_eval", *arguments(server.url, taxonomy, out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(OWLS)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ("Interrupted; the tasks of 1 file are kept, and the same command goes on from there\n")
    assert names(out) == ["knowledge_birds_owls"]


def test_what_is_no_whole_answer_costs_its_passage_alone(
    server: ScriptedServer, taxonomy: Path, out: Path
) -> None:
    server.fault(Finish("content_filter"), when=lambda body: "Young owls" in str(body))
    done = run(server, taxonomy, out)
    assert "ended its answer with finish_reason 'content_filter'" in done.output
    assert f"{OWLS}: 2 of 4 questions kept" in done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--base-url", "localhost"), "expected a URL such as http://127.0.0.1:8000/v1 (got 'localhost')"),
        (("--questions", "0"), "expected a whole number from 1 to 50 (got '0')"),
        (("--api-key-env", "NO_SUCH_VARIABLE"), "expected the name of an environment variable that is set"),
    ],
)
def test_a_bad_value_is_quoted(
    server: ScriptedServer, taxonomy: Path, out: Path, options: tuple[str, str], said: str
) -> None:
    assert said in " ".join(run(server, taxonomy, out, *options, status=2).output.split())


def test_the_messages_name_this_commands_options(taxonomy: Path, out: Path) -> None:
    done = run("http://127.0.0.1:9/v1", taxonomy, out, status=1)
    assert "or wait for it with --wait SECONDS" in done.output


def test_the_key_is_sent_and_shown_nowhere(
    taxonomy: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    with ScriptedServer(api_key="sk-secret") as server:
        server.reply = teach
        done = run(server, taxonomy, out, "--api-key-env", "TEACHER_KEY")
        assert "sk-secret" not in done.output + "".join(path.read_text("utf-8") for path in out.iterdir())
        monkeypatch.setenv("TEACHER_KEY", "sk-wrong")
        done = run(server, taxonomy, out, "--api-key-env", "TEACHER_KEY", status=1)
        assert "refused the key (401): check the variable that holds it (--api-key-env TEACHER_KEY)" in (
            done.output
        )
        assert "--api-key-header NAME sends it in another header" in done.output
        server.key_header = "api-key"
        monkeypatch.setenv("TEACHER_KEY", "sk-secret")
        run(server, taxonomy, out, "--api-key-env", "TEACHER_KEY", "--api-key-header", "api-key")
