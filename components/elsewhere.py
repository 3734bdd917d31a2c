"""What a server or a store that is not on this machine can't reach, or can't be given: the same on every platform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.broker import ca_bundle
from components.problems import Problem
from components.sections import BrokerSettings, DeclaredSecret, EmbeddedBroker, OutsideBroker
from secretops.manifest import HTTP_TOKEN, Reader


def out_of_reach(where: str, broker: BrokerSettings | None, becomes: str) -> Iterator[Problem]:
    """A broker of this machine alone, and a CA file that is not there to be read. `becomes` is what is made of it."""
    if isinstance(broker, EmbeddedBroker):
        what = {"server kubernetes": "pod", "server ecs": "task", "store aws": "function"}[where]
        yield Problem(
            f"broker.kind: embedded with {where}",
            f"it listens on one machine's loopback, which no {what} reaches",
            "name your broker: kind coreflux or mosquitto, and its host",
        )
    if isinstance(broker, OutsideBroker) and broker.ca_file:
        rule = f"a PEM file of CA certificates: it is read here, and {becomes}"
        remedy = "put it there, or name another; take it out if a public CA signs the broker's certificate"
        try:
            ca_bundle(broker.ca_file)
        except OSError as error:
            yield Problem(f"broker.ca_file: {broker.ca_file}: {error.strerror}", rule, remedy)
        except ValueError:
            yield Problem(f"broker.ca_file: {broker.ca_file}: no certificate in it", rule, remedy)


def not_fetched(secrets: Mapping[str, DeclaredSecret], where: str, remedy: str) -> Iterator[Problem]:
    """What a server is to read that fetches its secrets."""
    for name, secret in secrets.items():
        if Reader.SERVER in secret.readers and name != HTTP_TOKEN[0]:
            yield Problem(
                f"secrets.{name}: read by the server, with {where}",
                "the launcher fetches what it has a use for itself, and the server's program sees no other",
                remedy,
            )
