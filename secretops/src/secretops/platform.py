"""The interface of a platform, with defaults. `registry.py` lists the platforms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from secretops import registry
from secretops.access import this_actor
from secretops.errors import UsageError

if TYPE_CHECKING:
    from typer import Typer

    from secretops.check import Check, Repair
    from secretops.engine import ports
    from secretops.engine.journal import Journal
    from secretops.engine.ports import VersionStore
    from secretops.engine.state import Versions
    from secretops.launcher.sources import Source
    from secretops.manifest import Issuer, Manifest, Secret, StoreLocation
    from secretops.trails import Trail
    from secretops.values import Value

    Location = TypeVar("Location", bound=StoreLocation)
else:
    Location = TypeVar("Location")


# Name under which drift of a store's public settings is reported.
PUBLIC_LINES = "public lines"


class OpenedStack(Protocol):
    """An open stack. Implemented by `operations.session.Session`."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def store(self) -> VersionStore: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def clock(self) -> Callable[[], datetime]: ...
    def secret(self, name: str) -> Secret: ...

    def first_value_command(self, secret: Secret) -> str: ...

    def lease(self, command: str) -> AbstractContextManager[None]: ...


class RemoteCommand(Protocol):
    """Runs a secretops command on a machine that can read the values."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        supplied: Value | None = None,
        files: Mapping[str, bytes] | None = None,
        out: IO[bytes] | None = None,
        err: IO[bytes] | None = None,
    ) -> int:
        """Run `command`, and return its exit code. `supplied` is its standard input; `files` maps paths to contents.

        The output goes to `out` and `err`. Raises StoreError, UnreachableError, UsageError.
        """


class Salvage(Protocol):
    """Repairs a store with broken files."""

    def unblock(self) -> list[str]: ...
    def set_aside(self, secret: str, *, edits: bool) -> list[str]: ...
    def was_published(self, secret: str) -> bool: ...
    def delivered_users(self, secret: str) -> set[str]: ...
    def rebuilt(self, secret: str) -> Versions: ...


@dataclass(frozen=True, kw_only=True)
class IssuedCertificate:
    """A client certificate that the platform's own issuer renews, such as cert-manager. The store does not have it."""

    version: str
    value: Value
    # Where the certificate was read.
    source: str
    # Command that shows why it was not renewed.
    remedy: str


@dataclass(frozen=True, kw_only=True)
class StoreChecks:
    # Connects to the store, or raises SecretopsError. Every check of a secret calls it first.
    reach: Callable[[], object]
    checks: Sequence[Check]


class Platform(ABC, Generic[Location]):
    """What secretops needs from a platform.

    Methods connect only when their result is used, unless their docstring says "Connects". They raise UsageError if the
    platform's Python package is not installed.
    """

    # The manifest's model of the store's location.
    location: type[Location]
    # The manifest's model of the certificate issuer, if the registry lists one.
    issuer: type[Issuer]
    # How long a new value takes to reach a server, as a phrase.
    delivery_delay: str
    # Whether launchers poll the store, so that a hint over MQTT makes them faster.
    is_polled = False
    # Whether the store lists the values of secrets that were removed from the stack.
    lists_orphans = True
    # Where the access log is, as a phrase, if secretops cannot query it and it is not a file of the store.
    trail_source = ""
    # Why the access log cannot be searched for a value, as a phrase.
    no_value_trail = ""

    def of(self, manifest: Manifest) -> Location:
        if not isinstance(manifest.store, self.location):
            raise TypeError(manifest.store.kind)
        return manifest.store

    @abstractmethod
    def open_store(self, location: Location, *, role: str) -> tuple[VersionStore, Journal]:
        """Return the store and its journal, for a process in `role` ("operator", "rotator")."""

    def actor(self, role: str) -> str:
        """Return the name of this process in journals and access records."""
        return this_actor(role)

    @abstractmethod
    def open_trail(self, manifest: Manifest) -> Trail:
        """Return the reader of the store's access log."""

    def query_trail(self, location: Location) -> Callable[[datetime | None], Iterator[bytes]] | None:
        """Return a function that reads the access log since a time and yields its lines, or None if the log is in
        files."""
        return None

    def open_value_trail(self, stack: OpenedStack, secret: str, version: str) -> Trail:
        """Return a trail of the readers of a version's value; "" is the current version. Reads the value.

        Raises UsageError if the access log contains no hashes of values. Also raises WaitingError and StoreError.
        """
        raise UsageError(
            f"--value-of {secret} is not supported by store {stack.manifest.store.kind}",
            rule="--value-of requires store vault, whose audit devices record a hash of each value; "
            f"{self.no_value_trail}",
            remedy=f"secretops audit --secret {secret}",
            code="value-trail-unsupported",
        )

    @abstractmethod
    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        """Return doctor's checks of the store, each after those that it depends on. The repair `tick` runs a tick."""

    def confirm(self, location: Location, confirmations: Sequence[str]) -> None:
        """Record facts that no check can read and an operator confirms, as `check=words`. Connects.

        Raises UsageError, StoreError, UnreachableError.
        """
        raise UsageError(
            f"--confirm is not supported by store {location.kind}",
            rule="--confirm records what a person verified in place of doctor; with this store, doctor needs no "
            "confirmation",
            remedy="omit --confirm: secretops doctor",
            code="confirm-unsupported",
        )

    def check_owner(self, location: Location, store: VersionStore) -> None:
        """Raise UsageError if this machine's credentials open another store with the same names. Calls the store."""

    def salvage(self, location: Location, store: VersionStore) -> Salvage | None:
        """Return an object that repairs the store's files, or None if the store has no files."""
        return None

    def issued_certificate(self, location: Location) -> IssuedCertificate | None:
        """Return the certificate that the platform's issuer renews, or None. Connects.

        Raises WaitingError before it is issued, StoreError, UnreachableError.
        """
        return None

    def public_drift(self, location: Location) -> list[str]:
        """Return a text for each public setting in the store that differs from the manifest, with the remedy."""
        return []

    def unblock(self, stack: OpenedStack, secret: Secret) -> list[str]:
        """Remove what prevents the platform's scheduler from rotating `secret`, and return what was done. Connects.

        Each tick calls it while it holds the lease. Raises StoreError, UnreachableError.
        """
        return []

    def remove_leftovers(self, location: Location) -> None:
        """Remove values that the store does not list. Called at the end of a purge. Calls the store."""

    def remote_command(self, manifest: Manifest) -> RemoteCommand | None:
        """Return a RemoteCommand, or None if this process can read values."""
        return None

    def is_remote(self) -> bool:
        return False

    def open_issuer(self, manifest: Manifest, issuer: Any) -> ports.Issuer:
        raise NotImplementedError

    def commands(self) -> Typer:
        """Return the platform's own commands. Called only if the registry lists them."""
        raise NotImplementedError

    def open_source(self, place: str) -> Source:
        """Return the launcher's source for `--from <scheme>:<place>`. Called only if the registry lists a source."""
        raise NotImplementedError


def platform_of(location: StoreLocation) -> Platform[StoreLocation]:
    return cast("Platform[StoreLocation]", registry.find(location.kind))
