"""The embedded broker: MQTT 3.1.1 on loopback, with users, access rules and user commands.

Code that changes the broker's state contains no await. So no other task sees half of a change, and a message reaches
every session or none.
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

# Descriptions of a Coreflux broker's actions. The MCP server subscribes to them at every connect.
ACTIONS = "$SYS/Coreflux/Actions/"

# Maximum clients that have logged in, and maximum connections that have not: a new one replaces the oldest of these.
MAX_CONNECTIONS = 100
MAX_PENDING = 50
CONNECT_SECONDS = 10.0

# Bytes of the largest CONNECT, which may contain a will, and of the largest other packet.
CONNECT_BYTES = 64 * 2**10
PACKET_BYTES = 256 * 2**10

# Sessions without a connected client. A further one replaces the oldest.
MAX_OFFLINE = 10

RETAINED_MESSAGES = 1_000
RETAINED_BYTES = 2**20

# Packet ids (QoS 2) that a client may leave unreleased.
UNRELEASED = 1_000

# Seconds between checks of the pid file. A broker that has lost it exits.
OWNED_SECONDS = 1.0

log = logging.getLogger(__name__)


class Action(Enum):
    PUBLISH = auto()
    SUBSCRIBE = auto()
    RECEIVE = auto()


def is_allowed(user: User | None, action: Action, topic: str) -> bool:
    """Return whether `user` may publish or subscribe to `topic`, by a Coreflux broker's default rules.

    Topics without a leading $ are open to all users. A user with `may_command` may publish to COMMAND_TOPIC and read
    OUTPUT_TOPIC. Every user may read descriptions of actions, which the MCP server needs. All other topics are readable
    with the flag SYSTEM_CONFIGURATION.
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
    def __init__(self, users: Users) -> None:
        self._users = users
        self._commands = Commands(users)
        self._one_command = asyncio.Lock()
        self._one_login = asyncio.Lock()  # a login takes 16 MiB
        self._pending: dict[StreamWriter, None] = {}
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, Message] = {}

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve a client until it disconnects or violates a rule. Invalid data from the client raises no exception."""
        if len(self._pending) >= MAX_PENDING:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            oldest.transport.abort()
        self._pending[writer] = None
        session = connection = None
        try:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    kind, _, body = await packets.read(reader, CONNECT_BYTES)
                if kind is not PacketType.CONNECT:
                    raise MalformedError("no CONNECT")
                connect = packets.connect(body)
                password = await self._log_in(connect, reader, writer)
            except RefusedConnectError as refused:
                writer.write(packets.connack(refused.code))
                return
            finally:
                self._pending.pop(writer, None)
            session = self._open(connect, connection := Connection(writer, password, connect.will))
            await self._handle_packets(session, connection, reader, connect.keep_alive * 1.5 or None)
        except MalformedError as error:
            log.info("%s: connection ended: %s", session.username if session else "a client", error)
        except (OSError, EOFError):
            log.debug("a connection was lost")
        finally:
            if session and connection:
                self._disconnect(session, connection)
            _hang_up(writer)

    async def _log_in(self, connect: Connect, reader: StreamReader, writer: StreamWriter) -> Scrypt:
        name, password = connect.username, self._password_of(connect.username)
        async with self._one_login:
            if reader.at_eof():  # no key derivation for a client that has disconnected
                raise ConnectionResetError
            known = not writer.is_closing() and await asyncio.to_thread(
                self._users.authenticate, name, connect.password
            )
        if not known or password is None or self._password_of(name) is not password:
            log.info("login refused")
            raise RefusedConnectError(ReturnCode.NOT_AUTHORIZED)
        if connect.will and not self._allows_will(name, connect.will):
            log.info("%s: refused a will on a forbidden topic", name)
            raise RefusedConnectError(ReturnCode.NOT_AUTHORIZED)
        if sum(session.connection is not None for session in self._sessions.values()) >= MAX_CONNECTIONS:
            log.info("%s: refused, %d clients are connected", name, MAX_CONNECTIONS)
            raise RefusedConnectError(ReturnCode.UNAVAILABLE)
        return password

    def _allows_will(self, name: str | None, will: Message) -> bool:
        # A will for COMMAND_TOPIC would not run as a command.
        return will.topic != COMMAND_TOPIC and is_allowed(self._users.get(name), Action.PUBLISH, will.topic)

    def _open(self, connect: Connect, connection: Connection) -> Session:
        client_id, name = connect.client_id or uuid.uuid4().hex, connect.username or ""
        session = self._sessions.get(client_id)
        if session and session.connection:
            old = session.connection
            self._disconnect(session, old)
            _hang_up(old.writer)
            session = self._sessions.get(client_id)
        present = session is not None and not connect.clean and session.username == name
        if session is None or not present:
            session = Session(client_id, name, connect.clean)
        self._sessions[client_id] = session
        connection.send(packets.connack(0, present=present))
        session.resume(connection)
        return session

    def _disconnect(self, session: Session, connection: Connection) -> None:
        if session.connection is not connection:
            return
        session.connection = None
        del self._sessions[session.client_id]
        if not session.clean:
            self._sessions[session.client_id] = session  # reinserted as the latest offline session
            offline = [each for each in self._sessions.values() if each.connection is None]
            if len(offline) > MAX_OFFLINE:
                del self._sessions[offline[0].client_id]
        if connection.will and self._allows_will(session.username, connection.will):
            self._publish(connection.will)

    async def _handle_packets(
        self, session: Session, connection: Connection, reader: StreamReader, silence: float | None
    ) -> None:
        """Handle packets until DISCONNECT. Raises TimeoutError if the client sends nothing for `silence` seconds, or
        does not read."""
        while session.connection is connection:
            async with asyncio.timeout(silence):
                kind, flags, body = await packets.read(reader, PACKET_BYTES)
                await connection.writer.drain()
            if session.connection is not connection:
                return
            match kind:
                case PacketType.PUBLISH:
                    await self._handle_publish(session, connection, *packets.publish(flags, body))
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

    async def _handle_publish(self, session: Session, connection: Connection, message: Message, packet_id: int) -> None:
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
        if not is_allowed(self._users.get(session.username), Action.PUBLISH, message.topic):
            log.info("%s: dropped a message on a $-topic", session.username)
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
            if connection and self._password_of(session.username) is not connection.password:
                log.info("%s: a session ended, because its user's password was changed", session.username)
                self._disconnect(session, connection)
                _hang_up(connection.writer)

    def _publish(self, message: Message) -> None:
        if message.retain:
            self._retain(message)
        copies = [replace(message, qos=min(qos, message.qos), retain=False) for qos in range(3)]
        for session in self._sessions.values():
            qos = session.qos_for(message.topic)
            if qos is not None and is_allowed(self._users.get(session.username), Action.RECEIVE, message.topic):
                session.deliver(copies[qos])

    def _retain(self, message: Message) -> None:
        self._retained.pop(message.topic, None)
        if not message.payload:
            return
        if (
            len(self._retained) >= RETAINED_MESSAGES
            or sum(each.size for each in self._retained.values()) + message.size > RETAINED_BYTES
        ):
            log.warning("did not retain a message: the limit is reached (%d messages)", len(self._retained))
            return
        self._retained[message.topic] = message

    async def _subscribe(
        self, session: Session, connection: Connection, packet_id: int, wanted: list[tuple[str, int]]
    ) -> None:
        granted = [self._grant(session, *each) for each in wanted]
        connection.send(packets.suback(packet_id, granted))
        user = self._users.get(session.username)
        for (topic_filter, _), qos in zip(wanted, granted, strict=True):
            await asyncio.sleep(0)  # let other tasks run
            if session.connection is not connection:
                return
            for message in list(self._retained.values()) if qos != packets.REFUSED else ():
                if packets.matches(topic_filter, message.topic) and is_allowed(user, Action.RECEIVE, message.topic):
                    session.deliver(replace(message, qos=min(qos, message.qos)))
                    await connection.writer.drain()

    def _grant(self, session: Session, topic_filter: str, qos: int) -> int:
        allowed = packets.is_filter(topic_filter) and is_allowed(
            self._users.get(session.username), Action.SUBSCRIBE, topic_filter
        )
        return qos if allowed and session.subscribe(topic_filter, qos) else packets.REFUSED

    def _password_of(self, name: str | None) -> Scrypt | None:
        user = self._users.get(name)
        return user.password if user else None


def _hang_up(writer: StreamWriter) -> None:
    # Does not wait until the client has read its data.
    if writer.transport.get_write_buffer_size():
        writer.transport.abort()
    writer.close()


async def run(
    users: Users, host: str, port: int, *, on_listening: Callable[[], None], owned: Callable[[], bool]
) -> None:
    """Serve until SIGTERM or SIGINT, or until `owned`, which is called every OWNED_SECONDS, returns False.

    Raises OSError if the address is in use.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(lambda _, context: log.error("%s", context["message"]))  # one line, no traceback
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker, clients = EmbeddedBroker(users), set[asyncio.Task[None]]()

    def disconnected(task: asyncio.Task[None]) -> None:
        clients.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s ended a connection", type(error).__name__)

    def connected(reader: StreamReader, writer: StreamWriter) -> None:
        clients.add(task := loop.create_task(broker.serve(reader, writer)))
        task.add_done_callback(disconnected)

    server = await asyncio.start_server(connected, host, port)
    log.info("listening on %s:%d", host, port)
    on_listening()
    while owned() and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), OWNED_SECONDS)
    server.close()
    for task in list(clients):
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    log.info("stopped")
