"""The broker, which is no part of any store: whether it answers at all, from where doctor runs."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from secretops.check import Repair, Result, attention, ok
from secretops.operations import broker as embedded
from secretops.operations.session import Session

ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class BrokerAnswers:
    """Something listens at the broker's address. Whether it lets the current user in is another check's."""

    session: Session
    name: str = "broker"

    def look(self) -> Result:
        broker = self.session.manifest.broker
        address = f"{broker.host}:{broker.port}"
        try:
            socket.create_connection((broker.host, broker.port), ANSWER_SECONDS).close()
        except OSError as error:
            return attention(
                f"{address}: {error.strerror or type(error).__name__}",
                "put, rotate and tick log in at the broker from where they run",
                "secretops broker start" if broker.embedded else "start it, or let this machine reach it",
                Repair("secretops broker start", lambda: embedded.start(self.session)) if broker.embedded else None,
            )
        return ok(f"{address} takes connections")
