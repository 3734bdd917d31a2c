"""A short MQTT session in the calling thread. It never falls back to plaintext; errors contain no password or
payload."""

from __future__ import annotations

import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from secretops.errors import RefusedError, UnreachableError, UsageError, WaitingError
from secretops.manifest import Broker, MqttProtocol
from secretops.owned_files import check_folder
from secretops.values import Value

# paho loads slowly, so it is imported when a session starts.
if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

T = TypeVar("T")

# Limits on what a session receives. The largest answer is the list of a broker's users. A session may also receive
# messages that other clients retained.
MOST_MESSAGES = 1_000
MOST_BYTES = 16 * 2**20
# Seconds for each answer of the broker.
DEADLINE_SECONDS = 10.0
# Reason codes that reject the client (MQTT 5, 2.4): client id, credentials, authorization, ban, method. Other failures
# (server busy, wrong protocol version) prove nothing about the credential.
REFUSALS = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
_WRONG_PROTOCOL, _FAILURE = 0x84, 0x80


class Connection:
    """A logged-in session, as a context manager.

    Calls raise RefusedError, and UnreachableError if the broker does not answer within `deadline` seconds, disconnects,
    or exceeds MOST_MESSAGES or MOST_BYTES. Entering raises WaitingError for a missing client certificate, and
    UsageError for an invalid one.
    """

    def __init__(self, broker: Broker, credential: Value, *, deadline: float = DEADLINE_SECONDS) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        self.address = f"{broker.host}:{broker.port}"
        self.username = credential["username"]
        self._broker = broker
        self._deadline = deadline
        self._connack: ReasonCode | None = None
        self._disconnect_reason: ReasonCode | None = None
        # Packet id -> the answer to a subscription or publication.
        self._answers: dict[int, ReasonCode] = {}
        self._inbox: deque[MQTTMessage] = deque()
        self._messages = self._bytes = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"secretops-{secrets.token_hex(6)}",  # 22 characters: a 3.1.1 broker must accept up to 23
            protocol=MQTTProtocolVersion.MQTTv5 if broker.protocol is MqttProtocol.V5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = deadline
        self._client.username_pw_set(self.username, credential["password"])
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

    def __exit__(self, *_: object) -> None:
        self.close()

    def subscribe(self, topic_filter: str) -> None:
        doing = f"subscribing to {topic_filter}"
        _, number = self._client.subscribe(topic_filter, qos=1)
        if number is None:
            raise self._lost(doing)
        self._wait_for_answer(number, doing)

    def publish(self, topic: str, payload: str) -> None:
        """Publish, and wait for the acknowledgement (QoS 1). An MQTT 3.1.1 broker also acknowledges messages it
        drops."""
        self._wait_for_answer(self._client.publish(topic, payload, qos=1).mid, f"publishing to {topic}")

    def receive(self, wanted: Callable[[MQTTMessage], T | None], *, within: float | None = None) -> T | None:
        """Return the first non-None result of `wanted`; None after `within` seconds (default: the deadline)."""

        def take() -> T | None:
            while self._inbox:
                if (found := wanted(self._inbox.popleft())) is not None:
                    return found
            return None

        return self._until(take, "waiting for a message", self._deadline if within is None else within)

    def close(self) -> None:
        """Disconnect. Safe to call twice."""
        with suppress(OSError, ValueError):
            self._client.disconnect()
        if (socket := self._client.socket()) is not None:
            with suppress(OSError):
                socket.close()
        # Break the cycle with the client: it closes two more sockets only when it is collected as garbage, and its
        # select(2) fails from descriptor 1024 on.
        self._client.on_connect = self._client.on_disconnect = None
        self._client.on_subscribe = self._client.on_publish = self._client.on_message = None

    def _open(self) -> None:
        if self._broker.tls:
            self._client.tls_set_context(self._tls_context())
        else:
            _check_embedded(self._broker)
        try:
            self._client.connect(self._broker.host, self._broker.port)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise UnreachableError(
                f"{self.address}: TLS handshake failed: {reason}",
                rule="a CA in broker.ca_file (by default a public CA) must sign the broker's certificate, which must "
                "be for the name in broker.host",
                remedy="check broker.ca_file, broker.host and broker.port in the stack file; no password was sent",
                code="broker-tls-failed",
            ) from error
        except (OSError, ValueError) as error:  # ValueError: an invalid host name
            raise _unreachable(self._broker, getattr(error, "strerror", None) or error or "no answer") from error
        reason = self._wait(lambda: self._connack, "logging in")
        if reason.value < _FAILURE:
            return
        if reason.value in REFUSALS:
            raise self._refused("logging in", reason)
        if reason.value == _WRONG_PROTOCOL:
            raise UnreachableError(
                f"{self.address}: the broker does not support MQTT {self._broker.protocol}",
                rule="the broker must support broker.protocol of the stack file",
                remedy="set another broker.protocol in the stack file, then pulumi up",
                code="broker-protocol-unsupported",
            )
        why = reason.getName()
        raise UnreachableError(
            f"{self.address}: the broker accepts no login now: {why}",
            rule="the broker must accept logins; the next tick tries again",
            remedy="find the cause in the broker's log",
            code="broker-login-unavailable",
        )

    def _tls_context(self) -> ssl.SSLContext:
        certificate, key = self._broker.certificate_file, self._broker.key_file
        for path in (certificate, key):
            if path and not Path(path).exists():
                raise WaitingError(
                    f"{path}: the client certificate is missing",
                    rule=f"{self.address} requires a client certificate before the login",
                    remedy="secretops put client-cert",
                    code="client-certificate-missing",
                )
        try:
            context = ssl.create_default_context(cafile=self._broker.ca_file)
        except OSError as error:  # includes ssl.SSLError, for a file without a certificate
            reason = error.strerror or error
            raise UnreachableError(
                f"{self._broker.ca_file}: invalid CA file: {reason}",
                rule=f"the file must contain the PEM of the CA that signs the certificate of {self.address}",
                remedy="write the CA's certificate to this file as PEM",
                code="ca-file-invalid",
            ) from error
        if certificate:
            try:
                context.load_cert_chain(certificate, key, password="")  # nosec B106 - without it OpenSSL prompts
            except OSError as error:  # includes ssl.SSLError
                reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
                raise UsageError(
                    f"{certificate}, {key}: invalid client certificate or key: {reason}",
                    rule="the first file must be the certificate and its chain as PEM, the second its key as PEM, "
                    "without a passphrase",
                    remedy="secretops put client-cert",
                    code="client-certificate-invalid",
                ) from error
        return context

    def _until(self, done: Callable[[], T | None], doing: str, seconds: float) -> T | None:
        left = seconds
        while (result := done()) is None:
            if self._is_flooded:
                raise UnreachableError(
                    f"{self.address}: {self.username} received too many messages while {doing}",
                    rule=f"a session may receive at most {MOST_MESSAGES:,} messages and {MOST_BYTES:,} bytes",
                    remedy="find the client that publishes retained messages on the topics of this user, and delete "
                    "these messages at the broker",
                    code="broker-messages-excess",
                )
            if left <= 0:
                return None
            began = time.monotonic()
            if self._client.loop(min(left, 1.0)):  # 0 is MQTT_ERR_SUCCESS
                if (result := done()) is not None:  # a refused login arrives together with the disconnect
                    return result
                raise self._lost(doing)
            left -= min(time.monotonic() - began, 1.0)  # a pause of this process is no silence of the broker
        return result

    def _wait(self, done: Callable[[], T | None], doing: str) -> T:
        if (result := self._until(done, doing, self._deadline)) is None:
            protocol = self._broker.protocol
            raise UnreachableError(
                f"{self.address}: no answer in {self._deadline:g} s while {doing} as {self.username}",
                rule="the broker must answer in time",
                remedy=f"check that an MQTT {protocol} broker listens there, with TLS as in broker.tls of the stack "
                "file",
                code="broker-not-responding",
            )
        return result

    def _wait_for_answer(self, number: int, doing: str) -> None:
        reason = self._wait(lambda: self._answers.pop(number, None), doing)
        if reason.value >= _FAILURE:
            raise self._refused(doing, reason)

    def _lost(self, doing: str) -> UnreachableError | RefusedError:
        reason = self._disconnect_reason
        if reason is not None and reason.value in REFUSALS:
            return self._refused(doing, reason)
        why = reason.getName() if reason is not None and reason.value >= _FAILURE else "no reason given"
        return UnreachableError(
            f"{self.address}: connection lost while {doing} as {self.username}: {why}",
            rule="the broker must keep the connection open",
            remedy="read the broker's log; compare the broker's TLS setting with broker.tls in the stack file",
            code="broker-connection-lost",
        )

    def _refused(self, doing: str, reason: ReasonCode) -> RefusedError:
        why = reason.getName()
        return RefusedError(
            f"{self.address}: access denied while {doing} as {self.username}: {why}",
            rule="the broker must accept the user's password, and permit what the user requests",
            remedy=f"check the password and the rights of {self.username} at the broker",
            code="broker-access-denied",
        )

    def _on_connect(self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _more: Any) -> None:
        self._connack = reason

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _more: Any
    ) -> None:
        self._disconnect_reason = reason if flags.is_disconnect_packet_from_server else None

    def _on_subscribe(self, _client: Client, _data: Any, number: int, reasons: list[ReasonCode], _more: Any) -> None:
        self._answers[number] = reasons[0]

    def _on_publish(self, _client: Client, _data: Any, number: int, reason: ReasonCode, _more: Any) -> None:
        self._answers[number] = reason

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._messages += 1
        self._bytes += len(message.payload)
        if not self._is_flooded:
            self._inbox.append(message)

    @property
    def _is_flooded(self) -> bool:
        return self._messages > MOST_MESSAGES or self._bytes > MOST_BYTES


def _check_embedded(broker: Broker) -> None:
    """Raise an error unless the stack's embedded broker listens at `broker`'s address: no other process may get a
    password that is sent without TLS."""
    from secretops.broker.process import loopback, running

    address, home = f"{broker.host}:{broker.port}", Path(broker.home or "")
    if not (broker.embedded and broker.home):
        raise UsageError(
            f"{address}: TLS is off in the manifest",
            rule="only the embedded broker may receive a password without TLS",
            remedy="pulumi up, which writes the manifest again",
            code="broker-tls-required",
        )
    if home.is_dir():
        check_folder(home)
    if (found := running(home)) is None:
        raise _unreachable(broker, "it does not run")
    if found.address != f"{loopback(broker.host)}:{broker.port}":
        raise UnreachableError(
            f"{address}: the embedded broker listens at {found.address} instead",
            rule="a password without TLS must only reach the stack's own broker",
            remedy="secretops broker stop, then secretops broker start; or, if the port is wrong, correct broker.port "
            "in the stack file, then pulumi up",
            code="embedded-broker-address-mismatch",
        )


def _unreachable(broker: Broker, why: object) -> UnreachableError:
    address = f"{broker.host}:{broker.port}"
    if broker.embedded:
        return UnreachableError(
            f"{address}: cannot connect to the embedded broker: {why}",
            rule="the stack's embedded broker must run",
            remedy="secretops broker start",
            code="embedded-broker-stopped",
        )
    return UnreachableError(
        f"{address}: cannot connect to the broker: {why}",
        rule="the broker must accept connections from this machine",
        remedy="start the broker, or correct broker.host and broker.port in the stack file",
        code="broker-unreachable",
    )


def logs_in(broker: Broker, credential: Value, *, deadline: float = DEADLINE_SECONDS) -> bool:
    """Return whether the broker accepts `credential`. Raises UnreachableError if it does not answer."""
    try:
        with Connection(broker, credential, deadline=deadline):
            return True
    except RefusedError:
        return False
