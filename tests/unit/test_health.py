"""Docker's one check: healthy is who serves, who has served, and who waits for first values."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from secretops.entrypoints.health import told

pytestmark = pytest.mark.real


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, int]]:
    """A stand-in for the launcher, which answers this at /readyz and 404 elsewhere."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join()


def standing(*waiting: str) -> bytes:
    """As the launcher's /readyz says it (secretops.launcher.http)."""
    return json.dumps({"ready": False, "waiting_for": list(waiting), "broker": "not connected"}).encode()


def test_who_serves_is_healthy_and_it_is_remembered(tmp_path: Path) -> None:
    with answering(200, b'{"ready": true, "waiting_for": []}') as address:
        assert told(address, tmp_path / "served") == ""
    assert (tmp_path / "served").exists()


def test_who_has_its_values_and_does_not_serve_never_takes_over(tmp_path: Path) -> None:
    with answering(503, standing()) as address:
        assert told(address, tmp_path / "served") == "HTTP 503: it has its values and does not serve"


def test_who_waits_for_first_values_is_healthy(tmp_path: Path) -> None:
    with answering(503, standing("mqtt", "http-token")) as address:
        assert told(address, tmp_path / "served") == ""
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b"{}"])
def test_an_answer_that_says_nothing_is_no_waiting(tmp_path: Path, body: bytes) -> None:
    with answering(503, body) as address:
        assert told(address, tmp_path / "served")


def test_who_does_not_answer_is_not_healthy_though_it_has_served(tmp_path: Path) -> None:
    (tmp_path / "served").touch()
    with answering(200, b"{}") as address:
        pass
    assert told(address, tmp_path / "served").startswith("no answer: ")


def test_who_has_served_stays_while_the_broker_is_away(tmp_path: Path) -> None:
    (tmp_path / "served").touch()
    with answering(503, standing()) as address:
        assert told(address, tmp_path / "served") == ""
