"""Runs of Python forked from a process that has this plugin and its libraries imported, most of a run's time.

All processes that run tests share the one that is forked. What is about importing itself is tested with runs
of a new interpreter.
"""

import atexit
import contextlib
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import IO, Any, NoReturn

from execnet.gateway_base import ExecModel
from xdist import workermanage

ROOT = Path(__file__).parents[2]
ADDRESS = "PYTEST_FORK_SERVER"  # the environment variable that says where it is; no run inherits it
HUB = {"HF_HUB_OFFLINE": "1", "HF_HOME": f"{os.devnull}/nothing"}  # looked at when its libraries are imported
SERVE = "import sys; from tests.plugin import forking; forking.serve(int(sys.argv[1]))"


class Forked:
    """`python -m MODULE` in a session of its own, with the methods of a `Popen` that are used here."""

    def __init__(
        self, module: str, arguments: Sequence[str], folder: Path, env: Mapping[str, str], output: Path
    ) -> None:
        self._module = module
        ensure_fork_server()
        self._server = Client(os.environ[ADDRESS], "AF_UNIX")
        self._server.send((module, tuple(arguments), str(folder), dict(env), str(output)))
        self._status: int | None = None
        self.pid: int = self._server.recv()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            if not self._server.poll(timeout):
                raise subprocess.TimeoutExpired(self._module, timeout or 0)
            self._status = int(self._server.recv())
            self._server.close()
        return self._status

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended, as with a Popen
            os.kill(self.pid, number)


def ensure_fork_server() -> None:
    """Start the process that forks runs, unless there is one already; it ends with this process."""
    if ADDRESS not in os.environ:
        server = contextlib.ExitStack()
        server.enter_context(_fork_server())
        atexit.register(server.close)


@contextlib.contextmanager
def _fork_server() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ[ADDRESS] = f"{folder}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.environ[ADDRESS])
            listener.listen()
            descriptor = listener.fileno()
            server = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(descriptor)], cwd=ROOT, env={**os.environ, **HUB},
                stdin=subprocess.PIPE, pass_fds=[descriptor], start_new_session=True,
            )  # fmt: skip
        with server:  # which closes its standard input
            yield
        del os.environ[ADDRESS]


def serve(descriptor: int) -> None:
    """Fork a run for each connection, and say there how it ended, until standard input ends."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # else nothing would be woken
    listener = socket.socket(fileno=descriptor)
    runs: dict[int, Connection] = {}
    while 0 not in (ready := wait([listener, woken, 0])):
        if woken in ready:
            woken.recv(1024)
            _tell_ended(runs)
        if listener in ready:
            from . import preloaded  # noqa: F401  (once, and not where nothing is to be run)

            connection = Connection(listener.accept()[0].detach())
            with contextlib.suppress(EOFError, OSError):  # of a test process that was killed
                run_arguments = connection.recv()
                pid = os.fork()
                if not pid:
                    _be_run(run_arguments, (listener, woken, waker, connection, *runs.values()))
                runs[pid] = connection
                connection.send(pid)


def _tell_ended(runs: dict[int, Connection]) -> None:
    """Say how those runs ended that have."""
    for pid in list(runs):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with (
                runs.pop(pid) as connection,
                contextlib.suppress(OSError),
            ):  # of a test process that was killed
                connection.send(os.waitstatus_to_exitcode(status))


def _be_run(run_arguments: Sequence[Any], of_server: Sequence[socket.socket | Connection]) -> NoReturn:
    """What the forked process does, to its exit status."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for opened in of_server:
            opened.close()
        _run(*run_arguments)
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _run(module: str, arguments: Sequence[str], folder: str, env: Mapping[str, str], output: str) -> None:
    """Run a module as a new process does."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate((os.devnull, f"{output}.out", f"{output}.err")):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [module, *arguments]
    given = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [folder, *given, *(path for path in sys.path if path and Path(path) != ROOT)]
    workermanage._sys_path[:] = sys.path  # what the path was at the start, for the workers
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    with _ready_workers(_workers(arguments)):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _workers(arguments: Sequence[str]) -> int:
    """How many workers of pytest-xdist the command line asks for."""
    found = re.search(r" -n ?(\d)", "".join(f" {part}" for part in arguments))
    return int(found[1]) if found else 0


class ReadyWorker:
    """A process that waits to be a worker of pytest-xdist, with what execnet needs of a `Popen`."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, others: Sequence["ReadyWorker"]) -> None:
        (read_in, write_in), (read_out, write_out) = os.pipe(), os.pipe()
        self._status: int | None = None
        self.pid = os.fork()
        if not self.pid:
            theirs = (file.fileno() for other in others for file in other._files)
            for file in (write_in, read_out, *theirs):
                os.close(file)  # else nobody would see their end
            _be_worker(read_in, write_out)
        os.close(read_in)
        os.close(write_out)
        self.stdin, self.stdout = os.fdopen(write_in, "wb"), os.fdopen(read_out, "rb")

    @property
    def _files(self) -> tuple[IO[bytes], IO[bytes]]:
        return self.stdin, self.stdout

    def begin(self) -> None:
        """Have it go on as a process that is started now."""
        self.stdin.write(json.dumps([str(Path.cwd()), dict(os.environ)]).encode() + b"\n")
        self.stdin.flush()

    def dismiss(self) -> None:
        for file in self._files:
            file.close()
        self.wait()

    def wait(self) -> int:
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _be_worker(stdin: int, stdout: int) -> None:
    """What execnet's worker does: it executes the line that it reads; for ever, or until nothing comes."""
    status = 1
    try:
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.close(stdin)
        os.close(stdout)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["-c"]
        first = ""
        with contextlib.suppress(KeyboardInterrupt):
            first = sys.stdin.readline()
        if not first:
            os._exit(0)
        folder, env = json.loads(first)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        exec(eval(sys.stdin.readline()), {"__name__": "__main__"})
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(status)


@contextlib.contextmanager
def _ready_workers(count: int) -> Iterator[None]:
    """Have execnet take processes that were forked before the run began, while there are some."""
    if not count:
        yield
        return
    from execnet import gateway_base, gateway_io

    ready: list[ReadyWorker] = []
    for _ in range(count):
        ready.append(ReadyWorker(ready))

    class Master(gateway_io.Popen2IOMaster):
        def __init__(self, args: list[str], execmodel: ExecModel) -> None:
            if not ready:
                super().__init__(args, execmodel)
                return
            self.popen = worker = ready.pop()
            worker.begin()
            gateway_base.Popen2IO.__init__(self, worker.stdin, worker.stdout, execmodel)

    gateway_io.Popen2IOMaster = Master  # type: ignore[misc]
    try:
        yield
    finally:
        for worker in ready:
            worker.dismiss()
