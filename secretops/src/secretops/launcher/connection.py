"""The server's connection to its broker. It creates every MQTT client, so that a new client can replace another.

Upstream's own connection requires MQTT 5 and a broker that already runs, and does not survive a refused connect.
"""

from __future__ import annotations

import argparse
import functools
import logging
import re
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Concatenate, ParamSpec

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from secretops.errors import RefusedError, UnreachableError, UsageError
from secretops.launcher.client import GOODBYE, KEEPALIVE, MAX_RETRY_SECONDS, OWN_QOS, BrokerClient
from secretops.launcher.settings import ServerSettings
from secretops.launcher.state import LauncherState
from secretops.launcher.upstream import UpstreamServer, set_connection
from secretops.manifest import MqttProtocol
from secretops.targets.reports import report_text, report_topic

log = logging.getLogger(__name__)
paho_log = logging.getLogger(f"{__name__}.paho")
# paho 2.1 and 2.2 report an error when a client that has disconnected has no connection.
paho_log.addFilter(lambda record: not record.getMessage().startswith("Client is not connected"))

# A Coreflux broker describes its actions here; upstream registers a tool for each (server.py:328).
ACTIONS = "$SYS/Coreflux/Actions/+/Description"

# Seconds to wait for the broker's first answer, as upstream.
FIRST_ANSWER = 3

# MQTT 5 reason codes, section 2.4; paho translates the return codes of 3.1.1 to them.
_CREDENTIAL_REFUSED = (134, 135)
_PROTOCOL_REFUSED = 132

# Maximum number of topics with a logged warning.
_MAX_WARNINGS = 100

P = ParamSpec("P")


def _if_in_use(
    report: Callable[Concatenate[BrokerConnection, BrokerClient, P], None],
) -> Callable[Concatenate[BrokerConnection, BrokerClient, P], None]:
    """Make `report` do nothing for a client that is not in use. The client in use cannot be replaced while `report`
    runs."""

    @functools.wraps(report)
    def run(self: BrokerConnection, client: BrokerClient, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with self._changing:
            if client is self._client:
                report(self, client, *args, **kwargs)

    return run


class BrokerConnection:
    def __init__(self, server: UpstreamServer, settings: ServerSettings, state: LauncherState) -> None:
        self._server, self._settings, self._state = server, settings, state
        self._client: BrokerClient | None = None
        self._of_settings = True
        self._changing = threading.RLock()
        self._receiving = threading.Lock()
        self._topic = ""
        self._warned: set[str] = set()
        self._closing = threading.Event()
        self._retiring: list[threading.Thread] = []
        # Topic filter -> callback of a waiting tool, which receives the messages instead of the server.
        self.listeners: dict[str, Callable[..., None]] = {}
        # Topic filter -> the launcher's own callback, for every client. Set before `open`.
        self.own_listeners: dict[str, Callable[..., None]] = {}
        self.on_refused: Callable[[], None] = lambda: None

    @property
    def client(self) -> BrokerClient | None:
        return self._client

    @property
    def chosen_by_tool(self) -> bool:
        """Return whether a tool chose the broker or the user. If so, new versions do not apply."""
        return not self._of_settings

    @property
    def topics(self) -> dict[str, int]:
        """Return a new session's topic filters, with the QoS of each."""
        requested = list(self._server.mqtt_subscriptions.items())  # copied: a tool may add one meanwhile
        of_tools = {topic: options["qos"] for topic, options in requested}
        return {ACTIONS: 0, **of_tools, **dict.fromkeys(self.own_listeners, OWN_QOS)}

    def patch_server(self) -> None:
        """Replace functions of the server, so that all of its MQTT clients are made here.

        With use_tls, the server's tool mqtt_connect trusts only the system's CAs; its tool setup_mqtt_connection uses
        MQTT_CA_CERT.
        """
        paho = ModuleType(mqtt.__name__)
        vars(paho).update(vars(mqtt) | {"Client": self._client_for_tool})
        self._server.mqtt = paho
        self._server.setup_mqtt = self.setup
        self._register_tool = self._server.register_dynamic_action_tool
        self._server.register_dynamic_action_tool = self._register_checked

    def open(self, args: argparse.Namespace) -> bool:
        """Connect, and keep trying in the background. Return True if the broker accepts within FIRST_ANSWER seconds.

        Raises UsageError for unusable TLS files.
        """
        client = self.make(args.mqtt_client_id)
        client.username_pw_set(args.mqtt_user or None, args.mqtt_password or None)
        if args.mqtt_use_tls:
            client.tls_set_context(tls_context(args.mqtt_ca_cert, args.mqtt_client_cert, args.mqtt_client_key))
        self._use(client, of_settings=_same(args, self._settings))
        self._server.connection_status["last_connection_attempt"] = datetime.now()
        client.connect(args.mqtt_host, args.mqtt_port, KEEPALIVE)
        if not client.has_answer(FIRST_ANSWER):
            with self._changing:
                if client.reason is None:  # some brokers neither answer MQTT 5 nor disconnect
                    self.unanswered(client, f"no answer within {FIRST_ANSWER} s")
        return bool(self._server.connection_status["connected"])

    def setup(self, args: argparse.Namespace) -> bool:
        """Connect in place of upstream's setup_mqtt. Logs unusable settings, and returns False for them."""
        try:
            return self.open(args)
        except (UsageError, ValueError) as error:
            self._server.connection_status["last_error"] = str(error)
            log.error("%s", error)  # noqa: TRY400 - a mistake of the operator
            return False

    def make(self, prefix: str, protocol: MqttProtocol | None = None) -> BrokerClient:
        """Return a client with a unique id, because a broker disconnects a client when another one uses its id."""
        name = f"{prefix or 'coreflux-mcp'}-{uuid.uuid4().hex[:8]}"
        client = BrokerClient(name, protocol or self._settings.protocol, self)
        client.enable_logger(paho_log)
        return client

    def adopt(
        self, client: BrokerClient, former: BrokerClient | None, settings: ServerSettings, copied: Mapping[str, int]
    ) -> bool:
        """Replace `former` by `client`, and retire it. `client` must be connected, and have the subscriptions `copied`.

        Return False if a tool has replaced `former`. Raises UnreachableError if `client` has disconnected.
        """
        with self._changing:
            if self._client is not former:
                return False
            if not client.is_connected():
                raise no_answer(client, "the connection was lost again", settings.protocol)
            self._settings, self._client = settings, client
            if former:
                former.transfer_to(client, copied)
            self._server.mqtt_client = client  # one assignment, so that each call uses either the old or the new client
            set_connection(settings, self._server.args)
            self._set_connected(client)
            if not client.is_connected():  # while it was not in use, its report was ignored
                self._set_disconnected()
        if former:
            thread = threading.Thread(target=former.retire, args=(self._closing,), name="retire", daemon=True)
            self._retiring = [*(each for each in self._retiring if each.is_alive()), thread]
            thread.start()
        return True

    def update(self, settings: ServerSettings) -> None:
        with self._changing:
            self._settings = settings
            if self._client and self._of_settings:
                set_report(self._client, settings)
                if self._state.connected:
                    self._client.publish_report()

    def close(self) -> None:
        """Disconnect every client. Waits up to GOODBYE seconds for messages."""
        with self._changing:
            self._closing.set()
        end = time.monotonic() + GOODBYE
        for thread in self._retiring:
            thread.join(max(0.0, end - time.monotonic()))
        client = self._client
        if client is None:
            return
        while client.is_connected() and client.unacknowledged() and time.monotonic() < end:
            time.sleep(0.01)
        client.close()
        if left := client.unacknowledged():
            log.warning(
                "%s messages may be lost: the process ends, and the broker has not acknowledged them.\n"
                "-> check that the broker is reachable, then publish them again",
                left,
            )

    def _client_for_tool(self, client_id: str = "", **_: Any) -> mqtt.Client:
        client = self.make(client_id)
        self._use(client, of_settings=False)
        return client

    def _use(self, client: BrokerClient, *, of_settings: bool) -> None:
        with self._changing:
            former = self._client
            self._client, self._of_settings = client, of_settings
            self._server.mqtt_client = client
            self._set_disconnected()
            if of_settings:
                set_report(client, self._settings)
            if self._closing.is_set():
                client.close()  # so that the client never connects
        if former:
            former.close()
            if left := former.unacknowledged():
                log.warning(
                    "%s messages are lost: an MCP client has changed the connection.\n"
                    "-> publish them again by the new connection",
                    left,
                )

    def _set_connected(self, client: BrokerClient) -> None:
        self._server.connection_status.update(connected=True, reconnect_count=0, last_error=None)
        self._state.connected = True
        client.publish_report()

    def _set_disconnected(self, **status: Any) -> None:
        self._server.connection_status.update(connected=False, **status)
        self._state.connected = False

    @_if_in_use
    def connected(self, client: BrokerClient) -> None:
        for topic, qos in self.topics.items():
            client.subscribe(topic, qos)
        self._set_connected(client)
        log.info("Connected to the broker at %s:%s.", client.host, client.port)

    @_if_in_use
    def refused(self, client: BrokerClient, reason: ReasonCode) -> None:
        self._state.count("failed_connects")
        self.on_refused()
        self._set_disconnected(last_error=f"Connection refused - {reason}")
        log.error("Connect failed; retrying. %s", refusal(client, reason, self._settings.protocol))

    @_if_in_use
    def unanswered(self, client: BrokerClient, reason: str) -> None:
        self._state.count("failed_connects")
        self._set_disconnected(last_error=reason)
        error = no_answer(client, reason, self._settings.protocol)
        log.warning("Connect failed; retrying at least every %s s. %s", MAX_RETRY_SECONDS, error)

    @_if_in_use
    def disconnected(self, client: BrokerClient, reason: ReasonCode) -> None:
        self._set_disconnected()
        if not reason.is_failure:
            log.info("Disconnected from the broker.")
            return
        status = self._server.connection_status
        status["reconnect_count"] += 1
        status.update(last_connection_attempt=datetime.now(), last_error=f"Connection lost - {reason}")
        log.warning("Lost the connection to the broker at %s:%s; reconnecting.", client.host, client.port)

    def received(self, client: BrokerClient, message: mqtt.MQTTMessage) -> None:
        """Pass a message to its listeners, or else to the server. Handles one message at a time, because the server's
        buffer is not thread-safe, and two clients receive during a swap."""
        with self._receiving:
            self._topic = message.topic
            for listeners in (self.own_listeners, self.listeners):
                found = [each for topic, each in list(listeners.items()) if mqtt.topic_matches_sub(topic, self._topic)]
                for listener in found:
                    listener(client, None, message)
                if found:
                    return
            self._server.on_message(client, None, message)

    def publish_refused(self, topic: str, reason: ReasonCode) -> None:
        self._state.count("refused_publishes")
        self._warn_once(
            topic,
            f"The broker refused a message to {topic!r}: {reason}.\n"
            "-> allow the broker's user to publish there (ACL); see the metric secretops_refused_publishes_total",
        )

    def _register_checked(self, name: str, description: str) -> None:
        # Upstream executes source code that contains the name (server.py:468), so the name must be plain.
        if re.fullmatch(r"[A-Za-z0-9_]{1,60}", name) and mqtt.topic_matches_sub(ACTIONS, self._topic):
            self._register_tool(name, description)
        else:
            self._warn_once(
                self._topic,
                f"Ignoring the action that {self._topic!r} describes.\n"
                f"-> describe actions at {ACTIONS}, with names of up to 60 ASCII letters, digits and _",
            )

    def _warn_once(self, topic: str, text: str) -> None:
        if topic not in self._warned and len(self._warned) < _MAX_WARNINGS:
            self._warned.add(topic)
            log.warning("%s", text)


def set_report(client: BrokerClient, settings: ServerSettings) -> None:
    text = report_text("mqtt", settings.versions.get("mqtt", "unknown"), datetime.now(UTC))
    client.set_report(report_topic(settings.mqtt["username"], client.name), text)


def no_answer(client: mqtt.Client, reason: str, protocol: MqttProtocol) -> UnreachableError:
    hint = " (some brokers support only 3.1.1)" if protocol is MqttProtocol.V5 else ""
    return UnreachableError(
        f"no MQTT answer from {client.host}:{client.port}: {reason}",
        rule="the broker must accept MQTT connections with the server's settings",
        remedy="check that the broker runs; then check the server's variables MQTT_PORT, MQTT_USE_TLS, MQTT_CA_CERT "
        f"and MQTT_PROTOCOL{hint}",
        code="broker-unreachable",
    )


def refusal(client: mqtt.Client, reason: ReasonCode, protocol: MqttProtocol) -> RefusedError:
    broker = f"the broker at {client.host}:{client.port}"
    if reason.value in _CREDENTIAL_REFUSED:
        return RefusedError(
            f"{broker} refused the login of user {client.username!r}: {reason}",
            rule="the broker must accept the server's user and password",
            remedy="check with secretops status whether the current version of mqtt logs in; for a new version: "
            "secretops rotate mqtt",
            code="broker-credential-refused",
        )
    if reason.value == _PROTOCOL_REFUSED:
        other = next(each for each in MqttProtocol if each is not protocol)
        return RefusedError(
            f"{broker} refused the protocol: {reason}",
            rule="the broker must support the protocol in MQTT_PROTOCOL",
            remedy=f"set MQTT_PROTOCOL={other}; for a server of a stack, write broker.protocol: {other} in the stack "
            "file, then pulumi up",
            code="broker-protocol-refused",
        )
    return RefusedError(
        f"{broker} refused the connection: {reason}",
        rule="the broker must accept the server's connection",
        remedy="find the cause in the broker's log",
        code="broker-refused",
    )


def tls_context(ca_file: str | Path | None, certificate: str | Path | None, key: str | Path | None) -> ssl.SSLContext:
    """Return a context that verifies the broker's certificate and host name. Raises UsageError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate:
            # Without a password OpenSSL would prompt for one.
            context.load_cert_chain(certificate, key, password="")  # nosec B106
    except OSError as error:  # an SSLError is an OSError, too
        raise UsageError(
            f"MQTT_CA_CERT={ca_file}, MQTT_CLIENT_CERT={certificate}: {error}",
            rule="the files of CA, certificate and key must be PEM, and the key must not have a passphrase",
            remedy="correct the CA's file; or replace certificate and key: secretops put client-cert",
            code="tls-files-invalid",
        ) from error
    return context


def _same(args: argparse.Namespace, settings: ServerSettings) -> bool:
    return (args.mqtt_host, args.mqtt_port, bool(args.mqtt_use_tls), args.mqtt_user, args.mqtt_password) == (
        *(settings.broker, settings.port, settings.tls is not None),
        *(settings.mqtt["username"], settings.mqtt["password"]),
    )
