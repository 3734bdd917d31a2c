"""A stand-in for the upstream server, for machines without its source.

It has the module-level names that the launcher replaces, the same side effects at import (a log file in the working
directory, `load_dotenv`), and tools with upstream's names. The same tests, run with the upstream server, prove that it
still has these names.
"""

import argparse
import json
import logging
import os
import sys
import time
from datetime import datetime
from typing import Any

import paho.mqtt.client as mqtt
from dotenv import load_dotenv
from mcp.server.fastmcp import FastMCP
from paho.mqtt.enums import CallbackAPIVersion

load_dotenv()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="small server")
    parser.add_argument("--mqtt-host", default=os.environ.get("MQTT_BROKER", "localhost"))
    parser.add_argument("--mqtt-port", type=int, default=int(os.environ.get("MQTT_PORT", "1883")))
    parser.add_argument("--mqtt-user", default=os.environ.get("MQTT_USER"))
    parser.add_argument("--mqtt-password", default=os.environ.get("MQTT_PASSWORD"))
    parser.add_argument("--mqtt-client-id", default=os.environ.get("MQTT_CLIENT_ID", "small-server"))
    parser.add_argument("--mqtt-use-tls", action="store_true", default=os.environ.get("MQTT_USE_TLS") == "true")
    parser.add_argument("--mqtt-ca-cert", default=os.environ.get("MQTT_CA_CERT"))
    parser.add_argument("--mqtt-client-cert", default=os.environ.get("MQTT_CLIENT_CERT"))
    parser.add_argument("--mqtt-client-key", default=os.environ.get("MQTT_CLIENT_KEY"))
    parser.add_argument("--do-agent-api-key", default=os.environ.get("DO_AGENT_API_KEY"))
    parser.add_argument("--log-level", default=os.environ.get("LOG_LEVEL", "INFO"))
    return parser.parse_args()


args = parse_args()
logger = logging.getLogger("SmallServer")
logger.setLevel(args.log_level)
logger.addHandler(logging.FileHandler("small_server.log"))
logger.addHandler(logging.StreamHandler(sys.stderr))
logger.propagate = False
requests: Any = None  # unused here; upstream calls the agent by it
mcp = FastMCP("Small server", dependencies=["paho-mqtt"])
mqtt_client: mqtt.Client | None = None
connection_status: dict[str, Any] = {
    "connected": False,
    "last_connection_attempt": None,
    "reconnect_count": 0,
    "last_error": None,
}
mqtt_subscriptions: dict[str, dict[str, Any]] = {}
mqtt_message_buffer: dict[str, list[str]] = {}


def on_connect(*_: Any) -> None:
    raise TypeError("unhashable type: 'ReasonCode'")  # like upstream's does on a refused connect


def on_disconnect(*_: Any) -> None:
    connection_status["connected"] = False


def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
    mqtt_message_buffer.setdefault(message.topic, []).append(message.payload.decode())


def register_dynamic_action_tool(_name: str, _description: str) -> None:
    """Do nothing. Upstream executes source code that contains the name."""


def setup_mqtt(args: argparse.Namespace) -> bool:
    raise RuntimeError("the launcher did not replace setup_mqtt")


def _client() -> mqtt.Client:
    if mqtt_client is None or not connection_status["connected"]:
        raise ConnectionError("MQTT client not connected. Use mqtt_connect first.")
    return mqtt_client


@mcp.tool()
async def environment() -> str:
    return "\n".join(f"{name}={text}" for name, text in os.environ.items())


@mcp.tool()
async def get_connection_status() -> str:
    return str(connection_status)


@mcp.tool()
async def mqtt_publish(topic: str, message: Any, qos: int = 0) -> str:
    payload = message if isinstance(message, str) else json.dumps(message)  # mcp parses what looks like JSON
    return f"Published: {_client().publish(topic, payload, qos=qos).rc.name}"


@mcp.tool()
async def mqtt_subscribe(topic: str, qos: int = 0) -> str:
    _client().subscribe(topic, qos)
    mqtt_subscriptions[topic] = {"qos": qos, "subscribed_at": datetime.now().isoformat()}
    return f"Successfully subscribed to topic '{topic}' with QoS {qos}"


@mcp.tool()
async def mqtt_read_messages(topic: str) -> str:
    return "\n".join(mqtt_message_buffer.get(topic, []))


@mcp.tool()
async def mqtt_read_topic_once(topic: str, timeout: float = 5.0) -> str:
    logger.info("Subscribing to topic '%s' for one message", topic)
    time.sleep(timeout)  # upstream blocks its event loop, too
    return f"Timeout: No message received on '{topic}'"


@mcp.tool()
async def reconnect_mqtt() -> str:
    now = parse_args()
    if mqtt_client is None:
        return "ERROR: MQTT client not initialized"
    if connection_status["connected"]:
        mqtt_client.disconnect()
    mqtt_client.connect(now.mqtt_host, now.mqtt_port, 60)
    time.sleep(1)
    return "Successfully reconnected" if connection_status["connected"] else "not confirmed"


@mcp.tool()
async def mqtt_connect(broker: str, port: int = 1883, username: str | None = None, password: str | None = None) -> str:
    global mqtt_client  # noqa: PLW0603 - as upstream does
    mqtt_client = mqtt.Client(
        client_id="by-tool", protocol=mqtt.MQTTv5, callback_api_version=CallbackAPIVersion.VERSION2
    )
    mqtt_client.username_pw_set(username, password)
    mqtt_client.on_connect = on_connect
    mqtt_client.on_message = on_message
    mqtt_client.on_disconnect = on_disconnect
    mqtt_client.connect(broker, port, 60)
    mqtt_client.loop_start()
    for _ in range(6):
        if connection_status["connected"]:
            return "Successfully connected"
        time.sleep(0.5)
    return "status unclear"
