"""Parse and build MQTT 3.1.1 packets. An invalid packet raises MalformedError, which ends the connection."""

from __future__ import annotations

from asyncio import StreamReader
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

from secretops.formats import is_topic_filter

# Bytes of a topic or filter; the standard allows 65,535.
MAX_TOPIC_BYTES = 1024

# Subscriptions of a client, and filters of a packet.
MAX_SUBSCRIPTIONS = 100

T = TypeVar("T")

PINGRESP = b"\xd0\x00"

# Code in a SUBACK for a filter that the broker rejects.
REFUSED = 0x80


class MalformedError(Exception):
    """A packet violates the standard or a limit. The message quotes nothing from the packet."""


class RefusedConnectError(Exception):
    def __init__(self, code: ReturnCode) -> None:
        super().__init__(code.name)
        self.code = code


class PacketType(IntEnum):
    CONNECT = 1
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    UNSUBSCRIBE = 10
    PINGREQ = 12
    DISCONNECT = 14


class ReturnCode(IntEnum):
    PROTOCOL = 1
    CLIENT_ID = 2
    UNAVAILABLE = 3
    NOT_AUTHORIZED = 5


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes = field(repr=False)
    qos: int = 0
    retain: bool = False

    @property
    def size(self) -> int:
        return len(self.payload) + len(self.topic)


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT packet. `client_id` may be empty. `keep_alive` is in seconds; 0 disables it."""

    client_id: str
    clean: bool
    keep_alive: int
    will: Message | None
    username: str | None
    password: str | None = field(repr=False)


async def read(stream: StreamReader, limit: int) -> tuple[PacketType, int, bytes]:
    """Return type, flags and body of the next packet. Raises MalformedError, IncompleteReadError, OSError."""
    first = (await stream.readexactly(1))[0]
    length = 0
    for shift in (0, 7, 14, 21):
        byte = (await stream.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    else:
        raise MalformedError("a remaining length of more than 4 bytes")
    kind, flags = first >> 4, first & 0x0F
    if kind not in set(PacketType):
        raise MalformedError(f"packet type {kind}")
    if kind != PacketType.PUBLISH and flags != (
        2 if kind in (PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE) else 0
    ):
        raise MalformedError(f"flags of a {PacketType(kind).name}")
    if length > limit:
        raise MalformedError(f"{PacketType(kind).name} of {length} bytes; the limit is {limit}")
    return PacketType(kind), flags, await stream.readexactly(length)


class _Fields:
    def __init__(self, body: bytes) -> None:
        self._body, self._taken = body, 0

    @property
    def rest(self) -> bytes:
        return self._body[self._taken :]

    @property
    def more(self) -> bool:
        return self._taken < len(self._body)

    def take(self, count: int) -> bytes:
        start, self._taken = self._taken, self._taken + count
        if self._taken > len(self._body):
            raise MalformedError("shorter than its fields")
        return self._body[start : self._taken]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise MalformedError("a text that is not UTF-8") from None
        if "\0" in text:
            raise MalformedError("a text with U+0000")
        return text

    def packet_id(self) -> int:
        if not (number := self.number()):
            raise MalformedError("packet id 0")
        return number

    def end(self) -> None:
        if self.more:
            raise MalformedError("longer than its fields")


def connect(body: bytes) -> Connect:
    """Parse a CONNECT. Raises MalformedError, and RefusedConnectError for any other protocol version, or for a
    persistent session without a client id."""
    fields = _Fields(body)
    if fields.text() != "MQTT":
        raise MalformedError("protocol name")
    if fields.byte() != 4:  # noqa: PLR2004 - MQTT 3.1.1
        raise RefusedConnectError(ReturnCode.PROTOCOL)
    flags, keep_alive = fields.byte(), fields.number()
    has_name, has_password, retain, has_will, clean = (bool(flags & bit) for bit in (0x80, 0x40, 0x20, 0x04, 0x02))
    qos = flags >> 3 & 3
    if flags & 1 or qos == 3 or (not has_will and (qos or retain)) or (has_password and not has_name):  # noqa: PLR2004
        raise MalformedError("flags of a CONNECT")
    client_id = fields.text()
    if not client_id and not clean:
        raise RefusedConnectError(ReturnCode.CLIENT_ID)
    will = Message(_topic(fields.text()), fields.binary(), qos, retain) if has_will else None
    username = fields.text() if has_name else None
    password = fields.text() if has_password else None
    fields.end()
    return Connect(client_id, clean, keep_alive, will, username, password)


def publish(flags: int, body: bytes) -> tuple[Message, int]:
    """Return the message of a PUBLISH and its packet id, which is 0 for QoS 0."""
    qos = flags >> 1 & 3
    if qos == 3:  # noqa: PLR2004 - reserved
        raise MalformedError("QoS 3")
    fields = _Fields(body)
    topic = _topic(fields.text())
    packet_id = fields.packet_id() if qos else 0
    return Message(topic, fields.rest, qos, bool(flags & 1)), packet_id


def subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """Return the packet id of a SUBSCRIBE, and its filters with their maximum QoS."""
    packet_id, wanted = _list(body, lambda fields: (fields.text(), fields.byte()))
    if any(qos > 2 for _, qos in wanted):  # noqa: PLR2004 - the highest QoS
        raise MalformedError("QoS of a filter")
    return packet_id, wanted


def unsubscribe(body: bytes) -> tuple[int, list[str]]:
    return _list(body, _Fields.text)


def _list(body: bytes, read_one: Callable[[_Fields], T]) -> tuple[int, list[T]]:
    fields, found = _Fields(body), list[T]()
    packet_id = fields.packet_id()
    while fields.more or not found:
        found.append(read_one(fields))
        if len(found) > MAX_SUBSCRIPTIONS:
            raise MalformedError(f"more than {MAX_SUBSCRIPTIONS} filters")
    return packet_id, found


def acknowledged(body: bytes) -> int:
    """Return the packet id of a PUBACK, PUBREC, PUBREL or PUBCOMP."""
    fields = _Fields(body)
    packet_id = fields.packet_id()
    fields.end()
    return packet_id


def connack(code: int, *, present: bool = False) -> bytes:
    """Return a CONNACK. `present`: the broker already has a session of the client."""
    return bytes((0x20, 2, present, code))


def acknowledge(kind: PacketType, packet_id: int) -> bytes:
    return bytes((kind << 4 | (2 if kind is PacketType.PUBREL else 0), 2)) + packet_id.to_bytes(2, "big")


def suback(packet_id: int, granted: list[int]) -> bytes:
    """Return a SUBACK. `granted`: a QoS for each filter, or REFUSED."""
    return _packet(0x90, packet_id.to_bytes(2, "big") + bytes(granted))


def unsuback(packet_id: int) -> bytes:
    return _packet(0xB0, packet_id.to_bytes(2, "big"))


def published(message: Message, packet_id: int = 0, *, again: bool = False) -> bytes:
    """Return a PUBLISH. `again` marks a message that was sent before but not acknowledged."""
    topic = message.topic.encode()
    head = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if message.qos else b"")
    return _packet(0x30 | again << 3 | message.qos << 1 | message.retain, head + message.payload)


def is_filter(text: str) -> bool:
    return len(text.encode()) <= MAX_TOPIC_BYTES and is_topic_filter(text)


def matches(topic_filter: str, topic: str) -> bool:
    """Return whether a valid filter matches `topic`. A leading wildcard matches no topic that starts with $."""
    if topic[0] == "$" and topic_filter[0] != "$":
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":  # x/# also matches x
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))


def _topic(text: str) -> str:
    if not text or {"#", "+"} & set(text) or len(text.encode()) > MAX_TOPIC_BYTES:
        raise MalformedError("topic")
    return text


def _packet(first: int, body: bytes) -> bytes:
    length, encoded = len(body), bytearray()
    while length or not encoded:
        encoded.append(length & 0x7F | (0x80 if length > 0x7F else 0))  # noqa: PLR2004 - 7 bits a byte
        length >>= 7
    return bytes((first, *encoded)) + body
