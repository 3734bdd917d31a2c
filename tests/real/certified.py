"""Clients that a broker knows by their certificates, and that connect over and over, each on its own.

The one load for whatever renews certificates: what a client is given, it reads anew before each connect, as a server's
launcher does.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from secretops.manifest import Broker
from secretops.values import Value
from tests.real.stack import DEADLINE, PAUSE, MqttSession

Given = tuple[Mapping[str, str], Value]
"""What readers find now: the fields client.crt and client.key, and a user with its password."""


class Connecting:
    """`count` threads that connect with the certificate they are given, publish, and leave."""

    def __init__(self, broker: Broker, folder: Path, given: Callable[[], Given], *, count: int = 4) -> None:
        self._broker, self._folder, self._given = broker, folder, given
        self._stopping, self._turned = threading.Event(), threading.Condition()
        self._begun, self._ended = [0] * count, [0] * count
        self.failures: list[str] = []
        self.certificates: set[str] = set()
        """Those that somebody connected with."""
        self._threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(count)]

    @property
    def connects(self) -> int:
        """How many came to an end, well or not."""
        return sum(self._ended)

    def __enter__(self) -> Connecting:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def caught_up(self) -> None:
        """Return when every client has ended a connect that it began, reading what it is given first, after this
        call."""
        with self._turned:
            wanted = [begun + 1 for begun in self._begun]
            assert self._turned.wait_for(
                lambda: all(ended >= want for ended, want in zip(self._ended, wanted, strict=True)), DEADLINE
            ), "a client hangs"

    def _run(self, index: int) -> None:
        while not self._stopping.wait(PAUSE):
            with self._turned:
                self._begun[index] += 1
            try:
                outcome = self._connect()
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}"
            with self._turned:
                if outcome != "Success":
                    self.failures.append(outcome)
                self._ended[index] += 1
                self._turned.notify_all()

    def _connect(self) -> str:
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
