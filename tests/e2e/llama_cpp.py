"""A real llama.cpp server of SmolLM2: its environment and the server; run as a script it serves.

The environment is made once a machine, in the user's cache folder, as that of vLLM is.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

XLLAMACPP = "xllamacpp==2026.10.11549"  # its wheel carries llama.cpp's server
CONTEXT = 4096
SLOTS = 4


def python() -> Path:
    """The interpreter of the environment with llama.cpp, which is made when it is missing."""
    from .vllm_environment import CACHE, lock, run

    folder = CACHE / XLLAMACPP.replace("==", "-")
    interpreter, complete = folder / "bin" / "python", folder / ".complete"
    with lock(folder.name):
        if not complete.exists():
            run([sys.executable, "-m", "venv", "--clear", str(folder)])
            run([str(interpreter), "-m", "pip", "install", "--quiet", XLLAMACPP])
            complete.touch()
    return interpreter


@contextmanager
def server(log: Path) -> Iterator[str]:
    """The URL of a server of the model, under the name "smollm2"."""
    from . import smollm2
    from .vllm_environment import free_port

    port = free_port()
    command = [str(python()), str(Path(__file__)), str(smollm2.gguf()), str(port)]
    with log.open("wb") as file, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    from .vllm_environment import START_SECONDS, ask

    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            ask(f"{url}/v1/models", timeout=5)
            return
        except (OSError, RuntimeError):
            time.sleep(0.2)
    raise RuntimeError(
        f"llama.cpp did not start; the end of its log:\n{log.read_text(errors='replace')[-2000:]}"
    )


def serve(model: str, port: int) -> None:
    """Serve until stdin ends. Runs in llama.cpp's environment."""
    import xllamacpp  # type: ignore[import-not-found]

    options: Any = xllamacpp.CommonParams()
    options.model.path = model
    options.model_alias = {"smollm2"}
    options.n_ctx, options.n_parallel, options.n_gpu_layers = CONTEXT * SLOTS, SLOTS, 0
    options.cpuparams.n_threads = 2
    options.warmup = False
    options.port = port
    running = xllamacpp.Server(options)
    print(running.listening_address, flush=True)
    sys.stdin.read()


def main(arguments: Sequence[str]) -> None:
    serve(arguments[0], int(arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
