"""Which changes replace a resource: changes of its place or name, and of the properties in ALSO."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tools.standin.vault import places

# The provider moves these and their content to a new path, unless `disableRemount` is set.
MOVES = ("vault:index/mount:Mount", "vault:index/authBackend:AuthBackend", "vault:jwt/authBackend:AuthBackend")

ALSO: Mapping[str, frozenset[str]] = {
    "vault:index/mount:Mount": frozenset({"type", "local", "sealWrap", "externalEntropyAccess"}),
    "vault:index/authBackend:AuthBackend": frozenset({"type", "local"}),
    "vault:jwt/authBackend:AuthBackend": frozenset({"type", "local"}),
    "vault:index/audit:Audit": frozenset({"type", "options", "description", "local"}),
}


def replaced_by(token: str, properties: frozenset[str]) -> frozenset[str]:
    place = places.of(token)
    if place.once:  # each change replaces a generated object
        return properties - {"revoke"}
    within = frozenset(re.findall(r"{(\w+)}", place.at))
    if token in MOVES:
        within -= {"path"}
    return (within | ALSO.get(token, frozenset()) | {"namespace"}) & properties
