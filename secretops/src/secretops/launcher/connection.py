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
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from secretops.errors import UnreachableError, UsageError
from secretops.launcher.client import KEEPALIVE, SLOWEST_RETRY, BrokerClient
from secretops.launcher.report import introduce, report_of, take_back, tell
from secretops.launcher.settings import ServerSettings
from secretops.launcher.state import LauncherState
from secretops.launcher.upstream import UpstreamServer, hand_over
from secretops.manifest import MqttProtocol

log = logging.getLogger(__name__)
paho_log = logging.getLogger(f"{__name__}.paho")
# paho calls it an error that a client which we let go has no connection.
paho_log.addFilter(lambda record: not record.getMessage().startswith("Client is not connected"))

ACTIONS = "$SYS/Coreflux/Actions/+/Description"
"""Where a Coreflux broker describes its actions; upstream makes a tool of each (server.py:328)."""

FIRST_ANSWER = 3
"""Seconds to wait for the broker's first answer, as upstream does: a first tool call then finds it connected."""

GOODBYE = 1
"""Seconds that the broker has to take back our report when we end."""

PathLike = str | Path | None

_CREDENTIAL_REFUSED = (134, 135)
_PROTOCOL_REFUSED = 132
"""MQTT 5 reason codes, section 2.4; paho translates the return codes of 3.1.1 to them."""


class BrokerConnection:
    """Which client the server uses, and what is known of its connection. One for the life of the process."""

    def __init__(self, server: UpstreamServer, settings: ServerSettings, state: LauncherState) -> None:
        self._server, self._settings, self._state = server, settings, state
        self._client: BrokerClient | None = None
        self._of_settings = True
        self._answered = threading.Event()
        self._refused = False
        self._changing = threading.RLock()
        self._receiving = threading.Lock()

    @property
    def client(self) -> BrokerClient | None:
        """The one that the server uses."""
        return self._client

    @property
    def is_of_a_tool(self) -> bool:
        """Whether an MCP client chose broker or credential with a tool. Then that stands, whatever the source says."""
        return not self._of_settings

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
        client = self.make(args.mqtt_client_id)
        client.username_pw_set(args.mqtt_user or None, args.mqtt_password or None)
        if args.mqtt_use_tls:
            client.tls_set_context(tls_context(args.mqtt_ca_cert, args.mqtt_client_cert, args.mqtt_client_key))
        self._use(client, of_settings=_same(args, self._settings))
        self._server.connection_status["last_connection_attempt"] = datetime.now()
        client.connect(args.mqtt_host, args.mqtt_port, KEEPALIVE)
        if not self._answered.wait(FIRST_ANSWER):
            # Some brokers neither answer nor hang up on MQTT 5.
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

    def make(self, prefix: str, protocol: MqttProtocol | None = None) -> BrokerClient:
        """A client with an id of its own: two servers with one id would throw each other out."""
        name = f"{prefix or 'coreflux-mcp'}-{uuid.uuid4().hex[:8]}"
        client = BrokerClient(name, protocol or self._settings.protocol)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail = self._on_no_answer
        client.on_message = self._on_message
        client.enable_logger(paho_log)
        return client

    def adopt(self, client: BrokerClient, former: BrokerClient | None, settings: ServerSettings) -> bool:
        """From now on the server uses `client`, which is connected, in the place of `former`.

        False when it does not use `former` any more: a tool was faster, and what it chose stands. Raises
        UnreachableError when `client` has lost its connection.
        """
        with self._changing:
            if self._client is not former:
                return False
            client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
            client.on_connect_fail = self._on_no_answer
            if not client.is_connected():
                raise UnreachableError(no_answer(client, "it hung up again", settings.protocol))
            self._settings, self._refused = settings, False
            self._client = client
            self._server.mqtt_client = client  # one assignment: a call finds the one client or the other
            hand_over(settings, self._server.args)
            self._connected(client)
        return True

    def stay(self, settings: ServerSettings) -> None:
        """`settings` differ from those in use in nothing that the connection is made with."""
        with self._changing:
            self._settings = settings
            if self._client and self._of_settings:
                self._client.report = report_of(self._client, settings)
                if self._state.connected:
                    tell(self._client)

    def close(self) -> None:
        """Say goodbye to the broker, if it listens."""
        connected = self._server.connection_status["connected"]
        client = self._client
        if client:
            if connected:
                take_back(client, GOODBYE)
            client.disconnect()
            if connected:
                client.loop_stop()

    def _client_for_tool(self, client_id: str = "", **_: Any) -> mqtt.Client:
        client = self.make(client_id)
        self._use(client, of_settings=False)
        return client

    def _use(self, client: BrokerClient, *, of_settings: bool) -> None:
        with self._changing:
            former = self._client
            self._client, self._of_settings = client, of_settings
            self._server.mqtt_client = client
            self._disconnected()
            self._answered.clear()
            if of_settings:
                introduce(client, self._settings)
        if former:
            if former.is_connected():
                take_back(former)
            former.disconnect()

    def _connected(self, client: BrokerClient) -> None:
        self._server.connection_status.update(connected=True, reconnect_count=0, last_error=None)
        self._state.connected = True
        tell(client)

    def _disconnected(self, **told: Any) -> None:
        self._server.connection_status.update(connected=False, **told)
        self._state.connected = False

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any = None
    ) -> None:
        if client is not self._client:
            return
        self._refused = reason.is_failure
        if reason.is_failure:
            self._state.count_failed_connect()
            self._disconnected(last_error=f"Connection refused - {reason}")
            log.error("%s Trying again.", refusal(client, reason, self._settings.protocol))
        else:
            for topic, qos in topics_of(self._server).items():
                client.subscribe(topic, qos)
            self._connected(self._client)
            log.info("Connected to the broker at %s:%s.", client.host, client.port)
        self._answered.set()

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        """One at a time: the server's buffer loses messages to a second thread, and during a swap there are two."""
        with self._receiving:
            self._server.on_message(client, userdata, message)

    def _on_disconnect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any = None
    ) -> None:
        if client is not self._client:
            return
        status = self._server.connection_status
        connected = status["connected"]
        self._disconnected()
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
        self._state.count_failed_connect()
        self._disconnected(last_error=reason)
        log.warning(
            "%s; trying again, every %s s at the slowest.",
            no_answer(client, reason, self._settings.protocol),
            SLOWEST_RETRY,
        )
        self._answered.set()


def topics_of(server: UpstreamServer) -> dict[str, int]:
    """What a new session subscribes to, with its QoS: the broker keeps no session for us."""
    asked_for = list(server.mqtt_subscriptions.items())  # a tool may add one meanwhile
    return {ACTIONS: 0, **{topic: details["qos"] for topic, details in asked_for}}


def no_answer(client: mqtt.Client, reason: str, protocol: MqttProtocol) -> str:
    return (
        f"No MQTT answer from {client.host}:{client.port}: {reason}\n"
        "-> check that the broker runs, MQTT_PORT, MQTT_USE_TLS, MQTT_CA_CERT"
        f"{' and MQTT_PROTOCOL (some brokers speak 3.1.1 only)' if protocol is MqttProtocol.V5 else ''}"
    )


def refusal(client: mqtt.Client, reason: ReasonCode, protocol: MqttProtocol) -> str:
    what = f"The broker at {client.host}:{client.port} refused the connection: {reason}."
    if reason.value in _CREDENTIAL_REFUSED:
        return (
            f"{what} User {client.username!r} or its password is not (or no longer) right.\n"
            "-> `secretops status` says which version logs in; `secretops rotate mqtt` makes one that does."
        )
    if reason.value == _PROTOCOL_REFUSED:
        other = next(each for each in MqttProtocol if each is not protocol)
        return f"{what}\n-> set MQTT_PROTOCOL={other} (the broker's protocol in the stack file)."
    return what


def tls_context(ca_file: PathLike, certificate: PathLike, key: PathLike) -> ssl.SSLContext:
    """Checks certificate and hostname. Raises UsageError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")  # nosec B106
    except OSError as error:  # an SSLError is one
        raise UsageError(
            f"MQTT_CA_CERT={ca_file}, MQTT_CLIENT_CERT={certificate}: {error}",
            rule="they are PEM files, the key belongs to the certificate and has no passphrase",
            remedy="replace the file that is not",
        ) from error
    return context


def _same(args: argparse.Namespace, settings: ServerSettings) -> bool:
    """Whether `args` are the settings', or an MCP client's own."""
    where = (args.mqtt_host, args.mqtt_port, bool(args.mqtt_use_tls))
    who = (args.mqtt_user, args.mqtt_password)
    return where == (settings.broker, settings.port, settings.tls is not None) and who == (
        settings.mqtt["username"],
        settings.mqtt["password"],
    )
