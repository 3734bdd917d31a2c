"""The Vault store's trail: audit devices of the server. Each request is a line of theirs, its values as HMACs.

Two of them: a server whose every device fails answers nobody, so that what is not recorded is not given.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_vault as vault

from ..core.secret_store import Trail
from .names import Names
from .principals import VaultPlace
from .settings import VaultStore

STDOUT = "stdout"


def audit_files(store: VaultStore, names: Names, *, production: bool) -> tuple[str, ...]:
    """Where the server writes, said or not. /vault/audit is where HashiCorp's chart mounts a volume for it.

    Devices are the whole server's: a stack that may be destroyed any day enables, and so disables, none unasked.
    """
    if store.audit_files is not None:
        return store.audit_files
    enables = production or store.product == "openbao"  # whose are in a text alone, for whoever runs it
    return (f"/vault/audit/{names.base}.log", STDOUT) if enables else ()


def record_access(
    parent: pulumi.ComponentResource, *, store: VaultStore, names: Names, place: VaultPlace, production: bool
) -> Trail:
    """Enable the devices where the API allows it; where it does not, say what the server's configuration needs."""
    files = audit_files(store, names, production=production)
    if store.product == "vault":
        for at, file in enumerate(files, 1):
            vault.Audit(
                f"audit-{at}",
                type="file",
                path=_device(names, at),
                description="Who read which secret of the Coreflux MCP server",
                options={"file_path": file} if file == STDOUT else {"file_path": file, "mode": "0600"},
                opts=place.under(parent, protect=production),
            )
    return Trail(
        records=_records(files, names),
        policy=_declared(files, names) if store.product == "openbao" else "",
    )


def _records(files: Sequence[str], names: Names) -> str:
    if not files:
        return f"the audit devices of whoever runs Vault: request.path {names.mount}/data/..."
    return f"the server's audit log, {' and '.join(files)}: request.path {names.mount}/data/..."


def _declared(files: Sequence[str], names: Names) -> str:
    """What OpenBao's configuration has to have (OpenBao, Declarative audit devices)."""
    blocks = [
        f'audit "file" "{_device(names, at)}" {{\n'
        f'  description = "Who read which secret of the Coreflux MCP server"\n'
        f"  options {{\n    file_path = {_quoted(file)}\n"
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


def _quoted(text: str) -> str:
    return f'"{text}"'
