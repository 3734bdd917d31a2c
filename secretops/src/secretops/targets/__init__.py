"""The systems that accept a credential, in a module each."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from secretops.engine.ports import AgentKeys, Target
from secretops.errors import UsageError
from secretops.manifest import Broker, BrokerKind, OwnedAgent, SecretKind
from secretops.targets.coreflux import CorefluxTarget
from secretops.targets.mosquitto import MosquittoTarget
from secretops.values import Value


def open_target(broker: Broker, kind: SecretKind) -> Target:
    """Return the target of a kind of secret. Raises UsageError for a kind that is no broker user."""
    if not kind.alternates:
        raise UsageError(
            f"{kind}: no broker user",
            rule="only a broker user's value is made and set by secretops",
            remedy="give its value with `secretops put`",
        )
    admin = kind is SecretKind.BROKER_ADMIN
    match broker.kind:
        case BrokerKind.MOSQUITTO:
            return MosquittoTarget(broker, admin=admin)
        case BrokerKind.COREFLUX:
            return CorefluxTarget(broker, admin=admin)
        case _:
            assert_never(broker.kind)


def open_agent(agent: OwnedAgent, admin: Callable[[], Value]) -> AgentKeys:
    """Return the keys of an agent. `admin` returns the token that makes them; it is called when needed."""
    from secretops.targets.digitalocean import DigitalOceanAgent

    return DigitalOceanAgent(agent, admin=admin)
