"""The versions of the stack's own CA that the broker must trust."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secretops.errors import StoreError, UsageError, WaitingError
from secretops.manifest import Manifest, SecretKind
from secretops.operations.certificate import signing
from secretops.stores import files

if TYPE_CHECKING:
    from secretops.operations.session import Session

# Hexadecimal digits of a CA's serial number in its file's name.
_SERIAL = 16


@dataclass(frozen=True)
class InstalledCAs:
    trusted: tuple[Path, ...]
    removed: tuple[Path, ...]


def bundle(session: Session) -> str:
    """Return the CAs that the broker must trust, as PEM. Raises UsageError, WaitingError."""
    session.check_owner()
    secret = session.manifest.of_kind(SecretKind.CA)
    if secret is None:
        rule = "secretops trust requires a CA that the stack creates"
        remedy = "to create a CA, write issuer: {kind: private-ca} in the stack file, then pulumi up"
        raise UsageError("this stack has no CA of its own", rule=rule, remedy=remedy, code="ca-not-configured")
    found = [
        (one.id, session.store.read(secret.name, one.id, purpose="print the CAs to trust")["ca.crt"])
        for one in session.store.versions(secret.name).living
    ]
    if not found:
        what, rule = (
            f"{secret.name}: no CA yet",
            "a CA must exist: the first tick creates it, and waits until the broker trusts it",
        )
        raise WaitingError(what, rule=rule, remedy=f"secretops rotate {secret.name}", code="ca-missing")
    return "".join(_checked(text, f"{secret.name}, version {version}") for version, text in found)


def install(manifest: Manifest, folder: Path, text: str) -> InstalledCAs:
    """Write each CA to its own file, as `openssl rehash` requires, and remove files of this stack's other CAs.

    Raises UsageError, StoreError.
    """
    from cryptography import x509

    from secretops.certificates import pem

    secret = manifest.of_kind(SecretKind.CA)
    prefix = f"client-ca-{signing(manifest, secret)[1].common_name}-" if secret else ""
    found = x509.load_pem_x509_certificates(_checked(text, "the CAs to install").encode())
    wanted = {folder / f"{prefix}{f'{one.serial_number:040x}'[:_SERIAL]}.crt": pem(one) for one in found}
    with files.os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, certificate in wanted.items():
        if not path.exists():
            files.write(path, certificate.encode(), files.PUBLIC)
    ours = re.compile(rf"{re.escape(prefix)}[0-9a-f]{{{_SERIAL}}}\.crt")
    removed = tuple(path for path in sorted(folder.iterdir()) if ours.fullmatch(path.name) and path not in wanted)
    for path in removed:
        with files.os_errors(path):
            path.unlink()
    return InstalledCAs(tuple(wanted), removed)


def _checked(text: str, name: str) -> str:
    from secretops.certificates import extract_certificates

    try:
        return extract_certificates(text)
    except ValueError:
        rule = "the broker must trust every CA of the stack, else some clients cannot log in"
        remedy = "find out who changed the CA in the store; until then, do not change the CAs that the broker trusts"
        raise StoreError(f"{name}: no readable CA", rule=rule, remedy=remedy, code="ca-unreadable") from None
