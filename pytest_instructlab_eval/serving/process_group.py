"""Runs a command in a process group of its own, and ends that group when whoever started this is gone.

    python process_group.py GRACE COMMAND...

The starter holds the other end of standard input. It closes however the starter ends, by `kill -9`
too; then the group gets SIGTERM, and SIGKILL after GRACE seconds. This file is run by itself, so it
imports the standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

INTERVAL = 0.1  # seconds between two looks
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def run_in_group(command: Sequence[str], grace: float) -> int:
    """Return the command's exit status as a shell would give it; 127 where it can't be started."""
    gone = threading.Event()
    # Have orphans reaped here: a container's first process may not do it, and till then they count.
    with contextlib.suppress(OSError, AttributeError):  # Linux has this
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: gone.set())
    try:
        leader = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    threading.Thread(target=_wait_for_end_of_input, args=(gone,), daemon=True).start()
    while leader.poll() is None and not gone.wait(INTERVAL):
        pass
    for number in (signal.SIGTERM, signal.SIGKILL):  # to the whole group, whether the leader runs or not
        deadline = time.monotonic() + grace
        if not _signal_group(leader, number):
            break
        while _signal_group(leader, 0) and time.monotonic() < deadline:
            time.sleep(INTERVAL / 2)
    status = leader.wait()
    return status if status >= 0 else 128 - status


def _wait_for_end_of_input(gone: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    gone.set()


def _signal_group(leader: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal (0 is none) to the group; return whether it has any process."""
    if leader.poll() is not None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-leader.pid, os.WNOHANG)[0]:  # orphans are reaped here
                pass
    try:
        os.killpg(leader.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says so of a group of zombies
        return False
    return True


if __name__ == "__main__":
    sys.exit(run_in_group(sys.argv[2:], float(sys.argv[1])))
