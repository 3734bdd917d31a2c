"""The server's connection to its broker, in place of the one that upstream makes.

Upstream's own asks for MQTT 5 whatever the broker speaks, gives up on a broker that is down at the start, and on a
refused connect its callback raises, which ends paho's thread for good. Here the launcher makes every client, so a
client on other credentials can take the place of one in use.
"""

from __future__ import annotations

import argparse
import logging
import ssl
import sys
import threading
import uuid
from datetime import datetime
from types import ModuleType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from secretops.errors import UsageError
from secretops.launcher.upstream import UpstreamServer
from secretops.manifest import MqttProtocol

log = logging.getLogger(__name__)
paho_log = logging.getLogger(f"{__name__}.paho")
# paho calls it an error that a client which we let go has no connection.
paho_log.addFilter(lambda record: not record.getMessage().startswith("Client is not connected"))

ACTIONS = "$SYS/Coreflux/Actions/+/Description"
"""Where a Coreflux broker describes its actions; upstream makes a tool of each (server.py:328)."""

KEEPALIVE = 60
"""Seconds, as upstream's."""

FIRST_ANSWER = 3
"""Seconds to wait for the broker's first answer, as upstream does: a first tool call then finds it connected."""

SLOWEST_RETRY = 30
"""Seconds between two attempts at most (paho doubles from 1): how late a broker's recovery may be noticed."""

_CREDENTIAL_REFUSED = (134, 135)
_PROTOCOL_REFUSED = 132
"""MQTT 5 reason codes, section 2.4; paho translates the return codes of 3.1.1 to them."""

_PROTOCOLS = {MqttProtocol.V5: mqtt.MQTTv5, MqttProtocol.V311: mqtt.MQTTv311}


class BrokerClient(mqtt.Client):
    """A paho client whose `connect` works from any state, in the background, and does not give up."""

    def connect(self, host: str, port: int = 1883, keepalive: int = KEEPALIVE, *_: Any, **__: Any) -> MQTTErrorCode:
        """Upstream's reconnect tool calls disconnect(), then this.

        With paho's own, the first ends the network thread and the second opens a connection that nobody reads.
        """
        self.loop_stop()
        self.connect_async(host, port, keepalive)
        return self.loop_start()

    def loop_stop(self) -> MQTTErrorCode:
        """End the network thread. Waits for it, up to paho's connect timeout of 5 s."""
        try:
            return super().loop_stop()
        except AttributeError:  # paho forgets a thread that ends by itself between its check and its join
            return mqtt.MQTT_ERR_SUCCESS


class BrokerConnection:
    """Which client the server uses, and what is known of its connection. One for the life of the process."""

    def __init__(self, server: UpstreamServer, protocol: MqttProtocol) -> None:
        self._server, self._protocol = server, protocol
        self._client: mqtt.Client | None = None
        self._answered = threading.Event()
        self._refused = False

    def take_over(self) -> None:
        """Put our parts in the place of the server's, so that its own connection tools use them too.

        mqtt_connect makes a client by hand from `mqtt.Client` and asks for MQTT 5; it gets ours. With use_tls it
        trusts the system's CAs only: setup_mqtt_connection is the tool that uses MQTT_CA_CERT.
        """
        paho = ModuleType(mqtt.__name__)
        vars(paho).update(vars(mqtt) | {"Client": self._client_for_tool})
        self._server.mqtt = paho
        self._server.setup_mqtt = self.setup
        self._server.on_connect, self._server.on_disconnect = self._on_connect, self._on_disconnect

    def open(self, args: argparse.Namespace) -> bool:
        """Connect to what `args` says and keep at it. True when the broker said yes within FIRST_ANSWER seconds.

        Raises UsageError when the TLS files are not usable; nothing the broker does is an error here.
        """
        client = self._make(args.mqtt_client_id)
        client.username_pw_set(args.mqtt_user or None, args.mqtt_password or None)
        if args.mqtt_use_tls:
            client.tls_set_context(_tls_context(args))
        self._use(client)
        self._server.connection_status["last_connection_attempt"] = datetime.now()
        client.connect(args.mqtt_host, args.mqtt_port, KEEPALIVE)
        if not self._answered.wait(FIRST_ANSWER):
            # amqtt, for one, neither answers nor hangs up on MQTT 5.
            self._no_answer(client, f"nothing within {FIRST_ANSWER} s")
        return bool(self._server.connection_status["connected"])

    def setup(self, args: argparse.Namespace) -> bool:
        """In place of upstream's setup_mqtt, which its tool setup_mqtt_connection calls. Never raises."""
        try:
            return self.open(args)
        except (UsageError, ValueError) as error:
            self._server.connection_status["last_error"] = str(error)
            log.error("%s", error)  # noqa: TRY400 - a person's mistake, not ours
            return False

    def close(self) -> None:
        """Say goodbye to the broker, if it listens."""
        connected = self._server.connection_status["connected"]
        if self._client:
            self._client.disconnect()
            if connected:
                self._client.loop_stop()

    def _client_for_tool(self, client_id: str = "", **_: Any) -> mqtt.Client:
        client = self._make(client_id)
        self._use(client)
        return client

    def _make(self, prefix: str) -> BrokerClient:
        client = BrokerClient(
            CallbackAPIVersion.VERSION2,
            # Two servers with one id would throw each other out.
            client_id=f"{prefix or 'coreflux-mcp'}-{uuid.uuid4().hex[:8]}",
            protocol=_PROTOCOLS[self._protocol],
        )
        client.reconnect_delay_set(min_delay=1, max_delay=SLOWEST_RETRY)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail = self._on_no_answer
        client.on_message = self._server.on_message
        client.suppress_exceptions = True  # an exception in a callback would end the network thread
        client.enable_logger(paho_log)
        return client

    def _use(self, client: mqtt.Client) -> None:
        former, self._client = self._client, client
        self._server.mqtt_client = client
        self._server.connection_status["connected"] = False
        self._answered.clear()
        if former:
            former.disconnect()

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any = None
    ) -> None:
        if client is not self._client:
            return
        status = self._server.connection_status
        self._refused = reason.is_failure
        if reason.is_failure:
            status.update(connected=False, last_error=f"Connection refused - {reason}")
            log.error("%s", self._refusal(client, reason))
        else:
            for topic, qos in self._topics():
                client.subscribe(topic, qos)
            status.update(connected=True, reconnect_count=0, last_error=None)
            log.info("Connected to the broker at %s:%s.", client.host, client.port)
        self._answered.set()

    def _on_disconnect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any = None
    ) -> None:
        if client is not self._client:
            return
        status = self._server.connection_status
        connected, status["connected"] = status["connected"], False
        if not reason.is_failure:
            log.info("Disconnected from the broker.")
        elif connected:
            status["reconnect_count"] += 1
            status.update(last_connection_attempt=datetime.now(), last_error=f"Connection lost - {reason}")
            log.warning("The connection to the broker at %s:%s was lost; trying again.", client.host, client.port)
        elif not self._refused:
            self._no_answer(client, "it closed the connection without a word")

    def _on_no_answer(self, client: mqtt.Client, _userdata: Any) -> None:
        if client is self._client:
            # paho calls this while it handles the error, and passes nothing on.
            self._no_answer(client, str(sys.exc_info()[1] or "no connection"))

    def _no_answer(self, client: mqtt.Client, reason: str) -> None:
        self._server.connection_status.update(connected=False, last_error=reason)
        log.warning(
            "No MQTT answer from %s:%s: %s\n-> check that the broker runs, MQTT_PORT, MQTT_USE_TLS, MQTT_CA_CERT%s; "
            "trying again, every %s s at the slowest.",
            *(client.host, client.port, reason),
            " and MQTT_PROTOCOL (some brokers speak 3.1.1 only)" if self._protocol is MqttProtocol.V5 else "",
            SLOWEST_RETRY,
        )
        self._answered.set()

    def _refusal(self, client: mqtt.Client, reason: ReasonCode) -> str:
        what = f"The broker at {client.host}:{client.port} refused the connection: {reason}."
        if reason.value in _CREDENTIAL_REFUSED:
            return (
                f"{what} User {client.username!r} or its password is not (or no longer) right.\n"
                "-> `secretops status` says which version logs in; a server started before a rotation keeps its "
                "version until it is started again. Trying again."
            )
        if reason.value == _PROTOCOL_REFUSED:
            other = next(protocol for protocol in MqttProtocol if protocol is not self._protocol)
            return f"{what}\n-> set MQTT_PROTOCOL={other} (the broker's protocol in the stack file)."
        return f"{what} Trying again."

    def _topics(self) -> list[tuple[str, int]]:
        """What a new session subscribes to: the broker keeps no session for us."""
        asked_for = list(self._server.mqtt_subscriptions.items())  # a tool may add one meanwhile
        return [(ACTIONS, 0), *((topic, details["qos"]) for topic, details in asked_for)]


def _tls_context(args: argparse.Namespace) -> ssl.SSLContext:
    """Checks certificate and hostname. Raises UsageError."""
    try:
        context = ssl.create_default_context(cafile=args.mqtt_ca_cert)
        if args.mqtt_client_cert:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(args.mqtt_client_cert, args.mqtt_client_key, password="")  # nosec B106
    except OSError as error:  # an SSLError is one
        raise UsageError(
            f"MQTT_CA_CERT={args.mqtt_ca_cert}, MQTT_CLIENT_CERT={args.mqtt_client_cert}: {error}",
            rule="they are PEM files, the key belongs to the certificate and has no passphrase",
            remedy="replace the file that is not",
        ) from error
    return context
