"""What everything in the server is called. Names are given, so that a preview can tell them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..core.naming import physical_name

PENDING = "pending/"
"""What the path begins with of a value that is not proven yet. No secret's name has a slash."""

LEASE = "rotator/lease"
"""The path of the document that says who rotates."""

CLIENT = "client"
"""The PKI role, of the mount of the stack alone."""

SERVER: Final = "server"
ROTATOR: Final = "rotator"
OPERATOR: Final = "operator"
DOCTOR: Final = "doctor"

_LIMIT = 48
"""Characters of what other names begin with. Vault takes longer ones; a person reads them in paths and log lines."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Of one stack in one server, or one namespace of it."""

    base: str
    """The KV mount's, the common name of client certificates, and the beginning of all other names."""

    @property
    def mount(self) -> str:
        """Of the secrets."""
        return self.base

    @property
    def pki(self) -> str:
        """The mount of the intermediate that signs client certificates."""
        return f"{self.base}-pki"

    @property
    def root(self) -> str:
        """The mount of the root that signs that one, where it is the stack's own."""
        return f"{self.base}-root"

    @property
    def passwords(self) -> str:
        """The policy by which Vault makes a password for an operator."""
        return self.base

    def of(self, who: str) -> str:
        """The policy of `who`, and its role in every auth method: mounts of those may be shared with other stacks."""
        return f"{self.base}-{who}"

    def auth(self, method: str) -> str:
        """The mount of an auth method of the stack's own."""
        return f"{self.base}-{method}"


def names_of(stack: str) -> Names:
    """The names of a stack. All of them are good as a path of Vault and as a host's name, which a certificate has."""
    plain = re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-") or "stack"
    return Names(base=physical_name("coreflux-mcp", plain, limit=_LIMIT))
