"""A Vault stack on a real OpenBao, as `pulumi up` leaves it, for doctor, audit and the launcher."""

from __future__ import annotations

import io
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from components.vault import policies
from components.vault.args import Names
from secretops import cli
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol, Reader, Secret, SecretKind
from secretops.operations.session import Session
from secretops.platforms.vault.location import VaultLogin, VaultStoreLocation
from tests.real.ports import free_port

if TYPE_CHECKING:
    import hvac

    from tests.real.openbao import OpenBao

# Secret -> whether the server reads it.
CATALOG = {"mqtt": True, "agent-key": True, "http-token": True, "broker-admin": False}
LEASE = "rotator/lease"


@dataclass
class LiveVault:
    """A mount with a stack's secrets, and its policies."""

    openbao: OpenBao
    folder: Path
    mount: str
    # Prefix of the names of all that the stack has besides its mount.
    own: str = field(default_factory=lambda: f"stack-{secrets.token_hex(4)}")

    @property
    def root(self) -> hvac.Client:
        return self.openbao.client()

    @property
    def approle(self) -> str:
        return f"{self.own}/approle"

    @property
    def userpass(self) -> str:
        return f"{self.own}-people"

    def role(self, name: str) -> str:
        return f"{self.mount}-{name}"

    @property
    def store(self) -> VaultStoreLocation:
        server, rotator = (f"{self.approle}/{self.role(name)}" for name in ("server", "rotator"))
        operator = f"{self.userpass}/ann"
        return VaultStoreLocation(
            address=self.openbao.address,
            ca_file=str(self.openbao.ca_file),
            mount=self.mount,
            secrets={name: name for name in CATALOG},
            pending={name: f"pending/{name}" for name in CATALOG},
            lease=LEASE,
            readers={
                **{name: (*((server,) if reads else ()), rotator, operator) for name, reads in CATALOG.items()},
                **{f"pending/{name}": (rotator, operator) for name in CATALOG},
                LEASE: (rotator, operator),
            },
        )

    @property
    def manifest(self) -> Manifest:
        both, rotator = (Reader.SERVER, Reader.ROTATOR), (Reader.ROTATOR,)
        supplied = {"agent-key": "api-key", "http-token": "token"}
        alternating = {"mqtt": (SecretKind.MQTT_USER, both), "broker-admin": (SecretKind.BROKER_ADMIN, rotator)}
        return Manifest(
            project="coreflux-mcp-secrets",
            stack="test",
            store=self.store,
            broker=Broker(kind=BrokerKind.COREFLUX, host="localhost", port=free_port(), protocol=MqttProtocol.V5,
                          tls=True),
            grace_seconds=30,
            secrets=(*(Secret(name=name, kind=kind, fields=("username", "password"), readers=readers, cadence_days=90,
                              users=(f"{name}-a", f"{name}-b")) for name, (kind, readers) in alternating.items()),
                     *(Secret(name=name, kind=SecretKind.SUPPLIED, fields=(text,), readers=both, cadence_days=180)
                       for name, text in supplied.items())),
        )  # fmt: skip

    @property
    def manifest_file(self) -> Path:
        file = self.folder / f"{self.own}.json"
        if not file.exists():
            file.write_text(self.manifest.model_dump_json())
        return file

    def server_policy(self) -> str:
        read = [name for name, reads in CATALOG.items() if reads]
        return policies.document([*policies.of_server(self._names, read, polls=True)])

    def rotator_policy(self) -> str:
        return policies.document([*policies.of_rotator(self._names, self.manifest.secrets)])

    def operator_policy(self) -> str:
        logins = [
            VaultLogin(method="approle", mount=self.approle, role=self.role(name), file="/dev/null")
            for name in ("server", "rotator")
        ]
        return policies.document([*policies.of_operator(self._names, self.manifest.secrets, logins)])

    def doctor_policy(self) -> str:
        return policies.document([*policies.of_doctor()])

    @property
    def _names(self) -> Names:
        return Names(base=self.mount)

    def make(self) -> LiveVault:
        client = self.root
        for name in ("server", "rotator", "operator", "doctor"):
            client.sys.create_or_update_policy(self.role(name), getattr(self, f"{name}_policy")())
        client.sys.enable_auth_method("approle", path=self.approle)
        output = {"token_no_default_policy": True, "token_ttl": "20m", "token_max_ttl": "24h", "secret_id_ttl": "720h"}
        for name in ("server", "rotator"):
            role = f"auth/{self.approle}/role/{self.role(name)}"
            client.write_data(role, data={**output, "token_policies": [self.role(name)]})
        client.sys.enable_auth_method("userpass", path=self.userpass)
        return self

    def role_id(self, name: str = "server") -> str:
        return str(self.root.read(f"auth/{self.approle}/role/{self.role(name)}/role-id")["data"]["role_id"])

    def secret_id(self, name: str = "server") -> str:
        path = f"auth/{self.approle}/role/{self.role(name)}/secret-id"
        return str(self.root.write_data(path, data={})["data"]["secret_id"])

    def log_in(self, name: str) -> str:
        answer = self.openbao.client("").auth.approle.login(
            role_id=self.role_id(name), secret_id=self.secret_id(name), mount_point=self.approle
        )
        return str(answer["auth"]["client_token"])

    def rotator(self) -> Session:
        file = self.folder / "rotator-secret-id"
        file.write_text(self.secret_id("rotator"))
        login = VaultLogin(method="approle", mount=self.approle, role=self.role_id("rotator"), file=str(file))
        store = self.store.model_copy(update={"login": login})
        return Session.open(self.manifest.model_copy(update={"store": store}), role="rotator")

    def operator(self, name: str = "ann", policy: str = "") -> str:
        password = secrets.token_hex(16)
        users = self.root.auth.userpass
        whose = [policy] if policy else [self.role("operator"), self.role("doctor")]
        users.create_or_update_user(name, password, whose, mount_point=self.userpass)
        people = self.openbao.client("").auth.userpass
        return str(people.login(name, password, mount_point=self.userpass)["auth"]["client_token"])

    def run(self, token: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.setattr(sys, "argv", ["secretops", *arguments, "--manifest", str(self.manifest_file)])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)), encoding="utf-8"))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setenv("VAULT_TOKEN", token)
            patch.setenv("VAULT_ADDR", self.openbao.address)
            cli.main()
        texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(arguments, cast(int, end.value.code), *texts)


def live_vault(openbao: OpenBao, folder: Path) -> LiveVault:
    return LiveVault(openbao, folder, openbao.mount()).make()


def without(path: str, policy: str) -> str:
    less = re.sub(rf'path "[^"]*{re.escape(path)}" {{[^}}]*}}', "", policy)
    assert less != policy
    return less
