"""The server's connection to its broker, in place of the one that upstream makes.

Upstream's own asks for MQTT 5 whatever the broker speaks, gives up on a broker that is down at the start, and on a
refused connect its callback raises, which ends paho's thread for good. Here the launcher makes every client, so a
client on other credentials can take the place of one in use.
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

from secretops.errors import UnreachableError, UsageError
from secretops.launcher.client import OWN_QOS, SLOWEST_RETRY, BrokerClient
from secretops.launcher.robust_client import GOODBYE, KEEPALIVE
from secretops.launcher.settings import ServerSettings
from secretops.launcher.state import LauncherState
from secretops.launcher.upstream import UpstreamServer, hand_over
from secretops.manifest import MqttProtocol
from secretops.targets.reports import report_text, report_topic

log = logging.getLogger(__name__)
paho_log = logging.getLogger(f"{__name__}.paho")
# paho 2.1 and 2.2 report an error when a client that has disconnected has no connection.
paho_log.addFilter(lambda record: not record.getMessage().startswith("Client is not connected"))

# Where a Coreflux broker describes its actions; upstream makes a tool of each (server.py:328).
ACTIONS = "$SYS/Coreflux/Actions/+/Description"

# Seconds to wait for the broker's first answer, as upstream does: a first tool call then finds it connected.
FIRST_ANSWER = 3

PathLike = str | Path | None

# MQTT 5 reason codes, section 2.4; paho translates the return codes of 3.1.1 to them.
_CREDENTIAL_REFUSED = (134, 135)
_PROTOCOL_REFUSED = 132

# Topics and names that get a log line of their own; further ones are only counted.
_MOST_WARNINGS = 100


P = ParamSpec("P")


def _if_in_use(
    report: Callable[Concatenate[BrokerConnection, BrokerClient, P], None],
) -> Callable[Concatenate[BrokerConnection, BrokerClient, P], None]:
    """Make `report` ignore clients that the server does not use, and let no other client take over meanwhile."""

    @functools.wraps(report)
    def run(self: BrokerConnection, client: BrokerClient, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with self._changing:
            if client is self._client:
                report(self, client, *args, **kwargs)

    return run


class BrokerConnection:
    """Which client the server uses, and the state of its connection. One for the life of the process."""

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
        self.listeners: dict[str, Callable[..., None]] = {}
        """topic filter -> callback that receives its messages instead of the server, while a tool waits."""
        self.own_listeners: dict[str, Callable[..., None]] = {}
        """topic filter -> callback of the launcher. Each client subscribes to them; the server sees none of their
        messages. Fill it before `open`."""
        self.on_refused: Callable[[], None] = lambda: None

    @property
    def client(self) -> BrokerClient | None:
        """The client that the server uses."""
        return self._client

    @property
    def is_of_a_tool(self) -> bool:
        """Whether an MCP client chose broker or credential with a tool. It stays then, whatever the source says."""
        return not self._of_settings

    @property
    def topics(self) -> dict[str, int]:
        """topic filter -> QoS of what a new session subscribes to: the broker keeps no session for us."""
        requested = list(self._server.mqtt_subscriptions.items())  # a tool may add one meanwhile
        of_tools = {topic: of["qos"] for topic, of in requested}
        return {ACTIONS: 0, **of_tools, **dict.fromkeys(self.own_listeners, OWN_QOS)}

    def take_over(self) -> None:
        """Replace parts of the server with ours, so that its own connection tools use them too.

        mqtt_connect makes a client by hand from `mqtt.Client` and requests MQTT 5; it gets ours. With use_tls it
        trusts the system's CAs only: setup_mqtt_connection is the tool that uses MQTT_CA_CERT.
        """
        paho = ModuleType(mqtt.__name__)
        vars(paho).update(vars(mqtt) | {"Client": self._client_for_tool})
        self._server.mqtt = paho
        self._server.setup_mqtt = self.setup
        self._register_tool = self._server.register_dynamic_action_tool
        self._server.register_dynamic_action_tool = self._register_checked

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
        if not client.has_answer(FIRST_ANSWER):
            with self._changing:
                if client.reason is None:  # some brokers neither answer nor hang up on MQTT 5
                    self.unanswered(client, f"nothing within {FIRST_ANSWER} s")
        return bool(self._server.connection_status["connected"])

    def setup(self, args: argparse.Namespace) -> bool:
        """Replace upstream's setup_mqtt, which its tool setup_mqtt_connection calls. Never raises."""
        try:
            return self.open(args)
        except (UsageError, ValueError) as error:
            self._server.connection_status["last_error"] = str(error)
            log.error("%s", error)  # noqa: TRY400 - a person's mistake, not ours
            return False

    def make(self, prefix: str, protocol: MqttProtocol | None = None) -> BrokerClient:
        """Return a client with an id of its own: two servers with one id would throw each other out."""
        name = f"{prefix or 'coreflux-mcp'}-{uuid.uuid4().hex[:8]}"
        client = BrokerClient(name, protocol or self._settings.protocol, self)
        client.enable_logger(paho_log)
        return client

    def adopt(
        self, client: BrokerClient, former: BrokerClient | None, settings: ServerSettings, copied: Mapping[str, int]
    ) -> bool:
        """Make the server use `client`, which is connected, in the place of `former`, and let that one retire.

        `copied` are the subscriptions that `client` has taken over. False when the server does not use `former` any
        more: a tool was faster, and what it chose stays. Raises UnreachableError when `client` has lost its connection.
        """
        with self._changing:
            if self._client is not former:
                return False
            if not client.is_connected():
                raise UnreachableError(no_answer(client, "it hung up again", settings.protocol))
            self._settings, self._client = settings, client
            if former:
                former.pass_on_to(client, copied)
            self._server.mqtt_client = client  # one assignment: a call finds the one client or the other
            hand_over(settings, self._server.args)
            self._set_connected(client)
            if not client.is_connected():  # before it was the server's, when nobody heard of it
                self._set_disconnected()
        if former:
            # In a thread of its own: a later version need not wait for it.
            thread = threading.Thread(target=former.retire, args=(self._closing,), name="retire", daemon=True)
            self._retiring = [*(each for each in self._retiring if each.is_alive()), thread]
            thread.start()
        return True

    def stay(self, settings: ServerSettings) -> None:
        """Note `settings` that differ from those in use in nothing that the connection is made with."""
        with self._changing:
            self._settings = settings
            if self._client and self._of_settings:
                introduce(self._client, settings)
                if self._state.connected:
                    self._client.tell()

    def close(self) -> None:
        """Disconnect every client. Waits up to GOODBYE seconds for what is under way, then for `BrokerClient.leave`."""
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
        client.leave()
        if left := client.unacknowledged():
            log.warning(
                "The process ends, and the broker has not acknowledged %s messages: they may be lost.\n"
                "-> check that the broker is reachable, then publish them again.",
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
                introduce(client, self._settings)
            if self._closing.is_set():
                client.leave()  # so that it never connects: `close` knows nothing of it
        if former:
            former.leave()
            if left := former.unacknowledged():
                log.warning(
                    "An MCP client has changed the connection: %s messages of the former one are lost.\n"
                    "-> publish them again by the new connection.",
                    left,
                )

    def _set_connected(self, client: BrokerClient) -> None:
        self._server.connection_status.update(connected=True, reconnect_count=0, last_error=None)
        self._state.connected = True
        client.tell()

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
        self._state.count_failed_connect()
        self.on_refused()
        self._set_disconnected(last_error=f"Connection refused - {reason}")
        log.error("%s Trying again.", refusal(client, reason, self._settings.protocol))

    @_if_in_use
    def unanswered(self, client: BrokerClient, reason: str) -> None:
        self._state.count_failed_connect()
        self._set_disconnected(last_error=reason)
        log.warning(
            "%s; trying again, every %s s at the slowest.",
            no_answer(client, reason, self._settings.protocol),
            SLOWEST_RETRY,
        )

    @_if_in_use
    def disconnected(self, client: BrokerClient, reason: ReasonCode) -> None:
        self._set_disconnected()
        if not reason.is_failure:
            log.info("Disconnected from the broker.")
            return
        status = self._server.connection_status
        status["reconnect_count"] += 1
        status.update(last_connection_attempt=datetime.now(), last_error=f"Connection lost - {reason}")
        log.warning("The connection to the broker at %s:%s was lost; trying again.", client.host, client.port)

    def received(self, client: BrokerClient, message: mqtt.MQTTMessage) -> None:
        """Deliver one message at a time: the server's buffer loses messages to a second thread, and during a swap
        there are two."""
        with self._receiving:
            self._topic = message.topic
            for listeners in (self.own_listeners, self.listeners):
                waiting = [each for filter_, each in list(listeners.items()) if _matches(filter_, self._topic)]
                for listener in waiting:
                    listener(client, None, message)
                if waiting:
                    return
            self._server.on_message(client, None, message)

    def publish_refused(self, topic: str, reason: ReasonCode) -> None:
        self._state.count_refused_publish()
        self._warn_once(
            topic,
            f"The broker refused a message to {topic!r} that the server had published: {reason}.\n"
            "-> let the broker's user publish there (ACL); secretops_refused_publishes_total counts every message.",
        )

    def _register_checked(self, name: str, description: str) -> None:
        """Make no tool of a topic that is no broker's action, or of a name that is more than a name: upstream executes
        a source text with the name in it (server.py:468)."""
        if re.fullmatch(r"[A-Za-z0-9_]{1,60}", name) and _matches(ACTIONS, self._topic):
            self._register_tool(name, description)
        else:
            self._warn_once(
                self._topic,
                f"No tool is made of the action that {self._topic!r} describes.\n"
                f"-> actions are described at {ACTIONS}; their names are of ASCII letters, digits and _, up to 60.",
            )

    def _warn_once(self, topic: str, text: str) -> None:
        if topic not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(topic)
            log.warning("%s", text)


def introduce(client: BrokerClient, settings: ServerSettings) -> None:
    """Set the client's report: which version it is on (secretops.targets.reports)."""
    text = report_text("mqtt", settings.versions.get("mqtt", "unknown"), datetime.now(UTC))
    client.introduce(report_topic(settings.mqtt["username"], client.name), text)


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


def _matches(filter_: str, topic: str) -> bool:
    return mqtt.topic_matches_sub(filter_, topic)
