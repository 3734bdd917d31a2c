"""The client certificate that secretops shows to a broker that requires one, and the stack's own CA."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from secretops.engine.ports import VersionStore
from secretops.engine.state import Version
from secretops.errors import RefusedError, UnreachableError, UsageError, WaitingError
from secretops.manifest import Broker, Manifest, PrivateCaIssuer, Secret, SecretKind
from secretops.platform import platform_of
from secretops.stores import files
from secretops.targets.connection import Connection
from secretops.values import Value, new_password

# Version -> the folder of this process with its files.
_laid: dict[str, Path] = {}


def with_certificate(manifest: Manifest, store: VersionStore) -> Broker:
    """Return the broker with files of the certificate to show: the store's, or the platform's issuer's.

    The TLS library reads files only: private ones, in memory if possible. Raises StoreError, UnreachableError,
    WaitingError.
    """
    broker, location = manifest.broker, manifest.store
    if broker.certificate_secret is not None:
        folder = _kept(manifest, broker.certificate_secret, store)
    elif broker.certificate_file is None and (issued := platform_of(location).issued_certificate(location)):
        folder = _laid.get(issued.version) or _lay(issued.version, issued.value)
    else:
        return broker
    return _showing(broker, folder)


def is_asked_for(broker: Broker) -> bool:
    """Return whether the broker requires a certificate of the stack before a login."""
    return bool(broker.certificate_file or broker.certificate_secret)


def prove(manifest: Manifest, store: VersionStore, version: str, value: Value) -> None:
    """Show the broker an unused certificate, and log in as a user of the store.

    Without a user any answer to a login proves it: the broker speaks MQTT only to a certificate that it accepts.
    Raises RefusedError, UnreachableError.
    """
    before = _laid.get(version)
    folder = before or _lay(version, value)
    try:
        _proven(_showing(manifest.broker, folder), list(_credentials(manifest, store)), version)
    finally:
        if before is None:  # nobody shows it for now, or ever: a probe's key is kept by nobody
            del _laid[version]
            shutil.rmtree(folder, ignore_errors=True)


def _proven(broker: Broker, known: list[Value], version: str) -> None:
    refused: RefusedError | None = None
    nobody = Value({"username": f"nobody-{secrets.token_hex(4)}", "password": new_password()})
    for credential in known or [nobody]:
        try:
            with Connection(broker, credential):
                return
        except RefusedError as error:  # of the password; the next one's may be good
            refused = error
        except UnreachableError as error:
            raise UnreachableError(
                f"{error.what}, showing certificate {version}",
                rule="a new certificate is published once the broker has taken it",
                remedy="does the broker run, and trust who signed it? What is pending the next tick shows again",
            ) from error
    if known and refused:
        raise refused


def authority_of(broker: Broker) -> str:
    """Return the CA of the broker's own certificate, for readers of client-cert. Raises UsageError."""
    rule = "the PEM file of who signs the broker's certificate, for whoever reads ca.crt"
    if broker.ca_file is None:
        what = "the stack does not say who signs the broker's certificate"
        raise UsageError(what, rule=rule, remedy="name it in broker.ca_file, then pulumi up")
    from secretops.certificates import extract_certificates  # it takes long to load, and a rotation needs none

    try:
        return extract_certificates(Path(broker.ca_file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no certificate in it"
        raise UsageError(f"{broker.ca_file}: {why}", rule=rule, remedy="put it there") from None


def _credentials(manifest: Manifest, store: VersionStore) -> Iterator[Value]:
    """Yield the current credentials of the broker's users, the server's first."""
    for kind in (SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN):
        secret = manifest.of_kind(kind)
        if secret and (current := store.versions(secret.name).current):
            yield store.read(secret.name, current.id, purpose="prove a client certificate")


def _showing(broker: Broker, folder: Path) -> Broker:
    authority = folder / "ca.crt"
    named, shown = broker.ca_file, broker.certificate_file
    if named and shown and Path(named).parent == Path(shown).parent:  # the secret's own, of the version before
        named = None
    return broker.model_copy(
        update={
            "ca_file": named or (str(authority) if authority.exists() else broker.ca_file),
            "certificate_file": str(folder / "client.crt"),
            "key_file": str(folder / "client.key"),
        }
    )


def _kept(manifest: Manifest, secret: str, store: VersionStore) -> Path:
    current = store.versions(secret).current
    if current is None:
        issued = any(one.issuer for one in manifest.secrets if one.name == secret)
        raise WaitingError(
            f"{secret}: the client certificate is not there yet",
            rule=f"{manifest.broker.host}:{manifest.broker.port} is shown a certificate before anybody logs in",
            remedy=f"secretops {'rotate' if issued else 'put'} {secret}",
        )
    if folder := _laid.get(current.id):
        return folder
    return _lay(current.id, store.read(secret, current.id, purpose="show it to the broker"))


def _lay(version: str, value: Value) -> Path:
    folder = files.private_folder()
    for field, text in value.items():
        files.write(folder / field, text.encode(), files.PRIVATE)
    _laid[version] = folder
    return folder


def signing(manifest: Manifest, authority: Secret) -> tuple[Secret, PrivateCaIssuer]:
    """Return the secret that a CA of the stack signs for, and how. Raises UsageError if there is none."""
    for secret in manifest.secrets:
        if isinstance(secret.issuer, PrivateCaIssuer) and secret.issuer.secret == authority.name:
            return secret, secret.issuer
    raise UsageError(
        f"{authority.name}: it signs for nobody",
        rule="a CA of the stack's own is there for one certificate",
        remedy="pulumi up: the manifest is not as the program makes it",
    )


def relied_on(manifest: Manifest, store: VersionStore, authority: Secret, version: Version, now: datetime) -> bool:
    """Return whether a reader may still show a certificate that this version of a CA signed.

    True within the grace of the current certificate: then a reader may have one that the store has forgotten.
    """
    from secretops.certificates import has_signed  # it takes long to load, and a rotation needs none

    secret, _ = signing(manifest, authority)
    current = store.versions(secret.name).current
    if current and current.published and now < current.published + timedelta(seconds=manifest.grace_seconds):
        return True
    above = store.read(authority.name, version.id, purpose="see what it signed")["ca.crt"]
    return any(
        has_signed(above, store.read(secret.name, one.id, purpose="see who signed it")["client.crt"])
        for one in store.versions(secret.name).living
    )
