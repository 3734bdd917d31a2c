"""Run a Coreflux broker's user commands, as the skills broker-commands and broker-security of
CorefluxCommunity/coreflux-cursor-plugin describe them."""

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
    """A parsed command. `name` is in camelCase."""

    name: str
    arguments: tuple[str, ...] = field(repr=False)  # may contain a password
    request_id: str | None = None


def parse(text: str) -> Command:
    """Parse `-commandName <args…> [-requestId <id>]`. The name may also have the form `--command-name`, and arguments
    may be quoted. Raises ValueError."""
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
    def __init__(self, users: Users) -> None:
        self._users = users
        # name -> number of arguments, action, and message template
        self._known: Mapping[str, tuple[int, Callable[..., object], str]] = {
            "addUser": (2, users.add, "User '{0}' added successfully!"),
            "removeUser": (1, users.remove, "User '{0}' removed successfully!"),
            "changeUserPassword": (2, users.set_password, "Password of user '{0}' changed successfully!"),
            "changeUserSettings": (3, self._change_settings, "Settings of user '{0}' changed successfully!"),
            "addUserToGroup": (2, users.join, "User '{0}' added to group '{1}' successfully!"),
            "removeUserFromGroup": (2, users.leave, "User '{0}' removed from group '{1}' successfully!"),
            "listUserGroups": (1, lambda name: {"groups": list(users.groups(name))}, "Groups of user '{0}'"),
        }

    def run(self, username: str, text: str) -> str:
        """Run a command of `username`, and return the answer as JSON. The answer contains no argument except a user's
        name."""
        try:
            command = parse(text)
        except ValueError as error:  # contains no input
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
        count, action, message = self._known[command.name]
        if len(command.arguments) != count:
            raise UserError(f"-{command.name} takes {count} arguments, got {len(command.arguments)}")
        data = action(*command.arguments)
        return message.format(*command.arguments), data

    def _change_settings(self, name: str, setting: str, value: str) -> None:
        if setting not in set(Flag):
            raise UserError(f"Unknown setting; known are {', '.join(Flag)}")
        if value.lower() not in ("true", "false"):
            raise UserError(f"{setting} is true or false")
        self._users.set_flag(name, Flag(setting), on=value.lower() == "true")


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
