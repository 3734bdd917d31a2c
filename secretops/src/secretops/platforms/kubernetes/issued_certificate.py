"""A certificate that an issuer in the cluster keeps in a Secret of its own: read with the caller's rights, as it is."""

from __future__ import annotations

from lightkube.resources.core_v1 import Secret

from secretops.errors import StoreError, WaitingError
from secretops.platforms.kubernetes.api import Api
from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation
from secretops.platforms.kubernetes.secrets import Sheet
from secretops.values import Value


def read_issued(location: KubernetesStoreLocation, place: Delivered) -> tuple[str, Value]:
    """What the issuer has written into `place`, and its version, which is another one after each renewal.

    Raises WaitingError before it has, StoreError, UnreachableError.
    """
    found = Api(location.namespace, location.context).get(Secret, place.name)
    data = Sheet(found).data
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
