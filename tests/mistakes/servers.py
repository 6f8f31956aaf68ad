"""Mistakes about the model's server: its URL, what listens there, its key, and what it can't do."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.plugin.conftest import Project
from tests.scripted_server import CHATS, COMPLETIONS, Status

from .mistake import SECRET, Mistake

ONE_TASK = "-k anatomy"


# What listens where the user thinks that a model is served


@contextmanager
def nothing() -> Iterator[str]:
    with socket.socket() as probe:  # bound and not listening, so that nobody else takes the port
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


@contextmanager
def another_protocol() -> Iterator[str]:
    """A server, such as a database's, that says something else to whatever comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"\x00\x5bREADY\xff\x01 no http here\r\n")
                    connection.recv(4096)

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def web(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, secure: bool = False
) -> Iterator[str]:
    """A web server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if secure:
        server.socket = certificate().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http{'s' if secure else ''}://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def certificate() -> ssl.SSLContext:
    """A certificate that nobody has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
             "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        context.load_cert_chain(certificate, key)
    return context


def page(status: int) -> Callable[[], AbstractContextManager[str]]:
    return partial(web, status, b"<html><body>It works!</body></html>", {"Content-Type": "text/html"})


# What the model's server lacks


def no_log_probabilities(project: Project) -> None:
    project.server.features = frozenset()


def no_chat(project: Project) -> None:
    project.server.fault(Status(404, "Not Found"), path=CHATS, times=None)


def no_completions(project: Project) -> None:
    project.server.fault(Status(404, "Not Found"), path=COMPLETIONS, times=None)


def a_tiny_context(project: Project) -> None:
    project.server.max_model_len = 16


def a_key(project: Project) -> None:
    project.server.api_key = "sk-another"


MISTAKES = [
    Mistake(
        "down",
        "the server was not started",
        "pytest $MMLU",
        r"the server at http://\S+ cannot be reached.*--eval-wait",
        server=nothing,
    ),
    Mistake(
        "down, with -n",
        "the server was not started, and the run is distributed",
        "pytest $MMLU -n 2",
        r"the server at http://\S+ cannot be reached.*--eval-wait",
        server=nothing,
    ),
    Mistake(
        "an unknown host",
        "the server's host is misspelt",
        "pytest --eval-model=tiny --eval-base-url=http://granite.invalid:8000/v1 --eval-benchmark=mmlu "
        "--eval-mmlu-data=$MMLU_DATA",
        r"the server at http://granite\.invalid:8000/v1 cannot be reached",
    ),
    Mistake(
        "another protocol",
        "the port is a database's",
        "pytest $MMLU",
        r"the server at http://\S+ .*(OpenAI|HTTP)",
        server=another_protocol,
    ),
    Mistake(
        "a web page",
        "the port is a web page's",
        "pytest $MMLU",
        r"the server at http://\S+ .*(OpenAI|/v1)",
        server=page(200),
    ),
    Mistake(
        "a web server without the path",
        "the port is another web server's, which answers 404",
        "pytest $MMLU",
        r"the server at http://\S+ .*404.*(OpenAI|/v1)",
        server=page(404),
    ),
    Mistake(
        "a server that is broken",
        "the server answers 500 to everything",
        "pytest $MMLU",
        r"the server at http://\S+ .*500",
        server=page(500),
    ),
    Mistake(
        "no scheme",
        "http:// is forgotten",
        "pytest --eval-model=tiny --eval-base-url=$HOST/v1 $ON_MMLU",
        r"--eval-base-url: expected a URL such as http://127\.0\.0\.1:8000/v1 \(got '127\.0\.0\.1:\d+/v1'\)",
    ),
    Mistake(
        "https on an http port",
        "https:// is given for a server without TLS",
        "pytest --eval-model=tiny --eval-base-url=https://$HOST/v1 --eval-benchmark=mmlu "
        "--eval-mmlu-data=$MMLU_DATA",
        r"the server at https://\S+ .*(http://|TLS)",
    ),
    Mistake(
        "http on an https port",
        "http:// is given for a server with TLS",
        "pytest --eval-model=tiny --eval-base-url=http://$HOST $ON_MMLU",
        r"the server at http://\S+ cannot be reached .*correct the URL",
        server=partial(web, 200, b"{}", secure=True),
    ),
    Mistake(
        "without /v1",
        "/v1 is forgotten",
        "pytest --eval-model=tiny --eval-base-url=http://$HOST $ON_MMLU",
        r"the server at http://\S+ .*/v1",
    ),
    Mistake(
        "with the endpoint",
        "the URL of the endpoint, and not of the API, is given",
        "pytest --eval-model=tiny --eval-base-url=$URL/chat/completions --eval-benchmark=mmlu "
        "--eval-mmlu-data=$MMLU_DATA",
        r"the server at http://\S+/chat/completions .*did you mean http://\S+/v1\?",
    ),
    Mistake(
        "a slash at the end",
        "the URL ends with a slash",
        "pytest --eval-model=tiny --eval-base-url=$URL/ $ON_MMLU -k anatomy",
        r"3 passed",
        status=0,
        asks=True,
    ),
    Mistake(
        "two by a comma",
        "two replicas are given in one option, with a comma",
        "pytest --eval-model=tiny --eval-base-url=$URL,$URL $ON_MMLU",
        r"--eval-base-url: expected one URL \(got several\); give the option once for each",
    ),
    Mistake(
        "two of which one is down",
        "one of two replicas was not started",
        "pytest $MMLU --eval-base-url=http://127.0.0.1:9/v1",
        r"the server at http://127\.0\.0\.1:9/v1 cannot be reached",
    ),
    Mistake(
        "a proxy in the way",
        "a proxy variable holds for the server's host",
        "pytest $MMLU",
        r"the server at http://\S+ .*(HTTP_PROXY|http_proxy|proxy)",
        env={
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
            "NO_PROXY": "",
            "no_proxy": "",
        },
        server=nothing,
    ),
    Mistake(
        "a redirect",
        "the server has moved, and redirects to another host",
        "pytest $MMLU",
        r"the server at http://\S+ .*a redirect to another host, example\.invalid, .*give its URL",
        server=partial(web, 301, headers={"Location": "http://example.invalid/v1/models"}),
    ),
    Mistake(
        "a self-signed certificate",
        "the server's certificate is its own",
        "pytest $MMLU",
        r"the server at https://\S+ .*certificate.*SSL_CERT_FILE",
        server=partial(web, 200, b"{}", secure=True),
    ),
    Mistake(
        "no key",
        "the server wants a key, and none is named",
        "pytest $MMLU",
        r"the server at \S+ asks for a key \(401\), and none was sent: .*--eval-api-key-env",
        given=a_key,
    ),
    Mistake(
        "a wrong key",
        "the server wants another key",
        "pytest $MMLU --eval-api-key-env=THE_KEY",
        r"the server at \S+ refused the key \(401\).*THE_KEY",
        given=a_key,
    ),
    Mistake(
        "a key that is not set",
        "the variable with the key is not exported",
        "pytest $MMLU --eval-api-key-env=GRANITE_KEY",
        r"--eval-api-key-env: .*'GRANITE_KEY'.*export",
    ),
    Mistake(
        "the key itself",
        "the key is given, and not the name of its variable",
        "pytest $MMLU --eval-api-key-env=$SECRET",
        r"--eval-api-key-env: expected the name of an environment variable",
    ),
    Mistake(
        "the key in the URL",
        "the key is put into the URL",
        "pytest --eval-model=tiny --eval-base-url=http://user:$SECRET@$HOST/v1 --eval-benchmark=mmlu",
        r"--eval-base-url: expected a URL without a user or password.*--eval-api-key-env",
    ),
    Mistake(
        "an empty key",
        "the variable with the key is empty",
        "pytest $MMLU --eval-api-key-env=GRANITE_KEY",
        r"asks for a key \(401\), and none was sent: the variable .* is empty \(--eval-api-key-env GRANITE_KEY\)",
        given=a_key,
        env={"GRANITE_KEY": ""},
    ),
    Mistake(
        "a key with a line break",
        "the variable with the key ends with a line break",
        "pytest $MMLU --eval-api-key-env=GRANITE_KEY",
        r"the key for the server at \S+ has characters that a key cannot have; .*GRANITE_KEY",
        given=a_key,
        env={"GRANITE_KEY": SECRET + "\n"},
    ),
    Mistake(
        "a key that isn't ASCII",
        "the variable with the key holds a text that was copied with typographic quotes",
        "pytest $MMLU --eval-api-key-env=GRANITE_KEY",
        r"the key for the server at \S+ has characters that a key cannot have; .*GRANITE_KEY",
        given=a_key,
        env={"GRANITE_KEY": f"\u201c{SECRET}\u201d"},
    ),
    Mistake(
        "no log-probabilities",
        "MMLU is asked of a server that gives no log-probabilities",
        f"pytest $MMLU {ONE_TASK}",
        r"the server gives no log-probabilities .*such as vLLM",
        status=7,
        given=no_log_probabilities,
        asks=True,
    ),
    Mistake(
        "no completions",
        "MMLU is asked of a server that only chats",
        f"pytest $MMLU {ONE_TASK}",
        r"the server gives no log-probabilities .*/completions.*such as vLLM",
        status=7,
        given=no_completions,
        asks=True,
    ),
    Mistake(
        "no chat",
        "MT-Bench is asked of a server that doesn't chat",
        "pytest $MT_BENCH",
        r"the server .*chat",
        status=7,
        given=no_chat,
        asks=True,
    ),
    Mistake(
        "a tiny context",
        "the model's context is too short for five solved examples",
        f"pytest $MMLU {ONE_TASK}",
        r"the prompt needs \d+ tokens .*context has 16; --eval-few-shots ",
        status=7,
        given=a_tiny_context,
        asks=True,
    ),
]
