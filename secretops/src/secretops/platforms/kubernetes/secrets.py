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

# Prefix of secretops' annotations.
PREFIX = "coreflux-mcp-secrets/"

LABELS = {"app.kubernetes.io/managed-by": "secretops", "app.kubernetes.io/part-of": "coreflux-mcp-secrets"}

# Bytes of all values of a Secret: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size
MOST_BYTES = 1024 * 1024


class SecretData:
    """The annotations and the decoded data of a Secret. Its repr shows no value."""

    __slots__ = ("annotations", "data")

    def __init__(self, secret: Secret | None) -> None:
        meta = secret.metadata if secret else None
        self.annotations: dict[str, str] = dict((meta and meta.annotations) or {})
        try:
            self.data = {key: base64.b64decode(text or "") for key, text in ((secret and secret.data) or {}).items()}
        except binascii.Error:  # invalid base64, which the API server does not accept
            name, namespace = meta and meta.name, meta and meta.namespace
            raise StoreError(
                f"Secret {name} has data that is not base64",
                rule="the data of a Secret must be base64",
                remedy=f"find the wrong entry: kubectl -n {namespace} get secret {name} -o yaml",
                code="kubernetes-secret-malformed",
            ) from None


class Secrets:
    """Reads and changes Secrets. `guard` runs before each write, with True after a conflict."""

    def __init__(self, api: Api, guard: Callable[[bool], None]) -> None:
        self._api, self._guard = api, guard

    def read(self, name: str) -> SecretData:
        return SecretData(self._api.get(Secret, name))

    def change(
        self, name: str, decide: Callable[[SecretData], None], *, patience: float = PATIENCE_SECONDS
    ) -> SecretData:
        """Apply `decide` to a Secret in one write, and again after a conflict. Creates a missing Secret."""
        conflict, retries = False, Retries()
        while True:
            found = self._api.get(Secret, name, patience=patience)
            before, after = SecretData(found), SecretData(found)
            decide(after)
            if (before.annotations, before.data) == (after.annotations, after.data):
                return after
            check_size(name, after)
            self._guard(conflict)
            secret = found or _empty(name, self._api.namespace)
            if secret.metadata:
                secret.metadata.annotations = after.annotations
            secret.data = {key: base64.b64encode(value).decode() for key, value in after.data.items()}
            if self._api.write(secret, patience=patience):
                return after
            conflict = True
            if not retries.pause():
                raise contended(
                    f"Secret {name} in namespace {self._api.namespace}",
                    "find the other process in the API server's audit log and stop it; the next tick finishes a "
                    "started rotation",
                )

    def create_missing(self, names: set[str]) -> None:
        for name in sorted(names):
            if self._api.get(Secret, name) is None:
                self._guard(False)
                self._api.write(_empty(name, self._api.namespace))  # a conflict means that another client created it


def read_issued(location: KubernetesStoreLocation, place: Delivered) -> tuple[str, Value]:
    """Return an issued certificate's version and content. Raises WaitingError, StoreError, UnreachableError."""
    found = Api(location.namespace, location.context).get(Secret, place.name)
    data, where = SecretData(found).data, f"Secret {place.name} in namespace {location.namespace}"
    describe = f"find the cause: kubectl -n {location.namespace} describe certificates"
    try:
        value = Value({field: data[key].decode() for field, key in place.keys.items() if data.get(key)})
    except UnicodeDecodeError:
        raise StoreError(
            f"{where} has a certificate or key that is not PEM",
            rule="certificate and key must be PEM, which is the default format of cert-manager's Certificates",
            remedy=describe,
            code="certificate-not-pem",
        ) from None
    if found is None or found.metadata is None or place.keys.keys() - value.keys():
        raise WaitingError(
            f"{where} does not contain the client certificate yet",
            rule="cert-manager must write the certificate to this Secret before secretops can log in with it",
            remedy=describe,
            code="certificate-not-issued",
        )
    return f"{found.metadata.uid}/{found.metadata.resourceVersion}", value


def check_size(name: str, content: SecretData) -> None:
    size = sum(len(value) for value in content.data.values())
    if size > MOST_BYTES:
        raise StoreError(
            f"Secret {name} would have {size} bytes",
            rule=f"a Secret may have at most {MOST_BYTES} bytes in all its entries; nothing was changed",
            remedy="supply a smaller value: secretops put SECRET",
            code="value-too-large",
        )


def _empty(name: str, namespace: str) -> Secret:
    return Secret(type="Opaque", metadata=ObjectMeta(name=name, namespace=namespace, labels=dict(LABELS)))
