"""The tools that read our exports, each in an environment of its own, made once a machine.

inspect-ai brings many packages, and every-eval-ever needs Python 3.12, so neither is installed beside the
tests. What cannot be made is an error: no test is skipped for it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .vllm_environment import CACHE, lock, run


@dataclass(frozen=True)
class Viewer:
    """A package with its version, what it needs beside it, and the Pythons that it runs on."""

    package: str
    module: str
    more: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ("3.11", "3.12", "3.13")

    def python(self) -> Path:
        """The interpreter of the environment, which is made when it is missing."""
        name = self.package.replace("==", "-")
        environment = CACHE / name
        interpreter = environment / "bin" / "python"
        complete = (
            environment / ".complete"
        )  # written last: a folder without it is an interrupted installation
        with lock(name):
            if not (complete.exists() and interpreter.exists()):
                shutil.rmtree(environment, ignore_errors=True)
                run([_interpreter(self.pythons), "-m", "venv", str(environment)])
                run([str(interpreter), "-m", "pip", "install", "--quiet", self.package, *self.more])
                run([str(interpreter), "-c", f"import {self.module}"])
                complete.touch()
        return interpreter


INSPECT = Viewer("inspect-ai==0.3.285", "inspect_ai.log", ("pandas", "pyarrow"))
EVERY_EVAL_EVER = Viewer("every-eval-ever==0.3.0", "every_eval_ever", pythons=("3.13", "3.12"))


def _interpreter(versions: Sequence[str]) -> str:
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version in versions:
        roots = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        named = sys.executable if version == running else shutil.which(f"python{version}")
        for interpreter in (*map(str, reversed(roots)), named):
            if interpreter is not None:
                return interpreter
    raise RuntimeError(f"The end-to-end tests need one of Python {', '.join(versions)}.")
