"""The API path of each resource type in Vault, and the API's names of inputs.

Sources: the provider's documentation (https://registry.terraform.io/providers/hashicorp/vault/latest/docs) and the
API's (https://openbao.org/api-docs/). Inputs that are not listed have the API's names, in camelCase.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.standin.cloud import Inputs, RefusedError
from tools.standin.sdk_types import snake

Body = dict[str, Any]


def plain(inputs: Inputs, *, without: Collection[str] = (), named: Mapping[str, str] | None = None) -> Body:
    names = named or {}
    return {
        names.get(name) or snake(name): _number(value)
        for name, value in inputs.items()
        if name not in without and name not in NEVER_SENT and value is not None
    }


# Inputs that are not in a request's body: the first is sent as a header, the second is Pulumi's own.
NEVER_SENT = ("namespace", "__defaults")


@dataclass(frozen=True, kw_only=True)
class Place:
    """API paths of a resource type. `{names}` in them are inputs, or outputs of the server."""

    at: str
    method: str = "POST"
    # Defaults of names in the path.
    defaults: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    # Returns the request's body; by default it is the remaining inputs.
    shaped: Callable[[Inputs], Body] | None = None
    # Path and body of an update, if they differ from the creation's.
    change: tuple[str, Callable[[Inputs], Body]] | None = None
    # Path and body of a second request, after creation and update. It is skipped if the body is empty.
    then: tuple[str, Callable[[Inputs], Body]] | None = None
    # Path for reading, by default the creation's; None if the resource can't be read.
    found: str | None = ""
    # Path for deletion, by default the creation's; None if Pulumi's provider sends no request.
    deleted: str | None = ""
    # Output -> its name in the answer to the creation.
    answers: Mapping[str, str] = field(default_factory=dict)
    # Output -> its name in the answer to a read.
    reads: Mapping[str, str] = field(default_factory=dict)
    # Id in Pulumi; by default the path of the creation.
    id: str = ""
    # Whether the resource can't be updated.
    once: bool = False
    # Whether creation fails if the resource exists, although the API would update it.
    exclusive: bool = False

    def path(self, template: str, properties: Inputs) -> str:
        return template.format_map({**self.defaults, **{name: _text(value) for name, value in properties.items()}})

    def body(self, inputs: Inputs) -> Body:
        if self.shaped:
            return self.shaped(inputs)
        return plain(inputs, without=set(re.findall(r"{(\w+)}", self.at)), named=self.named)


def of(token: str) -> Place:
    if token not in PLACES:
        raise RefusedError(f"{token}: the path of this type in Vault's API is unknown; add the path to {__name__}")
    return PLACES[token]


def _text(value: Any) -> str:
    return str(value).strip("/")


def _number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _number(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_number(one) for one in value]
    return value


TUNES = {
    "defaultLeaseTtlSeconds": "default_lease_ttl",
    "maxLeaseTtlSeconds": "max_lease_ttl",
    "defaultLeaseTtl": "default_lease_ttl",
    "maxLeaseTtl": "max_lease_ttl",
    "auditNonHmacRequestKeys": "audit_non_hmac_request_keys",
    "auditNonHmacResponseKeys": "audit_non_hmac_response_keys",
    "listingVisibility": "listing_visibility",
    "passthroughRequestHeaders": "passthrough_request_headers",
    "allowedResponseHeaders": "allowed_response_headers",
    "tokenType": "token_type",
}


def _tuned(inputs: Inputs) -> Body:
    return {api: _number(inputs[name]) for name, api in TUNES.items() if inputs.get(name) is not None}


def _mount(inputs: Inputs) -> Body:
    own = {name: inputs[name] for name in ("type", "description", "options", "local") if inputs.get(name) is not None}
    seal = {"seal_wrap": inputs["sealWrap"]} if inputs.get("sealWrap") is not None else {}
    return {**own, **seal, "config": _tuned(inputs)}


def _mount_changed(inputs: Inputs) -> Body:
    return {"description": inputs.get("description") or "", "options": inputs.get("options") or {}, **_tuned(inputs)}


def _auth(inputs: Inputs, kind: str = "") -> Body:
    own = {name: inputs[name] for name in ("description", "local") if inputs.get(name) is not None}
    return {"type": kind or inputs["type"], **own, "config": _tuned(inputs.get("tune") or {})}


def _auth_changed(inputs: Inputs) -> Body:
    return {"description": inputs.get("description") or "", **_tuned(inputs.get("tune") or {})}


OF_THE_MOUNT = ("path", "type", "description", "disableRemount", "local", "tune", "identityTokenKey", "accessor")


def _jwt_role(inputs: Inputs) -> Body:
    # The provider's default of `roleType` differs from the API's.
    return plain({"roleType": "oidc", **inputs}, without=("backend", "roleName"))


def _days(inputs: Inputs) -> Body:
    body = plain(inputs, without=("mount",))
    if (seconds := body.pop("delete_version_after", None)) is not None:
        body["delete_version_after"] = f"{seconds}s"
    return body


# Pulumi's plural names -> the API's names.
PLURAL = {
    "countries": "country",
    "localities": "locality",
    "organizations": "organization",
    "organizationUnit": "ou",
    "postalCodes": "postal_code",
    "provinces": "province",
    "streetAddresses": "street_address",
    "keyUsages": "key_usage",
    "extKeyUsages": "ext_key_usage",
}

# Lists that the API needs as one text.
COMMAS = ("altNames", "ipSans", "uriSans", "otherSans")


def _generated(inputs: Inputs) -> Body:
    if inputs.get("type") == "exported":
        raise RefusedError("type: exported would bring a private key into Pulumi's state; write `internal`")
    joined = {name: ",".join(inputs[name]) for name in COMMAS if isinstance(inputs.get(name), list)}
    without = ("backend", "type", "addBasicConstraints") if "type" in inputs else ("backend", "issuerRef", "revoke")
    body = plain({**inputs, **joined}, without=without, named=PLURAL)
    if inputs.get("addBasicConstraints"):
        body["add_basic_constraints"] = True
    return body


PLACES: Mapping[str, Place] = {
    "vault:index/mount:Mount": Place(
        at="sys/mounts/{path}",
        shaped=_mount,
        change=("sys/mounts/{path}/tune", _mount_changed),
        reads={"accessor": "accessor"},
        id="{path}",
    ),
    "vault:kv/secretBackendV2:SecretBackendV2": Place(at="{mount}/config", shaped=_days, deleted=None),
    "vault:index/policy:Policy": Place(at="sys/policies/acl/{name}", method="PUT", id="{name}", exclusive=True),
    "vault:index/passwordPolicy:PasswordPolicy": Place(
        at="sys/policies/password/{name}", method="PUT", id="{name}", exclusive=True
    ),
    "vault:index/audit:Audit": Place(at="sys/audit/{path}", method="PUT", found=None, id="{path}"),
    "vault:index/authBackend:AuthBackend": Place(
        at="sys/auth/{path}",
        shaped=_auth,
        change=("sys/mounts/auth/{path}/tune", _auth_changed),
        reads={"accessor": "accessor"},
        id="{path}",
    ),
    "vault:appRole/authBackendRole:AuthBackendRole": Place(
        at="auth/{backend}/role/{roleName}",
        defaults={"backend": "approle"},
        shaped=lambda inputs: plain(inputs, without=("backend", "roleName", "roleId")),
        then=("auth/{backend}/role/{roleName}/role-id", lambda inputs: plain({"roleId": inputs.get("roleId")})),
        exclusive=True,
    ),
    "vault:kubernetes/authBackendConfig:AuthBackendConfig": Place(
        at="auth/{backend}/config", defaults={"backend": "kubernetes"}, deleted=None
    ),
    "vault:kubernetes/authBackendRole:AuthBackendRole": Place(
        at="auth/{backend}/role/{roleName}", defaults={"backend": "kubernetes"}, exclusive=True
    ),
    "vault:jwt/authBackend:AuthBackend": Place(
        at="sys/auth/{path}",
        defaults={"path": "jwt"},
        shaped=lambda inputs: _auth(inputs, "jwt"),
        change=("sys/mounts/auth/{path}/tune", _auth_changed),
        then=("auth/{path}/config", lambda inputs: plain(inputs, without=OF_THE_MOUNT)),
        reads={"accessor": "accessor"},
        id="{path}",
    ),
    "vault:jwt/authBackendRole:AuthBackendRole": Place(
        at="auth/{backend}/role/{roleName}", defaults={"backend": "jwt"}, shaped=_jwt_role, exclusive=True
    ),
    "vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert": Place(
        at="{backend}/root/generate/{type}",
        shaped=_generated,
        found="{backend}/issuer/{issuerId}",
        deleted="{backend}/issuer/{issuerId}",
        answers={
            "certificate": "certificate",
            "issuingCa": "issuing_ca",
            "serialNumber": "serial_number",
            "issuerId": "issuer_id",
            "keyId": "key_id",
        },
        once=True,
    ),
    "vault:pkiSecret/secretBackendIntermediateCertRequest:SecretBackendIntermediateCertRequest": Place(
        at="{backend}/intermediate/generate/{type}",
        shaped=_generated,
        found="{backend}/key/{keyId}",
        deleted=None,
        answers={"csr": "csr", "keyId": "key_id"},
        once=True,
    ),
    "vault:pkiSecret/secretBackendRootSignIntermediate:SecretBackendRootSignIntermediate": Place(
        at="{backend}/root/sign-intermediate",
        shaped=_generated,
        found=None,
        deleted=None,
        answers={
            "certificate": "certificate",
            "caChains": "ca_chain",
            "issuingCa": "issuing_ca",
            "serialNumber": "serial_number",
        },
        id="{backend}/{serialNumber}",
        once=True,
    ),
    "vault:pkiSecret/secretBackendIntermediateSetSigned:SecretBackendIntermediateSetSigned": Place(
        at="{backend}/intermediate/set-signed",
        found=None,
        deleted=None,
        answers={"importedIssuers": "imported_issuers", "importedKeys": "imported_keys"},
        once=True,
    ),
    "vault:pkiSecret/secretBackendConfigUrls:SecretBackendConfigUrls": Place(at="{backend}/config/urls", deleted=None),
    "vault:pkiSecret/secretBackendCrlConfig:SecretBackendCrlConfig": Place(at="{backend}/config/crl", deleted=None),
    "vault:pkiSecret/secretBackendConfigIssuers:SecretBackendConfigIssuers": Place(
        at="{backend}/config/issuers", deleted=None
    ),
    "vault:pkiSecret/secretBackendRole:SecretBackendRole": Place(
        at="{backend}/roles/{name}", named=PLURAL, exclusive=True
    ),
}
