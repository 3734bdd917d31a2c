"""The people of a stack: servers that read its secrets, an operator, and the owner of the broker's trust."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from secretops.engine.ports import UserTakenError
from secretops.engine.state import Replica, Version
from secretops.errors import SecretopsError
from secretops.operations import trust
from secretops.operations.put import put
from secretops.operations.rotate import rotate
from secretops.operations.session import Session
from secretops.values import Value, new_password
from tests.gates.year.plan import DAY, HOUR, Event, Kind
from tests.gates.year.store import Delivered

if TYPE_CHECKING:
    from tests.gates.year.world import World

ROOT = "root"  # The broker's first admin, the operator's.


@dataclass
class Server:
    """One replica. It reads the delivered value, tests it, uses it, and reports its version at the broker."""

    name: str
    alive: bool = False
    waits: bool = False  # For a failed change: it retries as soon as anything has changed.
    held: dict[str, Delivered] = field(default_factory=dict)


class People:
    """All people of a stack. They act after random times."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.servers = [Server(str(number)) for number in range(world.plan.servers)]
        self.theirs: set[str] = {ROOT}  # The operator's own broker users.
        self._waits: set[tuple[Kind, str]] = set()
        self._root = ""

    @property
    def will_trust(self) -> bool:
        return (Kind.TRUST, "") in self._waits

    def act(self, event: Event) -> None:
        world = self._world
        match event.kind:
            case Kind.SERVER_DIES:
                self._dies(self.servers[int(event.what)])
            case Kind.SERVER_STARTS:
                self._dies(server := self.servers[int(event.what)])
                server.alive = True
                self._looks(server)
            case Kind.SERVER_LOOKS:
                self._waits.discard((event.kind, event.what))
                self._looks(self.servers[int(event.what)])
            case Kind.ROTATE:
                world.command("rotate", lambda session: _rotate(session, event.what))
            case Kind.ROTATE_NOW:
                self._waits.discard((event.kind, event.what))
                world.command("rotate --now", lambda session: _rotate(session, event.what, force=True))
            case Kind.PUT_ADMIN:
                if not self._root:
                    self._root = world.broker.users[ROOT] = new_password()
                self._put(event, "broker-admin", {"username": ROOT, "password": self._root})
            case Kind.PUT_TOKEN:
                if not world.account.token:
                    world.account.token = new_password()
                self._put(event, "agent-admin", {"token": world.account.token})
            case Kind.PUT_USER:
                username = event.what or f"theirs-{len(self.theirs)}"
                self.theirs.add(username)
                password = world.broker.users.setdefault(username, new_password())
                self._put(event, "mqtt", {"username": username, "password": password})
            case Kind.TRUST:
                self._waits.discard((event.kind, ""))
                self._trusts()

    def notice(self, what: str) -> None:
        world = self._world
        self.stir()
        done, _, of = what.partition(" ")
        if done == "deliver":
            for server in self.servers:
                self._later(Kind.SERVER_LOOKS, server.name, self._patience())
        elif done in ("apply", "retire"):
            for server in self.servers:
                held = server.held.get("mqtt")
                if server.alive and held and held.fields["username"] == of:  # its session was dropped
                    world.broker.reports.pop(server.name, None)
                    server.waits = True
        elif of.startswith("client-ca ") and done in ("add", "publish", "retired", "discard"):
            self._later(Kind.TRUST, "", world.chance.choice((5, 10, HOUR, DAY)))

    def stir(self) -> None:
        for server in self.servers:
            if server.waits:
                server.waits = False
                self._world.expect(Event(self._world.minute + 1, Kind.SERVER_LOOKS, server.name))

    def hear(self, secret: str, error: Exception | None) -> None:
        if isinstance(error, UserTakenError) and (Kind.ROTATE_NOW, secret) not in self._waits:
            self._later(Kind.ROTATE_NOW, secret, self._world.chance.choice((10, 5 * HOUR)))

    def _patience(self) -> int:
        chance, grace = self._world.chance, self._world.plan.grace
        return chance.randrange(1, max(2, grace // 2)) if chance.random() < 0.9 else grace + chance.randrange(2 * DAY)

    def _later(self, kind: Kind, what: str, minutes: int) -> None:
        if (kind, what) not in self._waits:
            self._waits.add((kind, what))
            self._world.expect(Event(self._world.minute + minutes, kind, what))

    def _dies(self, server: Server) -> None:
        server.alive = False
        server.held.clear()
        self._world.broker.reports.pop(server.name, None)

    def _looks(self, server: Server) -> None:
        world = self._world
        found = world.kept.delivered
        if not server.alive:
            return
        mqtt, certificate = found.get("mqtt"), found.get("client-cert")
        is_up = not {"broker", "store"} & world.down and "broker" not in world.refusing
        taken = mqtt is not None and world.broker.logs_in(mqtt.fields["username"], mqtt.fields["password"])
        shown = certificate is None or world.broker.takes(certificate.fields["client.crt"], world.true_time())
        server.waits = not (is_up and taken and shown)
        if server.waits or mqtt is None:
            return
        server.held = dict(found)
        world.broker.reports[server.name] = Replica(
            id=server.name, user=mqtt.fields["username"], secret="mqtt", version=mqtt.version, since=world.true_time()
        )

    def _put(self, event: Event, name: str, fields: dict[str, str]) -> None:
        if self._world.command(f"put {name}", lambda session: put(session, name, Value(fields))) is None:
            self._world.expect(Event(self._world.minute + HOUR, event.kind, fields.get("username", "")))

    def _trusts(self) -> None:
        world = self._world
        text = world.command("trust", trust.bundle)
        if text is None:
            self._later(Kind.TRUST, "", HOUR)
            return
        end = "-----END CERTIFICATE-----\n"
        world.broker.trusted = tuple(one + end for one in text.split(end) if one.strip())


def _rotate(session: Session, name: str, *, force: bool = False) -> Version:
    return rotate(session, name, force=force, notify=lambda _: None, sleep=_gives_up)


def _gives_up(_seconds: float) -> None:
    raise SecretopsError("the operator does not wait", code="test")
