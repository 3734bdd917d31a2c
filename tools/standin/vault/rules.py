"""Rules of Vault beyond the SDK's types, each with its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.standin.forms import Between, Form, Like, OneOf, found
from tools.standin.problems import MISSING, Problem
from tools.standin.vault.identities import kind
from tools.standin.wire import has_unknown, is_unknown

Inputs = Mapping[str, Any]

# Vault, Policies.
CAPABILITIES = ("create", "read", "update", "patch", "delete", "list", "sudo", "deny", "subscribe", "recover")

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)([smhd]?)")

PATH = Like(r"(?!(sys|auth|cubbyhole|identity)(/|$))[\w.-]+(/[\w.-]+)*", "a mount's path, without slashes at its ends")
LIFE = Like(r"\d+[smhd]?", "seconds, or a number with s, m, h or d")
CIDR = Like(r"[0-9a-fA-F.:]+(/\d{1,3})?", "a network in CIDR notation")
ROLE = Like(r"[\w.-]+", "a role's name, of letters, digits, dots, dashes and underscores")


class Capabilities:
    """Accepts a policy with known capabilities."""

    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return None
        paths = re.findall(r'^\s*path\s+"([^"]*)"\s*\{', value, re.MULTILINE)
        lists = re.findall(r"capabilities\s*=\s*\[([^\]]*)\]", value)
        if not paths or len(lists) != len(paths):
            return "each path of a policy must have capabilities", 'write path "a/b" { capabilities = ["read"] }'
        unknown = [word for one in lists for word in re.findall(r'"([^"]*)"', one) if word not in CAPABILITIES]
        if unknown:
            return f"{unknown[0]} is not a capability", f"use {', '.join(CAPABILITIES)}"
        twice = [path for at, path in enumerate(paths) if path in paths[:at]]
        return (f"{twice[0]} occurs twice, and Vault ignores one of the two", "merge both") if twice else None


class Passwords:
    """Accepts a password policy with a length, and with rules for characters (Vault, Password policies)."""

    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return None
        length = re.search(r"^\s*length\s*=\s*(\d+)", value, re.MULTILINE)
        if not length or int(length[1]) < 4 or 'rule "charset"' not in value:  # noqa: PLR2004  Vault's least
            return (
                "a password policy must have a length of at least 4, and a charset",
                'write length = 20 and rule "charset"',
            )
        return None


# For roles of every auth method. 32 days are the default maximum of a server.
TOKENS: Mapping[str, Form] = {
    "roleName": ROLE,
    "tokenTtl": Between(0, 2764800),
    "tokenMaxTtl": Between(0, 2764800),
    "tokenType": OneOf(("default", "service", "batch", "default-service", "default-batch")),
    "tokenBoundCidrs[]": CIDR,
}

# `exported` is left out: a CA's key would be in Pulumi's state.
VALUES: Mapping[str, Mapping[str, Form]] = {
    "index:Mount": {"path": PATH, "options.version": OneOf(("1", "2"))},
    "kv:SecretBackendV2": {"maxVersions": Between(0, 4294967295), "deleteVersionAfter": Between(0, 4294967295)},
    # Vault changes names of policies to lower case: with others, each refresh would find a difference.
    "index:Policy": {
        "name": Like(r"(?!root$)[a-z0-9._-]+", "lower-case letters, digits and ._-"),
        "policy": Capabilities(),
    },
    "index:PasswordPolicy": {"policy": Passwords()},
    "index:Audit": {"type": OneOf(("file", "syslog", "socket"))},
    "index:AuthBackend": {"path": Like(r"[\w.-]+(/[\w.-]+)*", "a path without `auth/` and slashes at its ends")},
    "jwt:AuthBackend": {"type": OneOf(("jwt", "oidc")), "oidcDiscoveryUrl": Like(r"https?://\S+", "a URL")},
    "appRole:AuthBackendRole": {**TOKENS, "secretIdTtl": Between(0, 2147483647), "secretIdBoundCidrs[]": CIDR},
    "jwt:AuthBackendRole": {**TOKENS, "roleType": OneOf(("jwt", "oidc"))},
    "kubernetes:AuthBackendRole": {**TOKENS, "aliasNameSource": OneOf(("serviceaccount_uid", "serviceaccount_name"))},
    "pkiSecret:SecretBackendRootCert": {"type": OneOf(("internal", "existing", "kms")), "ttl": LIFE},
    "pkiSecret:SecretBackendIntermediateCertRequest": {"type": OneOf(("internal", "existing", "kms"))},
    "pkiSecret:SecretBackendRootSignIntermediate": {"ttl": LIFE, "format": OneOf(("pem", "pem_bundle", "der"))},
    "pkiSecret:SecretBackendRole": {
        "ttl": LIFE,
        "maxTtl": LIFE,
        "keyType": OneOf(("rsa", "ec", "ed25519", "any")),
        "allowedDomains[]": Like(r"[\w*{}. -]+", "a domain"),
    },
    "pkiSecret:SecretBackendCrlConfig": {"expiry": LIFE, "autoRebuildGracePeriod": LIFE},
    "pkiSecret:SecretBackendConfigUrls": {
        "issuingCertificates[]": Like(r"https?://\S+", "a URL"),
        "crlDistributionPoints[]": Like(r"https?://\S+", "a URL"),
    },
}


def problems(token: str, inputs: Inputs) -> Iterator[Problem]:
    what = kind(token)
    for path, rule in VALUES.get(what, {}).items():
        for at, value in found(inputs, path):
            if not has_unknown(value) and (broken := rule.problem(value)):
                yield Problem(at, value, broken[0], broken[1])
    if check := _TOGETHER.get(what):
        yield from check(inputs)


def _given(inputs: Inputs, *names: str) -> list[str]:
    return [name for name in names if inputs.get(name) not in (None, "", [])]


def _token(inputs: Inputs) -> Iterator[Problem]:
    # Vault, Tokens.
    ttl, most = inputs.get("tokenTtl"), inputs.get("tokenMaxTtl")
    if isinstance(ttl, int | float) and isinstance(most, int | float) and 0 < most < ttl:
        yield Problem("tokenTtl", ttl, "token_ttl must be at most token_max_ttl", "shorten token_ttl")


def _kubernetes(inputs: Inputs) -> Iterator[Problem]:
    # Vault, Kubernetes auth method API.
    yield from _token(inputs)
    if not _given(inputs, "boundServiceAccountNamespaces", "boundServiceAccountNamespaceSelector"):
        yield Problem("boundServiceAccountNamespaces", MISSING, "a role must be bound to namespaces", "name them")
    if inputs.get("boundServiceAccountNames") == ["*"] == inputs.get("boundServiceAccountNamespaces"):
        yield Problem("boundServiceAccountNames", ["*"], "a role must not accept every account", "name the account")


def _jwt(inputs: Inputs) -> Iterator[Problem]:
    # Vault, JWT/OIDC auth method API.
    yield from _token(inputs)
    bound = ("boundAudiences", "boundSubject", "boundClaims", "tokenBoundCidrs")
    if inputs.get("roleType") == "jwt" and not _given(inputs, *bound):
        yield Problem("boundSubject", MISSING, "a role of type jwt must have a bound claim", "add bound_subject")


def _keys(inputs: Inputs) -> Iterator[Problem]:
    # Vault, JWT/OIDC auth method API, Configure.
    ways = ("oidcDiscoveryUrl", "jwksUrl", "jwksPairs", "jwtValidationPubkeys")
    if len(_given(inputs, *ways)) != 1:
        yield Problem("oidcDiscoveryUrl", inputs.get("oidcDiscoveryUrl", MISSING), "the issuer's keys must have one "
        "source",
                      "set one of oidc_discovery_url, jwks_url, jwks_pairs and jwt_validation_pubkeys")  # fmt: skip


def _audit(inputs: Inputs) -> Iterator[Problem]:
    # Vault, File audit device.
    options = inputs.get("options")
    if inputs.get("type") == "file" and isinstance(options, Mapping) and "file_path" not in options:
        yield Problem("options.file_path", MISSING, "a file device must have a path", "add file_path")


def _life(inputs: Inputs) -> Iterator[Problem]:
    # Vault, PKI (API), Create/Update role.
    if _seconds(inputs.get("ttl")) > (_seconds(inputs.get("maxTtl")) or float("inf")):
        yield Problem("ttl", inputs.get("ttl"), "ttl must be at most max_ttl", "shorten ttl")


def _rebuilt(inputs: Inputs) -> Iterator[Problem]:
    # Vault, PKI (API), Set revocation configuration.
    grace, expiry = inputs.get("autoRebuildGracePeriod"), inputs.get("expiry")
    if inputs.get("autoRebuild") and expiry and _seconds(grace) >= _seconds(expiry):
        yield Problem("autoRebuildGracePeriod", grace, "the grace period must be shorter than expiry", "shorten it")


def _seconds(text: Any) -> float:
    matched = None if is_unknown(text) else _DURATION.fullmatch(str(text))
    return int(matched[1]) * _UNITS[matched[2]] if matched else 0


_TOGETHER: Mapping[str, Callable[[Inputs], Iterator[Problem]]] = {
    "appRole:AuthBackendRole": _token,
    "kubernetes:AuthBackendRole": _kubernetes,
    "jwt:AuthBackendRole": _jwt,
    "jwt:AuthBackend": _keys,
    "index:Audit": _audit,
    "pkiSecret:SecretBackendRole": _life,
    "pkiSecret:SecretBackendCrlConfig": _rebuilt,
}
