"""The user commands of a Coreflux broker, as its public pages document them.

From CorefluxCommunity/coreflux-cursor-plugin, skills broker-commands (payload rules, envelope, commands) and
broker-security (which flag each needs). Everything else that a Coreflux broker can do is an unknown command here. The
topics are written out rather than shared with the target, which this broker is there to prove.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from secretops.broker.users import Flag, UserError, Users
from secretops.errors import StoreError

COMMAND_TOPIC = "$SYS/Coreflux/Command"
OUTPUT_TOPIC = "$SYS/Coreflux/Command/Output"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """A command as it came: its camelCase name, its arguments, and the id that its answer has to carry."""

    name: str
    arguments: tuple[str, ...] = field(repr=False)  # one of them may be a password
    request_id: str | None = None


def parse(text: str) -> Command:
    """`-commandName <args…> [-requestId <id>]`, or the same in `--kebab-case`. Raises ValueError.

    Arguments are split at white space outside double quotes, and lose those quotes. Nothing else is special.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape, lexer.quotes = True, "", "", '"'
    tokens = list(lexer)
    if not tokens:
        raise ValueError("empty command")
    request_id = None
    if len(tokens) > 2 and _name(tokens[-2]) == "requestId":  # noqa: PLR2004 - the command, the option, its value
        request_id = tokens.pop()
        tokens.pop()
    return Command(_name(tokens[0]), tuple(tokens[1:]), request_id)


def _name(token: str) -> str:
    if not token.startswith("--"):
        return token.removeprefix("-") if token.startswith("-") else ""
    first, *rest = token.removeprefix("--").split("-")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


class Commands:
    """Carries out commands on the users and says how it went, in the documented envelope."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._known: Mapping[str, tuple[int, Callable[..., tuple[str, object]]]] = {
            "addUser": (2, self._add),
            "removeUser": (1, self._remove),
            "changeUserPassword": (2, self._change_password),
            "changeUserSettings": (3, self._change_settings),
            "addUserToGroup": (2, self._join),
            "removeUserFromGroup": (2, self._leave),
            "listUserGroups": (1, self._groups),
        }

    def run(self, username: str, text: str) -> str:
        """The answer, as JSON, to what `username` sent. No argument is ever logged or answered, but a user's name."""
        try:
            command = parse(text)
        except ValueError as error:  # shlex's texts hold nothing of the input
            return _envelope(Command("", ()), error=str(error))
        try:
            message, data = self._carry_out(username, command)
        except (UserError, StoreError) as error:
            log.info("%s: -%s refused", username, command.name if command.name in self._known else "?")
            return _envelope(command, error=str(error))
        log.info("%s: -%s done", username, command.name)
        return _envelope(command, message=message, data=data)

    def _carry_out(self, username: str, command: Command) -> tuple[str, object]:
        if command.name not in self._known:
            raise UserError(f"Unknown command: -{command.name}")
        user = self._users.get(username)
        needs_flag = command.name != "listUserGroups"
        if user is None or not user.may_command or (needs_flag and Flag.USER_MANAGEMENT not in user.flags):
            raise UserError(f"Permission denied: You are not allowed to execute -{command.name}")
        count, action = self._known[command.name]
        if len(command.arguments) != count:
            raise UserError(f"-{command.name} takes {count} arguments, got {len(command.arguments)}")
        return action(*command.arguments)

    def _add(self, name: str, password: str) -> tuple[str, object]:
        self._users.add(name, password)
        return f"User '{name}' added successfully!", {}

    def _remove(self, name: str) -> tuple[str, object]:
        self._users.remove(name)
        return f"User '{name}' removed successfully!", {}

    def _change_password(self, name: str, password: str) -> tuple[str, object]:
        self._users.set_password(name, password)
        return f"Password of user '{name}' changed successfully!", {}

    def _change_settings(self, name: str, setting: str, value: str) -> tuple[str, object]:
        if setting not in set(Flag):
            raise UserError(f"Unknown setting; known are {', '.join(Flag)}")
        if value.lower() not in ("true", "false"):
            raise UserError(f"{setting} is true or false")
        self._users.set_flag(name, Flag(setting), on=value.lower() == "true")
        return f"Settings of user '{name}' changed successfully!", {}

    def _join(self, name: str, group: str) -> tuple[str, object]:
        self._users.join(name, group)
        return f"User '{name}' added to group '{group}' successfully!", {}

    def _leave(self, name: str, group: str) -> tuple[str, object]:
        self._users.leave(name, group)
        return f"User '{name}' removed from group '{group}' successfully!", {}

    def _groups(self, name: str) -> tuple[str, object]:
        return f"Groups of user '{name}'", {"groups": list(self._users.groups(name))}


def _envelope(command: Command, *, message: str = "", data: object = None, error: str | None = None) -> str:
    envelope = {
        "success": error is None,
        "command": command.name[:1].upper() + command.name[1:],
        "requestId": command.request_id,
        "message": message if error is None else error,
        "data": {} if data is None else data,
        "errors": [] if error is None else [{"message": error}],
    }
    return json.dumps(envelope)
