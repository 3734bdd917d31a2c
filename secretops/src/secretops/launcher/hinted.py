"""A launcher's subscription to hints at new versions, which its server's tools do not see."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from paho.mqtt.client import MQTTMessage

from secretops.hints import HINT_FILTER, Hint, parse_hint
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.source import Source


@runtime_checkable
class Hinted(Protocol):
    """A source that has to be polled, and follows hints."""

    def hint(self, hint: Hint | None = None) -> None:
        """Poll soon. None: the broker refuses what is in use."""


def follow_hints(source: Source, connection: BrokerConnection) -> None:
    """Have `connection` pass hints on to `source`, if that follows any. Call it before the connection is opened."""
    if not isinstance(source, Hinted):
        return

    def received(_client: Any, _data: Any, message: MQTTMessage) -> None:
        if hint := parse_hint(message.payload):
            source.hint(hint)

    connection.own_listeners[HINT_FILTER] = received
    connection.on_refused = source.hint
