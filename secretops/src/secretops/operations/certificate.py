"""The client certificate with which secretops connects to the broker, and the certificates that the stack's own CA
signs."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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

# Version -> this process's folder with the version's files.
_folders: dict[str, Path] = {}


def with_certificate(manifest: Manifest, store: VersionStore) -> Broker:
    """Write the client certificate to files, because the TLS library reads only files. Return the broker with their
    paths.

    Raises StoreError, UnreachableError, WaitingError.
    """
    broker, location = manifest.broker, manifest.store
    if name := broker.certificate_secret:
        current = store.versions(name).current
        if current is None:
            issued = any(secret.issuer for secret in manifest.secrets if secret.name == name)
            what = f"{name}: no client certificate yet"
            rule = f"the broker {broker.host}:{broker.port} requires a client certificate before a login"
            remedy = f"secretops {'rotate' if issued else 'put'} {name}"
            raise WaitingError(what, rule=rule, remedy=remedy, code="certificate-missing")
        if (folder := _folders.get(current.id)) is None:
            folder = _write(current.id, store.read(name, current.id, purpose="connect to the broker"))
    elif broker.certificate_file is None and (issue := platform_of(location).issued_certificate(location)):
        folder = _folders.get(issue.version) or _write(issue.version, issue.value)
    else:
        return broker
    return _with_files(broker, folder)


def requires_certificate(broker: Broker) -> bool:
    return bool(broker.certificate_file or broker.certificate_secret)


def prove(manifest: Manifest, store: VersionStore, version: str, value: Value) -> None:
    """Connect to the broker with a new certificate, and log in as a user from the store.

    If the store has no user, any MQTT answer proves that the broker accepts the certificate. Raises RefusedError,
    UnreachableError.
    """
    known, refused = list(_credentials(manifest, store)), list[RefusedError]()
    try:
        with presenting(manifest.broker, version, value) as broker:
            for credential in known or [_nobody()]:
                try:
                    with Connection(broker, credential):
                        return
                except RefusedError as error:  # the password is wrong; the next user's may be valid
                    refused.append(error)
    except UnreachableError as error:
        reason = error.what
        what = f"the login with certificate {version} failed: {reason}"
        rule = "the broker must accept a new certificate before it is published"
        remedy = (
            "check that the broker runs and trusts the certificate's issuer; the next tick tests this version again"
        )
        raise UnreachableError(what, rule=rule, remedy=remedy, code="certificate-not-accepted") from error
    if known and refused:
        raise refused[-1]


@contextmanager
def presenting(broker: Broker, version: str, value: Value) -> Iterator[Broker]:
    """Yield the broker with a certificate in temporary files. The certificate may not be published yet."""
    before = _folders.get(version)
    folder = before or _write(version, value)
    try:
        yield _with_files(broker, folder)
    finally:
        if before is None:  # leave no key in a file after a mere test
            del _folders[version]
            shutil.rmtree(folder, ignore_errors=True)


def _nobody() -> Value:
    return Value({"username": f"nobody-{secrets.token_hex(4)}", "password": new_password()})


def authority_of(broker: Broker) -> str:
    """Return the CA of the broker's own certificate as PEM. Raises UsageError."""
    rule = "broker.ca_file must be the PEM file of the CA that signs the broker's certificate"
    if broker.ca_file is None:
        remedy = "set broker.ca_file in the stack file, then pulumi up"
        raise UsageError("broker.ca_file: missing", rule=rule, remedy=remedy, code="broker-ca-missing")
    from secretops.certificates import extract_certificates  # slow to import

    try:
        return extract_certificates(Path(broker.ca_file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no certificate in it"
        what, remedy = f"{broker.ca_file}: {why}", "write the CA's certificate to this file as PEM"
        raise UsageError(what, rule=rule, remedy=remedy, code="broker-ca-unreadable") from None


def _credentials(manifest: Manifest, store: VersionStore) -> Iterator[Value]:
    for kind in (SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN):
        secret = manifest.of_kind(kind)
        if secret and (current := store.versions(secret.name).current):
            yield store.read(secret.name, current.id, purpose="prove a client certificate")


def _with_files(broker: Broker, folder: Path) -> Broker:
    authority = folder / "ca.crt"
    ca, certificate = broker.ca_file, broker.certificate_file
    # both are files of the secret's previous version
    if ca and certificate and Path(ca).parent == Path(certificate).parent:
        ca = None
    return broker.model_copy(
        update={
            "ca_file": ca or (str(authority) if authority.exists() else broker.ca_file),
            "certificate_file": str(folder / "client.crt"),
            "key_file": str(folder / "client.key"),
        }
    )


def _write(version: str, value: Value) -> Path:
    folder = files.private_folder()
    for field, text in value.items():
        files.write(folder / field, text.encode(), files.PRIVATE)
    _folders[version] = folder
    return folder


def signing(manifest: Manifest, authority: Secret) -> tuple[Secret, PrivateCaIssuer]:
    """Return the secret for which the CA `authority` signs certificates, and the secret's issuer. Raises UsageError."""
    for secret in manifest.secrets:
        if isinstance(secret.issuer, PrivateCaIssuer) and secret.issuer.secret == authority.name:
            return secret, secret.issuer
    what, remedy = f"{authority.name}: no secret has this CA as its issuer", "pulumi up, which writes the manifest"
    raise UsageError(
        what, rule="in the manifest, one secret must have the stack's CA as its issuer", remedy=remedy, code="ca-unused"
    )


def relied_on(manifest: Manifest, store: VersionStore, authority: Secret, version: Version, now: datetime) -> bool:
    """Return whether a reader may still use a certificate that `version` of the CA `authority` signed.

    Always true in the grace period after the current certificate was published.
    """
    from secretops.certificates import has_signed  # slow to import

    secret, _ = signing(manifest, authority)
    current = store.versions(secret.name).current
    if current and current.published and now < current.published + timedelta(seconds=manifest.grace_seconds):
        return True
    above = store.read(authority.name, version.id, purpose="see what it signed")["ca.crt"]
    return any(
        has_signed(above, store.read(secret.name, one.id, purpose="see who signed it")["client.crt"])
        for one in store.versions(secret.name).living
    )
