"""etcd, kube-apiserver and kube-controller-manager as processes on loopback, with certificates and flags.

There is no kubelet and no scheduler (tests/real/kubelet.py runs pods), and nothing enforces a NetworkPolicy.
"""

import base64
import datetime
import http.client
import ipaddress
import json
import secrets
import shutil
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.real.ports import free_port
from tools import kubernetes_parts, parts

AUDIT_POLICY = Path(__file__).resolve().parents[2] / "components" / "kubernetes" / "audit-policy.yaml"
START_SECONDS = 600.0
# The controllers that the stack's resources need. The others would only take CPU.
CONTROLLERS = """
clusterrole-aggregation cronjob deployment disruption endpointslice garbage-collector job namespace
pod-garbage-collector replicaset resourcequota root-ca-certificate-publisher serviceaccount serviceaccount-token
ttl-after-finished
"""


@dataclass
class ControlPlane:
    """The processes of one cluster. They end with this process, even if it is killed. Ports are stable."""

    folder: Path
    programs: dict[str, Path]
    controllers: bool
    port: int = 0
    etcd_port: int = 0
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False, repr=False)

    def start(self) -> None:
        """Start all processes, and wait until the API server is ready. Raises RuntimeError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        make_keys(self.folder)
        (self.folder / "encryption.json").write_text(json.dumps(_encryption()))
        for _ in range(5):  # another process may take a port meanwhile
            self.port, self.etcd_port = free_port(), free_port()
            self._start_etcd()
            if self._try_api():
                break
            self.stop()
        else:
            raise RuntimeError(f"no API server: {self.output('etcd')}\n{self.output('kube-apiserver')}")
        if self.controllers:
            config = kubeconfig(self.folder, self.port, "system:kube-controller-manager")
            self._run("kube-controller-manager", *_manager_flags(self.folder, config))

    def start_api(self) -> None:
        if not self._try_api():
            raise RuntimeError(f"the API server did not come back: {self.output('kube-apiserver')}")

    def stop_api(self) -> None:
        self._end("kube-apiserver")

    def stop(self) -> None:
        for name in reversed(list(self._running)):
            self._end(name)
        shutil.rmtree(self._data, ignore_errors=True)  # 64 MB, even if empty

    def output(self, name: str) -> str:
        log = self.folder / f"{name}.log"
        return log.read_text()[-2000:] if log.exists() else f"{name} was not started"

    @property
    def _data(self) -> Path:
        return self.folder / f"etcd-{self.etcd_port}"

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{free_port()}"
        self._run(
            "etcd",
            f"--data-dir={self._data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )

    def _try_api(self) -> bool:
        process = self._run("kube-apiserver", *_api_flags(self.folder, self.port, self.etcd_port))
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.load_cert_chain(*certified(self.folder, "admin", ("system:masters",)))
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None and self._running["etcd"].poll() is None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=START_SECONDS)
            try:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return True
            except OSError:  # not there yet
                pass
            finally:
                connection.close()
            time.sleep(0.1)
        return False

    def _run(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", str(self.programs[name]), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self._running[name]

    def _end(self, name: str) -> None:
        if process := self._running.pop(name, None):
            process.kill()
            process.wait()


def find_programs() -> dict[str, Path]:
    """Return the programs of a cluster. Skips the test if one is missing; builds none."""
    programs = kubernetes_parts.built()
    if etcd := parts.found("etcd"):
        programs["etcd"] = Path(etcd)
    missing = [name for name in ("etcd", *kubernetes_parts.PROGRAMS) if name not in programs]
    if missing or shutil.which("setpriv") is None:
        pytest.skip(f"{' and '.join(missing) or 'setpriv'} is missing: python3 tools/setup.py --parts")
    return programs


def _api_flags(folder: Path, port: int, etcd_port: int) -> list[str]:
    return [
        *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}"),
        *(f"--etcd-servers=http://127.0.0.1:{etcd_port}", "--endpoint-reconciler-type=none"),
        *(f"--tls-cert-file={folder / 'server.crt'}", f"--tls-private-key-file={folder / 'server.key'}"),
        *(f"--client-ca-file={folder / 'ca.crt'}", "--authorization-mode=Node,RBAC"),
        *("--enable-admission-plugins=NodeRestriction", "--service-cluster-ip-range=10.0.0.0/24"),
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'service-account.pub'}",
        f"--service-account-signing-key-file={folder / 'service-account.key'}",
        f"--encryption-provider-config={folder / 'encryption.json'}",
        f"--audit-policy-file={AUDIT_POLICY}",
        f"--audit-log-path={folder / 'audit.jsonl'}",
        "--enable-priority-and-fairness=false",  # saves CPU, as do the next
        *("--profiling=false", "--etcd-db-metric-poll-interval=0", "--etcd-count-metric-poll-period=0"),
    ]


def _manager_flags(folder: Path, config: Path) -> list[str]:
    return [
        f"--kubeconfig={config}",
        "--controllers="
        + ",".join(name if "controller" in name else f"{name}-controller" for name in CONTROLLERS.split()),
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={folder / 'service-account.key'}",
        *(f"--root-ca-file={folder / 'ca.crt'}", "--leader-elect=false", "--secure-port=0", "--kube-api-qps=200"),
        *("--kube-api-burst=400", "--profiling=false"),
    ]


def _encryption() -> dict[str, object]:
    key = {"name": "test", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}
    return {
        "kind": "EncryptionConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": [key]}}, {"identity": {}}]}],
    }


def make_keys(folder: Path) -> None:
    ca = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "ca.key", _private(ca))
    _write(folder / "ca.crt", _pem(_signed("test CA", ca, issuer="test CA", signer=ca)))
    server = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "server.key", _private(server))
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    names = x509.SubjectAlternativeName([*addresses, x509.DNSName("kubernetes.default.svc")])
    _write(folder / "server.crt", _pem(_signed("kube-apiserver", server, issuer="test CA", signer=ca, names=names)))
    account = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "service-account.key", _private(account))
    public = account.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write(folder / "service-account.pub", public)


def certified(folder: Path, user: str, groups: tuple[str, ...] = ()) -> tuple[Path, Path]:
    name = f"user-{secrets.token_hex(4)}"
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder / f"{name}.key", _private(key))
    _write(folder / f"{name}.crt", _pem(_signed(user, key, issuer="test CA", signer=signer, groups=groups)))
    return folder / f"{name}.crt", folder / f"{name}.key"


def kubeconfig(folder: Path, port: int, user: str, *, groups: tuple[str, ...] = (), token: str | None = None) -> Path:
    """Write a self-contained kubeconfig, for `user` with a new certificate or for the owner of `token`."""

    def inline(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    who: dict[str, str] = {"token": token} if token else {}
    if not token:
        certificate, key = certified(folder, user, groups)
        who = {"client-certificate-data": inline(certificate), "client-key-data": inline(key)}
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": inline(folder / "ca.crt")}
    path = folder / f"kubeconfig-{secrets.token_hex(4)}.json"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": user, "user": who}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    _write(path, json.dumps(content).encode())
    return path


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    groups: tuple[str, ...] = (),
    names: x509.SubjectAlternativeName | None = None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    own = signer is key
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not own:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    else:
        rights = {"digital_signature": True, "key_cert_sign": True, "crl_sign": True, "content_commitment": False}
        rights |= dict.fromkeys(("key_encipherment", "data_encipherment", "key_agreement"), False)
        usage = x509.KeyUsage(**rights, encipher_only=False, decipher_only=False)
        builder = builder.add_extension(usage, critical=True)
    if names:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
