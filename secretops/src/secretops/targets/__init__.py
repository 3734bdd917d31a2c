from __future__ import annotations

from collections.abc import Callable

from secretops.engine.ports import AgentKeys, Target
from secretops.errors import UsageError
from secretops.manifest import Broker, BrokerKind, OwnedAgent, SecretKind
from secretops.targets.coreflux import CorefluxTarget
from secretops.targets.mosquitto import MosquittoTarget
from secretops.values import Value

_TARGETS: dict[BrokerKind, type[MosquittoTarget | CorefluxTarget]] = {
    BrokerKind.MOSQUITTO: MosquittoTarget,
    BrokerKind.COREFLUX: CorefluxTarget,
}


def open_target(broker: Broker, kind: SecretKind) -> Target:
    """Return the users of `broker` as a target. Raises UsageError if `kind` is not a kind of broker user."""
    if not kind.alternates:
        raise UsageError(
            f"a secret of kind {kind} has no broker user",
            rule="secretops can set and test passwords of broker users only",
            remedy="supply a value: secretops put SECRET",
            code="secret-not-broker-user",
        )
    return _TARGETS[broker.kind](broker, admin=kind is SecretKind.BROKER_ADMIN)


def open_agent(agent: OwnedAgent, admin: Callable[[], Value]) -> AgentKeys:
    """Return an agent's keys. `admin` returns the token of the agent's owner."""
    from secretops.targets.digitalocean import DigitalOceanAgent

    return DigitalOceanAgent(agent, admin=admin)
