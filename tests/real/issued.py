"""A stack whose client certificate a real OpenBao signs, with a real mosquitto that requires one.

Its rotator has the role that the stack grants. The PKI is the same as in components/vault/pki.py, which tests/stacks
checks.
"""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secretops.manifest import Manifest, Reader, Secret
from secretops.operations.session import Session
from secretops.platforms.vault.location import VaultIssuer, VaultLogin, VaultStoreLocation
from secretops.platforms.vault.store import VaultVersionStore
from secretops.stores.lease import Timing
from secretops.values import Value
from tests.real.mosquitto import Mosquitto
from tests.real.openbao import DEADLINE, OpenBao, rotators_policy
from tests.real.stack import Stack, log_in, make_catalog

QUICK = Timing(duration=6, renew=0.5, poll=0.1)
DAYS = 30


@dataclass
class IssuedStack(Stack):
    """A stack of the Vault store with a PKI. Its commands run as the rotator."""

    folder: Path = field(kw_only=True)
    address: str = field(kw_only=True)
    ca: str = field(kw_only=True)
    token: str = field(kw_only=True, repr=False)  # The root token.
    policy: str = field(kw_only=True)  # Name of the rotator's role.

    @property
    def place(self) -> VaultStoreLocation:
        assert isinstance(self.manifest.store, VaultStoreLocation)
        return self.manifest.store

    @property
    def issuer(self) -> VaultIssuer:
        issuer = self.manifest.secret("client-cert").issuer
        assert isinstance(issuer, VaultIssuer)
        return issuer

    def session(self, role: str = "operator") -> Session:
        store = VaultVersionStore(self.place, log_entries=role == "rotator", timing=QUICK)
        return Session(manifest=self.manifest, store=store, journal=store.journal, clock=self.clock)

    def found(self, name: str) -> dict[str, str]:
        import hvac

        client = hvac.Client(self.address, token=self.token, verify=self.ca, timeout=int(DEADLINE))
        found = client.secrets.kv.v2.read_secret_version(
            name, mount_point=self.place.mount, raise_on_deleted_version=True
        )
        return dict(found["data"]["data"])

    def delivered(self) -> Value:
        return Value({key: self.found("mqtt")[key] for key in ("username", "password")})

    def log_in(self, credential: Value | None = None) -> str:
        found, folder = self.found("client-cert"), self.folder / secrets.token_hex(4)
        folder.mkdir()
        for name in ("client.crt", "client.key"):
            (folder / name).write_text(found[name])
        files = {"certificate_file": str(folder / "client.crt"), "key_file": str(folder / "client.key")}
        return log_in(self.manifest.broker.model_copy(update=files), credential or self.credential())


def rights(stack: IssuedStack) -> str:
    sign = f'path "{stack.issuer.mount}/sign/{stack.issuer.role}" {{ capabilities = ["update"] }}'
    return f"{rotators_policy(stack.place)}\n{sign}"


ELLIPTIC: dict[str, Any] = {"key_type": "ec", "key_bits": 256}


def make_pki(openbao: OpenBao, common_name: str) -> tuple[str, str]:
    """Make a root, an intermediate and the role `client`. Return the intermediate's mount, and the root as PEM."""
    client, mount = openbao.client(), f"pki-{secrets.token_hex(4)}"
    client.sys.enable_secrets_engine("pki", path=mount, config={"max_lease_ttl": "87600h"})
    made, _ = _make_intermediate(openbao, mount)
    client.write_data(
        f"{mount}/roles/client",
        data={
            "allowed_domains": [common_name],
            "allow_bare_domains": True,
            "client_flag": True,
            "server_flag": False,
            "key_usage": ["DigitalSignature"],
            "ext_key_usage": ["ClientAuth"],
            "max_ttl": f"{DAYS * 24}h",
            **ELLIPTIC,
        },
    )
    return mount, made


def _make_intermediate(openbao: OpenBao, mount: str) -> tuple[str, str]:
    """Make an intermediate in `mount` under a new root. Return the root as PEM, and the intermediate's id."""
    client = openbao.client()
    root, made = make_root(openbao)
    requested = client.write_data(
        f"{mount}/intermediate/generate/internal", data={"common_name": f"test clients of {root}", **ELLIPTIC}
    )["data"]["csr"]
    signed = signed_by_root(openbao, root, requested, common_name=f"test clients of {root}")
    kept = client.write_data(f"{mount}/intermediate/set-signed", data={"certificate": f"{signed}\n{made}\n"})["data"]
    return made, next(id for id, key in kept["mapping"].items() if key)


def make_root(openbao: OpenBao) -> tuple[str, str]:
    client, root = openbao.client(), f"root-{secrets.token_hex(4)}"
    client.sys.enable_secrets_engine("pki", path=root, config={"max_lease_ttl": "87600h"})
    made = client.write_data(
        f"{root}/root/generate/internal", data={"common_name": f"test {root}", "ttl": "87600h", **ELLIPTIC}
    )
    return root, str(made["data"]["certificate"])


def signed_by_root(openbao: OpenBao, root: str, requested: str, *, common_name: str) -> str:
    data = {"csr": requested, "common_name": common_name, "ttl": "43800h", "max_path_length": 0}
    return str(openbao.client().write_data(f"{root}/root/sign-intermediate", data=data)["data"]["certificate"])


def make_another_ca(openbao: OpenBao, stack: IssuedStack) -> str:
    """Make a second CA under a new root, and add the root to root.crt. Return the CA's id."""
    root, id = _make_intermediate(openbao, stack.issuer.mount)
    (stack.folder / "root.crt").write_text(root)
    return id


def sign_by(openbao: OpenBao, stack: IssuedStack, ca: str) -> None:
    """Switch signing to `ca`, as the server's operator does once the broker trusts both."""
    openbao.client().write_data(f"{stack.issuer.mount}/config/issuers", data={"default": ca})


def make_issued_stack(folder: Path, broker: Mosquitto, openbao: OpenBao, *, trusted: bool = True) -> IssuedStack:
    """Return a stack with an empty mount. `trusted`: the broker already trusts the root."""
    name = "coreflux-mcp-test"
    mount, root = make_pki(openbao, name)
    issuer = VaultIssuer(mount=mount, role="client", common_name=name, seconds=DAYS * 86400)
    catalog = tuple(_issued(one, issuer) for one in make_catalog())
    method, who, client = f"approle-{secrets.token_hex(4)}", "rotator", openbao.client()
    login = VaultLogin(method="approle", mount=method, role=who, file=str(folder / "secret-id"))
    store = VaultStoreLocation(
        address=openbao.address,
        ca_file=str(openbao.ca_file),
        mount=openbao.mount(cas_required=True),
        secrets={secret.name: secret.name for secret in catalog},
        pending={secret.name: f"pending/{secret.name}" for secret in catalog},
        fields={secret.name: secret.fields for secret in catalog if Reader.SERVER in secret.readers},
        lease="rotator/lease",
        login=login,
    )
    stack = IssuedStack(
        Manifest(
            project="coreflux-mcp-secrets",
            stack="test",
            store=store,
            broker=broker.broker().model_copy(
                update={"certificate_file": None, "key_file": None, "certificate_secret": "client-cert"}
            ),
            secrets=catalog,
            grace_seconds=30,
        ),
        manifest_file=folder / "secretops.json",
        folder=folder,
        address=openbao.address,
        ca=str(openbao.ca_file),
        token=openbao.root,
        policy="",
    )
    stack.file.write_text(stack.manifest.model_dump_json())
    stack.policy = openbao.policy(rights(stack))
    client.sys.enable_auth_method("approle", path=method)
    client.auth.approle.create_or_update_approle(who, token_policies=[stack.policy], mount_point=method)
    client.write_data(f"auth/{method}/role/{who}/role-id", data={"role_id": who})
    made = client.auth.approle.generate_secret_id(who, mount_point=method)["data"]["secret_id"]
    (folder / "secret-id").touch(mode=0o600)
    (folder / "secret-id").write_text(made)
    (folder / "root.crt").write_text(root)
    if trusted:
        trust(broker, stack)
    return stack


def trust(broker: Mosquitto, stack: IssuedStack) -> None:
    broker.ca_file.write_text(f"{broker.ca_file.read_text().rstrip()}\n{(stack.folder / 'root.crt').read_text()}")
    broker.stop()
    assert broker.start()


def _issued(secret: Secret, issuer: VaultIssuer) -> Secret:
    return secret.model_copy(update={"issuer": issuer}) if secret.name == "client-cert" else secret
