"""The embedded broker: MQTT 3.1.1 on loopback, with users, access rules and user commands.

State changes between two awaits, so a message reaches every session or none. Everything that a client can make grow
has a limit here, in `packets` or in `sessions`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import uuid
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from secretops.broker import packets
from secretops.broker.commands import COMMAND_TOPIC, OUTPUT_TOPIC, Commands
from secretops.broker.packets import Connect, MalformedError, Message, PacketType, RefusedConnectError, ReturnCode
from secretops.broker.sessions import Connection, Session
from secretops.broker.users import Flag, Scrypt, User, Users

# The descriptions of a Coreflux broker's actions. The MCP server subscribes to them at every connect.
ACTIONS = "$SYS/Coreflux/Actions/"

# The most clients that have logged in, and that have not: the oldest of the latter is closed for a new one.
CONNECTIONS = 100
NEWCOMERS = 50
CONNECT_SECONDS = 10.0

# The largest CONNECT, which may have a will, and the largest other packet.
CONNECT_BYTES = 64 * 2**10
PACKET_BYTES = 256 * 2**10

# The most sessions without a client: the oldest is dropped for a new one.
AWAY = 10

RETAINED_MESSAGES = 1_000
RETAINED_BYTES = 2**20

# The most unreleased packet ids (QoS 2) of a client.
UNRELEASED = 1_000

# Seconds after which a broker without its pid file ends.
OWNED_SECONDS = 1.0

log = logging.getLogger(__name__)


class Action(Enum):
    """An access to a topic or a filter."""

    PUBLISH = auto()
    SUBSCRIBE = auto()
    RECEIVE = auto()


def may(user: User | None, action: Action, topic: str) -> bool:
    """Return whether `user` has that access to a topic, or to a filter.

    As a new Coreflux broker: ordinary topics are open; Command and its Output need CommandCall, the rest of $SYS a
    system administrator. The actions' descriptions are open, so that the MCP server need not be an administrator.
    """
    if user is None:
        return False
    if not topic.startswith("$"):
        return True
    if action is Action.PUBLISH:
        return topic == COMMAND_TOPIC and user.may_command
    if topic == OUTPUT_TOPIC:
        return user.may_command
    return topic.startswith(ACTIONS) or Flag.SYSTEM_CONFIGURATION in user.flags


class EmbeddedBroker:
    """Sessions by client id, and retained messages by topic."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._commands = Commands(users)
        self._one_command = asyncio.Lock()
        self._one_login = asyncio.Lock()  # a login takes 16 MiB
        self._newcomers: dict[StreamWriter, None] = {}
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, Message] = {}

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one client until it leaves or breaks a rule. Never raises for what a client sends."""
        if len(self._newcomers) >= NEWCOMERS:
            oldest = next(iter(self._newcomers))
            del self._newcomers[oldest]
            oldest.transport.abort()
        self._newcomers[writer] = None
        session = connection = None
        try:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    kind, _, body = await packets.read(reader, CONNECT_BYTES)
                if kind is not PacketType.CONNECT:
                    raise MalformedError("no CONNECT")
                connect = packets.connect(body)
                against = await self._log_in(connect, reader, writer)
            except RefusedConnectError as refused:
                writer.write(packets.connack(refused.code))
                return
            finally:
                self._newcomers.pop(writer, None)
            session = self._open(connect, connection := Connection(writer, against, connect.will))
            await self._converse(session, connection, reader, connect.keep_alive * 1.5 or None)
        except MalformedError as error:
            log.info("%s: connection ended: %s", session.username if session else "a client", error)
        except (OSError, EOFError):
            log.debug("a connection was lost")
        finally:
            if session and connection:
                self._leave(session, connection)
            _hang_up(writer)

    async def _log_in(self, connect: Connect, reader: StreamReader, writer: StreamWriter) -> Scrypt:
        """Return the password that the client has. Raises RefusedConnectError."""
        name, against = connect.username, self._password_of(connect.username)
        async with self._one_login:
            if reader.at_eof():  # no derivation for a client that has left
                raise ConnectionResetError
            known = not writer.is_closing() and await asyncio.to_thread(
                self._users.authenticate, name, connect.password
            )
        if not known or against is None or self._password_of(name) is not against:
            log.info("login refused")
            raise RefusedConnectError(ReturnCode.NOT_AUTHORIZED)
        if connect.will and not self._may_leave(name, connect.will):
            log.info("%s: a will on a forbidden topic refused", name)
            raise RefusedConnectError(ReturnCode.NOT_AUTHORIZED)
        if sum(session.connection is not None for session in self._sessions.values()) >= CONNECTIONS:
            log.info("%s: refused, %d clients are connected", name, CONNECTIONS)
            raise RefusedConnectError(ReturnCode.UNAVAILABLE)
        return against

    def _may_leave(self, name: str | None, will: Message) -> bool:
        """Return whether the user may have that will; nobody may on Command, where it would not be a command."""
        return will.topic != COMMAND_TOPIC and may(self._users.get(name), Action.PUBLISH, will.topic)

    def _open(self, connect: Connect, connection: Connection) -> Session:
        """Return the client's session: the former one, unless it is another user's or clean."""
        client_id, name = connect.client_id or uuid.uuid4().hex, connect.username or ""
        session = self._sessions.get(client_id)
        if session and session.connection:
            old = session.connection
            self._leave(session, old)
            _hang_up(old.writer)
            session = self._sessions.get(client_id)
        present = session is not None and not connect.clean and session.username == name
        if session is None or not present:
            session = Session(client_id, name, connect.clean)
        self._sessions[client_id] = session
        connection.send(packets.connack(0, present=present))
        session.resume(connection)
        return session

    def _leave(self, session: Session, connection: Connection) -> None:
        """End a connection once: publish its will, and forget a clean session."""
        if session.connection is not connection:
            return
        session.connection = None
        del self._sessions[session.client_id]
        if not session.clean:
            self._sessions[session.client_id] = session  # last of those that are away
            away = [each for each in self._sessions.values() if each.connection is None]
            if len(away) > AWAY:
                del self._sessions[away[0].client_id]
        if connection.will and self._may_leave(session.username, connection.will):
            self._publish(connection.will)

    async def _converse(
        self, session: Session, connection: Connection, reader: StreamReader, silence: float | None
    ) -> None:
        """Handle packets until DISCONNECT. Raises TimeoutError for a client that is silent or does not read."""
        while session.connection is connection:
            async with asyncio.timeout(silence):
                kind, flags, body = await packets.read(reader, PACKET_BYTES)
                await connection.writer.drain()
            if session.connection is not connection:
                return
            match kind:
                case PacketType.PUBLISH:
                    await self._take(session, connection, *packets.publish(flags, body))
                case PacketType.PUBREL:
                    session.received.discard(packet_id := packets.acknowledged(body))
                    connection.send(packets.acknowledge(PacketType.PUBCOMP, packet_id))
                case PacketType.PUBACK | PacketType.PUBREC | PacketType.PUBCOMP:
                    session.acknowledged(kind, packets.acknowledged(body))
                case PacketType.SUBSCRIBE:
                    await self._subscribe(session, connection, *packets.subscribe(body))
                case PacketType.UNSUBSCRIBE:
                    packet_id, filters = packets.unsubscribe(body)
                    for topic_filter in filters:
                        session.subscriptions.pop(topic_filter, None)
                    connection.send(packets.unsuback(packet_id))
                case PacketType.PINGREQ:
                    connection.send(packets.PINGRESP)
                case PacketType.DISCONNECT:
                    connection.will = None
                    return
                case PacketType.CONNECT:
                    raise MalformedError("a second CONNECT")

    async def _take(self, session: Session, connection: Connection, message: Message, packet_id: int) -> None:
        """Acknowledge a message, then run it as a command or publish it. A forbidden one is dropped."""
        again = message.qos == 2 and packet_id in session.received  # noqa: PLR2004
        if message.qos == 2 and not again:  # noqa: PLR2004
            if len(session.received) >= UNRELEASED:
                raise MalformedError(f"{UNRELEASED} messages are not released")
            session.received.add(packet_id)
        if message.qos:
            kind = PacketType.PUBACK if message.qos == 1 else PacketType.PUBREC
            connection.send(packets.acknowledge(kind, packet_id))
        if again:
            return
        if not may(self._users.get(session.username), Action.PUBLISH, message.topic):
            log.info("%s: a message on a $-topic dropped", session.username)
        elif message.topic == COMMAND_TOPIC:
            await self._command(session.username, message.payload)
        else:
            self._publish(message)

    async def _command(self, name: str, payload: bytes) -> None:
        async with self._one_command:
            answer = await asyncio.to_thread(self._commands.run, name, payload.decode(errors="replace"))
        self._publish(Message(OUTPUT_TOPIC, answer.encode(), qos=1))
        for session in list(self._sessions.values()):
            connection = session.connection
            if connection and self._password_of(session.username) is not connection.against:
                log.info("%s: a session ended: its password was changed", session.username)
                self._leave(session, connection)
                _hang_up(connection.writer)

    def _publish(self, message: Message) -> None:
        """Retain a message, and deliver it to every subscriber that may read it."""
        if message.retain:
            self._retain(message)
        copies = [replace(message, qos=min(qos, message.qos), retain=False) for qos in range(3)]
        for session in self._sessions.values():
            qos = session.qos_for(message.topic)
            if qos is not None and may(self._users.get(session.username), Action.RECEIVE, message.topic):
                session.deliver(copies[qos])

    def _retain(self, message: Message) -> None:
        self._retained.pop(message.topic, None)
        if not message.payload:
            return
        if (
            len(self._retained) >= RETAINED_MESSAGES
            or sum(each.size for each in self._retained.values()) + message.size > RETAINED_BYTES
        ):
            log.warning("a message is not retained: %d are, the limit", len(self._retained))
            return
        self._retained[message.topic] = message

    async def _subscribe(
        self, session: Session, connection: Connection, packet_id: int, wanted: list[tuple[str, int]]
    ) -> None:
        granted = [self._grant(session, *each) for each in wanted]
        connection.send(packets.suback(packet_id, granted))
        user = self._users.get(session.username)
        for (topic_filter, _), qos in zip(wanted, granted, strict=True):
            await asyncio.sleep(0)  # let others run
            if session.connection is not connection:
                return
            for message in list(self._retained.values()) if qos != packets.REFUSED else ():
                if packets.matches(topic_filter, message.topic) and may(user, Action.RECEIVE, message.topic):
                    session.deliver(replace(message, qos=min(qos, message.qos)))
                    await connection.writer.drain()

    def _grant(self, session: Session, topic_filter: str, qos: int) -> int:
        allowed = packets.is_filter(topic_filter) and may(
            self._users.get(session.username), Action.SUBSCRIBE, topic_filter
        )
        return qos if allowed and session.subscribe(topic_filter, qos) else packets.REFUSED

    def _password_of(self, name: str | None) -> Scrypt | None:
        user = self._users.get(name)
        return user.password if user else None


def _hang_up(writer: StreamWriter) -> None:
    """Close without waiting for a client that does not read."""
    if writer.transport.get_write_buffer_size():
        writer.transport.abort()
    writer.close()


async def run(
    users: Users, host: str, port: int, *, listening: asyncio.Event, owned: Callable[[], bool] = lambda: True
) -> None:
    """Serve until SIGTERM, SIGINT, or `owned` returns False, which is called every OWNED_SECONDS.

    Sets `listening` once clients are accepted. Raises OSError when the address is taken.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(lambda _, context: log.error("%s", context["message"]))  # one line, no traceback
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker, clients = EmbeddedBroker(users), set[asyncio.Task[None]]()

    def gone(task: asyncio.Task[None]) -> None:
        clients.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s ended a connection", type(error).__name__)

    def came(reader: StreamReader, writer: StreamWriter) -> None:
        clients.add(task := loop.create_task(broker.serve(reader, writer)))
        task.add_done_callback(gone)

    server = await asyncio.start_server(came, host, port)
    log.info("listening on %s:%d", host, port)
    listening.set()
    while owned() and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), OWNED_SECONDS)
    server.close()
    for task in list(clients):
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    log.info("stopped")
