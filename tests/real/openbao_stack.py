"""A stack in a mount of a real OpenBao, over a real broker."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from secretops.engine.state import Version
from secretops.manifest import Broker, Manifest, Reader
from secretops.operations.session import Session
from secretops.platforms.vault.api import VERSION, Api, fields_of
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Server
from secretops.platforms.vault.store import LeaseDocument, VaultVersionStore
from secretops.stores.lease import Timing
from secretops.values import Value
from tests.real.cloud_stack import Calls, TickedStack
from tests.real.openbao import OpenBao, rotators_policy
from tests.real.stack import make_catalog

QUICK = Timing(duration=6, renew=0.5, poll=0.1)


@dataclass
class OpenBaoStack(TickedStack):
    root_token: str = field(kw_only=True, repr=False)  # The root token.
    audit_file: Path = field(kw_only=True)
    audit_start: int = field(kw_only=True)  # Start of the stack's lines in the audit log: all tests share the server.
    source_text: str = field(kw_only=True)
    timing: Timing = QUICK

    writes: ClassVar[Calls] = ((Api, "write"), (Api, "update_metadata"), (Api, "destroy"), (Api, "remove"))
    lease_is_quick: ClassVar[bool] = False  # the next holder waits until it expires

    @property
    def place(self) -> VaultStoreLocation:
        assert isinstance(self.manifest.store, VaultStoreLocation)
        return self.manifest.store

    @property
    def all(self) -> Api:
        return self._api({**self.environment, "VAULT_TOKEN": self.root_token})

    def session(self, role: str = "operator") -> Session:
        api = self._api(self.environment)
        store = VaultVersionStore(self.place, api, log_entries=role == "rotator", timing=self.timing)
        return Session(manifest=self.manifest, store=store, journal=store.journal, clock=self.clock)

    @property
    def source(self) -> str:
        return self.source_text

    def moment(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        if name not in {call for _, call in self.writes}:
            return name
        return None if args[0] == self.place.lease else f"{name} {args[0]}"

    def is_leased(self) -> bool:
        return LeaseDocument(self.all, self.place.lease).read().record is not None

    def spoil(self, name: str, field: str, text: str) -> Callable[[], None]:
        path = self.place.secrets[name]
        old = self.all.read(path)
        assert old
        self._write(path, {**old.data, field: text})
        return lambda: self._write(path, dict(old.data))

    def values(self) -> dict[str, dict[str, str]]:
        return {
            f"{path} {document.get(VERSION)}": fields_of(document) or {}
            for path in (*self.place.secrets.values(), *self.place.pending.values())
            for document in self._documents(path)
        }

    def shown(self) -> dict[str, bytes]:
        paths = (*self.place.secrets.values(), *self.place.pending.values(), self.place.lease)
        known = {path: repr(self.all.metadata(path)).encode() for path in paths}
        lease = self.all.read(self.place.lease)
        known["the lease"] = json.dumps(dict(lease.data) if lease else {}).encode()
        return {**known, "the audit log": self.audit_file.read_bytes()[self.audit_start :]}

    def delivered(self) -> Value:
        found = self.all.read(self.place.secrets["mqtt"])
        assert found
        return Value(fields_of(found.data) or {})

    def check_delivery(self, name: str, current: Version, kept: set[str]) -> None:
        path, apart = self.place.secrets[name], self.place.pending[name]
        found = self.all.read(path)
        assert found and found.data[VERSION] == current.id
        assert {document[VERSION] for document in self._documents(path)} == kept
        assert list(self._documents(apart)) == []

    def _api(self, environment: Mapping[str, str]) -> Api:
        server = Server(self.place.address, ca_file=self.place.ca_file)
        return Api(server, self.place.mount, Login(server, environment=environment))

    def _documents(self, path: str) -> Iterator[dict[str, str]]:
        api = self.all
        known = api.metadata(path)
        for number in known.documents if known else ():
            if found := api.read(path, number):
                yield dict(found.data)

    def _write(self, path: str, document: Mapping[str, str]) -> None:
        known = self.all.metadata(path)
        assert known
        assert self.all.write(path, document, known.current)


def make_openbao_stack(folder: Path, broker: Broker, openbao: OpenBao) -> OpenBaoStack:
    """Return a stack with an empty mount and new users, as `pulumi up` would leave it."""
    catalog = make_catalog()
    store = VaultStoreLocation(
        address=openbao.address,
        ca_file=str(openbao.ca_file),
        mount=openbao.mount(cas_required=True),
        secrets={secret.name: secret.name for secret in catalog},
        pending={secret.name: f"pending/{secret.name}" for secret in catalog},
        lease="rotator/lease",
    )
    manifest = Manifest(
        project="coreflux-mcp-secrets", stack="test", store=store, broker=broker, secrets=catalog, grace_seconds=30
    )
    file = folder / "secretops.json"
    file.write_text(manifest.model_dump_json())
    readable = [secret.name for secret in catalog if Reader.SERVER in secret.readers]
    token = openbao.token(openbao.policy(rotators_policy(store, forgets=True)))
    return OpenBaoStack(
        manifest,
        manifest_file=file,
        environment={"VAULT_TOKEN": token, "VAULT_ADDR": openbao.address},
        root_token=openbao.root,
        audit_file=openbao.audit_files[0],
        audit_start=openbao.audit_files[0].stat().st_size,
        source_text=f"vault:{openbao.address.removeprefix('https://')}/{store.mount}/data/{'+'.join(readable)},"
        + _servers_login(folder, openbao, store, readable),
    )


def _servers_login(folder: Path, openbao: OpenBao, store: VaultStoreLocation, readable: list[str]) -> str:
    rules = [
        f'path "{store.mount}/{kind}/{store.secrets[name]}" {{ capabilities = ["read"] }}'
        for name in readable
        for kind in ("data", "metadata")
    ]
    method, client = f"approle-{secrets.token_hex(4)}", openbao.client()
    client.sys.enable_auth_method("approle", path=method)
    role = client.auth.approle
    role.create_or_update_approle("server", token_policies=[openbao.policy("\n".join(rules))], mount_point=method)
    role_id = role.read_role_id("server", mount_point=method)["data"]["role_id"]
    file = folder / "secret-id"
    file.touch(mode=0o600)
    file.write_text(role.generate_secret_id("server", mount_point=method)["data"]["secret_id"])
    return f"approle={role_id},auth={method},file={file},ca={openbao.ca_file}"
