"""What a client says at the broker of the version that it is on, for the rotator (secretops.replicas)."""

from __future__ import annotations

from datetime import UTC, datetime

import paho.mqtt.client as mqtt

from secretops.launcher.client import BrokerClient
from secretops.launcher.settings import ServerSettings
from secretops.replicas import report_text, report_topic


def report_of(client: BrokerClient, settings: ServerSettings) -> tuple[str, str]:
    """The topic and the text of the report that `client` is on `settings`."""
    version = settings.versions.get("mqtt", "unknown")
    return report_topic(settings.mqtt["username"], client.name), report_text("mqtt", version, datetime.now(UTC))


def introduce(client: BrokerClient, settings: ServerSettings) -> None:
    """Give a client that has yet to connect its report, and a last will that takes it back."""
    client.report = report_of(client, settings)
    client.will_set(client.report[0], b"", qos=1, retain=True)


def tell(client: BrokerClient) -> None:
    """Say at the broker which version the client is on."""
    if client.report:
        client.publish(*client.report, qos=1, retain=True)


def take_back(client: BrokerClient, seconds: float = 0) -> None:
    """Empty the client's report, as its last will does when it ends otherwise. Waits up to `seconds` for the broker."""
    if client.report:
        info = client.publish(client.report[0], b"", qos=1, retain=True)
        if seconds and info.rc == mqtt.MQTT_ERR_SUCCESS:
            info.wait_for_publish(seconds)
