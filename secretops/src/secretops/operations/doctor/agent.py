"""Whether the agent takes the key that readers are given, and has none of ours that nobody keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secretops.check import Result, attention, ok
from secretops.engine.ports import NamedKey
from secretops.engine.state import Version
from secretops.errors import RefusedError
from secretops.manifest import ExternalAgent, OwnedAgent, Secret, SecretKind
from secretops.operations.doctor.repairs import ticks
from secretops.operations.rotators import agent_key
from secretops.operations.session import Session

RULE = "readers are given a key that the agent takes, and a key that nobody keeps is deleted"


@dataclass(frozen=True)
class AgentTakes:
    """An owned agent lists the current key, and none that a crash left; another's answers to it, with one token."""

    session: Session
    secret: Secret
    first: Callable[[], object] = lambda: None
    """What has to work before the store is asked. Raises SecretopsError."""
    name: str = "agent"

    def look(self) -> Result:
        self.first()
        versions = self.session.store.versions(self.secret.name)
        if isinstance(self.secret.agent, OwnedAgent):
            return self._owned(self.secret.agent)
        made = [NamedKey.of(one.user) for one in versions.living if one.user]
        if made:
            return attention(
                f"secretops made {', '.join(f'key {key.id} of agent {key.agent}' for key in made)}",
                "the stack's agent is not your own any more, and nobody deletes keys of the one before",
                f"secretops put {self.secret.name} twice, then delete it in DigitalOcean's control panel",
            )
        if versions.current is None:
            return ok("no key yet")
        if versions.current.verified is None:
            return ok("its key was published untested")
        return self._external(versions.current)

    def _owned(self, agent: OwnedAgent) -> Result:
        look = agent_key(self.session, self.secret, agent).look()
        found = [look.lost] if look.lost else []
        if look.left:
            found.append(f"keys that a crash left: {', '.join(key.id for key in look.left)}")
        if found:
            return attention("; ".join(found), RULE, "secretops tick", ticks(self.session))
        return ok(f"agent {agent.id} has the keys that are kept")

    def _external(self, current: Version) -> Result:
        from secretops.targets.digitalocean import verify

        agent = self.secret.agent or ExternalAgent()
        value = self.session.store.read(self.secret.name, current.id, purpose="doctor: ask the agent")
        try:
            verify(agent.url, value)
        except RefusedError as error:
            return attention(error.what, RULE, f"secretops put {self.secret.name}, with one that the agent takes")
        return ok(f"{agent.url} answers to the key")


def agent_checks(session: Session, first: Callable[[], object] = lambda: None) -> list[AgentTakes]:
    """Of the stack's agent, where it is known."""
    key = session.manifest.of_kind(SecretKind.AGENT_KEY)
    return [AgentTakes(session, key, first)] if key and key.agent else []
