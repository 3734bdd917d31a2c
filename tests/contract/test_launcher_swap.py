"""A swap of MQTT clients at a real broker loses no message, and leaves no old report. In this process, without MCP."""

import argparse
import contextlib
import logging
import resource
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from secretops.errors import RefusedError
from secretops.launcher import client as launcher_client
from secretops.launcher import source_watcher
from secretops.launcher.client import BrokerClient
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.settings import ServerSettings, Tls, read_settings
from secretops.launcher.source_watcher import StoppedError, Swap
from secretops.launcher.state import LauncherState
from secretops.launcher.upstream import set_connection
from secretops.manifest import SecretKind
from secretops.targets import open_target
from secretops.targets.reports import read_reports
from secretops.values import Value
from tests.real.launched import DEADLINE, WITNESS, RealBroker, let_in, until
from tests.real.mosquitto import Mosquitto
from tests.real.witness import Witness

pytestmark = pytest.mark.real

ONLY_MOSQUITTO = pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
BOTH_BROKERS = pytest.mark.parametrize(
    "broker", ["mosquitto", pytest.param("embedded", marks=pytest.mark.slow)], indirect=True
)


class Launched:
    """The part of the launcher with the MQTT clients, and a server that counts received messages."""

    def __init__(self, broker: RealBroker) -> None:
        self.broker = broker
        self.received: Counter[str] = Counter()
        self.state = LauncherState()
        self.server: Any = SimpleNamespace(
            args=argparse.Namespace(),
            connection_status={"connected": False, "reconnect_count": 0},
            mqtt_subscriptions={"test/in/#": {"qos": 1}},
            mqtt_client=None,
            on_message=lambda _client, _userdata, message: self.receive(message.payload.decode()),
            register_dynamic_action_tool=None,
        )
        self.receive: Callable[[str], object] = lambda text: self.received.update([text])
        self.settings = self.version("server-a")
        self.connection = BrokerConnection(self.server, self.settings, self.state)
        self.connection.patch_server()
        set_connection(self.settings, self.server.args)

    def version(self, user: str, **changes: Any) -> ServerSettings:
        """Return settings with a new password of `user`, which the broker accepts."""
        credential = Value({"username": user, "password": secrets.token_hex(20)})
        let_in(self.broker, credential)
        protocol = self.broker.broker().protocol
        where = {"MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(self.broker.port), "MQTT_PROTOCOL": protocol}
        who = {"MQTT_USER": user, "MQTT_PASSWORD": credential["password"], "SECRETOPS_VERSION_MQTT": f"of-{user}"}
        return replace(read_settings(where | who, "the test"), **changes)

    def narrow(self, *topics: str) -> ServerSettings:
        """Return the settings of a version whose user may use only `topics`."""
        settings = self.version("server-b")
        narrow = self.broker.broker().model_copy(update={"topics": topics})
        open_target(narrow, SecretKind.MQTT_USER).apply(self.broker.admin, settings.mqtt)
        return settings

    @property
    def client(self) -> BrokerClient:
        assert self.connection.client
        return self.connection.client

    def swap(self, settings: ServerSettings | None = None) -> BrokerClient:
        """Swap to `settings`, by default a new version of user server-b. Return the former client."""
        former = self.client
        Swap(self.connection, settings or self.version("server-b"), lambda: False).run()
        assert self.client is not former
        return former

    def reports(self) -> dict[str, str]:
        found = read_reports(self.broker.broker(), WITNESS, ["server-a", "server-b"])
        return {one.user: one.version for one in found}


@pytest.fixture
def launched(broker: RealBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    monkeypatch.setattr(source_watcher, "ANSWER_SECONDS", DEADLINE)
    made = Launched(broker)
    made.connection.open(made.server.args)
    until("its subscription", lambda: "test/in/#" in made.client.granted())
    yield made
    made.connection.close()


def published(launched: Launched, count: int, qos: int = 1) -> set[str]:
    """Publish with the server's client, as its tool does. Return the messages that were answered with success."""
    sent = {f"message {number} of QoS {qos}" for number in range(count)}
    return {text for text in sent if launched.client.publish(f"test/{text}", text, qos=qos).rc == 0}


def arrived(witness: Witness, wanted: set[str]) -> Counter[str]:
    """Wait until another client has each message in `wanted`. Return how often each arrived."""
    found: Counter[str] = Counter()
    while wanted - found.keys():
        found[witness.messages.get(timeout=DEADLINE)[1]] += 1
    return found


@BOTH_BROKERS
def test_a_swap_delivers_what_the_broker_had_queued_for_the_former_client(launched: Launched) -> None:
    go, slow = threading.Event(), threading.Event()

    def receive(text: str) -> None:
        go.wait(DEADLINE)
        slow.wait(0.002)
        launched.received.update([text])

    launched.receive = receive
    sent = {str(number) for number in range(900)}
    with Witness(launched.broker.broker(), WITNESS) as other:
        for text in sent:
            other.say(f"test/in/{text}", text)
    launched.client._unsubscribed.update(range(2**16))  # packet ids repeat: a tool has used each before
    former = launched.swap()
    assert not launched.received
    go.set()
    until("every message", lambda: not sent - launched.received.keys())
    until("the former client's end", lambda: not former.is_connected())
    until("one report", lambda: launched.reports() == {"server-b": "of-server-b"})


@ONLY_MOSQUITTO
def test_a_swap_publishes_again_what_a_broker_that_died_had_not_acknowledged(launched: Launched) -> None:
    broker = launched.broker
    assert isinstance(broker, Mosquitto)
    launched.client.reconnect_delay_set(600, 600)  # only the swap can publish them
    broker.freeze()
    sent = published(launched, 40) | published(launched, 5, qos=2)
    assert len(sent) == 45
    broker.stop(kill=True)
    assert broker.start()
    until("the loss", lambda: not launched.state.connected)
    with Witness(broker.broker(), WITNESS) as witness:
        launched.swap()
        assert set(arrived(witness, sent).values()) == {1}
    until("acknowledged", lambda: not launched.client.unacknowledged())


@ONLY_MOSQUITTO
def test_a_former_client_passes_every_call_on_to_the_one_in_use(launched: Launched, witness: Witness) -> None:
    former = launched.swap()
    until("the former client's end", lambda: not former.is_connected())
    heard = threading.Event()
    former.message_callback_add("test/once", lambda *_: heard.set())
    former.subscribe("test/once", 1)
    former.unsubscribe("test/in/#")
    until("its subscription", lambda: "test/once" in launched.client.granted())
    assert "test/in/#" not in launched.client.subscriptions
    assert former.publish("test/once", "late").rc == 0
    assert heard.wait(DEADLINE)
    arrived(witness, {"late"})


@ONLY_MOSQUITTO
def test_swaps_need_not_wait_for_clients_that_still_drain(launched: Launched, witness: Witness) -> None:
    go = threading.Event()
    launched.receive = lambda _: go.wait(DEADLINE)
    witness.say("test/in/1", "blocks its network thread")
    until("the block", launched.connection._receiving.locked)
    formers = [launched.swap(), launched.swap(launched.version("server-a"))]
    sent = published(launched, 30)
    assert formers[0].is_connected()
    go.set()
    arrived(witness, sent)
    until("the end of both", lambda: not any(former.is_connected() for former in formers))


@ONLY_MOSQUITTO
def test_a_former_client_that_never_drains_leaves_and_its_messages_go_out(
    launched: Launched, witness: Witness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launcher_client, "DRAIN_SECONDS", 0.1)
    go = threading.Event()
    launched.receive = lambda _: go.wait(DEADLINE)
    witness.say("test/in/1", "blocks its network thread")
    until("the block", launched.connection._receiving.locked)
    sent = published(launched, 30) | published(launched, 5, qos=0)
    launched.swap()
    arrived(witness, sent)
    go.set()
    until("the warning", lambda: "Queued messages are lost" in caplog.text)


@pytest.mark.parametrize("stuck", ["drains", "is in use"])
@ONLY_MOSQUITTO
def test_close_leaves_no_report_and_does_not_wait_for_a_queue(launched: Launched, stuck: str) -> None:
    go = threading.Event()
    launched.receive = lambda _: go.wait(DEADLINE)
    with Witness(launched.broker.broker(), WITNESS) as witness:
        witness.say("test/in/1", "blocks its network thread")
    if stuck == "drains":
        launched.swap()
    launched.connection.close()
    go.set()
    until("no report", lambda: launched.reports() == {})


@BOTH_BROKERS
def test_disconnect_by_a_tool_takes_the_report_back(launched: Launched, monkeypatch: pytest.MonkeyPatch) -> None:
    until("its report", lambda: launched.reports() == {"server-a": "of-server-a"})
    wait, client = mqtt.MQTTMessageInfo.wait_for_publish, launched.client

    def follower_renews_it(info: mqtt.MQTTMessageInfo, seconds: float | None = None) -> None:
        wait(info, seconds)
        client.publish_report()

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(mqtt.MQTTMessageInfo, "wait_for_publish", follower_renews_it)
        launched.server.mqtt_client.disconnect()
    launched.server.mqtt_client.loop_stop()
    until("no report", lambda: launched.reports() == {})
    launched.connection.setup(launched.server.args)
    until("its report", lambda: launched.reports() == {"server-a": "of-server-a"})
    launched.connection.close()
    until("no report", lambda: launched.reports() == {})


@pytest.mark.parametrize("renewed", [pytest.param(True, marks=pytest.mark.slow), False])
@ONLY_MOSQUITTO
def test_report_expires_unless_its_client_renews_it(
    renewed: bool, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_client, "REPORT_EXPIRY", expiry := 6 if renewed else 2)
    monkeypatch.setattr(launcher_client, "REPORT_REFRESH", 0.5 if renewed else 600)
    launched.client.publish_report()
    if renewed:
        time.sleep(2 * expiry)  # an expired report would never come back
    until("its state", lambda: launched.reports() == ({"server-a": "of-server-a"} if renewed else {}))


@ONLY_MOSQUITTO
def test_a_version_whose_user_may_subscribe_to_less_is_refused(launched: Launched) -> None:
    former = launched.client
    with pytest.raises(RefusedError, match="server-b"):
        launched.swap(launched.narrow("test/in/#"))
    assert launched.client is former and former.is_connected()


@ONLY_MOSQUITTO
def test_refused_publishes_are_counted_and_each_topic_is_warned_of_once(
    launched: Launched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    launched.swap(launched.narrow("test/in/#", "$SYS/#"))
    for qos in (1, 2, 1):
        published(launched, 3, qos)
    until("all refused", lambda: not launched.client.unacknowledged())
    assert launched.state.counts["refused_publishes"] == 9
    assert caplog.text.count("The broker refused a message") == 6


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    """Use every descriptor below 1,100."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        while stack.enter_context(socket.socket()).fileno() < 1100:
            pass
        yield


@ONLY_MOSQUITTO
def test_a_swap_works_with_descriptors_that_select_cannot_take(launched: Launched, witness: Witness) -> None:
    settings = launched.version("server-b")
    with many_descriptors():
        former = launched.swap(settings)
        sock = launched.client.socket()
        assert sock and sock.fileno() > 1023
    arrived(witness, published(launched, 30))
    until("the former client's end", lambda: not former.is_connected())


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
@ONLY_MOSQUITTO
def test_a_try_on_a_mute_broker_is_given_up_when_it_is_obsolete(tls: bool, launched: Launched) -> None:
    obsolete = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        trusting = Tls(ca_file=None, certificate=None, key=None)
        settings = replace(launched.settings, port=mute.getsockname()[1], tls=trusting if tls else None)
        attempt = Swap(launched.connection, settings, obsolete.is_set)
        mute.settimeout(DEADLINE)
        accepted: list[object] = []

        def accept() -> None:
            accepted.append(mute.accept())
            obsolete.set()

        threading.Thread(target=accept, daemon=True).start()
        with pytest.raises(StoppedError):
            attempt.run()
    former = launched.swap()
    until("the former client's end", lambda: not former.is_connected())
