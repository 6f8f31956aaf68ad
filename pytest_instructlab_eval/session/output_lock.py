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

NAME = ".lock"
MOST = 300  # characters about the owner that are read from a lock


class OutputLock:
    """The exclusive right to write to a folder, from `acquire` to `release`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Path] = []
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Make the folder and lock it; raises OutputInUseError where another process has the lock.

        Raises ConfigurationError where the folder cannot be made or locked."""
        if fcntl is None:
            return
        self._made = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while not self._is_locked():
                pass  # its owner removed the file in between
        except OSError as error:
            raise ConfigurationError(
                f"--eval-output-dir: {self._folder} cannot be locked ({error.strerror}); name another folder"
            ) from None

    def _is_locked(self) -> bool:
        """Lock the file, and return whether it is still the one in the folder."""
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
        """Release the lock, and remove the folder if `acquire` made it and it is empty."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            (self._folder / NAME).unlink()
        os.close(self._descriptor)
        self._descriptor = None
        with contextlib.suppress(OSError):  # not empty
            for path in self._made:
                path.rmdir()
