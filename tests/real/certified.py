"""Clients that log in with certificates and reconnect in a loop."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from secretops.manifest import Broker
from secretops.values import Value
from tests.real.stack import MqttSession, Turning

# What readers find now: the fields client.crt and client.key, and a user with its password.
Given = tuple[Mapping[str, str], Value]


class Connecting(Turning):
    """`count` threads that connect with the current certificate, publish, and disconnect."""

    def __init__(self, broker: Broker, folder: Path, supplied: Callable[[], Given], *, count: int = 4) -> None:
        super().__init__(count)
        self._broker, self._folder, self._given = broker, folder, supplied
        self.certificates: set[str] = set()  # Certificates that a client connected with.

    def _try(self, _index: int) -> str:
        found, credential = self._given()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            certificate, key = Path(folder) / "client.crt", Path(folder) / "client.key"
            certificate.write_text(found["client.crt"])
            key.write_text(found["client.key"])
            shown = {"certificate_file": str(certificate), "key_file": str(key)}
            with MqttSession(self._broker.model_copy(update=shown), credential) as session:
                if session.outcome == "Success":
                    assert session.publishes(), "the session ended at once"
                    self.certificates.add(found["client.crt"])
                return session.outcome
