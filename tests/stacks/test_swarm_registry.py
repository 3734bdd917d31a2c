"""A registry behind a login: what the deployer's `docker login` says reaches the daemon, and nothing that stays.

The daemon is a stand-in: it takes down what Pulumi's own provider sends it, and refuses the service. That a node pulls
with that login is Docker's own doing, and proven nowhere here.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from tests.stacks.swarm import SwarmProject, lay_provider

pytestmark = [pytest.mark.real, pytest.mark.slow]

REGISTRY = "registry.example.com"
IMAGE = f"{REGISTRY}/coreflux-mcp-secrets:0.1.0"


class Daemon(ThreadingUnixStreamServer):
    """A manager that makes networks, and no service."""

    daemon_threads = True
    logins: list[Any]


class _Asked(BaseHTTPRequestHandler):
    server: Daemon

    def do_GET(self) -> None:
        if self.path.partition("?")[0].endswith("/services"):
            self._say(200, [])
        elif self.path.endswith("/info"):
            self._say(200, {"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}})
        elif self.path.endswith("/version"):
            self._say(200, {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"})
        elif "/networks/" in self.path:
            self._say(200, {"Id": "n1", "Name": "n", "Driver": "overlay", "Scope": "swarm", "Attachable": True})
        elif self.path.endswith("_ping"):
            self._say(200, "OK")
        else:
            self._say(404, {"message": "no such thing"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.partition("?")[0].endswith("/networks/create"):
            self._say(201, {"Id": "n1"})
            return
        sent = self.headers.get("X-Registry-Auth") or ""
        self.server.logins.append(json.loads(base64.urlsafe_b64decode(sent)))
        self._say(500, {"message": "taken down"})

    def do_DELETE(self) -> None:
        self._say(204, {})

    def _say(self, status: int, what: object) -> None:
        body = b"" if status == HTTPStatus.NO_CONTENT else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(str(tmp_path / "d.sock"), _Asked) as daemon:
        daemon.logins = []
        thread = threading.Thread(target=daemon.serve_forever)
        thread.start()
        try:
            yield daemon
        finally:
            daemon.shutdown()
            thread.join()


def test_a_login_goes_with_the_service_and_is_in_no_state(tmp_path: Path, daemon: Daemon) -> None:
    lay_provider(tmp_path)
    word = secrets.token_urlsafe(24)
    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(f"deployer:{word}".encode()).decode()
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {REGISTRY: {"auth": auth}}}))
    config: dict[str, dict[str, object]] = {
        "store": {"kind": "swarm"},
        "server": {"kind": "swarm", "image": IMAGE, "registry_login": True},
        "broker": {"kind": "coreflux", "host": "mqtt.example.com"},
    }
    stack = SwarmProject("registry", tmp_path, config, f"unix://{daemon.server_address!s}")
    stack.create()

    done = stack.run("up", "--yes", "--skip-preview")

    assert "taken down" in done.stdout, done.stdout
    assert daemon.logins
    assert {(one["username"], one["password"]) for one in daemon.logins} == {("deployer", word)}
    state = stack.state()
    assert REGISTRY in _provider(state)["registryAuth"]
    for trace in (word, auth):
        assert trace not in state + done.stdout
        assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file() and trace in path.read_text()]


def _provider(state: str) -> dict[str, str]:
    """The inputs of Pulumi's provider, as the state has them."""
    resources = json.loads(state)["deployment"]["resources"]
    (inputs,) = [one["inputs"] for one in resources if one["type"] == "pulumi:providers:docker"]
    found: dict[str, str] = inputs
    return found
