"""What sources share that a store is asked for over a network: how often, what goes on when it does not answer, and
that a value is read only when something has changed.

Only what no server can do without keeps it from starting. Any other secret that is refused is left out, and a value
that was given once goes on, whatever the store says of its secret later.
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
from secretops.launcher.json_document import JsonDocument, places
from secretops.launcher.source import OfDocument
from secretops.manifest import HTTP_TOKEN
from secretops.targets.reports import Hint
from secretops.values import Value

log = logging.getLogger(__name__)

# Seconds between two polls. A rotator's hint is followed by one at once, so this is how late a version is whose hint
# was lost (docs/adr/0003); components/settings/remote_constraints.py has the least grace that follows from it.
EVERY_SECONDS = 300.0

# Seconds between two polls that hints lead to: they cost a store no more than 7 a minute, however many are forged.
HINT_SECONDS = 10.0

# How many polls one hint leads to while its version is not there: a store's reads may be a moment behind its writes.
HINT_POLLS = 3

# Seconds between two polls while the first values are not there yet.
WAITING_SECONDS = 10.0

# After SLOWER * RETRY_SECONDS a store is polled again that throttles or does not answer, or that refuses a secret whose
# value is in use: a replaced user works for the grace alone, which may begin with the store's first answer.
RETRY_SECONDS, SLOWER = 60.0, 2

REFUSED_SECONDS = 600.0
"""Between two questions for a secret that is refused and was never given: it may come, since a role takes minutes to
work and what was disabled is enabled again; but each refusal is on record, and may raise an alarm."""

KNOWN = {
    "mqtt": ("MQTT_USER", "MQTT_PASSWORD"),
    "agent-key": ("DO_AGENT_API_KEY",),
    "client-cert": ("MQTT_CA_CERT", "MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY"),
    HTTP_TOKEN[0]: ("MCP_HTTP_TOKEN",),
}
"""The secrets that the server has a use for, and the variables that each of them brings."""

NEEDED = "mqtt"
"""The one that no server can do without."""

CERTIFICATE = "client-cert"
"""The one without which a server has no CA to know its broker by."""


@dataclass(frozen=True)
class Given:
    """One version of a secret, as its readers find it."""

    version: str
    value: Value


class Polled(OfDocument):
    """`Source` over what readers are given now. While the store can't be asked, what it said last goes on.

    `asked` are the secrets that were asked for by name, all where there is none; `called` says what one is called in
    the store. `every` are the seconds between two polls, give or take a tenth, so that servers started together do not
    poll together.
    """

    def __init__(
        self,
        where: str,
        asked: Collection[str],
        called: Callable[[str], str],
        *,
        every: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self.where, self._asked_for = where, frozenset(asked)
        self._names = {secret: called(secret) for secret in KNOWN if secret in asked or not asked}
        self._every, self._clock = every, clock
        self._retry = min(every, RETRY_SECONDS)
        self._turn = threading.Lock()
        self._next = clock()
        self._polled = -math.inf
        self._store_read_at = 0.0
        self._hint: Hint | None = None
        self._hinted_polls = 0
        self._marks: dict[str, str] = {}
        self._given: dict[str, Given] = {}
        self._document: JsonDocument | None = None
        self._error: SecretopsError | None = None
        self._told: dict[str, str] = {}
        """Secret -> what was said of it, so that it is said once."""
        self._again: dict[str, float] = {}
        """Secret that is refused -> when it is asked for again."""

    def mark(self, name: str) -> str | None:
        """What changes whenever another value is given; None while there is none. Reads no value, raises as a store."""
        raise NotImplementedError

    def give(self, name: str, mark: str) -> Given | None:
        """What readers find. None where it is empty. Raises as a store does."""
        raise NotImplementedError

    def variables(self) -> Mapping[str, str]:
        with self._turn:
            if self._clock() >= self._next or self._follows_hint():
                self._look()
            if self._document is None:
                raise self._error or StoreError(f"{self.where}: not asked yet")
            found = self.variables_of(self._document)
            # that its CA can't be had, now or any more, is no reason to do without TLS
            meant = CERTIFICATE in self._told or CERTIFICATE in self._asked_for
            return {"MQTT_USE_TLS": "true", **found} if meant else found

    def read_at(self) -> float:
        """As of `Source`. A poll in which the store refused a secret that is in use does not count."""
        return self._store_read_at

    def folders(self) -> frozenset[Path]:
        return frozenset()

    def may_bring(self, variable: str) -> bool:
        """Of a secret that is asked for, also while it is refused."""
        return any(variable in KNOWN[secret] for secret in self._names)

    def hint(self, hint: Hint | None = None) -> None:
        """Poll soon, unless the version of `hint` is in use. For the thread of the MQTT client: waits for nothing.

        None: the broker refuses what is in use.
        """
        if hint is None or (hint.secret in self._names and not self._has(hint)):
            self._hint, self._hinted_polls = hint, HINT_POLLS if hint else 1

    def _has(self, hint: Hint) -> bool:
        given = self._given.get(hint.secret)
        return given is not None and given.version == hint.version

    def _follows_hint(self) -> bool:
        if not self._hinted_polls or self._clock() < self._polled + HINT_SECONDS:
            return False
        self._hinted_polls -= 1
        return self._hint is None or not self._has(self._hint)

    def _look(self) -> None:
        self._polled = self._clock()
        pause = self._every
        try:
            document = self._asked()
        except SecretopsError as error:
            pause = SLOWER * self._retry
            if self._error is None or str(self._error) != str(error):
                before = "the values that it gave before go on" if self._document else "it has given no value yet"
                log.warning("%s: %s. %s", self.where, before, error)
            self._error = error
        else:
            self._document, self._error = document, None
            if refused := self._again.keys() & self._given.keys():
                pause = min(pause, SLOWER * self._retry)
            if not document.mqtt.password:
                pause = min(pause, WAITING_SECONDS)
            if not refused:
                self._store_read_at = time.time()
        self._next = self._clock() + pause * random.uniform(0.9, 1.1)  # noqa: S311  # nosec B311

    def _asked(self) -> JsonDocument:
        """What the store says now. A value is not read again while nothing has changed."""
        marks: dict[str, str] = {}
        given: dict[str, Given] = {}
        for secret, name in self._names.items():
            mark, found = self._marks.get(secret), self._given.get(secret)
            if secret not in self._again or self._clock() >= self._again[secret]:
                try:
                    mark, found = self._now(secret, name)
                except SecretopsError as error:
                    self._go_on_without(secret, name, error)
                else:
                    self._again.pop(secret, None)
                    self._told.pop(secret, None)
            if mark and found:
                marks[secret], given[secret] = mark, found
        document = self._document_of(given)
        self._marks, self._given = marks, given
        return document

    def _now(self, secret: str, name: str) -> tuple[str | None, Given | None]:
        """What changes with its value, and that value; it is not read again while that has not changed."""
        mark = self.mark(name)
        if mark is None:
            return None, None
        found = (self._given.get(secret) if self._marks.get(secret) == mark else None) or self.give(name, mark)
        self._document_of({secret: found} if found else {})
        return mark, found

    def _document_of(self, given: Mapping[str, Given]) -> JsonDocument:
        """Raises StoreError where one has other fields than the catalogue, lacks one, or has an empty one."""
        try:
            made = {secret: {**one.value, "version": one.version} for secret, one in given.items()}
            return JsonDocument.model_validate(made)
        except ValidationError as error:
            raise StoreError(
                f"{self.where}: not as it should be: {places(error)}",
                rule="each secret is one JSON object of all the fields that the catalogue names, none of them empty",
                remedy="secretops put, with these fields and no others",
            ) from None

    def _go_on_without(self, secret: str, name: str, error: SecretopsError) -> None:
        """Raise what all have to wait for; else say, once, that this secret alone can't be had now."""
        before = secret in self._given
        if (secret == NEEDED and not before) or isinstance(error, UnreachableError | UsageError):
            raise error
        again = (SLOWER - 0.5) * self._retry if before else REFUSED_SECONDS  # at the next poll, a tenth early or late
        self._again[secret] = self._clock() + again
        if self._told.get(secret) != str(error):
            how = "the value that it gave before goes on" if before else "it is not given to this server, for now"
            log.warning("%s: %s. %s", name, how, error)
            self._told[secret] = str(error)


def read(name: str, version: str, text: str) -> Given | None:
    """The text of a version as a value. None for the empty one that stands where none is yet. Raises StoreError."""
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
    return Given(version, Value(found)) if found else None


OUTPUT = "the stack's output `references` has the whole of it: pulumi stack output references"


def asked_for(given: str, names: str) -> Collection[str]:
    """What `<secret>[+<secret>…]` at the end of `--from given` names. Raises UsageError for a name that is none."""
    asked = [name for name in names.split("+") if name]
    if unknown := [name for name in asked if name not in KNOWN]:
        nearest = difflib.get_close_matches(unknown[0], KNOWN, n=1)
        raise UsageError(
            f"--from {given}: no secret {unknown[0]}",
            rule=f"the server has a use for {', '.join(KNOWN)}",
            remedy=(f"did you mean {nearest[0]}? " if nearest else "") + OUTPUT,
        )
    return asked
