"""A real mosquitto with TLS and dynamic security, for as long as the tests run. A pytest plugin.

Its certificates, its admin and the admin's password are made at run time.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.values import Value, new_password

PLUGIN = "mosquitto_dynamic_security.so"
PLUGIN_FOLDERS = ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")
START_SECONDS = 60.0


@dataclass(frozen=True)
class Mosquitto:
    """A running mosquitto on loopback: MQTT 5 and 3.1.1 over TLS, a fresh admin, no anonymous clients.

    Its certificate names `localhost` and no address.
    """

    port: int
    ca_file: Path
    admin: Value
    process: subprocess.Popen[bytes]
    log_file: Path

    def broker(self, protocol: MqttProtocol = MqttProtocol.V5, *, topics: tuple[str, ...] = ("#",)) -> Broker:
        """How a stack would describe it."""
        return Broker(
            kind=BrokerKind.MOSQUITTO,
            host="localhost",
            port=self.port,
            protocol=protocol,
            tls=True,
            ca_file=str(self.ca_file),
            topics=topics,
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=START_SECONDS)


def find_mosquitto() -> tuple[str, str]:
    """The broker and its plugin. Skips the test where there is none, and fails it in CI."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    plugin = next((str(path) for folder in PLUGIN_FOLDERS for path in Path(folder).glob(f"**/{PLUGIN}")), None)
    if program and plugin:
        return program, plugin
    reason = "mosquitto with its dynamic security plugin is not installed: apt-get install mosquitto"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_ca(folder: Path, name: str = "ca") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, Path]:
    """A certificate authority and the PEM file of its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(f"test {name}", key, issuer=None)
    path = folder / f"{name}.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key, path


def start_mosquitto(folder: Path) -> Mosquitto:
    """Start one in `folder` and wait until it lets clients connect."""
    program, plugin = find_mosquitto()
    ca, ca_key, ca_file = make_ca(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    server = _certificate("localhost", key, issuer=(ca, ca_key))
    (folder / "server.crt").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    admin = Value({"username": "first-admin", "password": new_password()})
    (folder / "dynamic-security.json").write_text(json.dumps(_dynamic_security(admin)))
    log_file = folder / "mosquitto.log"
    for _ in range(5):  # somebody else may take the port in between
        port = free_port()
        (folder / "mosquitto.conf").write_text(_configuration(folder, port, plugin))
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [program, "-c", str(folder / "mosquitto.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if _lets_connect(process, port):
            return Mosquitto(port, ca_file, admin, process, log_file)
    pytest.fail(f"mosquitto did not start: {log_file.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One mosquitto for all tests of this process: each uses users of its own."""
    broker = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    try:
        yield broker
    finally:
        broker.stop()


def _lets_connect(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process.poll() is None
    process.kill()
    process.wait()
    return False


def _configuration(folder: Path, port: int, plugin: str) -> str:
    lines = [
        "per_listener_settings false",
        "allow_anonymous false",
        f"listener {port} 127.0.0.1",
        f"certfile {folder}/server.crt",
        f"keyfile {folder}/server.key",
        f"plugin {plugin}",
        f"plugin_opt_config_file {folder}/dynamic-security.json",
        "log_type all",
        *(["user root"] if os.geteuid() == 0 else []),
    ]
    return "\n".join(lines) + "\n"


def _dynamic_security(admin: Value) -> dict[str, object]:
    """What `mosquitto_ctrl dynsec init` writes; that would take the password as an argument."""
    salt = os.urandom(12)
    iterations = 101  # its own number
    digest = hashlib.pbkdf2_hmac("sha512", admin["password"].encode(), salt, iterations)
    allowed = [
        ("publishClientSend", "$CONTROL/dynamic-security/#"),
        ("publishClientReceive", "$CONTROL/dynamic-security/#"),
        ("subscribePattern", "$CONTROL/dynamic-security/#"),
        ("publishClientReceive", "$SYS/#"),
        ("subscribePattern", "$SYS/#"),
        ("publishClientReceive", "#"),
        ("subscribePattern", "#"),
        ("unsubscribePattern", "#"),
    ]
    acls = [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in allowed]
    return {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [
            {
                "username": admin["username"],
                "textName": "Dynsec admin user",
                "password": base64.b64encode(digest).decode(),
                "salt": base64.b64encode(salt).decode(),
                "iterations": iterations,
                "roles": [{"rolename": "admin"}],
            }
        ],
        "groups": [],
        "roles": [{"rolename": "admin", "acls": acls}],
    }


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=issuer is None,
                crl_sign=issuer is None,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if issuer:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(signer, hashes.SHA256())
