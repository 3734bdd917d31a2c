"""A client that sends and reads raw MQTT 3.1.1 packets, valid or not."""

import socket
import ssl
from dataclasses import dataclass
from typing import Self

from secretops.broker import packets
from secretops.broker.packets import Message, PacketType
from secretops.values import Value

SECONDS = 600.0
CONNACK, PUBLISH, SUBACK, PINGRESP = 2, 3, 9, 13


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def connect(
    who: Value, client_id: str = "", *, will: Message | None = None, clean: bool = True, alive: int = 0
) -> bytes:
    flags = 0xC0 | clean << 1 | (4 | will.qos << 3 | will.retain << 5 if will else 0)
    left = text(will.topic) + text(will.payload) if will else b""
    login = text(who["username"]) + text(who["password"])
    return text("MQTT") + bytes((4, flags)) + alive.to_bytes(2, "big") + text(client_id) + left + login


@dataclass
class Wire:
    """A connection. `code` and `present` are those of the CONNACK."""

    socket: socket.socket
    code: int = -1
    present: bool = False

    @classmethod
    def open(cls, port: int, sends: bytes = b"", *, ca_file: str | None = None) -> Self:
        """Connect to the port, over TLS if `ca_file` is set. Sends no CONNECT."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
        made = cls(tls.wrap_socket(plain, server_hostname="localhost") if tls else plain)
        made.socket.sendall(sends)
        return made

    @classmethod
    def log_in(
        cls,
        port: int,
        who: Value,
        client_id: str = "",
        *,
        will: Message | None = None,
        clean: bool = True,
        alive: int = 0,
        ca_file: str | None = None,
    ) -> Self:
        """Connect, send a CONNECT, and read the answer."""
        made = cls.open(port, ca_file=ca_file)
        made.send(0x10, connect(who, client_id, will=will, clean=clean, alive=alive))
        first, body = made.read()
        assert first >> 4 == CONNACK
        made.present, made.code = bool(body[0]), body[1]
        return made

    def send(self, first: int, body: bytes = b"") -> None:
        """Send a packet of fewer than 2 MiB."""
        length = len(body)
        sizes = [length & 0x7F, length >> 7 & 0x7F, length >> 14]
        while len(sizes) > 1 and not sizes[-1]:
            sizes.pop()
        self.socket.sendall(bytes((first, *(size | 0x80 for size in sizes[:-1]), sizes[-1])) + body)

    def read(self) -> tuple[int, bytes]:
        """Return the next packet. Raises EOFError if the broker has closed the connection."""
        first, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return first, self._exactly(length)

    def ended(self) -> bool:
        try:
            while self.read():
                pass
        except (EOFError, ConnectionResetError):
            return True
        raise AssertionError

    def publish(self, topic: str, payload: bytes = b"", qos: int = 0, *, retain: bool = False) -> None:
        """Publish, and wait until the broker has acknowledged the message."""
        self.send(0x30 | qos << 1 | retain, text(topic) + (b"\0\1" if qos else b"") + payload)
        if qos == 2:
            self.send(0x62, b"\0\1")
        self.received()

    def subscribe(self, topic_filter: str, qos: int = 0) -> int:
        self.send(0x82, b"\0\1" + text(topic_filter) + bytes((qos,)))
        first, body = self.read()
        assert first >> 4 == SUBACK
        return body[2]

    def receive(self) -> Message:
        """Wait for a message, and acknowledge it."""
        while True:
            first, body = self.read()
            if (message := self._take(first, body)) is not None:
                return message

    def received(self) -> list[Message]:
        """Return every pending message, and acknowledge it."""
        found: list[Message] = []
        quiet = False
        while not quiet:
            quiet = True
            self.send(0xC0)
            while (packet := self.read())[0] >> 4 != PINGRESP:
                quiet = False
                if (message := self._take(*packet)) is not None:
                    found.append(message)
        return found

    def close(self) -> None:
        self.socket.close()

    def leave(self) -> None:
        """Send a DISCONNECT, and wait until the broker has closed the connection."""
        self.send(0xE0)
        self.ended()
        self.close()

    def _take(self, first: int, body: bytes) -> Message | None:
        if first >> 4 == PacketType.PUBREC:
            self.send(0x62, body)
        elif first >> 4 == PacketType.PUBREL:
            self.send(0x70, body)
        elif first >> 4 == PUBLISH:
            message, packet_id = packets.publish(first & 15, body)
            if message.qos:
                self.send(0x40 if message.qos == 1 else 0x50, packet_id.to_bytes(2, "big"))
            return message
        return None

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            if not (part := self.socket.recv(count - len(got))):
                raise EOFError
            got += part
        return got
