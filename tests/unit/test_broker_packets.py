"""The embedded broker's parser of MQTT packets."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretops.broker import packets
from secretops.broker.packets import MalformedError, PacketType, RefusedConnectError, ReturnCode
from tests.unit.fuzz import BOUNDED

MQTT = b"\0\4MQTT\4"
FIELDS = st.lists(st.sampled_from([b"", MQTT, b"\xc6\0\0", b"\0\1a", b"\0\0", b"\xff", b"\0"]) | st.binary(max_size=9))


@BOUNDED
@given(st.binary(max_size=1), FIELDS.map(b"".join))
def test_any_bytes_are_a_packet_or_malformed(first: bytes, rest: bytes) -> None:
    async def read() -> tuple[PacketType, int, bytes]:
        stream = asyncio.StreamReader()
        stream.feed_data(first + rest)
        stream.feed_eof()
        return await packets.read(stream, 30)

    with suppress(MalformedError, asyncio.IncompleteReadError):
        assert len(asyncio.run(read())[2]) <= 30
    for parse in (packets.connect, packets.subscribe, packets.unsubscribe, packets.acknowledged):
        with suppress(MalformedError, RefusedConnectError):
            parse(rest)
    with suppress(MalformedError):
        message, packet_id = packets.publish(first[0] & 15 if first else 0, rest)
        assert message.topic and (packet_id > 0) is (message.qos > 0)


@pytest.mark.parametrize(
    ("body", "code"), [(b"\0\4MQTT\5\2\0\0\0\0\0", ReturnCode.PROTOCOL), (MQTT + b"\0\0\0\0\0", ReturnCode.CLIENT_ID)]
)
def test_a_connect_is_refused_with_a_return_code(body: bytes, code: ReturnCode) -> None:
    with pytest.raises(RefusedConnectError) as refused:
        packets.connect(body)
    assert refused.value.code is code


@pytest.mark.parametrize(
    "body",
    [
        b"\0\6MQIsdp\3\2\0\0\0\0",
        MQTT + b"\3\0\0\0\0",  # the reserved flag
        MQTT + b"\x42\0\0\0\0\0\0",  # a password without a name
        MQTT + b"\x22\0\0\0\0",  # a will to retain, and none
        MQTT + b"\x1e\0\0\0\0\0\1a\0\0",  # QoS 3
        MQTT + b"\6\0\0\0\0\0\1#\0\0",
        *(MQTT + b"\2\0\0\0\0more", MQTT + b"\2\0\0\0\2\xc3\x28", MQTT + b"\2\0\0\0\1\0"),
    ],
)
def test_a_connect_against_the_standard_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        packets.connect(body)


@pytest.mark.parametrize(("topic_filter", "covered", "not_covered"), [
    ("#", ("a", "a/b", "/"), ("$SYS/a",)), ("+", ("a",), ("a/b", "$SYS")),
    ("+/+", ("a/b", "/"), ("a", "a/b/c", "$SYS/a")), ("a/#", ("a", "a/b", "a/b/c", "a/"), ("ab", "b/a")),
    ("a/+/c", ("a/b/c", "a//c"), ("a/b", "a/b/c/d")), ("$SYS/#", ("$SYS/a", "$SYS"), ("a",)),
    ("a", ("a",), ("A", "a/", "/a")),
])  # fmt: skip
def test_a_filter_covers_its_topics(topic_filter: str, covered: tuple[str, ...], not_covered: tuple[str, ...]) -> None:
    assert packets.is_filter(topic_filter)
    assert all(packets.matches(topic_filter, topic) for topic in covered)
    assert not any(packets.matches(topic_filter, topic) for topic in not_covered)


@pytest.mark.parametrize("text", ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "x" * (packets.MAX_TOPIC_BYTES + 1)])
def test_invalid_filter_is_rejected(text: str) -> None:
    assert not packets.is_filter(text)


@pytest.mark.parametrize("length", [0, 124, 125, 16_380, 16_381, 200_000])
def test_a_written_packet_is_read_again(length: int) -> None:
    message = packets.Message("a", b"x" * length, 1, retain=True)

    async def read() -> tuple[PacketType, int, bytes]:
        stream = asyncio.StreamReader()
        stream.feed_data(packets.published(message, 7))
        return await packets.read(stream, 2**20)

    kind, flags, body = asyncio.run(read())
    assert (kind, packets.publish(flags, body)) == (PacketType.PUBLISH, (message, 7))
