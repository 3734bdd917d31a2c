"""The Vault store's trail: audit devices log each request to Vault, with secret values as HMACs.

By default, a production stack has two devices. Vault rejects requests if all devices fail, so each read is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_vault as vault

from ..core.component import Component
from ..core.naming import stack_name
from ..core.secret_store import Trail
from .args import AuditArgs, Names, VaultStackArgs, names_of
from .identity import VaultPlace

STDOUT = "stdout"
WHY = "Who read which secret of the Coreflux MCP server"


@dataclass(frozen=True, kw_only=True)
class VaultAccessTrailArgs(VaultStackArgs, AuditArgs): ...


class VaultAccessTrail(Component):
    """The audit devices of a Vault server. For OpenBao or a namespace it creates none, but returns instructions."""

    trail: Trail
    """Location of the records, and these instructions."""

    def __init__(self, name: str, args: VaultAccessTrailArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:vault:AccessTrail", name, opts, formerly="", siblings=True)
        names, place = names_of(stack_name(args.stack)), VaultPlace.of(self, name, args.server)
        openbao, files = args.product == "openbao", args.audit_files
        if files is None:  # devices record the whole server, and destroying the stack would remove them
            files = (f"/vault/audit/{names.base}.log", STDOUT) if args.production or openbao else ()
        for at, file in enumerate(() if openbao or place.namespace else files, 1):
            vault.Audit(
                f"{name}-audit-{at}",
                type="file",
                path=place.checked(pulumi.Output.from_input(names.of(str(at)))),
                description=WHY,
                options={"file_path": file} if file == STDOUT else {"file_path": file, "mode": "0600"},
                opts=place.under(self, protect=args.production),
            )
        log = (
            f"the server's audit log, {' and '.join(files)}"
            if files
            else "the audit devices that the Vault server's administrator enabled"
        )
        policy = _declared(files, names) if openbao else _commands(files, names) if place.namespace else ""
        self.trail = Trail(records=f"{log}: request.path {names.base}/data/...", policy=policy)
        self.register_outputs({})


def _commands(files: Sequence[str], names: Names) -> str:
    commands = [
        f"vault audit enable -path={names.of(str(at))} file file_path={file}{'' if file == STDOUT else ' mode=0600'}\n"
        for at, file in enumerate(files, 1)
    ]
    head = "# Without VAULT_NAMESPACE: only the root namespace of Vault has audit devices.\n"
    return head + "".join(commands) if commands else ""


def _declared(files: Sequence[str], names: Names) -> str:
    """Return the audit devices as text for OpenBao's configuration (OpenBao, Declarative audit devices)."""
    blocks = [
        f'audit "file" "{names.of(str(at))}" {{\n  description = "{WHY}"\n  options {{\n'
        f"    file_path = {json.dumps(file)}\n" + ("" if file == STDOUT else '    mode      = "0600"\n') + "  }\n}\n"
        for at, file in enumerate(files, 1)
    ]
    head = (
        "# In the configuration of every OpenBao server; then SIGHUP, or a restart. Its API enables no audit device.\n"
    )
    return head + "".join(blocks) if blocks else ""
