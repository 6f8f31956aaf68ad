"""vLLM as a server process: its command line, its start, and the reason of a failure."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.serving.process import ServerProcess, StartedServer, short_path

POLL = 0.5  # seconds between two looks at /health
PORTS = 3  # tries, where another program takes the port first
LOOK = """
import importlib.metadata, importlib.util, json
found = importlib.util.find_spec("vllm") is not None
try:
    named = bool(importlib.metadata.version("vllm"))
except importlib.metadata.PackageNotFoundError:
    named = False
print(json.dumps([found, named]))
"""
# This Python's paths; and the key that vLLM would ask the run for, which asks its own server without one.
NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "VLLM_API_KEY")
SYSTEM_RANDOM = random.SystemRandom()  # a test's seed would give two runs the same ports
PORT_TAKEN = re.compile(r"address already in use|Errno 98", re.IGNORECASE)
CAUSES = (
    (
        r"larger than the maximum number of tokens that can be stored in KV cache"
        r"|larger than the available KV",
        "the model's context is too long for the memory that is left: shorten it with "
        "--eval-vllm-args '--max-model-len 4096'",
    ),
    (
        r"greater than the derived max_model_len",
        "the requested context is longer than the model's own: lower --max-model-len in --eval-vllm-args",
    ),
    (
        r"out of memory|OutOfMemoryError|No available memory for the cache|desired GPU memory utilization"
        r"|less than requested memory for kv|Cannot allocate memory|not enough memory|std::bad_alloc",
        "there is too little free memory: end other programs that use it, take more GPUs with --eval-gpus, "
        "or ask for less with --eval-vllm-args '--max-model-len 4096 "
        "--gpu-memory-utilization 0.8'",
    ),
    (
        r"is not a local folder and is not a valid model identifier|RepositoryNotFound|Repository Not Found"
        r"|LocalEntryNotFound|Invalid repository ID|Can't load the configuration|not the path to a directory"
        r"|We couldn't connect to|OfflineModeIsEnabled|does not appear to have a file named"
        r"|HFValidationError",
        "there is no such model, or the hub cannot be reached: give a model's folder or its name on the hub, "
        "or, if a server has it, its URL with --eval-base-url",
    ),
    (
        r"is not a valid JSON file|Unrecognized model in|Model architectures .* are not supported"
        r"|Cannot find any model weights|SafetensorError|Couldn't instantiate the backend tokenizer",
        "vLLM cannot load the model: expected a folder with config.json, the tokenizer's files and all "
        "*.safetensors, of an architecture that this vLLM supports",
    ),
    (
        r": error: (?:unrecognized arguments|argument |ambiguous option)",
        "vLLM refuses one of its options: correct --eval-vllm-args",
    ),
    (
        r"must be divisible by tensor parallel size",
        "the model cannot be spread over that many GPUs: give a number that divides its attention heads with "
        "--eval-gpus",
    ),
    (
        r"Failed to infer device type|Found no NVIDIA driver",
        "this vLLM finds no GPU: name a Python with a vLLM for the CPU with --eval-vllm-python, or run the "
        "model in this process with --eval-serve local",
    ),
    (
        r"No module named '?vllm",
        "this Python has no vLLM: name one that has it with --eval-vllm-python, or pip install vllm",
    ),
)

# vLLM's engine is a process of its own, whose first error stands far above the end of the log.
ERROR = re.compile(r"^(?:\([^)]*\) ERROR [^\]]*\] *)?([\w.]*(?:Error|Exception): .{1,300})", re.MULTILINE)

# The server is on this machine, so no proxy of the user's is asked.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True)
class VLLM:
    """A model served by vLLM: `label` is its name in messages, `gpus` are its devices, none on a CPU."""

    name: str
    label: str
    python: str
    log: Path
    gpus: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    timeout: float = 1800.0

    def start(self, say: Callable[[str], None], stopped: Callable[[], bool] = lambda: False) -> StartedServer:
        """Start it and wait until it is ready; call `say` with the progress, about each half minute.

        Raises ConfigurationError with the end of its log where it doesn't become so.
        """
        for _ in range(PORTS):
            port = _free_port()
            process = ServerProcess(self.command(port), self.log, self.environment())
            try:
                say(f"starting vLLM with {self.label}; its log is {short_path(self.log)}")
                if self._becomes_ready(process, port, say, stopped):
                    return StartedServer(f"http://127.0.0.1:{port}/v1", process)
            except BaseException:
                process.stop()
                raise
            process.stop()
            if not PORT_TAKEN.search(process.text()):
                break
        raise ConfigurationError(self.explanation(process))

    def command(self, port: int) -> list[str]:
        """Return the server's command line."""
        installed, packaged = look_for_vllm(self.python)
        if not installed:
            raise ConfigurationError(
                f"{self.python} has no vLLM: name a Python that has it with --eval-vllm-python, pip install "
                "vllm, or give a server's URL with --eval-base-url"
            )
        source = model_source(self.name)
        # `vllm serve` asks for the version of a package of that very name.
        entry = ["vllm.entrypoints.cli.main", "serve", source] if packaged else [
            "vllm.entrypoints.openai.api_server", "--model", source
        ]  # fmt: skip
        parallel = ["--tensor-parallel-size", str(len(self.gpus))] if len(self.gpus) > 1 else []
        own = ["--served-model-name", self.name, "--host", "127.0.0.1", "--port", str(port)]
        return [self.python, "-m", *entry, *own, *parallel, *self.arguments]

    def environment(self) -> dict[str, str]:
        """Return this process's environment, with the server's devices."""
        variables = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        if self.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        return variables

    def explanation(self, process: ServerProcess) -> str:
        """Return why it ended, as far as its log tells, and the end of the log."""
        text = process.text()
        cause = next(
            (sentence for pattern, sentence in CAUSES if re.search(pattern, text, re.IGNORECASE)), None
        )
        ending = f": {cause}" if cause else ""
        error = ERROR.search(text)
        first = f"\n  its first error: {error[1]}" if error else ""
        ended = f"vLLM with {self.label} ended with status {process.status}{ending}"
        return f"{ended}{first}\n{process.end_of_log()}"

    def _becomes_ready(
        self, process: ServerProcess, port: int, say: Callable[[str], None], stopped: Callable[[], bool]
    ) -> bool:
        started = last_message = time.monotonic()
        while process.status is None:
            if _healthy(port):
                say(f"vLLM serves {self.label} after {time.monotonic() - started:.0f} s")
                return True
            now = time.monotonic()
            if stopped():
                raise ConfigurationError(f"vLLM with {self.label} was stopped while it loaded")
            if now - started > self.timeout:
                process.stop()
                raise ConfigurationError(
                    f"vLLM with {self.label} was not ready within {self.timeout:g} s; if its log shows that "
                    f"it is still loading, allow more with --eval-serve-timeout\n{process.end_of_log()}"
                )
            if now - last_message >= 30:
                last_message = now
                say(f"waiting for vLLM to load {self.label} ({now - started:.0f} s)")
            time.sleep(POLL)
        return False


def model_source(name: str, option: str = "--eval-model") -> str:
    """Return what to load for a model's name: a folder, or a name on the hub (a bare one is InstructLab's).

    Raises ConfigurationError, which names the option, for a folder that is no model.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ConfigurationError(f"{option}: the folder {name} is not a model: it has no config.json")
        return str(path.resolve())
    if path.is_file():
        raise ConfigurationError(
            f"{option}: {name} is a file; expected a folder with config.json (serve a GGUF file with "
            "llama.cpp, and give the server's URL with --eval-base-url)"
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ConfigurationError(
            f"{option}: there is no folder {name}; give a model's folder or its name on the hub"
        )
    return name if "/" in name else f"instructlab/{name}"


def has_vllm(python: str) -> bool:
    """Return whether that Python has vLLM."""
    return look_for_vllm(python)[0]


def look_for_vllm(python: str) -> tuple[bool, bool]:
    """Return whether a Python has vLLM, and whether as the package of that name.

    Raises ConfigurationError for what is no Python.
    """
    try:
        done = subprocess.run([python, "-c", LOOK], capture_output=True, text=True, check=True, timeout=60)
        installed, packaged = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise ConfigurationError(
            f"--eval-vllm-python: expected a Python that runs (got {python!r}); give its executable"
        ) from None
    return bool(installed), bool(packaged)


def visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names, by number or identifier, of the NVIDIA devices that this process may use."""
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return tuple(name for name in map(str.strip, listed.split(",")) if name not in ("", "-1"))
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30)  # noqa: S607
    except (OSError, subprocess.SubprocessError):
        return ()
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return tuple(map(str, range(count)))


def _healthy(port: int) -> bool:
    try:
        with _open(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, http.client.HTTPException):
        pass  # it doesn't listen yet, or something else does
    return False


def _free_port() -> int:
    """Return a port that nothing listens at.

    It is below those that outgoing connections are given, since the server takes it some seconds later.
    """
    while True:
        port = SYSTEM_RANDOM.randrange(20_000, 32_768)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def divide_gpus(
    visible: Sequence[str], candidate: int | None, judge: int | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the devices of the candidate and of the judge: the same ones where `judge` is None.

    `candidate` is None where it gets all that the judge leaves. Raises ConfigurationError where there
    are too few.
    """
    wanted = (candidate or 0) + (judge or 0)
    if wanted > len(visible):
        raise ConfigurationError(
            f"--eval-gpus and --eval-judge-gpus ask for {wanted} GPUs, and {len(visible)} are visible; ask "
            "for fewer"
        )
    rest = len(visible) - (judge or 0)
    if judge and candidate is None and not rest:
        raise ConfigurationError(
            f"--eval-judge-gpus {judge} leaves no GPU for the model; ask for fewer, or leave it out and the "
            "two share the GPUs one after the other"
        )
    first = tuple(visible[: rest if candidate is None else candidate])
    return first, (first if judge is None else tuple(visible[len(first) : len(first) + judge]))
