"""The versions of the stack's own CA that the broker has to trust."""

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

# Hexadecimal digits of a CA's serial number in the name of its file.
_SERIAL = 16


@dataclass(frozen=True)
class Laid:
    """The CA files in a folder, and those that were removed."""

    trusted: tuple[Path, ...]
    gone: tuple[Path, ...]


def bundle(session: Session) -> str:
    """Return the CAs that the broker has to trust, as PEM. Raises UsageError without a CA of its own, WaitingError."""
    session.check_place()
    secret = session.manifest.of_kind(SecretKind.CA)
    if secret is None:
        raise UsageError(
            "this stack has no CA of its own",
            rule="the broker trusts whoever signs the stack's client certificate",
            remedy="issuer: {kind: private-ca} in the stack file makes one",
        )
    found = [
        (one.id, session.store.read(secret.name, one.id, purpose="tell the broker whom to trust")["ca.crt"])
        for one in session.store.versions(secret.name).living
    ]
    if not found:
        raise WaitingError(
            f"{secret.name}: there is no CA yet",
            rule="the first tick makes it, and waits until the broker trusts it",
            remedy=f"secretops rotate {secret.name}",
        )
    return "".join(_whole(text, f"{secret.name}: {version}") for version, text in found)


def lay(manifest: Manifest, folder: Path, text: str) -> Laid:
    """Write each CA to its own file, for OpenSSL's `rehash`, and remove this stack's other CAs.

    Raises UsageError, and StoreError before a file is removed.
    """
    from cryptography import x509

    from secretops.certificates import pem

    secret = manifest.of_kind(SecretKind.CA)
    ours = f"client-ca-{signing(manifest, secret)[1].common_name}-" if secret else ""
    found = x509.load_pem_x509_certificates(_whole(text, "what was printed").encode())
    wanted = {folder / f"{ours}{f'{one.serial_number:040x}'[:_SERIAL]}.crt": pem(one) for one in found}
    with files.os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, one in wanted.items():
        if not path.exists():
            files.write(path, one.encode(), files.PUBLIC)
    of_ours = re.compile(rf"{re.escape(ours)}[0-9a-f]{{{_SERIAL}}}\.crt")
    gone = tuple(path for path in sorted(folder.iterdir()) if of_ours.fullmatch(path.name) and path not in wanted)
    for path in gone:
        with files.os_errors(path):
            path.unlink()
    return Laid(tuple(wanted), gone)


def _whole(text: str, which: str) -> str:
    """Return the certificates of a text. Raises StoreError if one is unreadable: the broker would not trust it."""
    from secretops.certificates import extract_certificates

    try:
        return extract_certificates(text)
    except ValueError:
        raise StoreError(
            f"{which} holds no CA that can be read",
            rule="a broker is given all CAs of the stack or none: whose CA is left out is locked out",
            remedy="who changed it in the store? Until that is mended the broker stays as it is",
        ) from None
