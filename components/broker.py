"""The broker as secretops is told of it: the target of the broker users' passwords."""

from __future__ import annotations

from pathlib import Path

from components.catalogue import CLIENT_CERT
from components.sections import BrokerSettings, EmbeddedBroker, OutsideBroker
from secretops.manifest import Broker, BrokerKind, MqttProtocol


def broker_location(settings: BrokerSettings, *, home: Path, certificates: Path | None) -> Broker:
    """Where the broker is and what it speaks. `home` is the embedded one's folder, on this machine alone.

    `certificates` is the folder that client-cert is delivered to where secretops runs: a broker that asks the server
    for a certificate asks secretops as well. None where there is no such folder: the store is asked for it then.
    """
    match settings:
        case EmbeddedBroker():
            return Broker(
                kind=BrokerKind.COREFLUX,
                host="localhost",
                port=settings.port,
                protocol=MqttProtocol.V311,
                tls=False,
                embedded=True,
                home=str(home),
            )
        case OutsideBroker():
            shown = certificates if settings.client_certificate else None
            return Broker(
                kind=BrokerKind(settings.kind),
                host=settings.host,
                port=settings.listening_port,
                protocol=settings.protocol,
                tls=settings.tls,
                ca_file=settings.ca_file or (str(shown / "ca.crt") if shown else None),
                certificate_file=str(shown / "client.crt") if shown else None,
                key_file=str(shown / "client.key") if shown else None,
                certificate_secret=CLIENT_CERT if settings.client_certificate and not shown else None,
                topics=settings.topics,
            )
