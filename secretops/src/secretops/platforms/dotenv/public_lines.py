"""The public lines of a folder's config/.env, which name the broker that the server sends its password to.

`pulumi up` writes them from the stack file, and the manifest has them. Compared by tick, status and doctor.
"""

from __future__ import annotations

from pathlib import Path

from secretops.errors import SecretopsError
from secretops.platforms.dotenv.delivery import Delivery
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.stores import env_file, files

REMEDY = "secretops doctor --repair"


def drift(location: DotenvStoreLocation) -> list[str]:
    """Return a description of each line that differs from the manifest. Raises StoreError if the file does not read.

    It has the manifest's text and not the file's, in which somebody may have pasted a password.
    """
    delivery = Delivery(location)
    text = delivery.env_text() or ""
    present = env_file.values(text)
    return [
        f"{name} {'differs from' if name in present else 'is missing:'} {wanted!r}"
        for name, wanted in delivery.public_drift(text).items()
    ]


def findings(location: DotenvStoreLocation) -> list[str]:
    """Return the drift, or why the file does not read, as a finding for tick and status."""
    try:
        lines = drift(location)
    except SecretopsError as error:
        return [f"{error.what}: {error.remedy}"]
    return [f"config/.env: {'; '.join(lines)}: {REMEDY}"] if lines else []


def restore(location: DotenvStoreLocation) -> str:
    """Write the lines as the manifest has them, and return their names. Raises StoreError."""
    root = Path(location.root)
    with files.lock(root):
        restored = Delivery(location).restore_public()
    return f"restored {', '.join(restored) or 'none: they are as they should be'}"
