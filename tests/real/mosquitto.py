"""Real mosquitto brokers with dynamic security, one of them with TLS for the whole test run. A pytest plugin."""

import base64
import datetime
import functools
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from secretops.certificates import new_key, private_pem
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.values import Value, new_password
from tests.real.ports import free_port

PLUGIN = "mosquitto_dynamic_security.so"
PLUGIN_FOLDERS = ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")
NOT_INSTALLED = "mosquitto with its dynamic security plugin is not installed: apt-get install mosquitto"
REPLACED = "the embedded broker replaces mosquitto"
START_SECONDS = 600.0
# The name of this machine in a stack file whose server runs elsewhere: there localhost is another host.
MACHINE = socket.gethostname()
# Validity of the broker's certificate and its CA's: tests move the clock by months, and want no expiry warning.
YEARS = datetime.timedelta(days=3650)


@dataclass
class Mosquitto:
    """A mosquitto on loopback: MQTT 5 and 3.1.1, a fresh admin, no anonymous clients. Its port is stable.

    Its TLS certificate names hosts and no address. `certifying`: it requires a client certificate.
    """

    folder: Path
    port: int
    admin: Value
    certifying: bool = False
    # The port that accepts only clients with a certificate of its CA, on top of their password.
    mutual_port: int = 0
    # The TLS port if `port` takes clients without TLS; else 0.
    tls_port: int = 0
    # A folder of further client CAs, read at each connection (mosquitto.conf, capath).
    trusts: Path | None = None
    crl_file: Path | None = None  # Revoked client certificates.
    queue: int = 1000  # Maximum queued messages per client, 0 for no limit. mosquitto's default is 1000.
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def certificate_file(self) -> Path:
        return self.folder / "client.crt"

    @property
    def key_file(self) -> Path:
        return self.folder / "client.key"

    @property
    def log_file(self) -> Path:
        return self.folder / "mosquitto.log"

    def broker(self, protocol: MqttProtocol = MqttProtocol.V5, *, topics: tuple[str, ...] = ("#",)) -> Broker:
        return Broker(
            kind=BrokerKind.MOSQUITTO,
            host="localhost",
            port=self.tls_port or self.port,
            protocol=protocol,
            tls=True,
            ca_file=str(self.ca_file),
            certificate_file=str(self.certificate_file) if self.certifying else None,
            key_file=str(self.key_file) if self.certifying else None,
            topics=topics,
        )

    def start(self) -> bool:
        """Start the broker, and wait until it accepts clients. Return False if another process has a port."""
        program, plugin = find_mosquitto()
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(_configuration(self, plugin))
        with self.log_file.open("ab") as log:
            before = log.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(
                [program, "-c", str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return _runs(self._process, self.log_file, before)

    @property
    def authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        ca_key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(self.ca_file.read_bytes()), ca_key

    def client_certificate(self, name: str = "mcp-server") -> dict[str, str]:
        key = new_key()
        certificate = signed(name, key, issuer=self.authority).public_bytes(serialization.Encoding.PEM).decode()
        return {"ca.crt": self.ca_file.read_text(), "client.crt": certificate, "client.key": private_pem(key)}

    def freeze(self) -> None:
        """Make the broker stop reading and answering, until it is stopped or gets SIGCONT."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def stop(self, *, kill: bool = False) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._process.wait(timeout=START_SECONDS)
            self._process = None


@functools.cache
def installed_mosquitto() -> tuple[str, str] | None:
    """Return the paths of the broker and its plugin, or None if either is missing."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    plugin = next((str(path) for folder in PLUGIN_FOLDERS for path in Path(folder).glob(f"**/{PLUGIN}")), None)
    return (program, plugin) if program and plugin else None


def record_replacement(request: pytest.FixtureRequest) -> None:
    request.node.user_properties.append((REPLACED, True))


def find_mosquitto() -> tuple[str, str]:
    if found := installed_mosquitto():
        return found
    pytest.skip(NOT_INSTALLED)


def make_ca(folder: Path, name: str = "ca") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, Path]:
    key = new_key()
    certificate = signed(f"test {name}", key, issuer=None, ends=YEARS)
    path = folder / f"{name}.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key, path


def start_mosquitto(
    folder: Path,
    *,
    certified: str = "localhost",
    plain: bool = False,
    also: tuple[str, ...] = (),
    certifying: bool = False,
    trusts: Path | None = None,
    crl_file: Path | None = None,
    queue: int = 1000,
) -> Mosquitto:
    """Start a broker in `folder`, with a certificate for `certified` and `also`. `plain`: no TLS at its `port`."""
    find_mosquitto()
    _certify(folder, certified, (*also, MACHINE))
    admin = Value({"username": "first-admin", "password": new_password()})
    (folder / "dynamic-security.json").write_text(json.dumps(_dynamic_security(admin)))
    for _ in range(5):  # another process may take the port meanwhile
        made = Mosquitto(folder, free_port(), admin, certifying, free_port(), free_port() if plain else 0, trusts)
        made.crl_file, made.queue = crl_file, queue
        if made.start():
            return made
    pytest.fail(f"mosquitto did not start: {made.log_file.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def certifying_mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = start_mosquitto(tmp_path_factory.mktemp("certifying-mosquitto"), certifying=True)
    try:
        yield broker
    finally:
        broker.stop()


def _runs(process: subprocess.Popen[bytes], log_file: Path, before: int) -> bool:
    """Return whether the log, from `before` on, reports that the broker runs. It may still fail after it has opened its
    first port."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if re.search(rb"mosquitto version \S+ running", log_file.read_bytes()[before:]):
            return True
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False


def _configuration(broker: Mosquitto, plugin: str) -> str:
    tls = [f"certfile {broker.folder}/server.crt", f"keyfile {broker.folder}/server.key"]
    certified = [f"cafile {broker.ca_file}", "require_certificate true"]
    certified += [f"capath {broker.trusts}"] if broker.trusts else []
    certified += [f"crlfile {broker.crl_file}"] if broker.crl_file else []
    lines = [
        "per_listener_settings false",
        "allow_anonymous false",
        f"listener {broker.port} 127.0.0.1",
        *([f"listener {broker.tls_port} 127.0.0.1"] if broker.tls_port else []),
        *tls,
        *(certified if broker.certifying else []),
        *(f"listener {broker.mutual_port} 127.0.0.1", *tls, *certified),
        *([f"listener {broker.port} {address}", *tls] if (address := _own_address()) else []),
        f"plugin {plugin}",
        f"plugin_opt_config_file {broker.folder}/dynamic-security.json",
        "log_type all",
        f"max_queued_messages {broker.queue}",
        *(["user root"] if os.geteuid() == 0 else []),
    ]
    return "\n".join(lines) + "\n"


def _own_address() -> str:
    """Return the address of MACHINE, unless it is 127.0.0.1, on which the broker listens anyway."""
    try:
        address = socket.gethostbyname(MACHINE)
    except OSError:
        return ""
    return "" if address == "127.0.0.1" else address


def _dynamic_security(admin: Value) -> dict[str, object]:
    """Return the configuration that `mosquitto_ctrl dynsec init` writes. That command takes the password as an
    argument."""
    salt = os.urandom(12)
    iterations = 101  # its own number
    digest = hashlib.pbkdf2_hmac("sha512", admin["password"].encode(), salt, iterations)
    allowed = [
        ("publishClientSend", "$CONTROL/dynamic-security/#"), ("publishClientReceive", "$CONTROL/dynamic-security/#"),
        ("subscribePattern", "$CONTROL/dynamic-security/#"), ("publishClientReceive", "$SYS/#"),
        ("subscribePattern", "$SYS/#"), ("publishClientReceive", "#"), ("subscribePattern", "#"),
        ("unsubscribePattern", "#"),
    ]  # fmt: skip
    acls = [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in allowed]
    return {
        "defaultACLAccess": {"publishClientSend": False, "publishClientReceive": True, "subscribe": False,
                             "unsubscribe": True},
        "clients": [{"username": admin["username"], "textName": "Dynsec admin user",
                     "password": base64.b64encode(digest).decode(), "salt": base64.b64encode(salt).decode(),
                     "iterations": iterations, "roles": [{"rolename": "admin"}]}],
        "groups": [],
        "roles": [{"rolename": "admin", "acls": acls}],
    }  # fmt: skip


def _certify(folder: Path, host: str, also: tuple[str, ...]) -> None:
    ca, ca_key, _ = make_ca(folder)
    (folder / "ca.key").write_text(private_pem(ca_key))
    for whose, name, names in (("server", host, also), ("client", "test client", ())):
        key = new_key()
        lasts = {"ends": YEARS} if whose == "server" else {}
        made = signed(name, key, issuer=(ca, ca_key), also=names, **lasts)
        (folder / f"{whose}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / f"{whose}.key").write_text(private_pem(key))


def signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    *,
    also: tuple[str, ...] = (),
    ends: datetime.timedelta = datetime.timedelta(days=2),
    lived: datetime.timedelta = datetime.timedelta(hours=1),
) -> x509.Certificate:
    """Return a certificate of a server or client, or if there is no `issuer`, of a CA."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer, is_ca = issuer[1] if issuer else key, issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - lived)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, is_ca, is_ca, False, False), critical=True)
    )
    if issuer:
        names = x509.SubjectAlternativeName([x509.DNSName(each) for each in (name, *also)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())
