"""Inputs for the stand-in for Vault: what is right of each type, in other ways too, and what is wrong, planted."""

from __future__ import annotations

from typing import Any

from tests.tools.standin_inputs import GONE

ADDRESS = "https://vault.example.com:8200"

MOUNT = "vault:index/mount:Mount"
KEPT = "vault:kv/secretBackendV2:SecretBackendV2"
POLICY = "vault:index/policy:Policy"
GENERATED = "vault:index/passwordPolicy:PasswordPolicy"
AUDIT = "vault:index/audit:Audit"
METHOD = "vault:index/authBackend:AuthBackend"
JWT = "vault:jwt/authBackend:AuthBackend"
BY_SECRET_ID = "vault:appRole/authBackendRole:AuthBackendRole"
BY_JWT = "vault:jwt/authBackendRole:AuthBackendRole"
BY_ACCOUNT = "vault:kubernetes/authBackendRole:AuthBackendRole"
ROOT = "vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert"
REQUEST = "vault:pkiSecret/secretBackendIntermediateCertRequest:SecretBackendIntermediateCertRequest"
SIGNS = "vault:pkiSecret/secretBackendRootSignIntermediate:SecretBackendRootSignIntermediate"
SIGNED = "vault:pkiSecret/secretBackendIntermediateSetSigned:SecretBackendIntermediateSetSigned"
URLS = "vault:pkiSecret/secretBackendConfigUrls:SecretBackendConfigUrls"
REVOKED = "vault:pkiSecret/secretBackendCrlConfig:SecretBackendCrlConfig"
ISSUES = "vault:pkiSecret/secretBackendRole:SecretBackendRole"

READS = 'path "plant/data/mqtt" {\n  capabilities = ["read"]\n}\n'
LENGTH = 'length = 40\nrule "charset" {\n  charset = "abc"\n}\n'
ROLE: dict[str, Any] = {
    "roleName": "plant-server",
    "tokenPolicies": ["plant-server"],
    "tokenNoDefaultPolicy": True,
    "tokenTtl": 3600,
    "tokenMaxTtl": 86400,
}

RIGHT: dict[str, dict[str, Any]] = {
    MOUNT: {"path": "plant", "type": "kv", "options": {"version": "2"}},
    KEPT: {"mount": "plant", "maxVersions": 5, "casRequired": True, "deleteVersionAfter": 0},
    POLICY: {"name": "plant-server", "policy": READS},
    GENERATED: {"name": "plant", "policy": LENGTH},
    AUDIT: {"type": "file", "path": "plant", "options": {"file_path": "/vault/audit/plant.log"}},
    METHOD: {"type": "approle", "path": "plant-approle"},
    JWT: {"type": "jwt", "path": "plant-jwt", "oidcDiscoveryUrl": "https://issuer.example.com"},
    BY_SECRET_ID: {**ROLE, "backend": "plant-approle", "roleId": "plant-server", "secretIdTtl": 604800},
    BY_JWT: {**ROLE, "backend": "plant-jwt", "roleType": "jwt", "userClaim": "sub", "boundSubject": "mcp"},
    BY_ACCOUNT: {
        **ROLE,
        "backend": "kubernetes",
        "boundServiceAccountNames": ["mcp"],
        "boundServiceAccountNamespaces": ["plant"],
        "audience": "vault",
    },
    ROOT: {"backend": "plant-root", "type": "internal", "commonName": "plant root", "ttl": "315360000"},
    REQUEST: {"backend": "plant-pki", "type": "internal", "commonName": "plant", "keyType": "ec", "keyBits": 256},
    SIGNS: {"backend": "plant-root", "csr": "a request", "commonName": "plant", "ttl": "8760h", "maxPathLength": 0},
    SIGNED: {"backend": "plant-pki", "certificate": "a certificate"},
    URLS: {"backend": "plant-pki", "crlDistributionPoints": [f"{ADDRESS}/v1/plant-pki/crl"]},
    REVOKED: {"backend": "plant-pki", "expiry": "72h", "autoRebuild": True, "autoRebuildGracePeriod": "24h"},
    ISSUES: {"backend": "plant-pki", "name": "client", "allowedDomains": ["plant"], "ttl": "30d", "maxTtl": "30d"},
}

AS_RIGHT: list[tuple[str, str, object]] = [
    (MOUNT, "path", "clusters/plant/kv"),
    (POLICY, "policy", READS + 'path "plant/metadata/+" {\n  capabilities = ["list", "delete"]\n}\n'),
    (BY_SECRET_ID, "tokenMaxTtl", 0),
    (BY_SECRET_ID, "tokenBoundCidrs", ["10.0.0.0/8", "fd00::/8"]),
    (BY_ACCOUNT, "boundServiceAccountNames", ["*"]),
    (AUDIT, "type", "syslog"),
    (ISSUES, "maxTtl", "2592000"),
    (REVOKED, "autoRebuild", False),
]

WRONG: list[tuple[str, str, str, object, str]] = [
    # what is planted, in which type, under which name, and where it is told
    ("a mount at a path of Vault's own", MOUNT, "path", "sys/plant", "path"),
    ("a mount with a slash at its end", MOUNT, "path", "plant/", "path"),
    ("a version of KV that is none", MOUNT, "options", {"version": "3"}, "options.version"),
    ("versions as text", KEPT, "maxVersions", "five", "maxVersions"),
    ("a policy's name with a capital", POLICY, "name", "Plant", "name"),
    ("the policy of root", POLICY, "name", "root", "name"),
    ("a capability that is none", POLICY, "policy", READS.replace("read", "write"), "policy"),
    ("a path without capabilities", POLICY, "policy", 'path "plant" {\n}\n', "policy"),
    ("a path that is there twice", POLICY, "policy", READS * 2, "policy"),
    ("a password of three characters", GENERATED, "policy", LENGTH.replace("40", "3"), "policy"),
    ("a device that is none", AUDIT, "type", "disk", "type"),
    ("a file device without a file", AUDIT, "options", {"mode": "0600"}, "options.file_path"),
    ("a method with its auth/ before it", METHOD, "path", "/auth", "path"),
    ("an issuer that is no URL", JWT, "oidcDiscoveryUrl", "issuer", "oidcDiscoveryUrl"),
    ("no way to the issuer's keys", JWT, "oidcDiscoveryUrl", GONE, "oidcDiscoveryUrl"),
    ("a life longer than the longest", BY_SECRET_ID, "tokenTtl", 90000, "tokenTtl"),
    ("a network that is none", BY_SECRET_ID, "secretIdBoundCidrs", ["plant"], "secretIdBoundCidrs[0]"),
    ("a secret id as an input", BY_SECRET_ID, "secretId", "abc", "secretId"),
    ("a role bound to nobody", BY_JWT, "boundSubject", GONE, "boundSubject"),
    ("a role without a claim", BY_JWT, "userClaim", GONE, "userClaim"),
    ("accounts as one text", BY_ACCOUNT, "boundServiceAccountNames", "mcp", "boundServiceAccountNames"),
    ("no namespace", BY_ACCOUNT, "boundServiceAccountNamespaces", GONE, "boundServiceAccountNamespaces"),
    ("a key that leaves Vault", ROOT, "type", "exported", "type"),
    ("a request whose key leaves Vault", REQUEST, "type", "exported", "type"),
    ("a life that is none", SIGNS, "ttl", "ten years", "ttl"),
    ("nothing that was signed", SIGNED, "certificate", GONE, "certificate"),
    ("a place that is no URL", URLS, "crlDistributionPoints", ["plant-pki/crl"], "crlDistributionPoints[0]"),
    ("a list made anew after its end", REVOKED, "autoRebuildGracePeriod", "80h", "autoRebuildGracePeriod"),
    ("a certificate longer than the longest", ISSUES, "ttl", "40d", "ttl"),
    ("a kind of key that is none", ISSUES, "keyType", "elliptic", "keyType"),
]
