"""What docs/operations/azure.md says of a subscription that assigns no role on a secret that is not there yet.

The provider is the stand-in. What answers it for vaults and roles is a stand-in of this file's, which refuses as Azure
Resource Manager might.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from secretops.values import Value
from tests.real.mosquitto import Mosquitto
from tests.stacks.prod import new_prod_stack
from tests.unit.azure_stack import SHIPPED, shipped
from tests.unit.harness import ca_file
from tools.standin.azure.emulator import VARIABLE

pytestmark = pytest.mark.real


class _Refusing(BaseHTTPRequestHandler):
    """Makes all that is asked for, but for a role on `refused`."""

    refused = "agent-key"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = f"/secrets/{self.refused}/" not in self.path
        told = {} if found else {"error": {"code": "ScopeNotFound", "message": "there is no such secret"}}
        body = json.dumps(told).encode()
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextmanager
def refusing() -> Iterator[str]:
    """Its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_role_that_is_refused_on_a_secret_keeps_back_itself_and_the_server_and_nothing_else(tmp_path: Path) -> None:
    declared = shipped(ca_file(tmp_path)).resources.keys()
    broker = Mosquitto(tmp_path, 8883, tls=True, admin=Value({}))  # it is never reached
    with refusing() as url:
        stack = new_prod_stack(tmp_path, str(SHIPPED), broker, {VARIABLE: url})
        done = stack.run("up", "--yes", "--skip-preview", "--continue-on-error")
        resources = json.loads(stack.state())["deployment"]["resources"]

    assert done.returncode != 0
    refused = {f"{who}-{_Refusing.refused}" for who in ("server-reads", "rotator-keeps")}
    assert {name for name in refused if f"({name}):" not in done.stdout} == set(), done.stdout
    assert {"server", "app", *refused} < declared
    assert declared - {one["urn"].rpartition("::")[2] for one in resources} == {"server", "app", *refused}
