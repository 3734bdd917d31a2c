"""Base of the sources that poll a store over a network, and read a value only after its version has changed.

To start, a server needs only the secret `mqtt`. If the store refuses any other secret, the server runs without it, or
with its last value.
"""

from __future__ import annotations

import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError, did_you_mean
from secretops.launcher.settings import FIELDS
from secretops.launcher.sources import Document, DocumentSource, InvalidDocumentError, check_document
from secretops.targets.reports import Hint
from secretops.values import Value

log = logging.getLogger(__name__)

# Seconds between two polls, and the delay if a rotator's hint, which triggers a poll at once, is lost (docs/adr/0003).
# components/settings/remote_constraints.py derives the minimum grace from it.
POLL_SECONDS = 300.0

# Seconds between two polls that hints trigger: at most 7 polls a minute, even with forged hints.
HINT_SECONDS = 10.0

# Polls that a hint triggers while the store lacks its version: a store's reads may lag behind its writes.
HINT_POLLS = 3

# Seconds between two polls while the first values are missing.
WAITING_SECONDS = 10.0

# The next poll is BACKOFF_FACTOR * RETRY_SECONDS after one in which the store throttles, does not answer, or refuses a
# secret in use. This must be short: the previous version works only until the grace period ends.
RETRY_SECONDS, BACKOFF_FACTOR = 60.0, 2

# Seconds between two requests for a refused secret that was never read. It may become readable (a role takes minutes to
# work), but each refusal is recorded and may raise an alarm.
REFUSED_SECONDS = 600.0

# Secret that no server can start without, and the secret with the CA of the broker.
REQUIRED, CERTIFICATE = "mqtt", "client-cert"

OUTPUT = "copy the source from the stack's output: pulumi stack output references"


@dataclass(frozen=True)
class StoredVersion:
    version: str
    value: Value


class PollingSource(DocumentSource):
    """A source that polls a store.

    `requested` are the secrets of --from; if empty, all are requested. `name_of` returns a secret's name in the store.
    `every` is the poll interval in seconds, varied by a tenth so that servers do not poll together.
    """

    def __init__(
        self,
        where: str,
        requested: Collection[str],
        name_of: Callable[[str], str],
        *,
        every: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self.where, self._requested = where, frozenset(requested)
        self._names = {secret: name_of(secret) for secret in FIELDS if secret in requested or not requested}
        self._every, self._clock = every, clock
        self._retry = min(every, RETRY_SECONDS)
        self._turn = threading.Lock()
        self._next, self._polled = clock(), -math.inf
        self._store_read_at = 0.0
        self._hint: Hint | None = None
        self._hinted_polls = 0
        # Secret -> its revision, and the version that was read at that revision.
        self._found: dict[str, tuple[str, StoredVersion]] = {}
        self._document: Document | None = None
        self._error: SecretopsError | None = None
        # Refused secret -> the error, and the time of the next request.
        self._refused: dict[str, tuple[str, float]] = {}

    def revision(self, name: str) -> str | None:
        """Return a text that changes with the secret's current version, or None without one. Reads no value. Raises the
        store's errors."""
        raise NotImplementedError

    def fetch(self, name: str, revision: str) -> StoredVersion | None:
        """Return the current version, or None if it is empty. Raises the store's errors."""
        raise NotImplementedError

    def variables(self) -> Mapping[str, str]:
        with self._turn:
            if self._clock() >= self._next or self._follows_hint():
                self._poll()
            if self._document is None:
                raise self._error or AssertionError("polled at least once")
            found = self.variables_of(self._document)
            # an unreadable CA must not lead to a connection without TLS
            needs_tls = CERTIFICATE in self._refused or CERTIFICATE in self._requested
            return {"MQTT_USE_TLS": "true", **found} if needs_tls else found

    def read_at(self) -> float:
        """Return when the store last answered without refusing a secret in use, in seconds since 1970."""
        return self._store_read_at

    def folders(self) -> frozenset[Path]:
        return frozenset()

    def may_arrive(self, variable: str) -> bool:
        return any(variable in FIELDS[secret].values() for secret in self._names)

    def hint(self, hint: Hint | None = None) -> None:
        """Poll soon, unless `hint` names the version in use. Pass None if the broker refuses the credential. Never
        blocks."""
        if hint is None or (hint.secret in self._names and not self._has(hint)):
            self._hint, self._hinted_polls = hint, HINT_POLLS if hint else 1

    def _has(self, hint: Hint) -> bool:
        found = self._found.get(hint.secret)
        return found is not None and found[1].version == hint.version

    def _follows_hint(self) -> bool:
        if not self._hinted_polls or self._clock() < self._polled + HINT_SECONDS:
            return False
        self._hinted_polls -= 1
        return self._hint is None or not self._has(self._hint)

    def _poll(self) -> None:
        self._polled = self._clock()
        pause = self._every
        try:
            document = self._read_store()
        except SecretopsError as error:
            pause = BACKOFF_FACTOR * self._retry
            if str(self._error) != str(error):
                in_use = "The last values stay in use" if self._document else "No value was read yet"
                log.warning("%s: poll failed. %s. %s", self.where, in_use, error)
            self._error = error
        else:
            self._document, self._error = document, None
            if self._refused.keys() & self._found.keys():
                pause = min(pause, BACKOFF_FACTOR * self._retry)
            else:
                self._store_read_at = time.time()
            if not document.get(REQUIRED):
                pause = min(pause, WAITING_SECONDS)
        self._next = self._clock() + pause * random.uniform(0.9, 1.1)  # noqa: S311  # nosec B311

    def _read_store(self) -> Document:
        found: dict[str, tuple[str, StoredVersion]] = {}
        for secret, name in self._names.items():
            latest = self._found.get(secret)
            if secret not in self._refused or self._clock() >= self._refused[secret][1]:
                try:
                    latest = self._latest(secret, name)
                    self._refused.pop(secret, None)
                except SecretopsError as error:
                    self._skip(secret, name, error)
            if latest:
                found[secret] = latest
        document = self._document_of({secret: version for secret, (_, version) in found.items()})
        self._found = found
        return document

    def _latest(self, secret: str, name: str) -> tuple[str, StoredVersion] | None:
        if (revision := self.revision(name)) is None:
            return None
        before = self._found.get(secret)
        version = before[1] if before and before[0] == revision else self.fetch(name, revision)
        if version is None:
            return None
        self._document_of({secret: version})
        return revision, version

    def _document_of(self, versions: Mapping[str, StoredVersion]) -> Document:
        document = {secret: {**each.value, "version": each.version} for secret, each in versions.items()}
        try:
            return check_document(document)
        except InvalidDocumentError as error:
            raise StoreError(
                f"{self.where}: {error}",
                rule="a value must be a JSON object with exactly the fields of its secret, none of them empty",
                remedy="for a new version: secretops rotate SECRET --now, or secretops put SECRET",
                code="stored-value-invalid",
            ) from None

    def _skip(self, secret: str, name: str, error: SecretopsError) -> None:
        """Raise `error` if it concerns the whole store, or a required secret without a value; else warn once."""
        in_use = secret in self._found
        if (secret == REQUIRED and not in_use) or isinstance(error, UnreachableError | UsageError):
            raise error
        reason, _ = self._refused.get(secret, ("", 0.0))
        # BACKOFF_FACTOR - 0.5, so that this time has passed at the next poll, whose time varies by a tenth
        again = (BACKOFF_FACTOR - 0.5) * self._retry if in_use else REFUSED_SECONDS
        self._refused[secret] = str(error), self._clock() + again
        if reason != str(error):
            log.warning("%s is refused. %s. %s", name, "The last value stays in use" if in_use else "Skipped", error)


def parse_version(name: str, version: str, text: str) -> StoredVersion | None:
    """Parse a version's JSON. Return None if `text` is empty. Raises StoreError."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(field, str) for field in found.values()):
        raise StoreError(
            f"secret {name}: version {version} is not a valid value",
            rule="a secret value must be a JSON object of text fields",
            remedy="for a new version: secretops rotate SECRET --now, or secretops put SECRET",
            code="stored-version-malformed",
        )
    return StoredVersion(version, Value(found)) if found else None


def requested_secrets(source: str, names: str) -> Collection[str]:
    """Parse the secrets `<secret>[+<secret>…]` at the end of `--from source`. Raises UsageError."""
    requested = [name for name in names.split("+") if name]
    if unknown := [name for name in requested if name not in FIELDS]:
        raise UsageError(
            f"--from {source}: the server uses no secret {unknown[0]}",
            rule=f"a source may only name secrets that the server uses: {', '.join(FIELDS)}",
            remedy=did_you_mean(unknown[0], FIELDS) + OUTPUT,
            code="source-secret-unknown",
        )
    return requested
