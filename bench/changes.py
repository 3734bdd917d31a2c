"""Every way in which a server's credentials change, on a stack, for whatever serves its users meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import anyio.to_thread

from secretops.engine.state import Version
from secretops.values import new_password
from tests.real.mosquitto import Mosquitto
from tests.real.stack import Stack


class Served(Protocol):
    """A server in use, and how it gets to know of a change. Each waits until that is done."""

    async def takes(self, secret: str, version: Version) -> None:
        """There is a new version."""

    async def refuses(self, told: str) -> None:
        """There is one that cannot be used; `told` is what the launcher says of it."""

    async def recovers(self) -> None:
        """That one is gone, and the one before is there again."""


@dataclass
class Changes:
    """What an operator, a schedule and a mishap do to a stack."""

    stack: Stack
    mosquitto: Mosquitto

    def all(self, rotations: int) -> list[tuple[str, Callable[[Served], Awaitable[None]]]]:
        """In order, each with its name."""
        return [
            *[("rotation", self.rotation)] * rotations,
            ("retirement of the replaced user", self.retirement),
            ("client certificate", self.certificate),
            ("agent key", self.agent_key),
            ("wrong password, and its repair", self.wrong_password),
            ("broken PEM, and its repair", self.broken_pem),
            ("rotation", self.rotation),
        ]

    async def rotation(self, served: Served) -> None:
        await served.takes("mqtt", await anyio.to_thread.run_sync(self.stack.rotate))

    async def retirement(self, _served: Served) -> None:
        """The user whose turn it is not gets a password that nobody knows, and its sessions end."""
        stack = self.stack
        before = stack.credential()
        await anyio.to_thread.run_sync(stack.tick)
        idle = next(user for user in stack.manifest.secret("mqtt").users if user != before["username"])
        previous = stack.session().store.versions("mqtt").previous
        assert previous
        assert previous.retired, "the idle user was not scrambled, although no server is on it"
        assert previous.user == idle

    async def certificate(self, served: Served) -> None:
        value = self.mosquitto.client_certificate("another")
        await served.takes("client-cert", await anyio.to_thread.run_sync(lambda: self.stack.put("client-cert", value)))

    async def agent_key(self, served: Served) -> None:
        value = {"api-key": new_password()}
        await served.takes("agent-key", await anyio.to_thread.run_sync(lambda: self.stack.put("agent-key", value)))

    async def wrong_password(self, served: Served) -> None:
        await self._mishap(served, "mqtt", "password", "this-is-not-the-password", "refused the connection")

    async def broken_pem(self, served: Served) -> None:
        broken = "-----BEGIN {} KEY-----\nbroken\n".format("PRIVATE")
        await self._mishap(served, "client-cert", "client.key", broken, "they are PEM files")

    async def _mishap(self, served: Served, secret: str, field: str, text: str, told: str) -> None:
        mend = await anyio.to_thread.run_sync(lambda: self.stack.spoil(secret, field, text))
        await served.refuses(told)
        await anyio.to_thread.run_sync(mend)
        await served.recovers()
