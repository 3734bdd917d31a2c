"""Secrets changed by compare-and-swap: read, decide, replace what was read, and if it is another by now, anew."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Secret

from secretops.errors import StoreError
from secretops.platforms.kubernetes.api import PATIENCE_SECONDS, Api

PREFIX = "coreflux-mcp-secrets/"
"""Of our annotations."""

LABELS = {"app.kubernetes.io/managed-by": "secretops", "app.kubernetes.io/part-of": "coreflux-mcp-secrets"}

MOST_BYTES = 1024 * 1024
"""Of all values of one Secret: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size"""

PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds after each conflict but the last. Under the lease nobody else writes but a person, now and then."""


class Sheet:
    """What one Secret holds: texts for people and for us in annotations, values in data. Prints neither."""

    __slots__ = ("data", "notes")

    def __init__(self, secret: Secret | None) -> None:
        meta = secret.metadata if secret else None
        self.notes: dict[str, str] = dict((meta and meta.annotations) or {})
        self.data: dict[str, bytes] = {}
        for key, text in ((secret and secret.data) or {}).items():
            try:
                self.data[key] = base64.b64decode(text or "")
            except binascii.Error:  # the API server lets none in
                raise StoreError(f"Secret {meta and meta.name}: {key} is no base64") from None


class Secrets:
    """The Secrets of one namespace. `guard` is asked before each write, and raises when we may not write any more.

    It is told whether somebody else has just written.
    """

    def __init__(self, api: Api, guard: Callable[[bool], None]) -> None:
        self._api, self._guard = api, guard

    def read(self, name: str) -> Sheet:
        """What Secret `name` holds; nothing where there is none. Raises StoreError, UnreachableError."""
        return Sheet(self._api.get(Secret, name))

    def change(self, name: str, decide: Callable[[Sheet], None], *, patience: float = PATIENCE_SECONDS) -> None:
        """Let `decide` change what Secret `name` holds, in one write, and in none when it changes nothing.

        It is called again with what is there then when somebody else has written in between. A Secret that is missing
        is made. Raises StoreError, UnreachableError, and what `decide` raises.
        """
        conflict = False
        for pause in (*PAUSES, 0.0):
            found = self._api.get(Secret, name, patience=patience)
            before, after = Sheet(found), Sheet(found)
            decide(after)
            if (before.notes, before.data) == (after.notes, after.data):
                return
            check_size(name, after)
            self._guard(conflict)
            if self._api.write(_written(found or _empty(name, self._api.namespace), after), patience=patience):
                return
            conflict = True
            time.sleep(pause)
        where = f"Secret {name} in namespace {self._api.namespace}"
        raise StoreError(
            f"{where}: somebody else changed it {len(PAUSES) + 1} times in a row",
            rule="a change is only written over what it was decided on; nothing was overwritten",
            remedy="find out who writes it (the audit log says), then try again; the next tick goes on from here",
        )

    def make_missing(self, names: set[str]) -> None:
        """Make those that are not there yet, empty. Raises StoreError, UnreachableError."""
        for name in sorted(names):
            if self._api.get(Secret, name) is None:
                self._guard(False)
                self._api.write(_empty(name, self._api.namespace))  # somebody else's making it meanwhile is as good


def check_size(name: str, sheet: Sheet) -> None:
    """Raise StoreError when the API server would not take that much."""
    size = sum(len(value) for value in sheet.data.values())
    if size > MOST_BYTES:
        raise StoreError(
            f"Secret {name} would hold {size} bytes",
            rule=f"a Kubernetes Secret holds {MOST_BYTES} bytes at most, and this one every value kept; "
            "nothing was changed",
            remedy="give a smaller value, or keep what is so large elsewhere and its key here",
        )


def _empty(name: str, namespace: str) -> Secret:
    return Secret(type="Opaque", metadata=ObjectMeta(name=name, namespace=namespace, labels=dict(LABELS)))


def _written(secret: Secret, sheet: Sheet) -> Secret:
    if secret.metadata:
        secret.metadata.annotations = sheet.notes
    secret.data = {key: base64.b64encode(value).decode() for key, value in sheet.data.items()}
    return secret
