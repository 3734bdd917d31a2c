"""The MQTT broker, as secretops and the server connect to it."""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secretops.manifest import Broker, BrokerKind, MqttProtocol


@dataclass(frozen=True, kw_only=True)
class BrokerArgs:
    host: str
    kind: Literal["coreflux", "mosquitto"] = "coreflux"
    port: int = 8883
    tls: bool = True
    ca_file: str | None = None
    """PEM file of the CAs that sign the broker's certificate; by default the system's CAs."""
    protocol: MqttProtocol = MqttProtocol.V5
    """MQTT version."""
    client_certificate: bool = False
    """Whether the broker requires a client certificate."""
    topics: tuple[str, ...] = ("#", "$SYS/Coreflux/#")
    """Topic filters on which the server's users may publish and subscribe."""
    groups: tuple[str, ...] = ()
    """Groups that the server's users join on a Coreflux broker, for its rules (`USER IN GROUP`)."""
    embedded: bool = False
    """Whether the broker is `secretops broker` on this machine."""

    def location(
        self,
        *,
        home: Path | None = None,
        certificates: Path | None = None,
        authority: bool = True,
        certificate_secret: str | None = None,
        ca_file: str | None = None,
    ) -> Broker:
        """Return the broker's entry in the manifest.

        `home` is the folder of an embedded broker. If the broker requires a client certificate, the certificate's files
        are in the folder `certificates`; if that is None, they are in the secret `certificate_secret`. With
        `authority`, the folder also contains the broker's CA file. `ca_file` replaces the path of the CA file.
        """
        shown = certificates if self.client_certificate else None
        return Broker(
            kind=BrokerKind(self.kind),
            host=self.host,
            port=self.port,
            protocol=self.protocol,
            tls=self.tls,
            embedded=self.embedded,
            home=str(home) if home and self.embedded else None,
            ca_file=ca_file or self.ca_file or (str(shown / "ca.crt") if shown and authority else None),
            certificate_file=str(shown / "client.crt") if shown else None,
            key_file=str(shown / "client.key") if shown else None,
            certificate_secret=certificate_secret if self.client_certificate and not shown else None,
            topics=self.topics,
            groups=self.groups,
        )

    def public_variables(
        self, *, log_level: str, agent_url: str | None = None, ca_file: str | None = None
    ) -> dict[str, str]:
        """Return the server's environment variables that are not secret (Secret Management Guide, Environment-Specific
        Configuration).

        `agent_url` is for an agent other than the Coreflux Copilot. `ca_file` replaces the CA file's path.
        """
        found = {
            "MQTT_BROKER": self.host,
            "MQTT_PORT": str(self.port),
            "MQTT_USE_TLS": "true" if self.tls else "false",
            "MQTT_PROTOCOL": self.protocol.value,
        }
        if self.ca_file:
            found["MQTT_CA_CERT"] = ca_file or self.ca_file
        return {**found, **({"DO_AGENT_URL": agent_url} if agent_url else {}), "LOG_LEVEL": log_level}


_BEGIN = re.compile("-----BEGIN (?:X509 )?CERTIFICATE-----")
_CERTIFICATE = re.compile(rf"{_BEGIN.pattern}\s([A-Za-z0-9+/=\s]+)-----END (?:X509 )?CERTIFICATE-----")


def ca_bundle(path: str) -> str:
    """Return the certificates in a PEM file, without its other content, which may be secret.

    OpenSSL parses them: importing `cryptography` would slow down each preview. Raises OSError, and ValueError for a
    file without certificates or with an invalid certificate.
    """
    text = Path(path).read_text("latin-1")
    bodies = _CERTIFICATE.findall(text)
    if not bodies or len(bodies) != len(_BEGIN.findall(text)):
        raise ValueError("the file has no certificate, or an incomplete one")
    found = [base64.b64decode("".join(body.split()), validate=True) for body in bodies]
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for certificate in found:
        try:
            known.load_verify_locations(cadata=certificate)
        except ssl.SSLError as error:
            raise ValueError(f"not a certificate: {error.reason}") from None
        if len(certificate) != _length(certificate):
            raise ValueError("not a certificate: other bytes follow it")
    return "".join(map(ssl.DER_cert_to_PEM_cert, found))


def _length(der: bytes) -> int:
    """Return the length of a DER element, header included (X.690, 8.1.3). A longer input has trailing bytes, which
    OpenSSL ignores."""
    first = der[1]
    more = first & 0x7F if first & 0x80 else 0
    return 2 + more + (int.from_bytes(der[2 : 2 + more], "big") if more else first)
