"""Names of everything in a Vault server. The program computes them, so that a preview knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..core.naming import physical_name

# Prefix of the path of a pending value. No secret's name has a slash.
PENDING = "pending/"
# Path of the rotator's lease.
LEASE = "rotator/lease"
# The PKI role, in a mount of the stack alone.
CLIENT = "client"

SERVER: Final = "server"
ROTATOR: Final = "rotator"
OPERATOR: Final = "operator"
DOCTOR: Final = "doctor"

# Characters of the common prefix. Vault takes longer names; a person reads these in paths and log lines.
_LIMIT = 48


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of one stack in one server, or in one namespace of it."""

    base: str
    """The KV mount, the password policy, and the common name of client certificates."""

    def of(self, what: str) -> str:
        """Return the name of a mount, policy or role. Auth methods and their roles may share a server with others."""
        return f"{self.base}-{what}"


def names_of(stack: str) -> Names:
    """Return the names of a stack. Each is valid as a path of Vault and as a host name, which a certificate has."""
    plain = re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-") or "stack"
    return Names(base=physical_name("coreflux-mcp", plain, limit=_LIMIT))
