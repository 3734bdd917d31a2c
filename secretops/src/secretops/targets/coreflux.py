"""Manage users of a Coreflux broker with commands on the topic $SYS/Coreflux/Command.

Source: Coreflux's public pages (CorefluxCommunity/coreflux-cursor-plugin, skills broker-commands and broker-security).
Coreflux has no command that lists or disables users.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from secretops.engine.ports import UserTakenError
from secretops.errors import RefusedError
from secretops.redaction import redact
from secretops.targets.connection import Connection, logs_in
from secretops.targets.users import BrokerUsers
from secretops.values import Value, new_password

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

COMMANDS = "$SYS/Coreflux/Command"
ANSWERS = "$SYS/Coreflux/Command/Output"

ADMIN_FLAG = "AllowedUserManagement"

# Argument that stays unchanged when a broker splits it at spaces and removes quotes.
_PLAIN = re.compile(r"(?!-)[^\s\"'`\\\x00-\x1f\x7f]+")


class CorefluxTarget(BrokerUsers):
    self_change_risk = "Coreflux does not document whether the broker still answers"

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the broker accept `credential`, and add a server's user to the stack's groups.

        Tries to change the user's password. If that fails, adds the user. With `new`, only adds it, and raises
        UserTakenError if it exists.
        """
        username, password = credential["username"], credential["password"]
        self._refuse_self(admin, username)
        _refuse_unquotable(credential)
        known = logs_in(self._broker, credential, deadline=self._deadline)
        groups = () if self._admin else self._broker.groups
        if known and (self._may_command(credential) if self._admin else not groups):
            return
        with self._open(admin) as connection:
            commands = Commands(connection)
            if not known and new:
                if error := commands.send("addUser", username, password).error:
                    raise UserTakenError(error.what, code="broker-user-exists") if commands.finds(username) else error
            elif not known and (error := commands.send("changeUserPassword", username, password).error):
                added = commands.send("addUser", username, password).error
                if added:
                    raise error if commands.finds(username) else added
            if self._admin:
                commands.run("changeUserSettings", username, ADMIN_FLAG, "true")
            if groups:
                member = commands.run("listUserGroups", username).get("groups") or ()
                for group in (one for one in groups if one not in member):
                    commands.run("addUserToGroup", username, group)

    def _verify_admin(self, credential: Value) -> None:
        _refuse_unquotable(credential)
        with self._open(credential) as connection:
            Commands(connection).run("listUserGroups", credential["username"])

    def retire(self, admin: Value, username: str) -> None:
        """Set a random password. A missing user is no error. Coreflux does not document whether the user's sessions
        end."""
        self._refuse_self(admin, username)
        random = Value({"username": username, "password": new_password()})
        _refuse_unquotable(random)
        with self._open(admin) as connection:
            commands = Commands(connection)
            error = commands.send("changeUserPassword", username, random["password"]).error
            # A broker that cannot list its admin reports no user as missing.
            if error and (not commands.finds(admin["username"]) or commands.finds(username)):
                raise error

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:  # noqa: ARG002
        return False

    def _may_command(self, credential: Value) -> bool:
        try:
            self.verify(credential)
        except RefusedError:
            return False
        return True


class Answer(NamedTuple):
    data: Mapping[str, Any]
    error: RefusedError | None


class Commands:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.subscribe(ANSWERS)

    def run(self, command: str, username: str, *arguments: str) -> Mapping[str, Any]:
        """Run a command, and return the answer's data. If it fails, raises RefusedError with the broker's reason."""
        answer = self.send(command, username, *arguments)
        if answer.error:
            raise answer.error
        return answer.data

    def finds(self, username: str) -> bool:
        return self.send("listUserGroups", username).error is None

    def send(self, command: str, username: str, *arguments: str) -> Answer:
        """Run a command. Raises RefusedError if the broker does not answer, or the admin may not run the command."""
        token, admin = secrets.token_hex(8), self._connection.username
        grant = f"as the broker's user root, publish to {COMMANDS}: -changeUserSettings {admin} {ADMIN_FLAG} true"

        def mine(message: MQTTMessage) -> dict[str, Any] | None:
            try:
                envelope = dict(json.loads(message.payload))
            except (ValueError, TypeError, RecursionError):
                return None
            return envelope if envelope.get("requestId") == token else None

        self._connection.publish(COMMANDS, " ".join((f"-{command}", username, *arguments, "-requestId", token)))
        if (envelope := self._connection.receive(mine)) is None:
            raise RefusedError(
                f"{self._connection.address}: no answer on {ANSWERS} to -{command}",
                rule=f"{admin} must have the right CommandCall, which the flag {ADMIN_FLAG} grants; else the broker "
                "drops the command",
                remedy=grant,
                code="broker-command-unanswered",
            )
        reason, data = redact(_reason(envelope)), envelope.get("data")  # the reason may quote the command
        what = f"{self._connection.address}: -{command} failed for {username}: {reason}"
        if reason.startswith("Permission denied"):
            raise RefusedError(
                what,
                rule=f"{admin} must have the flag {ADMIN_FLAG}",
                remedy=grant,
                code="broker-command-denied",
            )
        error = RefusedError(
            what,
            rule="the broker must carry out the command; the next tick tries again",
            remedy="correct the reported cause at the broker, then: secretops tick",
            code="broker-command-failed",
        )
        return Answer(data if isinstance(data, dict) else {}, None if envelope.get("success") is True else error)


def _reason(envelope: dict[str, Any]) -> str:
    errors = envelope.get("errors")
    listed = errors if isinstance(errors, list) else []
    texts = [str(each["message"]) for each in listed if isinstance(each, dict) and "message" in each]
    return "; ".join(texts) or str(envelope.get("message") or "no reason given")


def _refuse_unquotable(credential: Value) -> None:
    for part in ("username", "password"):
        if not _PLAIN.fullmatch(credential[part]):
            username = credential["username"]
            raise RefusedError(
                f"the {part} of user {username!r} is not valid in a Coreflux command",
                rule=f"the {part} must have no space, quote, backslash or leading dash: the broker splits a command at "
                "spaces, and removes quotes",
                remedy=f"supply a {part} of letters and digits with secretops put",
                code="broker-argument-invalid",
            )
