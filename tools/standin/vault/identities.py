"""Made-up accessors, ids, CSRs and certificates of Vault. They are derived from names, so that two runs are equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.standin.cloud import Resource, digits, filler
from tools.standin.vault import places

# Outputs that are missing with type `internal`, since the key stays on the server.
KEYS = ("privateKey", "privateKeyType")


def kind(token: str) -> str:
    """Return the module and the type in a token, such as `index:Mount` or `jwt:AuthBackend`."""
    module, _, name = token.partition(":")[2].partition(":")
    return f"{module.partition('/')[0]}:{name}"


def identity(resource: Resource) -> tuple[str, dict[str, Any]]:
    """Return a resource's id, as in Pulumi's provider, and its known outputs."""
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
    rest = {name: filler(hint) for name, hint in output_types.items() if name not in KEYS}
    return {**rest, **{name: value for name, value in identity(resource)[1].items() if name in output_types}}
