"""Secrets changed by compare-and-swap: read, decide, replace what was read; if somebody else wrote it since, again."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Secret

from secretops.errors import StoreError, WaitingError
from secretops.platforms.kubernetes.api import PATIENCE_SECONDS, Api
from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation
from secretops.stores.retry import Retries, contended
from secretops.values import Value

# Of our annotations.
PREFIX = "coreflux-mcp-secrets/"

LABELS = {"app.kubernetes.io/managed-by": "secretops", "app.kubernetes.io/part-of": "coreflux-mcp-secrets"}

# Of all values of one Secret: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size
MOST_BYTES = 1024 * 1024


class SecretData:
    """Content of one Secret: annotations, and values in data. Prints neither."""

    __slots__ = ("annotations", "data")

    def __init__(self, secret: Secret | None) -> None:
        meta = secret.metadata if secret else None
        self.annotations: dict[str, str] = dict((meta and meta.annotations) or {})
        self.data: dict[str, bytes] = {}
        for key, text in ((secret and secret.data) or {}).items():
            try:
                self.data[key] = base64.b64decode(text or "")
            except binascii.Error:  # the API server lets none in
                raise StoreError(f"Secret {meta and meta.name}: {key} is no base64") from None


class Secrets:
    """The Secrets of one namespace. `guard` is called before each write, with whether somebody else has just written;
    it raises if this process may not write any more.
    """

    def __init__(self, api: Api, guard: Callable[[bool], None]) -> None:
        self._api, self._guard = api, guard

    def read(self, name: str) -> SecretData:
        """Return the content of Secret `name`; empty if there is none. Raises StoreError, UnreachableError."""
        return SecretData(self._api.get(Secret, name))

    def change(
        self, name: str, decide: Callable[[SecretData], None], *, patience: float = PATIENCE_SECONDS
    ) -> SecretData:
        """Write what `decide` changes in Secret `name`, in one write; in none if it changes nothing. Returns it.

        `decide` is called again with the new content if somebody else has written since. A missing Secret is created.
        Raises StoreError, UnreachableError, and what `decide` raises.
        """
        conflict, retries = False, Retries()
        while True:
            found = self._api.get(Secret, name, patience=patience)
            before, after = SecretData(found), SecretData(found)
            decide(after)
            if (before.annotations, before.data) == (after.annotations, after.data):
                return after
            check_size(name, after)
            self._guard(conflict)
            if self._api.write(_written(found or _empty(name, self._api.namespace), after), patience=patience):
                return after
            conflict = True
            if not retries.pause():
                raise contended(
                    f"Secret {name} in namespace {self._api.namespace}",
                    "find out who writes it (the audit log says), then try again; the next tick goes on from here",
                )

    def make_missing(self, names: set[str]) -> None:
        """Create those that are missing, empty. Raises StoreError, UnreachableError."""
        for name in sorted(names):
            if self._api.get(Secret, name) is None:
                self._guard(False)
                self._api.write(_empty(name, self._api.namespace))  # one that somebody creates meanwhile is as good


def read_issued(location: KubernetesStoreLocation, place: Delivered) -> tuple[str, Value]:
    """Return the version and the content of a certificate that an issuer in the cluster keeps in a Secret of its own.

    Each renewal has another version. Raises WaitingError before there is one, StoreError, UnreachableError.
    """
    found = Api(location.namespace, location.context).get(Secret, place.name)
    data = SecretData(found).data
    try:
        value = Value({field: data[key].decode() for field, key in place.keys.items() if data.get(key)})
    except UnicodeDecodeError:
        raise StoreError(
            f"Secret {place.name} in namespace {location.namespace} holds what is no PEM",
            rule="cert-manager writes certificate and key there as PEM, unless its Certificate asks for others too",
            remedy=f"find out who writes it: kubectl -n {location.namespace} describe certificates",
        ) from None
    if found is None or found.metadata is None or place.keys.keys() - value.keys():
        raise WaitingError(
            f"Secret {place.name} in namespace {location.namespace} does not hold the client certificate yet",
            rule="cert-manager writes it there, and the broker is shown it before anybody logs in",
            remedy=f"its Certificate says why not: kubectl -n {location.namespace} describe certificates",
        )
    return f"{found.metadata.uid}/{found.metadata.resourceVersion}", value


def check_size(name: str, content: SecretData) -> None:
    """Raise StoreError if the API server would not accept that much."""
    size = sum(len(value) for value in content.data.values())
    if size > MOST_BYTES:
        raise StoreError(
            f"Secret {name} would hold {size} bytes",
            rule=f"a Kubernetes Secret holds {MOST_BYTES} bytes at most, and this one every value kept; "
            "nothing was changed",
            remedy="give a smaller value, or keep what is so large elsewhere and its key here",
        )


def _empty(name: str, namespace: str) -> Secret:
    return Secret(type="Opaque", metadata=ObjectMeta(name=name, namespace=namespace, labels=dict(LABELS)))


def _written(secret: Secret, content: SecretData) -> Secret:
    if secret.metadata:
        secret.metadata.annotations = content.annotations
    secret.data = {key: base64.b64encode(value).decode() for key, value in content.data.items()}
    return secret
