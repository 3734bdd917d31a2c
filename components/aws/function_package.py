"""What the functions run: dist/lambda.zip, never an old one and never none, and beside it what is the stack's own."""

from __future__ import annotations

import pulumi

from secretops.manifest import Manifest

from ..core.broker import BrokerArgs, ca_bundle
from .lambda_package import COMMAND, ZIP, is_current

CODE = "/var/task"
"""Where Lambda unpacks a function's package."""

MANIFEST = "secretops.json"
CA_FILE = "ca.crt"


def check_package() -> None:
    """That the package is of these sources. Raises RunError, which a preview shows before anything is changed."""
    if not is_current():
        state = "is not of these sources" if ZIP.exists() else "is not there"
        raise pulumi.RunError(
            f"dist/lambda.zip {state}\n    the functions that rotate run it, and are never older than the program"
            f"\n    -> {COMMAND}"
        )


def package_of(manifest: Manifest, broker: BrokerArgs) -> pulumi.AssetArchive:
    """The package with the stack's manifest, and with the CA certificates of a broker that a private CA signs.

    Files, because a function's variables have 4 KB together. Both are public.
    """
    own: dict[str, pulumi.Asset | pulumi.Archive] = {
        ".": pulumi.FileArchive(str(ZIP)),
        MANIFEST: pulumi.StringAsset(manifest.model_dump_json(indent=1) + "\n"),
    }
    if broker.ca_file:
        own[CA_FILE] = pulumi.StringAsset(ca_bundle(broker.ca_file))
    return pulumi.AssetArchive(own)


def ca_file_in_package(broker: BrokerArgs) -> str | None:
    """Where a function finds those certificates."""
    return f"{CODE}/{CA_FILE}" if broker.ca_file else None
