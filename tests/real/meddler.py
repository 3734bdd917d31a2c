"""What may happen on the way to an API server: somebody else writes first, an answer is lost, it says to come later.

Behind it is the real one, and the conflict that a client meets is its own. Only what a server under load or on its way
down would answer is the meddler's. It acts as the cluster's admin for whoever asks.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.real.cluster import Cluster
from tests.real.control_plane import certified, kubeconfig

ANNOTATION = "test/meddled"


class Deed(Enum):
    """What the meddler does to one request."""

    NOTHING = "passes it on"
    CHANGE = "changes the same object first, or makes it"
    LOSE = "passes it on, and cuts the connection instead of answering"
    TOO_MANY = "answers 429 and asks to come back in a second"
    UNAVAILABLE = "answers 503, and not as Kubernetes would"


@dataclass(frozen=True)
class Asked:
    """One request, and how many there have been of its method and path, this one included."""

    method: str
    path: str
    tries: int

    @property
    def writes(self) -> bool:
        return self.method != "GET"


@dataclass
class Meddler:
    """What went through it."""

    kubeconfig: Path
    conflicts: int = 0
    written: int = 0
    _tries: Counter[tuple[str, str]] = field(default_factory=Counter)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, method: str, path: str) -> Asked:
        with self._turn:
            self._tries[method, path] += 1
            return Asked(method, path, self._tries[method, path])

    def answered(self, status: int) -> None:
        with self._turn:
            self.conflicts += status == http.HTTPStatus.CONFLICT
            self.written += status in (http.HTTPStatus.OK, http.HTTPStatus.CREATED)


@contextlib.contextmanager
def meddling(cluster: Cluster, choose: Callable[[Asked], Deed]) -> Iterator[Meddler]:
    """A meddler before `cluster` while the block runs, that does to each request what `choose` says."""
    upstream = ssl.create_default_context(cafile=cluster.ca_file)
    upstream.load_cert_chain(*certified(cluster.folder, "meddler", ("system:masters",)))

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=upstream)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def meddle(method: str, path: str, body: bytes) -> None:
        if method == "POST":
            wanted = json.loads(body)
            empty = {key: wanted[key] for key in ("apiVersion", "kind", "metadata")}
            assert ask("POST", path, json.dumps(empty).encode())[0] == http.HTTPStatus.CREATED
            return
        status, found = ask("GET", path)
        assert status == http.HTTPStatus.OK
        thing: dict[str, Any] = json.loads(found)
        notes = thing["metadata"].setdefault("annotations", {})
        notes[ANNOTATION] = str(int(notes.get(ANNOTATION, "0")) + 1)
        assert ask("PUT", path, json.dumps(thing).encode())[0] == http.HTTPStatus.OK

    class Between(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms between its head and its body

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))) or None
            method, (path, _, _) = self.command, self.path.partition("?")
            deed = choose(meddler.asked(method, path))
            if deed is Deed.TOO_MANY:
                return self.answer(429, b"Too many requests, please try again later.", {"Retry-After": "1"})
            if deed is Deed.UNAVAILABLE:
                return self.answer(503, b"<html>Service Unavailable</html>", {"Content-Type": "text/html"})
            if deed is Deed.CHANGE and body is not None:
                meddle(method, path, body)
            status, answer = ask(method, self.path, body)
            if body is not None:
                meddler.answered(status)
            if deed is Deed.LOSE:
                self.close_connection = True
                return None
            return self.answer(status, answer, {"Content-Type": "application/json"})

        def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, text in {"Content-Type": "text/plain", **headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = pass_on  # noqa: N815 - as the library names them

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(cluster.folder / "server.crt", cluster.folder / "server.key")
    server.socket = own.wrap_socket(server.socket, server_side=True)
    meddler = Meddler(kubeconfig(cluster.folder, server.server_port, "whoever"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield meddler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
