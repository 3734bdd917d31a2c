"""The client certificate that secretops itself shows to a broker that asks for one, where it lies in no file."""

from __future__ import annotations

from pathlib import Path

from secretops.errors import WaitingError
from secretops.manifest import Broker, Delivered, KubernetesStore, Manifest
from secretops.stores import files
from secretops.stores.protocol import VersionStore
from secretops.values import Value

_laid: dict[str, Path] = {}
"""Version -> the folder of this process that its files are in."""


def with_certificate(manifest: Manifest, store: VersionStore) -> Broker:
    """The stack's broker, with the files of the certificate to show: the store's, or what an issuer keeps in the
    cluster. Raises StoreError, UnreachableError, WaitingError.

    The TLS library reads a certificate from files only: private ones, in memory where the system has such a folder.
    """
    broker, location = manifest.broker, manifest.store
    if broker.certificate_secret is not None:
        folder = _kept(broker, broker.certificate_secret, store)
    elif isinstance(location, KubernetesStore) and location.issued and broker.certificate_file is None:
        folder = _issued(location, location.issued)
    else:
        return broker
    authority = folder / "ca.crt"
    return broker.model_copy(
        update={
            "ca_file": broker.ca_file or (str(authority) if authority.exists() else None),
            "certificate_file": str(folder / "client.crt"),
            "key_file": str(folder / "client.key"),
        }
    )


def _kept(broker: Broker, secret: str, store: VersionStore) -> Path:
    current = store.versions(secret).current
    if current is None:
        raise WaitingError(
            f"{secret}: the client certificate is not there yet",
            rule=f"{broker.host}:{broker.port} is shown a certificate before anybody logs in",
            remedy=f"secretops put {secret}",
        )
    if folder := _laid.get(current.id):
        return folder
    return _lay(current.id, store.read(secret, current.id, purpose="show it to the broker"))


def _issued(location: KubernetesStore, place: Delivered) -> Path:
    from secretops.stores.kubernetes.issued import read_issued

    version, value = read_issued(location, place)
    return _laid.get(version) or _lay(version, value)


def _lay(version: str, value: Value) -> Path:
    folder = files.private_folder()
    for field, text in value.items():
        files.write(folder / field, text.encode(), files.PRIVATE)
    _laid[version] = folder
    return folder
