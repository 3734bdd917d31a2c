"""Which changes replace a resource: place and name, and a table for the rest.

The provider's schema is not available here. Unknown changes are updates, so the real provider may replace more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tools.standin.vault import places

# The provider moves these to a new path with their content, unless `disableRemount` is set.
MOVES = ("vault:index/mount:Mount", "vault:index/authBackend:AuthBackend", "vault:jwt/authBackend:AuthBackend")

ALSO: Mapping[str, frozenset[str]] = {
    "vault:index/mount:Mount": frozenset({"type", "local", "sealWrap", "externalEntropyAccess"}),
    "vault:index/authBackend:AuthBackend": frozenset({"type", "local"}),
    "vault:jwt/authBackend:AuthBackend": frozenset({"type", "local"}),
    "vault:index/audit:Audit": frozenset({"type", "options", "description", "local"}),
}


def replaced_by(token: str, properties: frozenset[str]) -> frozenset[str]:
    place = places.of(token)
    if place.once:  # generated objects are replaced for every change
        return properties - {"revoke"}
    within = frozenset(re.findall(r"{(\w+)}", place.at))
    if token in MOVES:
        within -= {"path"}
    return (within | ALSO.get(token, frozenset()) | {"namespace"}) & properties
