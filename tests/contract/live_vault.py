"""What the tests of the Vault store alone share: its place, and what happens on the way to the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import requests

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.stores.vault import server
from secretops.stores.vault.server import Answer, Connection, Request
from secretops.values import Value, new_password
from tests.contract.vault_place import FIELDS, InMount

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE = 120.0
MINE = "typed-by-a-person"
V = tuple(new_token(NOW + timedelta(hours=number)) for number in range(10))

Deed = Callable[[], object]


def make(**fields: str) -> Value:
    return Value({**{name: new_password() for name in FIELDS}, **fields})


def version(name: str, user: str | None = "a") -> Version:
    return Version(id=name, stage=Stage.PENDING, created=NOW, user=user)


def publish(place: InMount, name: str, value: Value | None = None) -> Value:
    value = value or make()
    place.open().add("it", version(name), value)
    place.open().publish("it", name, NOW)
    return value


def stages(place: InMount) -> dict[str, Stage]:
    return {one.id: one.stage for one in place.open().versions("it").all}


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are sent again once, and at once."""
    monkeypatch.setattr(server, "PAUSES", (0.0,))


class Way:
    """The way to the server, from this process: what happens once, at the next request of a kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        """What was sent, in order: "POST data/it"."""
        self._before: list[tuple[str, Deed]] = []
        self._losing: list[str] = []
        send = Connection._attempt

        def sent(connection: Connection, request: Request, token: str | None) -> Answer:
            said = f"{request.method} {request.path.partition('/')[2]}"
            self.asked.append(said)
            kinds = (said,) if request.method == "GET" else (said, "any write")
            for one in [one for one in self._before if one[0] in kinds]:
                self._before.remove(one)
                one[1]()
            answer = send(connection, request, token)
            if said in self._losing:
                self._losing.remove(said)
                raise requests.exceptions.ReadTimeout
            return answer

        monkeypatch.setattr(Connection, "_attempt", sent)

    def before(self, what: str, deed: Deed) -> None:
        """Do it once, right before `what` is sent, and after we were asked whether we may."""
        self._before.append((what, deed))

    def lose(self, what: str) -> None:
        """The next answer to it."""
        self._losing.append(what)

    def count(self, what: str) -> int:
        return self.asked.count(what)
