"""Docker's health check: a container is healthy while it serves, after it has served, and before the first values."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from secretops.launcher.health import unhealthy_reason

pytestmark = pytest.mark.real


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, int]]:
    """Yield the address of a stand-in for a launcher. It answers `status` and `body` at /readyz, and 404 elsewhere."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join()


def standing(*waiting: str) -> bytes:
    return json.dumps({"ready": False, "waiting_for": list(waiting), "broker": "not connected"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "has_served", "healthy"),
    [
        (200, b'{"ready": true, "waiting_for": []}', False, True),
        (503, standing(), False, False),  # it has its values, and may not take over
        (503, standing("mqtt", "http-token"), False, True),
        (503, standing(), True, True),  # the broker is down
        (503, b"", False, False),
        (503, b"[]", False, False),
    ],
    ids=["serves", "never served", "waits for first values", "has served", "no answer", "another answer"],
)
def test_health_is_by_the_answer_and_by_whether_it_has_served(
    status: int, body: bytes, has_served: bool, healthy: bool, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    if has_served:
        served.touch()
    with answering(status, body) as address:
        assert (unhealthy_reason(address, served) == "") is healthy
    assert served.exists() is (has_served or status == 200)


def test_who_does_not_answer_is_not_healthy_though_it_has_served(tmp_path: Path) -> None:
    (tmp_path / "served").touch()
    with answering(200, b"{}") as address:
        pass
    assert unhealthy_reason(address, tmp_path / "served").startswith("no answer: ")
