"""Which changes make a new resource: where it lies and what it is called, and a table for the rest.

The provider's schema says it for every property, and is not to be had here. Where the table is silent the stand-in
shows an update in place, so a replacement that only the real provider knows of is not seen on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tools.standin.vault import places

MOVES = ("vault:index/mount:Mount", "vault:index/authBackend:AuthBackend", "vault:jwt/authBackend:AuthBackend")
"""What the provider moves to its new path, with all that lies there, where `disableRemount` is not set."""

ALSO: Mapping[str, frozenset[str]] = {
    "vault:index/mount:Mount": frozenset({"type", "local", "sealWrap", "externalEntropyAccess"}),
    "vault:index/authBackend:AuthBackend": frozenset({"type", "local"}),
    "vault:jwt/authBackend:AuthBackend": frozenset({"type", "local"}),
    "vault:index/audit:Audit": frozenset({"type", "options", "description", "local"}),
}


def replaced_by(token: str, properties: frozenset[str]) -> frozenset[str]:
    """Of a resource's `properties`, those whose change makes a new one."""
    place = places.of(token)
    if place.once:  # what is generated is generated anew, whatever was asked for otherwise
        return properties - {"revoke"}
    within = frozenset(re.findall(r"{(\w+)}", place.at))
    if token in MOVES:
        within -= {"path"}
    return (within | ALSO.get(token, frozenset()) | {"namespace"}) & properties
