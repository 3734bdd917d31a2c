"""The embedded broker itself: amqtt with our users, our access rules and the user commands. MQTT 3.1.1, loopback."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import Any

from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.contexts import Action, BrokerConfig, ListenerConfig  # type: ignore[import-untyped]
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]

from secretops.broker.commands import COMMAND_TOPIC, OUTPUT_TOPIC, Commands
from secretops.broker.users import Flag, Scrypt, User, Users

ACTIONS = "$SYS/Coreflux/Actions/"
"""Where a Coreflux broker describes its actions. The MCP server subscribes there at every connect."""

SHUTDOWN_SECONDS = 5.0

PROVEN = "secretops.login"
"""Where a session keeps whose it is, and against which password that was proven. What else amqtt keeps of that in it,
anybody changes who begins a login with its client id."""

log = logging.getLogger(__name__)


def may(user: User | None, action: Action, topic: str) -> bool:
    """Whether `user` may do that with a topic (or, subscribing, with a filter).

    As a fresh Coreflux broker: ordinary topics are everybody's; Command and its Output are for those with CommandCall,
    the rest of $SYS for system administrators. Only the actions' descriptions are open to all, so that the MCP server
    need not be an administrator of a dev stack.
    """
    if user is None:
        return False
    if not topic.startswith("$"):
        return True
    if action is Action.PUBLISH:
        return topic == COMMAND_TOPIC and user.may_command
    if topic == OUTPUT_TOPIC:
        return user.may_command
    return topic.startswith(ACTIONS) or Flag.SYSTEM_CONFIGURATION in user.flags


class EmbeddedBroker(Broker):  # type: ignore[misc]
    """amqtt with four of its private methods replaced, and its table of sessions read: its version is pinned exactly.

    - Its plugins can deny a publish on a $-topic but not take one: it hangs on to the client and stops listening to it.
    - Its topic plugins suspend a broadcast half-way through the table of subscriptions. A client that subscribes in
      that moment ends the broadcast with an error, and an acknowledged message is lost. A decision that doesn't wait
      doesn't suspend.
    - It sends a new client the retained messages of every filter that anybody has subscribed to, and all at once: by
      the ten thousand they keep everybody else waiting, also when their reader has left.
    """

    def __init__(self, users: Users, host: str, port: int) -> None:
        listener = ListenerConfig(bind=f"{host}:{port}")
        super().__init__(BrokerConfig(listeners={"default": listener}, plugins={}))
        self._users = users
        self._commands = Commands(users)
        self._one_command = asyncio.Lock()

    async def _authenticate(self, session: Session, _: ListenerConfig) -> bool:
        """A refused one changes nothing: the session may be one that lives, whose client id somebody else gave."""
        name, password = session.username, session.password
        session.password = None  # a session is printed in debug records
        against = self._password_of(name)
        known = await asyncio.to_thread(self._users.authenticate, name, password)
        if not known or self._password_of(name) is not against:
            log.info("login refused")
            return False
        session.attributes[PROVEN] = name, against
        return True

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        return may(self._users.get(_proven(session)[0]), action, topic)

    async def _handle_message_delivery(
        self, client_session: Session, handler: BrokerProtocolHandler, wait_deliver: asyncio.Future[Any]
    ) -> bool:
        message = wait_deliver.result()
        if message is None or not message.topic or not message.topic.startswith("$"):
            goes_on: bool = await super()._handle_message_delivery(client_session, handler, wait_deliver)
            return goes_on
        name, _ = _proven(client_session)
        if not may(self._users.get(name), Action.PUBLISH, message.topic):
            log.info("%s: a message on a $-topic dropped", name)
            return True
        async with self._one_command:
            text = bytes(message.data).decode(errors="replace")
            answer = await asyncio.to_thread(self._commands.run, name or "", text)
        await self.internal_message_broadcast(OUTPUT_TOPIC, answer.encode())
        for session, session_handler in list(self._sessions.values()):
            user, against = _proven(session)
            if session.transitions.is_connected() and self._password_of(user) is not against:
                log.info("%s: a session ended, whose password is no more", user)
                session.attributes[PROVEN] = user, self._password_of(user)  # told once; what waits for it is kept
                await session_handler.handle_connection_closed()
        return True

    def _password_of(self, name: str | None) -> Scrypt | None:
        user = self._users.get(name)
        return user.password if user else None

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        topic_filter, qos = subscription
        if not any(subscriber is session for subscriber, _ in self._subscriptions.get(topic_filter, [])):
            return
        for topic, retained in list(self._retained_messages.items()):
            handler = self._get_handler(session)
            if handler is None or not session.transitions.is_connected():
                return
            if self._matches(topic, topic_filter):
                least = min(qos, retained.qos or qos)
                sending = handler.mqtt_publish(retained.topic, retained.data, least, retain=True)
                await asyncio.wait([asyncio.ensure_future(sending)])


def _proven(session: Session) -> tuple[str | None, Scrypt | None]:
    """Whose a session is, and against which password that was proven. Nobody's, where no login succeeded."""
    found: tuple[str | None, Scrypt | None] = session.attributes.get(PROVEN, (None, None))
    return found


async def run(users: Users, host: str, port: int, *, listening: asyncio.Event) -> None:
    """Serve until SIGTERM or SIGINT. Sets `listening` once clients are let in. Raises amqtt's BrokerError."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = EmbeddedBroker(users, host, port)
    await broker.start()
    log.info("listening on %s:%d", host, port)
    listening.set()
    await stop.wait()
    with suppress(TimeoutError):
        await asyncio.wait_for(broker.shutdown(), SHUTDOWN_SECONDS)
    loop.set_exception_handler(lambda *_: None)  # Python 3.11 reports every client that is still there as an error
    log.info("stopped")
