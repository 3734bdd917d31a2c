"""The embedded broker's users in a private file, with hashed passwords, and with flags and groups as on a Coreflux
broker."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from secretops.errors import StoreError, UsageError
from secretops.stores import files
from secretops.values import Value, new_password

USERS_FILE = "users.json"

# Administrator of a new Coreflux broker.
FIRST_ADMIN = "root"


class Flag(StrEnum):
    """A right of a broker user, from the skill broker-security of CorefluxCommunity/coreflux-cursor-plugin."""

    SYSTEM_CONFIGURATION = "AllowedSystemConfiguration"
    USER_MANAGEMENT = "AllowedUserManagement"
    LOG_MANAGEMENT = "AllowedLogManagement"


class UserError(Exception):
    """A user command failed. The text contains no argument except the user's name."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scrypt(_Model):
    """A hashed password. n=2**14 costs 16 MiB and about 40 ms per login. That is enough, because generated passwords
    have 238 bits."""

    salt: str
    hash: str
    n: int = 2**14
    r: int = 8
    p: int = 1

    @classmethod
    def of(cls, password: str) -> Self:
        salt = os.urandom(16)
        empty = cls(salt=base64.b64encode(salt).decode(), hash="")
        return empty.model_copy(update={"hash": base64.b64encode(empty._derive(password)).decode()})

    def matches(self, password: str) -> bool:
        return hmac.compare_digest(self._derive(password), base64.b64decode(self.hash))

    def _derive(self, password: str) -> bytes:
        salt = base64.b64decode(self.salt)
        return hashlib.scrypt(password.encode(), salt=salt, n=self.n, r=self.r, p=self.p, maxmem=2**26)


class User(_Model):
    password: Scrypt
    flags: frozenset[Flag] = frozenset()
    groups: tuple[str, ...] = ()

    @property
    def may_command(self) -> bool:
        """Return whether the user may publish to COMMAND_TOPIC and read OUTPUT_TOPIC."""
        return bool(self.flags & {Flag.USER_MANAGEMENT, Flag.SYSTEM_CONFIGURATION})


class _File(_Model):
    users: dict[str, User]


class Users:
    """The broker's users. A change is saved before it is applied and confirmed, so a crash loses no confirmed
    change."""

    def __init__(self, path: Path, users: dict[str, User]) -> None:
        self._path = path
        self._users = users

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read the users file. Raises UsageError if missing, StoreError if invalid."""
        path = home / USERS_FILE
        try:
            return cls(path, _File.model_validate_json(path.read_bytes()).users)
        except FileNotFoundError as error:
            raise UsageError(
                f"{path} does not exist",
                rule="the embedded broker must have a users file: without users it accepts no login",
                remedy="secretops broker start",
                code="users-file-missing",
            ) from error
        except (OSError, ValidationError) as error:
            if isinstance(error, OSError):
                what = f"{path}: {error.strerror}"
                rule = "the broker's account must be able to read its users file"
                remedy = f"correct the owner or the mode of the file: ls -l {path}"
            else:
                what, rule = f"{path}: not a users file", "only the broker may write its users file"
                remedy = (
                    "restore the file from a backup; or move the file away, then: secretops broker start, which "
                    "creates an admin and a new file"
                )
            raise StoreError(what, rule=rule, remedy=remedy, code="users-file-invalid") from error

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def get(self, name: str | None) -> User | None:
        return None if name is None else self._users.get(name)

    def authenticate(self, name: str | None, password: str | None) -> bool:
        user = self.get(name)
        return user is not None and password is not None and user.password.matches(password)

    def add(self, name: str, password: str, *, flags: frozenset[Flag] = frozenset()) -> None:
        if name in self._users:
            raise UserError(f"User '{name}' already exists")
        self._save({**self._users, name: User(password=Scrypt.of(password), flags=flags)})

    def remove(self, name: str) -> None:
        self._existing(name)
        self._save({each: user for each, user in self._users.items() if each != name})

    def set_password(self, name: str, password: str) -> None:
        self._change(name, password=Scrypt.of(password))

    def set_flag(self, name: str, flag: Flag, *, on: bool) -> None:
        flags = self._existing(name).flags
        self._change(name, flags=flags | {flag} if on else flags - {flag})

    def join(self, name: str, group: str) -> None:
        self._change(name, groups=tuple(dict.fromkeys((*self.groups(name), group))))

    def leave(self, name: str, group: str) -> None:
        self._change(name, groups=tuple(each for each in self.groups(name) if each != group))

    def groups(self, name: str) -> tuple[str, ...]:
        return self._existing(name).groups

    def _existing(self, name: str) -> User:
        if (user := self._users.get(name)) is None:
            raise UserError(f"User '{name}' not found")
        return user

    def _change(self, name: str, **changes: object) -> None:
        self._save({**self._users, name: self._existing(name).model_copy(update=changes)})

    def _save(self, users: dict[str, User]) -> None:
        files.write(self._path, _File(users=users).model_dump_json(indent=2).encode(), files.PRIVATE)
        self._users = users


def create_first_admin(
    home: Path, *, username: str = FIRST_ADMIN, save: Callable[[Value], object] | None = None
) -> Value | None:
    """Create the users file with an admin. Return the admin's credential, or None if the file exists.

    `save` receives the credential before the file is written, so that a crash cannot lose it.
    """
    with files.os_errors(home):
        home.mkdir(mode=files.FOLDER, parents=True, exist_ok=True)
    with files.lock(home):
        if (home / USERS_FILE).exists():
            return None
        value = Value({"username": username, "password": new_password()})
        if save is not None:
            save(value)
        admin = frozenset({Flag.SYSTEM_CONFIGURATION, Flag.USER_MANAGEMENT})
        Users(home / USERS_FILE, {}).add(username, value["password"], flags=admin)
        return value
