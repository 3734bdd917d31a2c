"""A stack whose private CA signs its client certificate, with a real mosquitto that requires one."""

import contextlib
import secrets
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from secretops.engine.state import Versions
from secretops.errors import WaitingError
from secretops.manifest import Broker, Manifest, PrivateCaIssuer, Reader, Secret, SecretKind
from secretops.operations.trust import bundle, install
from secretops.values import Value
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.stack import DEADLINE, Stack, log_in, make_stack

NAME = "coreflux-mcp-test"
CERTIFICATE, AUTHORITY = "client-cert", "client-ca"
# MQTT 3.1.1, without a user: a broker that refuses all clients still answers it with a refusal.
NOBODYS_CONNECT = bytes([0x10, 12, 0, 4, *b"MQTT", 4, 2, 0, 60, 0, 0])
SECONDS = 1200  # Validity of a certificate: renewals come soon enough that a broker's real clock accepts each.


@dataclass
class Certified:
    """A stack with a private CA, and the actions of its operators."""

    stack: Stack
    broker: Mosquitto
    folder: Path  # The certificate that a test's client presents.

    def trust(self) -> None:
        assert self.broker.trusts
        install(self.stack.manifest, self.broker.trusts, bundle(self.stack.session()))
        rehash(self.broker.trusts)

    def trusted(self) -> list[str]:
        assert self.broker.trusts
        found = sorted(self.broker.trusts.glob("*.crt"))
        return [f"{x509.load_pem_x509_certificate(one.read_bytes()).serial_number:x}" for one in found]

    def errors(self) -> dict[str, str]:
        return {one.secret: str(one.error) for one in self.stack.tick() if one.error}

    def versions(self, name: str = CERTIFICATE) -> Versions:
        return self.stack.session().store.versions(name)

    def current(self, name: str = CERTIFICATE) -> str:
        found = self.versions(name).current
        assert found
        return found.id

    def read(self, name: str, version: str | None = None) -> Value:
        return self.stack.session().store.read(name, version or self.current(name), purpose="test")

    def log_in(self, shown: Mapping[str, str] | None = None, credential: Value | None = None) -> str:
        shown, credential = shown or self.read(CERTIFICATE), credential or self.read("mqtt")
        folder = self.folder / secrets.token_hex(4)
        folder.mkdir()
        files = {}
        for name, key in (("client.crt", "certificate_file"), ("client.key", "key_file")):
            (folder / name).write_text(shown[name])
            files[key] = str(folder / name)
        return log_in(self.stack.manifest.broker.model_copy(update=files), credential)

    def takes(self, shown: Mapping[str, str]) -> bool:
        return takes(self.broker, self.folder, shown)


def takes(broker: Mosquitto, folder: Path, shown: Mapping[str, str]) -> bool:
    """Return whether a broker answers a client with this certificate, accepted or refused. Writes it into `folder`."""
    made = folder / secrets.token_hex(4)
    made.mkdir()
    for name in ("client.crt", "client.key"):
        (made / name).write_text(shown[name])
    context = ssl.create_default_context(cafile=str(broker.ca_file))
    context.load_cert_chain(made / "client.crt", made / "client.key")
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("localhost", broker.port), DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(NOBODYS_CONNECT)
        return bool(connection.recv(1))
    return False


def rehash(folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)


def make_certified(folder: Path, broker: Mosquitto, stack: Stack | None = None) -> Certified:
    """Return a stack with a private CA that the broker does not trust. No secret has a value yet."""
    made = stack or make_stack(folder / "store", asking(broker))
    made.manifest = made.manifest.model_copy(update={"secrets": certified(made.manifest)})
    made.file.write_text(made.manifest.model_dump_json())
    (folder / "clients").mkdir()
    return Certified(made, broker, folder / "clients")


@contextlib.contextmanager
def trusting_broker(folder: Path) -> Iterator[Mosquitto]:
    (folder / "trusts").mkdir(parents=True)
    started = start_mosquitto(folder, certifying=True, trusts=folder / "trusts")
    try:
        yield started
    finally:
        started.stop()


def begun(stack: Certified) -> Certified:
    with pytest.raises(WaitingError):
        stack.stack.rotate(AUTHORITY)
    stack.trust()
    stack.stack.rotate(AUTHORITY)
    stack.stack.rotate(CERTIFICATE)
    stack.stack.put("broker-admin", dict(stack.broker.admin))
    assert stack.errors() == {}
    return stack


def asking(broker: Mosquitto) -> Broker:
    shown = {"certificate_file": None, "key_file": None, "certificate_secret": CERTIFICATE}
    return broker.broker().model_copy(update=shown)


def certified(manifest: Manifest, *, seconds: int = SECONDS, ca_seconds: int = 90 * 86400) -> tuple[Secret, ...]:
    issuer = PrivateCaIssuer(secret=AUTHORITY, common_name=NAME, seconds=seconds, ca_seconds=ca_seconds)
    authority = Secret(
        name=AUTHORITY,
        kind=SecretKind.CA,
        fields=("ca.crt", "ca.key"),
        readers=(Reader.ROTATOR,),
        cadence_days=ca_seconds // 86400,
    )
    others = (one.model_copy(update={"issuer": issuer}) if one.name == CERTIFICATE else one for one in manifest.secrets)
    return (authority, *others)
