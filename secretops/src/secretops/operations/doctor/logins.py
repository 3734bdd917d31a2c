"""Whether what readers are given logs in at the broker, and whether the servers that report use it.

The one check of doctor that reads a value to use it: the store's trail has that read, as it has each tick's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secretops.check import Result, attention, ok
from secretops.engine.decisions import behind, replica_behind
from secretops.errors import RefusedError
from secretops.manifest import Secret, SecretKind
from secretops.operations.broker_access import replicas_read_as
from secretops.operations.doctor.repairs import rotates
from secretops.operations.session import Session
from secretops.targets import open_target


@dataclass(frozen=True)
class LogsIn:
    """The broker takes the current version of a secret, and no server is on an older one past the grace."""

    session: Session
    secret: Secret
    first: Callable[[], object] = lambda: None
    """What has to work before the store is asked. Raises SecretopsError."""

    @property
    def name(self) -> str:
        return f"login {self.secret.name}"

    def look(self) -> Result:
        self.first()
        name, kind = self.secret.name, self.secret.kind
        current = self.session.store.versions(name).current
        if current is None:
            return ok("no value yet")
        value = self.session.store.read(name, current.id, purpose="doctor: log in")
        try:
            open_target(self.session.broker, kind).verify(value)
        except RefusedError as error:
            server = kind is SecretKind.MQTT_USER
            return attention(
                f"the broker refuses user {current.user}, whose password is current: {error.what}",
                "what readers are given logs in; somebody changed that user at the broker, or took its rights",
                f"{f'secretops rotate {name}' if server else f'secretops put {name}, with one that the broker takes'}; "
                "and find out who changed it",
                rotates(self.session, name) if server else None,
            )
        reports = replicas_read_as(self.session, self.secret, value)
        facts = self.session.facts(self.secret, reports or ())
        if late := replica_behind(facts, self.session.clock()):
            return attention(
                late.message,
                "a server follows a new version within the grace; the user of the old one is retired, and it with it",
                "that server's log says why it does not; start it again",
            )
        moving = f", {len(behind(facts))} not yet on {current.id}" if behind(facts) else ""
        servers = f"; {len(reports)} servers report{moving}" if reports else ""
        if reports is None and kind is SecretKind.MQTT_USER:
            servers = "; which version servers use is not known"
        return ok(f"user {current.user} logs in{servers}")


def login_checks(session: Session, first: Callable[[], object] = lambda: None) -> list[LogsIn]:
    """Those of the secrets that are a user's at the broker."""
    return [LogsIn(session, secret, first) for secret in session.manifest.secrets if secret.kind.alternates]
