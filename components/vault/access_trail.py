"""The Vault store's trail: audit devices of the server. Each request is a line of theirs, its values as HMACs.

Two of them: a server whose every device fails answers nobody, so that what is not recorded is not given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pulumi
import pulumi_vault as vault

from ..core.secret_store import Trail
from .names import Names
from .principals import VaultPlace

STDOUT = "stdout"


def audit_files(chosen: Sequence[str] | None, names: Names, *, product: str, production: bool) -> Sequence[str]:
    """Return where the server writes. /vault/audit is where HashiCorp's chart mounts a volume for it.

    Devices are the whole server's: a stack that may be destroyed any day enables, and so disables, none by default.
    """
    if chosen is not None:
        return chosen
    enables = production or product == "openbao"  # whose are only a text, for an administrator
    return (f"/vault/audit/{names.base}.log", STDOUT) if enables else ()


def record_access(
    parent: pulumi.ComponentResource,
    name: str,
    files: Sequence[str],
    *,
    names: Names,
    place: VaultPlace,
    product: str,
    production: bool,
) -> Trail:
    """Enable the devices if the API allows it; else return what the server's configuration needs."""
    if product == "vault":
        for at, file in enumerate(files, 1):
            vault.Audit(
                f"{name}-audit-{at}",
                type="file",
                path=_device(names, at),
                description="Who read which secret of the Coreflux MCP server",
                options={"file_path": file} if file == STDOUT else {"file_path": file, "mode": "0600"},
                opts=place.under(parent, protect=production),
            )
    return Trail(records=_records(files, names), policy=_declared(files, names) if product == "openbao" else "")


def _records(files: Sequence[str], names: Names) -> str:
    if not files:
        return f"the audit devices of whoever runs Vault: request.path {names.mount}/data/..."
    return f"the server's audit log, {' and '.join(files)}: request.path {names.mount}/data/..."


def _declared(files: Sequence[str], names: Names) -> str:
    """What OpenBao's configuration has to have (OpenBao, Declarative audit devices)."""
    blocks = [
        f'audit "file" "{_device(names, at)}" {{\n'
        f'  description = "Who read which secret of the Coreflux MCP server"\n'
        f"  options {{\n    file_path = {json.dumps(file)}\n"
        + ("" if file == STDOUT else '    mode      = "0600"\n')
        + "  }\n}\n"
        for at, file in enumerate(files, 1)
    ]
    head = (
        "# In the configuration of every OpenBao server; then SIGHUP, or a restart. Its API enables no audit device.\n"
    )
    return head + "".join(blocks) if blocks else ""


def _device(names: Names, at: int) -> str:
    return f"{names.base}-{at}"
