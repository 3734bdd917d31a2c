"""What a server or a store that is not on this machine can't reach, or can't be given: the same on every platform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from secretops.forms import is_loopback
from secretops.manifest import HTTP_TOKEN, Reader

from ..core.broker import ca_bundle
from .problems import Problem
from .sections import BrokerSettings, DeclaredSecret, EmbeddedBroker, OutsideBroker, Rotation

# Seconds until a launcher has a new value that it fetches, if the hint at it is lost: it polls every 5 minutes, and 2
# minutes after a poll that failed (secretops.launcher.polled), give or take a tenth; the rest is for changing over.
FETCHED = 500


def out_of_reach(where: str, broker: BrokerSettings | None, becomes: str, *, runs: str) -> Iterator[Problem]:
    """A broker of this machine alone, and a CA file that is not there to be read. `becomes` is what is made of it,
    `runs` what connects to the broker."""
    if isinstance(broker, EmbeddedBroker):
        yield Problem(
            f"broker.kind: embedded with {where}",
            f"it listens on one machine's loopback, which no {runs} reaches",
            "name your broker: kind coreflux or mosquitto, and its host",
        )
    if isinstance(broker, OutsideBroker) and is_loopback(broker.host):
        yield Problem(
            f"broker.host: {broker.host} with {where}",
            f"it is the {runs}'s own loopback, where no broker listens",
            "name it as its clients on the same network do",
        )
    if isinstance(broker, OutsideBroker) and broker.ca_file:
        rule = f"a PEM file of CA certificates: it is read here, and {becomes}"
        remedy = "put it there, or name another; take it out if a public CA signs the broker's certificate"
        yield from unreadable_certificates("broker.ca_file", broker.ca_file, rule, remedy)


def unreadable_certificates(key: str, path: str, rule: str, remedy: str) -> Iterator[Problem]:
    """Yield a problem if the file `path` is missing, or has no certificates."""
    try:
        ca_bundle(path)
    except OSError as error:
        yield Problem(f"{key}: {path}: {error.strerror}", rule, remedy)
    except ValueError:
        yield Problem(f"{key}: {path}: no certificate in it", rule, remedy)


def too_many_certificates(broker: BrokerSettings | None, limit: int, why: str) -> Iterator[Problem]:
    """More than `limit` bytes of them in the CA file. One that can't be read is told already."""
    if not isinstance(broker, OutsideBroker) or not broker.ca_file:
        return
    try:
        size = len(ca_bundle(broker.ca_file))
    except (OSError, ValueError):
        return
    if size > limit:
        yield Problem(
            f"broker.ca_file: {broker.ca_file}: {size} bytes of certificates",
            f"at most {limit}: {why}",
            "name a file of the one CA's certificate that signs the broker's, not a whole bundle",
        )


def fetched_too_late(rotation: Rotation | None, where: str) -> Iterator[Problem]:
    """A grace that is over before a launcher has the new value."""
    if rotation and rotation.grace_seconds < FETCHED:
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds} with {where}",
            f"at least {FETCHED}: the launcher polls every 5 minutes, a poll may fail, and it changes over",
            "lengthen it, or take it out for its default",
        )


def not_fetched(secrets: Mapping[str, DeclaredSecret], where: str, remedy: str) -> Iterator[Problem]:
    """What a server is to read that fetches its secrets."""
    for name, secret in secrets.items():
        if Reader.SERVER in secret.readers and name != HTTP_TOKEN[0]:
            yield Problem(
                f"secrets.{name}: read by the server, with {where}",
                "the launcher fetches what it has a use for itself, and the server's program sees no other",
                remedy,
            )
