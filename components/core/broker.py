"""The broker, as secretops and the server are told of it."""

from __future__ import annotations

import base64
import re
import ssl
from pathlib import Path

from secretops.manifest import Broker, BrokerKind, MqttProtocol

from ..settings.sections import AgentSettings, BrokerSettings, EmbeddedBroker, OutsideBroker


def broker_location(
    settings: BrokerSettings,
    *,
    home: Path | None = None,
    certificates: Path | None = None,
    authority: bool = True,
    certificate_secret: str | None = None,
    ca_file: str | None = None,
) -> Broker:
    """Where the broker is and what it speaks. `home` is the embedded one's folder, on this machine alone.

    A broker that asks the server for a certificate asks secretops as well: `certificates` is the folder where its files
    lie for secretops (`authority`: with who signs the broker's), `certificate_secret` the secret to take it from where
    there is none. `ca_file` is where the stack's own lies for secretops, if not where the stack file has it.
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
                home=str(home) if home else None,
            )
        case OutsideBroker():
            shown = certificates if settings.client_certificate else None
            return Broker(
                kind=BrokerKind(settings.kind),
                host=settings.host,
                port=settings.listening_port,
                protocol=settings.protocol,
                tls=settings.tls,
                ca_file=ca_file or settings.ca_file or (str(shown / "ca.crt") if shown and authority else None),
                certificate_file=str(shown / "client.crt") if shown else None,
                key_file=str(shown / "client.key") if shown else None,
                certificate_secret=certificate_secret if settings.client_certificate and not shown else None,
                topics=settings.topics,
                groups=settings.groups,
            )


def public_variables(
    settings: BrokerSettings, *, log_level: str, agent: AgentSettings | None, ca_file: str | None = None
) -> dict[str, str]:
    """The server's variables that are no secret (the guide, Environment-Specific Configuration).

    `agent` is whom the server asks for LOT code, where that is not the Copilot that it knows; `ca_file` where the
    stack's own lies for the server, if not where the stack file has it.
    """
    match settings:
        case EmbeddedBroker() as broker:
            where = {"MQTT_BROKER": "localhost", "MQTT_PORT": str(broker.port), "MQTT_USE_TLS": "false"}
            where["MQTT_PROTOCOL"] = "3.1.1"
        case OutsideBroker() as broker:
            where = {
                "MQTT_BROKER": broker.host,
                "MQTT_PORT": str(broker.listening_port),
                "MQTT_USE_TLS": "true" if broker.tls else "false",
                "MQTT_PROTOCOL": broker.protocol.value,
            }
            if broker.ca_file:
                where["MQTT_CA_CERT"] = ca_file or broker.ca_file
    asks = {"DO_AGENT_URL": agent.url} if agent and agent.url else {}
    return {**where, **asks, "LOG_LEVEL": log_level}


_BEGIN = re.compile("-----BEGIN (?:X509 )?CERTIFICATE-----")
_CERTIFICATE = re.compile(rf"{_BEGIN.pattern}\s([A-Za-z0-9+/=\s]+)-----END (?:X509 )?CERTIFICATE-----")


def ca_bundle(path: str) -> str:
    """The certificates in the PEM file `path` and nothing else: they are public, what lies beside them may not be.

    Read by OpenSSL, one by one, as whoever is given them will; to import `cryptography` would take a sixtieth of a
    preview.

    Raises OSError, and ValueError where there is no certificate in it, or one that is none.
    """
    text = Path(path).read_text("latin-1")
    bodies = _CERTIFICATE.findall(text)
    if not bodies or len(bodies) != len(_BEGIN.findall(text)):
        raise ValueError("no certificate, or one without its end")
    found = [base64.b64decode("".join(body.split()), validate=True) for body in bodies]
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for certificate in found:
        try:
            known.load_verify_locations(cadata=certificate)
        except ssl.SSLError as error:
            raise ValueError(f"not a certificate: {error.reason}") from None
        if len(certificate) != _length(certificate):
            raise ValueError("not a certificate: something follows it")
    return "".join(map(ssl.DER_cert_to_PEM_cert, found))


def _length(der: bytes) -> int:
    """Bytes that a DER element says it has, its header included (X.690, 8.1.3); OpenSSL overlooks what follows one."""
    first = der[1]
    more = first & 0x7F if first & 0x80 else 0
    return 2 + more + (int.from_bytes(der[2 : 2 + more], "big") if more else first)
