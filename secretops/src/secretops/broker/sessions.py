"""Sessions of the embedded broker's clients, in memory, with size limits."""

from __future__ import annotations

import logging
from asyncio import StreamWriter
from collections import deque
from dataclasses import dataclass, field

from secretops.broker import packets
from secretops.broker.packets import Message, PacketType
from secretops.broker.users import Scrypt

# Limits of a session: queued or unacknowledged messages (mosquitto has the same limit), and their bytes.
QUEUED_MESSAGES = 1_000
QUEUED_BYTES = 256 * 2**10

# Maximum messages that are sent but not acknowledged.
WINDOW = 20

# Unread bytes of a client beyond which messages of QoS 0 are dropped.
UNREAD_BYTES = 256 * 2**10

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Connection:
    writer: StreamWriter
    password: Scrypt
    will: Message | None

    def send(self, packet: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(packet)

    @property
    def is_slow(self) -> bool:
        return self.writer.transport.get_write_buffer_size() > UNREAD_BYTES


@dataclass(eq=False)
class Session:
    client_id: str
    username: str
    clean: bool
    connection: Connection | None = None
    subscriptions: dict[str, int] = field(default_factory=dict)
    received: set[int] = field(default_factory=set)  # packet ids of QoS 2 that are not released
    _waiting: deque[Message] = field(default_factory=deque)
    _sent: dict[int, Message] = field(default_factory=dict)
    _released: set[int] = field(default_factory=set)
    _bytes: int = 0
    _last_id: int = 0
    _drops: bool = False

    def qos_for(self, topic: str) -> int | None:
        return max((qos for each, qos in self.subscriptions.items() if packets.matches(each, topic)), default=None)

    def deliver(self, message: Message) -> None:
        """Send or queue a message. Drop it if the queue is full, and log the first drop."""
        if message.qos == 0:
            if self.connection and not self.connection.is_slow:
                self.connection.send(packets.published(message))
        elif len(self._waiting) + len(self._sent) >= QUEUED_MESSAGES or self._bytes + message.size > QUEUED_BYTES:
            if not self._drops:
                log.warning("%s: the queue of a session is full; dropping messages", self.username)
            self._drops = True
        else:
            self._waiting.append(message)
            self._bytes += message.size
            self._send_waiting()

    def acknowledged(self, kind: PacketType, packet_id: int) -> None:
        message = self._sent.get(packet_id)
        if kind is PacketType.PUBREC:
            if message is not None and message.qos == 2:  # noqa: PLR2004
                self._released.add(packet_id)
            self._send(packets.acknowledge(PacketType.PUBREL, packet_id))
        elif message is not None and (message.qos == 1) is (kind is PacketType.PUBACK):
            del self._sent[packet_id]
            self._released.discard(packet_id)
            self._bytes -= message.size
            self._send_waiting()
            self._drops = self._drops and bool(self._waiting)

    def resume(self, connection: Connection) -> None:
        """Use `connection` from now on. Send unacknowledged messages again, then queued ones."""
        self.connection = connection
        for packet_id, message in self._sent.items():
            if packet_id in self._released:
                self._send(packets.acknowledge(PacketType.PUBREL, packet_id))
            else:
                self._send(packets.published(message, packet_id, again=True))
        self._send_waiting()

    def subscribe(self, topic_filter: str, qos: int) -> bool:
        if topic_filter not in self.subscriptions and len(self.subscriptions) >= packets.MAX_SUBSCRIPTIONS:
            return False
        self.subscriptions[topic_filter] = qos
        return True

    def _send_waiting(self) -> None:
        while self.connection and self._waiting and len(self._sent) < WINDOW:
            self._last_id = next(
                number
                for step in range(1, WINDOW + 2)
                if (number := (self._last_id + step - 1) % 0xFFFF + 1) not in self._sent
            )
            message = self._sent[self._last_id] = self._waiting.popleft()
            self.connection.send(packets.published(message, self._last_id))

    def _send(self, packet: bytes) -> None:
        if self.connection:
            self.connection.send(packet)
