"""A short MQTT session in the calling thread: connect, subscribe, publish, receive, close.

It never falls back to plaintext, and no error has a password or a payload.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from secretops.errors import RefusedError, UnreachableError, UsageError, WaitingError
from secretops.manifest import Broker, MqttProtocol
from secretops.owned_files import check_folder
from secretops.values import Value

# paho takes long to load, and is imported when a session begins.
if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

T = TypeVar("T")

# The most messages, and bytes of payload, of a session: the largest answer is a list of a broker's users, and anybody
# may retain messages where we read.
MOST_MESSAGES = 1_000
MOST_BYTES = 16 * 2**20

# Seconds for each answer of the broker.
DEADLINE_SECONDS = 10.0

# Reason codes that judge the client (MQTT 5, 2.4): client id, credentials, authorization, ban, method. Other failures
# (server busy, unavailable, wrong protocol version) say nothing about the credential.
REFUSALS = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})

_WRONG_PROTOCOL = 0x84
_FAILURE = 0x80


class Connection:
    """A logged-in session, as a context manager.

    Calls raise RefusedError, and UnreachableError when the broker does not answer within `deadline` seconds, hangs up,
    or sends more than MOST_MESSAGES or MOST_BYTES. Entering raises WaitingError without the client's certificate, and
    UsageError for an invalid one.
    """

    def __init__(self, broker: Broker, who: Value, *, deadline: float = DEADLINE_SECONDS) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        self.address = f"{broker.host}:{broker.port}"
        self.username = who["username"]
        self._broker = broker
        self._deadline = deadline
        self._connack: ReasonCode | None = None
        self._left: ReasonCode | None = None
        self._granted: dict[int, ReasonCode] = {}
        self._acknowledged: dict[int, ReasonCode] = {}
        self._inbox: deque[MQTTMessage] = deque()
        self._messages = self._bytes = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"secretops-{secrets.token_hex(6)}",  # 22 characters: every 3.1.1 broker has to take 23
            protocol=MQTTProtocolVersion.MQTTv5 if broker.protocol is MqttProtocol.V5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = deadline
        self._client.username_pw_set(self.username, who["password"])
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_subscribe, self._client.on_publish = self._on_subscribe, self._on_publish
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe with QoS 1, and wait for the broker's grant."""
        _, number = self._client.subscribe(topic_filter, qos=1)
        if number is None:
            raise self._lost(f"subscribing to {topic_filter}")
        reason = self._wait(lambda: self._granted.pop(number, None), f"subscribing to {topic_filter}")
        if reason.value >= _FAILURE:
            raise self._refused(f"to subscribe to {topic_filter}", reason)

    def publish(self, topic: str, payload: str) -> None:
        """Publish with QoS 1, and wait for the acknowledgement, which a 3.1.1 broker also sends for a dropped one."""
        number = self._client.publish(topic, payload, qos=1).mid
        reason = self._wait(lambda: self._acknowledged.pop(number, None), f"publishing to {topic}")
        if reason.value >= _FAILURE:
            raise self._refused(f"to publish to {topic}", reason)

    def receive(self, wanted: Callable[[MQTTMessage], T | None], *, within: float | None = None) -> T | None:
        """Return the first result of `wanted` that is not None, or None after `within` seconds (the deadline)."""

        def take() -> T | None:
            while self._inbox:
                if (found := wanted(self._inbox.popleft())) is not None:
                    return found
            return None

        return self._until(take, "waiting for a message", self._deadline if within is None else within)

    def close(self) -> None:
        """Disconnect and close the socket. Safe to call twice."""
        with suppress(OSError, ValueError):
            self._client.disconnect()
        if (socket := self._client.socket()) is not None:
            with suppress(OSError):
                socket.close()
        # Break the cycle with the client, which closes two more sockets only when it is collected; its select(2) takes
        # no descriptor from 1024 on.
        self._client.on_connect = self._client.on_disconnect = None
        self._client.on_subscribe = self._client.on_publish = self._client.on_message = None

    def _open(self) -> None:
        if self._broker.tls:
            self._client.tls_set_context(self._tls_context())
        else:
            check_embedded(self._broker)
        try:
            self._client.connect(self._broker.host, self._broker.port)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise UnreachableError(
                f"{self.address}: TLS failed: {reason}",
                rule="the broker's certificate must be signed by the stack's CA and name the host; nothing was sent",
                remedy="check the broker's ca_file, host and port; plaintext is never tried instead",
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a host that is no host
            raise UnreachableError(
                f"{self.address}: cannot connect: {getattr(error, 'strerror', None) or error or 'no answer'}",
                remedy="secretops broker start"
                if self._broker.embedded
                else "start the broker, or correct its host and port in the stack file",
            ) from error
        reason = self._wait(lambda: self._connack, "logging in")
        if reason.value < _FAILURE:
            return
        if reason.value in REFUSALS:
            raise self._refused("the login", reason)
        remedy = "try again later"
        if reason.value == _WRONG_PROTOCOL:
            remedy = f"this broker does not speak MQTT {self._broker.protocol}: set the stack's broker protocol"
        raise UnreachableError(f"{self.address}: cannot log anybody in: {reason.getName()}", remedy=remedy)

    def _tls_context(self) -> ssl.SSLContext:
        certificate, key = self._broker.certificate_file, self._broker.key_file
        for path in (certificate, key):
            if path and not Path(path).exists():
                raise WaitingError(
                    f"{path}: the client certificate is not there yet",
                    rule=f"{self.address} is shown a certificate before anybody logs in",
                    remedy="secretops put client-cert",
                )
        try:
            context = ssl.create_default_context(cafile=self._broker.ca_file)
        except OSError as error:  # ssl.SSLError, of a file that holds no certificate, is one
            raise UnreachableError(
                f"{self._broker.ca_file}: not a CA file: {error.strerror or error}",
                rule=f"{self.address} is only spoken to over TLS, and this file says whom to believe",
                remedy="write the PEM certificate of the broker's CA there",
            ) from error
        if certificate:
            try:
                context.load_cert_chain(certificate, key, password="")  # nosec B106 - else OpenSSL asks for one
            except OSError as error:  # ssl.SSLError among them
                reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
                raise UsageError(
                    f"{certificate}, {key}: no client certificate with its key: {reason}",
                    rule="PEM: the certificate first, then its chain; and its own key, without a passphrase",
                    remedy="secretops put client-cert",
                ) from error
        return context

    def _until(self, done: Callable[[], T | None], doing: str, seconds: float) -> T | None:
        end = time.monotonic() + seconds
        while (result := done()) is None:
            if self._is_flooded:
                raise UnreachableError(
                    f"{self.address}: more messages than {self.username} reads while {doing}",
                    rule=f"at most {MOST_MESSAGES:,} messages and {MOST_BYTES:,} bytes are read in one session",
                    remedy="find out who retains messages there, and delete them at the broker",
                )
            if (left := end - time.monotonic()) <= 0:
                return None
            if self._client.loop(min(left, 1.0)):  # 0 is MQTT_ERR_SUCCESS
                if (result := done()) is not None:  # the refusal of a login comes together with the end
                    return result
                raise self._lost(doing)
        return result

    def _wait(self, done: Callable[[], T | None], doing: str) -> T:
        if (result := self._until(done, doing, self._deadline)) is None:
            raise UnreachableError(
                f"{self.address}: no answer in {self._deadline:g} s while {doing} as {self.username}",
                remedy=f"check that it is a broker, speaks MQTT {self._broker.protocol} and TLS as the stack says",
            )
        return result

    def _lost(self, doing: str) -> UnreachableError | RefusedError:
        if self._left is not None and self._left.value in REFUSALS:
            return self._refused(f"to go on while {doing}", self._left)
        why = f" ({self._left.getName()})" if self._left is not None and self._left.value >= _FAILURE else ""
        return UnreachableError(
            f"{self.address}: the connection ended while {doing} as {self.username}{why}",
            remedy="see the broker's log; is the stack's TLS setting the broker's?",
        )

    def _refused(self, what: str, reason: ReasonCode) -> RefusedError:
        return RefusedError(
            f"{self.address}: refused {what} as {self.username}: {reason.getName()}",
            remedy=f"check {self.username}'s password and rights at the broker",
        )

    def _on_connect(self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _more: Any) -> None:
        self._connack = reason

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _more: Any
    ) -> None:
        self._left = reason if flags.is_disconnect_packet_from_server else None

    def _on_subscribe(self, _client: Client, _data: Any, number: int, reasons: list[ReasonCode], _more: Any) -> None:
        self._granted[number] = reasons[0]

    def _on_publish(self, _client: Client, _data: Any, number: int, reason: ReasonCode, _more: Any) -> None:
        self._acknowledged[number] = reason

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._messages += 1
        self._bytes += len(message.payload)
        if not self._is_flooded:
            self._inbox.append(message)

    @property
    def _is_flooded(self) -> bool:
        return self._messages > MOST_MESSAGES or self._bytes > MOST_BYTES


def check_embedded(broker: Broker) -> None:
    """Raise UnreachableError unless the stack's embedded broker listens at the address, by its pid file.

    It receives a password in clear.
    """
    from secretops.broker.process import loopback, running

    address, home = f"{broker.host}:{broker.port}", Path(broker.home or "")
    if not (broker.embedded and broker.home):
        raise UsageError(
            f"{address}: no TLS",
            rule="a password crosses a network over TLS alone; the embedded broker alone goes without",
            remedy="run pulumi up, which writes the manifest again",
        )
    if home.is_dir():
        check_folder(home)
    if (found := running(home)) is None:
        raise UnreachableError(
            f"{address}: cannot connect: the embedded broker does not run", remedy="secretops broker start"
        )
    if found.address != f"{loopback(broker.host)}:{broker.port}":
        raise UnreachableError(
            f"{address}: the embedded broker listens at {found.address}, not there",
            rule="a password in clear goes to the stack's own broker alone",
            remedy="secretops broker stop, then secretops broker start; or pulumi up, where the port is wrong",
        )


def logs_in(broker: Broker, credential: Value, *, deadline: float = DEADLINE_SECONDS) -> bool:
    """Return whether the broker accepts `credential`. Raises UnreachableError without an answer."""
    try:
        with Connection(broker, credential, deadline=deadline):
            return True
    except RefusedError:
        return False
