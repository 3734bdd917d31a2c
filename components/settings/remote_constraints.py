"""Rules for servers and stores on other machines, shared by the platforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from secretops.formats import is_loopback
from secretops.manifest import HTTP_TOKEN, Reader

from ..core.broker import ca_bundle
from .problems import Problem
from .sections import BrokerSettings, DeclaredSecret, EmbeddedBroker, OutsideBroker, Rotation

# Maximum seconds until a launcher uses a new value that it fetches: it polls every 5 minutes, and 2 minutes after a
# failed poll, each plus or minus a tenth (secretops.launcher.polling_source); then it replaces its MQTT client.
FETCHED = 500

# Remedy for a grace period that is too short.
LENGTHEN = "write rotation.grace_seconds: {} or more; or remove the key: the default is 3600"


def out_of_reach(where: str, broker: BrokerSettings | None, becomes: str, *, runs: str) -> Iterator[Problem]:
    """Yield a problem for a broker that only this machine reaches, and for an unreadable CA file.

    `becomes` is the part of the message about what the stack does with the file, and `runs` names what connects to the
    broker, such as pod.
    """
    if isinstance(broker, EmbeddedBroker):
        yield Problem(
            f"broker.kind: embedded with {where}",
            f"each {runs} must reach the broker, and the embedded broker listens only on this machine's loopback",
            "write broker.kind: coreflux or mosquitto, and broker.host",
            code="embedded-broker-unreachable",
        )
    if isinstance(broker, OutsideBroker) and is_loopback(broker.host):
        yield Problem(
            f"broker.host: {broker.host} with {where}",
            f"each {runs} must reach the broker, and inside a {runs} this address means the {runs} itself",
            f"write in broker.host a name or an address of the broker that each {runs} can reach",
            code="broker-on-loopback",
        )
    if isinstance(broker, OutsideBroker) and broker.ca_file:
        rule = f"broker.ca_file must be a PEM file of CA certificates on this machine; {becomes}"
        remedy = (
            "write the CA's certificate as PEM to this path, or correct broker.ca_file; if a public CA signs the "
            "broker's certificate, remove broker.ca_file"
        )
        yield from unreadable_certificates("broker.ca_file", broker.ca_file, rule, remedy)


def unreadable_certificates(key: str, path: str, rule: str, remedy: str) -> Iterator[Problem]:
    """Yield a problem if the file `path` is unreadable, or contains no certificates."""
    try:
        ca_bundle(path)
    except OSError as error:
        yield Problem(f"{key}: {path}: {error.strerror}", rule, remedy, code="ca-file-unreadable")
    except ValueError:
        yield Problem(
            f"{key}: {path}: no certificate in the file, or an invalid certificate",
            rule,
            remedy,
            code="ca-file-invalid",
        )


def too_many_certificates(broker: BrokerSettings | None, limit: int, why: str) -> Iterator[Problem]:
    """Yield a problem for more than `limit` bytes of certificates. `out_of_reach` reports an unreadable file."""
    if not isinstance(broker, OutsideBroker) or not broker.ca_file:
        return
    try:
        size = len(ca_bundle(broker.ca_file))
    except (OSError, ValueError):
        return
    if size > limit:
        yield Problem(
            f"broker.ca_file: {broker.ca_file}: {size} bytes of certificates",
            f"the certificates may have at most {limit} bytes: {why}",
            "write in broker.ca_file the path of a file with only the CA that signs the broker's certificate, not of a "
            "bundle of many CAs",
            code="ca-file-too-large",
        )


def fetched_too_late(rotation: Rotation | None, where: str) -> Iterator[Problem]:
    """Yield a problem for a grace period that ends before a launcher has fetched the new value."""
    if rotation and rotation.grace_seconds < FETCHED:
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds} with {where}",
            f"rotation.grace_seconds must be at least {FETCHED}: the launcher reads new values every 5 minutes, "
            "may have to repeat a failed read, and then reconnects to the broker",
            LENGTHEN.format(FETCHED),
            code="grace-too-short",
        )


def of_fetching(where: str, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each secret that a launcher does not fetch from a cloud store, or fetches too late."""
    yield from fetched_too_late(parsed.get("rotation"), where)
    yield from not_fetched(parsed.get("secrets", {}), where, "write readers: [rotator], or remove the secret")


def not_fetched(secrets: Mapping[str, DeclaredSecret], where: str, remedy: str) -> Iterator[Problem]:
    """Yield a problem for each secret of section `secrets` with the server as a reader: no launcher fetches it."""
    for name, secret in secrets.items():
        if Reader.SERVER in secret.readers and name != HTTP_TOKEN[0]:
            yield Problem(
                f"secrets.{name}: the server is a reader, with {where}",
                "the server must not be a reader of this secret: this way it gets only mqtt, agent-key, client-cert "
                "and http-token",
                remedy,
                code="secret-not-fetched",
            )
