"""The base of sources that poll a store over a network. A value is read only when its version has changed.

Only a missing `mqtt` keeps a server from starting. Any other secret that the store refuses is left out, and a value
that was read once stays in use.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.launcher.settings import VARIABLES_OF
from secretops.launcher.source import DocumentSource, JsonDocument, invalid_fields
from secretops.targets.reports import Hint
from secretops.values import Value

log = logging.getLogger(__name__)

# Seconds between two polls. A rotator's hint triggers a poll at once, so this is the delay when a hint is lost
# (docs/adr/0003); components/settings/remote_constraints.py has the least grace that follows from it.
POLL_SECONDS = 300.0

# Seconds between two polls that hints trigger: at most 7 polls a minute, however many hints are forged.
HINT_SECONDS = 10.0

# Polls that one hint triggers while its version is not there: a store's reads may lag behind its writes.
HINT_POLLS = 3

# Seconds between two polls while the first values are not there yet.
WAITING_SECONDS = 10.0

# A store that throttles, does not answer, or refuses a secret in use is polled after BACKOFF_FACTOR * RETRY_SECONDS:
# a replaced user works only for the grace, which may begin with the store's first answer.
RETRY_SECONDS, BACKOFF_FACTOR = 60.0, 2

# Seconds between two requests for a refused secret that was never read. It may become readable (a role takes minutes
# to work), but each refusal is recorded and may raise an alarm.
REFUSED_SECONDS = 600.0

# The secret that no server can start without, and the one that has the CA of the broker.
NEEDED, CERTIFICATE = "mqtt", "client-cert"

OUTPUT = "the stack's output `references` has the whole of it: pulumi stack output references"


@dataclass(frozen=True)
class StoredVersion:
    """One version of a secret, as a store returns it to readers."""

    version: str
    value: Value


class PollingSource(DocumentSource):
    """`Source` over a store's current versions. While the store does not answer, the last answer stays in use.

    `requested` are the secrets that --from names, all if empty; `name_of` returns a secret's name in the store.
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
        self._names = {secret: name_of(secret) for secret in VARIABLES_OF if secret in requested or not requested}
        self._every, self._clock = every, clock
        self._retry = min(every, RETRY_SECONDS)
        self._turn = threading.Lock()
        self._next, self._polled = clock(), -math.inf
        self._store_read_at = 0.0
        self._hint: Hint | None = None
        self._hinted_polls = 0
        self._found: dict[str, tuple[str, StoredVersion]] = {}
        """Secret -> its revision, and the version that was read at that revision."""
        self._document: JsonDocument | None = None
        self._error: SecretopsError | None = None
        self._refused: dict[str, tuple[str, float]] = {}
        """Secret that is refused -> the reason, and when it is requested again."""

    def revision(self, name: str) -> str | None:
        """Return a text that changes with the current version; None without one. Reads no value, raises as a store."""
        raise NotImplementedError

    def fetch(self, name: str, revision: str) -> StoredVersion | None:
        """Return the current version, or None if it is empty. Raises as a store does."""
        raise NotImplementedError

    def variables(self) -> Mapping[str, str]:
        with self._turn:
            if self._clock() >= self._next or self._follows_hint():
                self._poll()
            if self._document is None:
                raise self._error or StoreError(f"{self.where}: not asked yet")
            found = self.variables_of(self._document)
            # an unreadable CA never leads to a connection without TLS
            is_meant = CERTIFICATE in self._refused or CERTIFICATE in self._requested
            return {"MQTT_USE_TLS": "true", **found} if is_meant else found

    def read_at(self) -> float:
        """As `Source`. A poll in which the store refused a secret that is in use does not count."""
        return self._store_read_at

    def folders(self) -> frozenset[Path]:
        return frozenset()

    def may_arrive(self, variable: str) -> bool:
        return any(variable in VARIABLES_OF[secret] for secret in self._names)

    def hint(self, hint: Hint | None = None) -> None:
        """Poll soon, unless the version of `hint` is in use. Never blocks the MQTT client's thread that calls it.

        None: the broker refuses the credential in use.
        """
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
                before = "the values that it gave before go on" if self._document else "it has given no value yet"
                log.warning("%s: %s. %s", self.where, before, error)
            self._error = error
        else:
            self._document, self._error = document, None
            if self._refused.keys() & self._found.keys():
                pause = min(pause, BACKOFF_FACTOR * self._retry)
            else:
                self._store_read_at = time.time()
            if not document.mqtt.password:
                pause = min(pause, WAITING_SECONDS)
        self._next = self._clock() + pause * random.uniform(0.9, 1.1)  # noqa: S311  # nosec B311

    def _read_store(self) -> JsonDocument:
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
        """Return the revision and the version, which is read only if the revision has changed."""
        if (revision := self.revision(name)) is None:
            return None
        before = self._found.get(secret)
        version = before[1] if before and before[0] == revision else self.fetch(name, revision)
        if version is None:
            return None
        self._document_of({secret: version})
        return revision, version

    def _document_of(self, versions: Mapping[str, StoredVersion]) -> JsonDocument:
        """Raises StoreError for a secret with fields other than the catalogue's, or with an empty one."""
        try:
            made = {secret: {**each.value, "version": each.version} for secret, each in versions.items()}
            return JsonDocument.model_validate(made)
        except ValidationError as error:
            raise StoreError(
                f"{self.where}: not as it should be: {invalid_fields(error)}",
                rule="each secret is one JSON object of all the fields that the catalogue names, none of them empty",
                remedy="secretops put, with these fields and no others",
            ) from None

    def _skip(self, secret: str, name: str, error: SecretopsError) -> None:
        """Raise an error that concerns the whole store; else warn, once, that this secret cannot be read."""
        in_use = secret in self._found
        if (secret == NEEDED and not in_use) or isinstance(error, UnreachableError | UsageError):
            raise error
        reason, _ = self._refused.get(secret, ("", 0.0))
        again = (
            (BACKOFF_FACTOR - 0.5) * self._retry if in_use else REFUSED_SECONDS
        )  # at the next poll, which varies by a tenth
        self._refused[secret] = str(error), self._clock() + again
        if reason != str(error):
            how = "the value that it gave before goes on" if in_use else "it is not given to this server, for now"
            log.warning("%s: %s. %s", name, how, error)


def parse_version(name: str, version: str, text: str) -> StoredVersion | None:
    """Return a version whose content is `text`. None for an empty text, without a value yet. Raises StoreError."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(field, str) for field in found.values()):
        raise StoreError(
            f"secret {name}: version {version} does not read as a value",
            rule="one JSON object of fields and their texts",
            remedy="secretops status says who is to supply it; secretops put writes it anew",
        )
    return StoredVersion(version, Value(found)) if found else None


def requested_secrets(source: str, names: str) -> Collection[str]:
    """Return the secrets of `<secret>[+<secret>…]` at the end of `--from source`. Raises UsageError."""
    requested = [name for name in names.split("+") if name]
    if unknown := [name for name in requested if name not in VARIABLES_OF]:
        nearest = difflib.get_close_matches(unknown[0], VARIABLES_OF, n=1)
        raise UsageError(
            f"--from {source}: no secret {unknown[0]}",
            rule=f"the server has a use for {', '.join(VARIABLES_OF)}",
            remedy=(f"did you mean {nearest[0]}? " if nearest else "") + OUTPUT,
        )
    return requested
