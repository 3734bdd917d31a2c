"""What Vault would compute: accessors, ids, a request and certificates. Made from the names, so that two runs give the
same, and each says of itself that it is a stand-in's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tools.standin.cloud import Resource
from tools.standin.vault import places

KEYS = ("privateKey", "privateKeyType")
"""Outputs that a resource of type `internal` has not: its key never leaves the server."""


def kind(token: str) -> str:
    """A token without its package and its module: `Mount`; of those that another module has, too, `jwt:AuthBackend`."""
    module, _, name = token.partition(":")[2].partition(":")
    return f"{module.partition('/')[0]}:{name}"


def identity(resource: Resource) -> tuple[str, dict[str, Any]]:
    """The id, as Pulumi's provider would give it, and the outputs that are known of its type."""
    place, made = places.of(resource.token), _made(resource)
    return place.path(place.id or place.at, {**resource.inputs, **made}), made


def _made(resource: Resource) -> dict[str, Any]:
    digest = digits(f"{resource.urn} {sorted((key, str(value)) for key, value in resource.inputs.items())}", 32)
    match kind(resource.token):
        case "index:Mount":
            return {"accessor": f"{resource.inputs.get('type')}_{digest[:8]}"}
        case "index:AuthBackend" | "jwt:AuthBackend":
            return {"accessor": f"auth_{resource.inputs.get('type')}_{digest[:8]}"}
        case "pkiSecret:SecretBackendIntermediateCertRequest":
            return {"csr": f"a stand-in's request {digest}", "keyId": digest}
        case "pkiSecret:SecretBackendRootCert" | "pkiSecret:SecretBackendRootSignIntermediate":
            certificate = f"a stand-in's certificate {digest}"
            return {"certificate": certificate, "issuingCa": certificate, "serialNumber": digest, "issuerId": digest}
    return {}


def computed(resource: Resource, output_types: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs beyond the inputs: those that are known, and for the rest something of the right type."""
    rest = {name: _filler(hint) for name, hint in output_types.items() if name not in KEYS}
    return {**rest, **{name: value for name, value in identity(resource)[1].items() if name in output_types}}


def digits(text: str, count: int) -> str:
    """Hexadecimal ones, the same for the same text."""
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def _filler(hint: Any) -> Any:
    fillers: Mapping[Any, Any] = {str: "standin", int: 0, float: 0, bool: False}
    if hint in fillers:
        return fillers[hint]
    return [] if getattr(hint, "__origin__", None) is not None and "Sequence" in str(hint) else {}
