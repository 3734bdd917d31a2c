"""The launcher's MQTT clients and their connection without a broker. paho's network thread never runs."""

import argparse
import logging
import threading
from types import SimpleNamespace
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import MessageState
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from secretops.launcher.client import BrokerClient
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.settings import read_settings
from secretops.launcher.state import LauncherState
from secretops.launcher.upstream import set_connection
from secretops.targets.reports import HINT_FILTER, REPORTS

SUCCESS = mqtt.MQTT_ERR_SUCCESS
SETTINGS = read_settings({"MQTT_BROKER": "localhost", "MQTT_USER": "it", "MQTT_PASSWORD": "of-no-broker"}, "the test")


@pytest.fixture
def connection() -> Any:
    server: Any = SimpleNamespace(args=argparse.Namespace(), connection_status={}, mqtt_subscriptions={}, received=[])
    server.on_message = lambda _client, _userdata, message: server.received.append(message.payload)
    server.register_dynamic_action_tool = lambda name, _description: server.received.append(name)
    made = BrokerConnection(server, SETTINGS, LauncherState())
    made.patch_server()
    return made


@pytest.mark.parametrize("gone", [False, True], ids=["successor in use", "successor gone"])
def test_client_without_a_connection_passes_on_what_no_broker_owns(
    gone: bool, connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    former, successor = connection.make("former"), connection.make("successor")
    former.set_report("report", "of the former")
    former.publish_report()
    for topic, qos in (("accepted", 2), ("sent", 2), ("queued", 1)):
        former.publish(topic, "it", qos)
    states = (MessageState.MQTT_MS_WAIT_FOR_PUBCOMP, MessageState.MQTT_MS_WAIT_FOR_PUBREC)
    for message, state in zip(list(former._out_messages.values())[1:], states, strict=False):
        message.state = state
    arriving = mqtt.MQTTMessage(1, b"in")
    arriving.payload = b"the broker waits for our PUBCOMP"
    former._in_messages[1] = arriving
    if gone:
        successor.close()
    former.transfer_to(successor, {})
    former.retire(threading.Event())
    assert [message.topic for message in successor._out_messages.values()] == ([] if gone else ["sent", "queued"])
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert [int(text.split()[0]) for text in warnings] == ([2] if gone else [])
    assert connection._server.received == [arriving.payload]


@pytest.mark.parametrize("end", ["replaced before", "replaced meanwhile", "has left meanwhile"])
def test_client_does_not_connect_after_its_end(end: str, connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    former, successor = connection.make("former"), connection.make("successor")
    if end == "replaced before":
        former.transfer_to(successor, {})
        monkeypatch.setattr(former, "loop_stop", lambda: pytest.fail("stops while it retires"))
    else:
        meanwhile = former.close if "left" in end else lambda: former.transfer_to(successor, {})
        monkeypatch.setattr(former, "loop_stop", meanwhile)
    monkeypatch.setattr(former, "loop_start", lambda: pytest.fail("connects"))
    assert former.connect("localhost") == SUCCESS


def test_tool_takes_no_subscription_of_the_launcher_away(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.own_listeners[HINT_FILTER] = lambda *_: None
    connection._server.mqtt_subscriptions = {HINT_FILTER: {"qos": 0}}
    assert connection.topics[HINT_FILTER] == 1
    sent: Any = []
    for name in ("subscribe", "unsubscribe"):
        monkeypatch.setattr(mqtt.Client, name, lambda _self, *args: sent.append(args[:2]) or (SUCCESS, len(sent)))
    client = connection.make("it")
    for topic in (HINT_FILTER, "of/a/tool"):
        client.subscribe(topic, 0)
        assert client.unsubscribe(topic)[0] == SUCCESS
    assert sent == [(HINT_FILTER, 1), ("of/a/tool", 0), ("of/a/tool", None)]


@pytest.mark.parametrize(("reason", "connected"), [("Success", True), ("Not authorized", False)])
def test_open_counts_an_answer_that_comes_just_after_its_wait(
    reason: str, connected: bool, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_too_short(client: BrokerClient, _seconds: float) -> bool:
        client._handle_answer(None, None, None, ReasonCode(PacketTypes.CONNACK, reason), None)
        return False

    set_connection(SETTINGS, connection._server.args)
    monkeypatch.setattr(BrokerClient, "connect", lambda *_: SUCCESS)
    monkeypatch.setattr(BrokerClient, "has_answer", wait_too_short)
    assert connection.open(connection._server.args) is connected
    assert connection._state.counts["failed_connects"] == (not connected)


def test_refusal_of_a_former_client_does_not_disconnect_its_successor(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, successor = connection.make("former"), connection.make("successor")
    connection._use(former, of_settings=True)
    monkeypatch.setattr(successor, "is_connected", lambda: True)
    swap: Any = threading.Thread(target=connection.adopt, args=(successor, former, SETTINGS, {}))
    # The swap begins during the refusal, and waits for its end.
    monkeypatch.setattr(connection._state, "count", lambda _: swap.start() or swap.join(0.2))
    connection.refused(former, ReasonCode(PacketTypes.CONNACK, "Not authorized"))
    swap.join()
    assert connection._state.connected


@pytest.mark.parametrize("action", ["StopPump", "x(): pass\nimport os\n#", "no-name"])
@pytest.mark.parametrize("topic", ["$SYS/Coreflux/Actions/{}/Description", "test/in/{}/Description"])
def test_only_an_action_with_a_plain_name_becomes_a_tool(topic: str, action: str, connection: Any) -> None:
    server = connection._server
    server.on_message = lambda *_: server.register_dynamic_action_tool(action, "does it")
    connection.received(connection.make("it"), mqtt.MQTTMessage(1, topic.format(action).encode()))
    assert server.received == (["StopPump"] if action == "StopPump" and topic.startswith("$SYS") else [])


def test_server_publishes_no_report_by_a_tool(connection: Any) -> None:
    with pytest.raises(ValueError, match=REPORTS):
        connection.make("it").publish(f"{REPORTS}/user-a/server-1", "", retain=True)
