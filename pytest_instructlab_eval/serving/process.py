"""A server's process: started, watched and stopped, and gone when this process is gone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GUARD = Path(__file__).with_name("process_group.py")
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LINE_LENGTH = 300  # vLLM logs its whole configuration in one


class ServerProcess:
    """A command and all that it starts, until `stop` or the end of this process, whichever way it ends.

    Standard output and error go to the file `log`. Raises OSError where that can't be written.
    """

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", str(GUARD), str(GRACE), *command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops this
            )

    @property
    def status(self) -> int | None:
        """Return the exit status as a shell has it, None while the process runs."""
        return self._guard.poll()

    def begin_to_stop(self) -> None:
        """Ask it to end, without waiting."""
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()

    def stop(self) -> None:
        """End it and wait until nothing of it is left."""
        self.begin_to_stop()
        self._guard.wait()

    def last_lines(self, count: int = 20) -> list[str]:
        """Return the end of its log."""
        lines = self.text().splitlines()[-count:]
        return [line if len(line) <= LINE_LENGTH else line[:LINE_LENGTH] + "…" for line in lines]

    def end_of_log(self) -> str:
        """Return the end of its log and where it is, as a paragraph of a message."""
        return "\n    ".join([f"  the end of {short_path(self.log)}:", *self.last_lines()])

    def text(self) -> str:
        """Return its whole log."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def short_path(path: Path) -> str:
    """Return a path as short as it can be told."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@dataclass(frozen=True)
class StartedServer:
    """A model that can be asked at `url`, and the process that serves it, None where there is none."""

    url: str
    process: ServerProcess | None = None
