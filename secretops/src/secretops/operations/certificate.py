"""The client certificate that secretops itself shows to a broker that asks for one, where it lies in no file."""

from __future__ import annotations

from pathlib import Path

from secretops.errors import WaitingError
from secretops.manifest import Broker, Manifest
from secretops.stores import files
from secretops.stores.protocol import VersionStore

_laid: dict[str, Path] = {}
"""Version -> the folder of this process that its files are in."""


def with_certificate(manifest: Manifest, store: VersionStore) -> Broker:
    """The stack's broker, with the files of the certificate to show. Raises StoreError, WaitingError.

    The TLS library reads a certificate from files only: private ones, in memory where the system has such a folder.
    """
    broker, secret = manifest.broker, manifest.broker.certificate_secret
    if secret is None:
        return broker
    current = store.versions(secret).current
    if current is None:
        raise WaitingError(
            f"{secret}: the client certificate is not there yet",
            rule=f"{broker.host}:{broker.port} is shown a certificate before anybody logs in",
            remedy=f"secretops put {secret}",
        )
    folder = _laid.get(current.id)
    if folder is None:
        value = store.read(secret, current.id, purpose="show it to the broker")
        folder = _laid[current.id] = files.private_folder()
        for field, text in value.items():
            files.write(folder / field, text.encode(), files.PRIVATE)
    return broker.model_copy(
        update={
            "ca_file": broker.ca_file or str(folder / "ca.crt"),
            "certificate_file": str(folder / "client.crt"),
            "key_file": str(folder / "client.key"),
        }
    )
