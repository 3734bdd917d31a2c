"""What a platform is to the rest of secretops. `registry.py` lists them all.

The defaults are those of a platform that needs nothing special.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from secretops import registry
from secretops.errors import UsageError

if TYPE_CHECKING:
    from typer import Typer

    from secretops.check import Check, Repair
    from secretops.engine import ports
    from secretops.engine.journal import Journal
    from secretops.engine.ports import VersionStore
    from secretops.engine.state import Versions
    from secretops.launcher.source import Source
    from secretops.manifest import Issuer, Manifest, Secret, StoreLocation
    from secretops.trails import Trail
    from secretops.values import Value

    Location = TypeVar("Location", bound=StoreLocation)
else:
    Location = TypeVar("Location")


# The row of drift of a store's public settings.
PUBLIC_LINES = "public lines"


class OpenedStack(Protocol):
    """One stack as a command has it open. `operations.session.Session` is one."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def store(self) -> VersionStore: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def clock(self) -> Callable[[], datetime]: ...
    def secret(self, name: str) -> Secret:
        """Return the secret called `name`. Raises UsageError."""

    def first_value(self, secret: Secret) -> str:
        """Return the command that supplies the first value of `secret`."""

    def lease(self, command: str) -> AbstractContextManager[None]:
        """Acquire the store's lease as `command` of this process."""


class RemoteCommand(Protocol):
    """Runs a secretops command where the store's values can be read."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        given: Value | None = None,
        also: Mapping[str, bytes] | None = None,
        out: IO[bytes] | None = None,
        err: IO[bytes] | None = None,
    ) -> int:
        """Return its exit code. `given` is its standard input; `also` are files by their paths there; what it prints
        goes to `out` and `err`, by default this process's own. Raises StoreError, UnreachableError, UsageError."""


class Salvage(Protocol):
    """Repairs a store whose files are broken."""

    def unblock(self) -> list[str]: ...
    def set_aside(self, secret: str, *, edits: bool) -> list[str]: ...
    def was_published(self, secret: str) -> bool: ...
    def delivered_users(self, secret: str) -> set[str]: ...
    def rebuilt(self, secret: str) -> Versions: ...


@dataclass(frozen=True, kw_only=True)
class IssuedCertificate:
    """A client certificate that the platform's own issuer renews, in no version of the store."""

    version: str
    value: Value
    # Where it was read.
    source: str
    # The command that shows why it is not renewed.
    remedy: str


@dataclass(frozen=True, kw_only=True)
class StoreChecks:
    """What doctor checks of one platform."""

    reach: Callable[[], object]
    """Raises SecretopsError if the store cannot be reached. Every check of a secret calls it first."""
    checks: Sequence[Check]


class Platform(ABC, Generic[Location]):
    """One platform. No method connects to anything before its result is used, unless it says so. Each raises UsageError
    if the platform's client is not installed."""

    location: type[Location]
    """The manifest's model of where such a store is."""
    issuer: type[Issuer]
    """The manifest's model of the platform's issuer of certificates, if the registry lists one."""
    delivery_delay: str
    """How long a new value takes to reach a server, in words."""
    is_polled = False
    """Whether launchers poll the store, so that a hint over MQTT saves them the wait."""
    lists_orphans = True
    """Whether the store finds the values of secrets that left the stack."""

    def of(self, manifest: Manifest) -> Location:
        """Return where the stack's store is."""
        if not isinstance(manifest.store, self.location):
            raise TypeError(manifest.store.kind)
        return manifest.store

    @abstractmethod
    def open_store(self, location: Location, *, role: str) -> tuple[VersionStore, Journal]:
        """Return the store and the journal kept in it, for a process in `role` ("operator", "rotator")."""

    @abstractmethod
    def open_trail(self, manifest: Manifest) -> Trail:
        """Return the reader of the store's access log."""

    trail_source = ""
    """Where the store's access log is, in words, if it can neither be queried nor is a file of the store."""

    def query_trail(self, location: Location) -> Callable[[datetime | None], Iterator[bytes]] | None:
        """Return what queries the access log since a time, as lines that the trail reads; None if it is in files."""
        return None

    no_value_trail = ""
    """Why nobody can be found by a value in the access log, in words."""

    def open_value_trail(self, stack: OpenedStack, secret: str, version: str) -> Trail:
        """Return a trail of who received the value of `version` of `secret`; "" is the current version.

        Reads the value. Raises UsageError where a log has no trace of values, WaitingError, StoreError.
        """
        raise UsageError(
            f"--given {secret}: not with store {stack.manifest.store.kind}",
            rule=f"Vault's audit devices alone have a keyed hash of each text; {self.no_value_trail}",
            remedy=f"secretops audit --secret {secret}",
        )

    @abstractmethod
    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        """Return what doctor checks of the store itself, in the order in which one check relies on another."""

    def confirm(self, location: Location, said: Sequence[str]) -> None:
        """Record what an operator confirms of facts that no check can read: `check=words`. Connects.

        Raises UsageError, StoreError, UnreachableError.
        """
        raise UsageError(
            "--confirm: nothing to confirm",
            rule=f"everything about store {location.kind} can be looked at",
            remedy="secretops doctor, without --confirm",
        )

    def check_owner(self, location: Location, store: VersionStore) -> None:
        """Raise UsageError if the credentials lead to a store of the same names that is not the stack's. Connects."""

    def salvage(self, location: Location, store: VersionStore) -> Salvage | None:
        """Return what repairs the store's files; None for a store without files."""
        return None

    def issued_certificate(self, location: Location) -> IssuedCertificate | None:
        """Return the certificate that an issuer of the platform renews; None if the stack has none there. Connects.

        Raises WaitingError before it is issued, StoreError, UnreachableError.
        """
        return None

    def public_drift(self, location: Location) -> list[str]:
        """Return each public setting in the store that differs from the manifest's, with the remedy."""
        return []

    def unblock(self, stack: OpenedStack, secret: Secret) -> list[str]:
        """Undo what keeps the platform's own scheduler from rotating `secret`; return what was done. Connects.

        Called by each tick, under the lease. Raises StoreError, UnreachableError.
        """
        return []

    def remove_leftovers(self, location: Location) -> None:
        """Remove values that the store itself does not list, at the end of a purge. Connects."""

    def remote_command(self, manifest: Manifest) -> RemoteCommand | None:
        """Return what runs a command where values can be read; None if that is this process."""
        return None

    def is_remote(self) -> bool:
        """Return whether this process was started by a remote command."""
        return False

    def open_issuer(self, manifest: Manifest, issuer: Any) -> ports.Issuer:
        """Return the client of the platform's issuer."""
        raise NotImplementedError

    def commands(self) -> Typer:
        """Return the platform's group of commands, if the registry lists one."""
        raise NotImplementedError

    def open_source(self, place: str) -> Source:
        """Return the launcher's source at `place`, if the registry lists one."""
        raise NotImplementedError


def platform_of(location: StoreLocation) -> Platform[StoreLocation]:
    """Return the platform of a store."""
    return cast("Platform[StoreLocation]", registry.find(location.kind))
