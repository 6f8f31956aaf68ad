"""A lock on a run's output folder, which the operating system releases with the process."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError, OutputInUseError

try:
    import fcntl
except ImportError:  # not on Windows, where a folder has no lock
    fcntl = None  # type: ignore[assignment]

__all__ = ["OutputLock"]

NAME = ".lock"
MOST = 300  # characters of what a lock says about its owner


class OutputLock:
    """The one run that may write to a folder, from `acquire` to `release`; the folder is made for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Path] = []
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises OutputInUseError where another process has it, else ConfigurationError."""
        if fcntl is None:
            return
        self._made = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while not self._is_locked():
                pass  # its owner took the file away in between
        except OSError as error:
            raise ConfigurationError(
                f"--eval-output-dir: {self._folder} cannot be locked ({error.strerror}); name another folder"
            ) from None

    def _is_locked(self) -> bool:
        """Lock the file; False where it is not the one in the folder any more."""
        path = self._folder / NAME
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, MOST).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise OutputInUseError(
                f"--eval-output-dir: another run writes to {self._folder} "
                f"({owner or 'it has just started'}); wait for its end, or name another folder"
            ) from None
        except OSError:  # a file system without locks
            pass
        if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the folder free, and remove it where it is still empty and was made by `acquire`."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            (self._folder / NAME).unlink()
        os.close(self._descriptor)
        self._descriptor = None
        with contextlib.suppress(OSError):  # it has files
            for path in self._made:
                path.rmdir()
