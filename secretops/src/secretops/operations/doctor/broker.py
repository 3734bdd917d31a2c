"""The broker, which is no part of any store: whether it answers at all, from where doctor runs."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from secretops.manifest import Broker
from secretops.operations.doctor.check import Result, attention, ok

ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class BrokerAnswers:
    """Something listens at the broker's address. Whether it lets the current user in is what a tick finds out."""

    broker: Broker
    name: str = "broker"

    def look(self) -> Result:
        address = f"{self.broker.host}:{self.broker.port}"
        try:
            socket.create_connection((self.broker.host, self.broker.port), ANSWER_SECONDS).close()
        except OSError as error:
            return attention(
                f"{address}: {error.strerror or type(error).__name__}",
                "put, rotate and tick log in at the broker from where they run",
                "secretops broker start" if self.broker.embedded else "start it, or let this machine reach it",
            )
        return ok(f"{address} takes connections")
