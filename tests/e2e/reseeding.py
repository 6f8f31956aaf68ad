"""A server in front of another, which gives each request a seed of its own.

Two sides of a comparison are asked with the same seeds, so a model beside itself would say the same words
twice. Behind this server it draws anew, as another checkpoint that answers as well would.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MORE = 1_000_003  # is added to each seed
LARGEST_SEED = 2**31
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the machine has


@contextmanager
def reseeding(url: str) -> Iterator[str]:
    """Yield the URL of a server that sends all requests on to this one, chats with another seed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._forward(None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if isinstance(body.get("seed"), int):
                body["seed"] = (body["seed"] + MORE) % LARGEST_SEED
            self._forward(json.dumps(body).encode())

        def _forward(self, body: bytes | None) -> None:
            request = urllib.request.Request(url + self.path, body, {"Content-Type": "application/json"})
            try:
                with DIRECT.open(request) as answer:
                    status, reply = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                status, reply = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
