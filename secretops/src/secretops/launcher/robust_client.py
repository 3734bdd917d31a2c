"""A paho client without the faults of paho-mqtt 2.1 and 2.2 that matter here. Each workaround names its fault."""

from __future__ import annotations

import select
import socket
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode, _ConnectionState
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

# Seconds, as upstream's.
KEEPALIVE = 60

# Seconds that a broker has for a last message, and to close the connection.
GOODBYE = 1.0

# Reason codes from here on are failures (MQTT 5, 2.4).
FAILURE = 0x80


class RobustClient(mqtt.Client):
    """A client whose `connect` works from any state, in the background, and does not give up."""

    _ending = False

    def connect(self, host: str, port: int = 1883, keepalive: int = KEEPALIVE, *_: Any, **__: Any) -> MQTTErrorCode:
        """Connect in the background.

        Upstream's reconnect tool calls disconnect(), then this. With paho's own, the first ends the network thread
        and the second opens a connection that nobody reads.
        """
        self.loop_stop()
        self._ending = False
        self.connect_async(host, port, keepalive)
        return self.loop_start()

    def reconnect(self) -> MQTTErrorCode:
        """Connect once, on the network thread.

        paho forgets a disconnect() that comes while it connects, and its thread dies of a ValueError.
        """
        try:
            result = super().reconnect()
        except ValueError as error:  # an SSLCertVerificationError is both
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        if self._ending:
            super().disconnect()
        return result

    def disconnect(self, reasoncode: ReasonCode | None = None, properties: Properties | None = None) -> MQTTErrorCode:
        self._ending = True
        return super().disconnect(reasoncode, properties)

    def leave(self) -> None:
        """Disconnect, then end the network thread. Waits up to GOODBYE seconds for each."""
        self.disconnect()
        if thread := self._thread:
            thread.join(GOODBYE)
        self._sock_close()  # a broker that reads nothing would hold the connection until the keepalive is over

    def loop_stop(self) -> MQTTErrorCode:
        """End the network thread. Waits for it, up to paho's connect timeout of 5 s."""
        try:
            return super().loop_stop()
        except AttributeError:  # paho forgets a thread that ends by itself between its check and its join
            return mqtt.MQTT_ERR_SUCCESS

    def _loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        """Handle what the socket is ready for. paho's own waits by select(2), which fails from descriptor 1024 on."""
        sock, waker = self._sock, self._sockpairR
        if sock is None:
            return mqtt.MQTT_ERR_NO_CONN
        poll = select.poll()
        try:
            descriptor, pending = sock.fileno(), sock.pending() if hasattr(sock, "pending") else 0
            if not self.is_connected() and isinstance(sock, socket.socket):
                _acknowledge_at_once(sock)
            poll.register(descriptor, select.POLLIN | (select.POLLOUT if self.want_write() else 0))
            if waker:
                poll.register(waker, select.POLLIN)
            ready = dict(poll.poll(0 if pending else timeout * 1000))
        except (ValueError, OSError):  # another thread has closed it
            if not self._ending:
                self._state = _ConnectionState.MQTT_CS_CONNECTION_LOST
            return mqtt.MQTT_ERR_CONN_LOST
        if pending or ready.get(descriptor, 0) & ~select.POLLOUT:
            result = self.loop_read()
            if result or self._sock is None:
                return result
        if waker and waker.fileno() in ready:
            waker.recv(10_000)  # a byte for each packet that was queued
        if self.want_write():
            result = self.loop_write()
            if result or self._sock is None:
                return result
        return self.loop_misc()

    def _handle_pubrec(self) -> MQTTErrorCode:
        """Handle a refusal. paho takes it for a yes, and waits for a PUBCOMP."""
        packet = self._in_packet["packet"]
        if self.protocol != mqtt.MQTTv5 or len(packet) <= 2 or packet[2] < FAILURE:  # noqa: PLR2004 - number, reason
            return super()._handle_pubrec()
        number, reason = int.from_bytes(packet[:2], "big"), ReasonCode(PacketTypes.PUBREC, identifier=packet[2])
        with self._out_message_mutex:
            if number in self._out_messages:
                properties = Properties(PacketTypes.PUBREC)  # type: ignore[no-untyped-call]
                return self._do_on_publish(number, reason, properties)
        return mqtt.MQTT_ERR_SUCCESS


def _acknowledge_at_once(sock: socket.socket) -> None:
    """Send the acknowledgement that Linux would delay by 40 ms: for it a broker with Nagle's algorithm on (mosquitto's
    default) holds back CONNACK, behind its TLS session tickets."""
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
