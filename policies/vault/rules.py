"""Rules on Vault: access, certificates, versions, audit log."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from policies.controls import controls
from policies.kubernetes.objects import PODS, annotations_of
from policies.matchers import at, between, is_true, judge, listed, not_set, one_of, require, required, with_name
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import PRODUCTION, Each, Enforcement, Expect, Rule, is_of, protected
from policies.vault.access import (
    APPROLE,
    JWT,
    KUBERNETES,
    POLICY,
    ROLES,
    changes_no_vault,
    is_an_address,
    names_each_path,
    role_policies,
)

_PROVIDER = "pulumi:providers:vault"
_STORE = "coreflux-mcp-secrets:vault:SecretStore"
_MOUNT = "vault:index/mount:Mount"
_VERSIONS = "vault:kv/secretBackendV2:SecretBackendV2"
_AUDIT = "vault:index/audit:Audit"
_PASSWORDS = "vault:index/passwordPolicy:PasswordPolicy"
_CAS = (
    "vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert",
    "vault:pkiSecret/secretBackendIntermediateCertRequest:SecretBackendIntermediateCertRequest",
)
_CA_SIGNED = "vault:pkiSecret/secretBackendRootSignIntermediate:SecretBackendRootSignIntermediate"
_CA_ROLE = "vault:pkiSecret/secretBackendRole:SecretBackendRole"
_METHOD = "vault:jwt/authBackend:AuthBackend"
_COPIES = "kubernetes:*:SecretStore"
_CRL = "vault:pkiSecret/secretBackendCrlConfig:SecretBackendCrlConfig"
_URLS = "vault:pkiSecret/secretBackendConfigUrls:SecretBackendConfigUrls"

_AGENT = "vault.hashicorp.com/"
_AGENT_SECRET = f"{_AGENT}agent-inject-secret-"

_HOUR = 3600
_DAY = 24 * _HOUR
_UNITS = {"": 1, "s": 1, "m": 60, "h": _HOUR, "d": _DAY}
# Maximum lifetime of a client certificate in seconds: the Secret Management Guide's 90 days.
_LONGEST_CERTIFICATE = 90 * _DAY
_LONGEST_CRL = 72 * _HOUR
_FEWEST_BITS = {"ec": 256, "rsa": 3072}
# Number of versions per secret: at least the pending, current and previous one; at most what the stack file accepts.
_VERSION_COUNTS = (3, 100)
_SHORTEST_PASSWORD = 32
# A password must contain a character of each charset.
_CHARSETS = ("a", "A", "0")

# Settings that let a PKI role sign more than one client's name; some are on by default. Also noStore: Vault can't
# revoke a certificate that it does not store.
_WIDENS = (
    *("allowAnyName", "allowSubdomains", "allowGlobDomains", "allowWildcardCertificates", "allowLocalhost"),
    *("allowIpSans", "serverFlag", "codeSigningFlag", "emailProtectionFlag", "noStore"),
)
_NARROWS = ("clientFlag", "enforceHostnames", "requireCn")


def _is_https(address: Any) -> bool:
    return isinstance(address, str) and address.startswith("https://")


def _is_https_or_none(address: Any) -> bool:
    return address is None or _is_https(address)


def _lasts_at_most(longest: int, duration: Any) -> bool:
    found = re.fullmatch(r"(\d+)([smhd]?)", str(duration))
    return found is not None and 0 < int(found[1]) * _UNITS[found[2]] <= longest


_is_short = partial(_lasts_at_most, _LONGEST_CERTIFICATE)
_is_soon = partial(_lasts_at_most, _LONGEST_CRL)


def _names_one(entry: Any) -> bool:
    first, *others = listed(entry) or [entry]
    return not others and isinstance(first, str) and bool(first) and "*" not in first


def _signs_one(domains: Any) -> bool:
    return len(listed(domains)) == 1 and "*" not in str(domains[0])


def _is_for_vault(audiences: Any) -> bool:
    return bool(audiences) and not any(map(is_an_address, listed(audiences) or [audiences]))


def _is_one_policy(policies: Any) -> bool:
    return len(listed(policies)) == 1 and policies[0] not in ("root", "default")


def _makes_long(policy: Any) -> bool:
    length = re.search(r"(?m)^\s*length\s*=\s*(\d+)", str(policy))
    found = re.findall(r'charset\s*=\s*"([^"]+)"\s*min-chars\s*=\s*(\d+)', str(policy))
    needed = [charset for charset, least in found if int(least)]
    is_long = length is not None and int(length[1]) >= _SHORTEST_PASSWORD
    return is_long and all(any(one in charset for charset in needed) for one in _CHARSETS)


def _look_at_agent(one: Resource) -> Iterator[Finding]:
    found = annotations_of(one)
    if at(found, f"{_AGENT}agent-inject") is None:
        return
    for key, ok, wrong in (
        ("service", _is_https, "is not an https:// address; set an https:// address"),
        ("agent-revoke-on-shutdown", one_of("true"), "is off: the token outlives the pod; set it to true"),
        (
            "agent-run-as-user",
            lambda user: user not in (None, "", "0"),
            "is root, or the image's user; set the pod's uid",
        ),
    ):
        if key == "agent-run-as-user" and at(found, f"{_AGENT}agent-set-security-context") == "false":
            continue  # the platform then assigns the agent the same uid as the pod
        yield from judge(one, at(found, f"{_AGENT}{key}"), ok, f"the agent's {key}", wrong)
    for key in sorted(found) if isinstance(found, Mapping) else ():
        if key.startswith(_AGENT_SECRET):
            what = f"agent-inject-perms-{key.removeprefix(_AGENT_SECRET)}"
            wrong = "lets other users of the pod read the secret; set 0400"
            yield from judge(one, at(found, f"{_AGENT}{what}"), one_of("0400", "0440"), what, wrong)


def _look_at_audit_file(device: Resource) -> Iterator[Finding]:
    if at(device.properties, "type") != "file":
        return
    options = at(device.properties, "options")
    path = at(options, "file_path")
    yield from judge(
        device,
        path,
        lambda path: path not in (None, "", "discard"),
        "file_path",
        "is missing or discard: nothing is recorded; set a path",
    )
    if isinstance(path, str) and path not in ("stdout", "discard"):
        mode = at(options, "mode")
        wrong = "allows accounts other than Vault's to read the log; set 0600"
        yield from judge(device, mode, lambda mode: str(mode).lstrip("0") in ("600", "400"), "the file's mode", wrong)


def _look_at_key(made: Resource) -> Iterator[Finding]:
    key = (at(made.properties, "keyType"), at(made.properties, "keyBits"))
    wrong = "is missing or below 128 bits of security; set ec with 256 bits, or rsa with 3072"

    def is_strong(key: tuple[Any, Any]) -> bool:
        return isinstance(key[1], int) and key[1] >= _FEWEST_BITS.get(str(key[0]), math.inf)

    yield from judge(made, key, is_strong, "the strength of its key", wrong)


def _look_at_login(provider: Resource) -> Iterator[Finding]:
    for key in sorted({"token", *(key for key in provider.properties if key.startswith("authLogin"))}):
        wrong = "puts a login into the state; use the operator's VAULT_TOKEN"
        yield from judge(provider, at(provider.properties, key), one_of(None), key, wrong)


def _look_at_addresses(plan: Plan) -> Iterator[Finding]:
    yield from required(
        "no Vault provider: the operator's variables would select the server; add a provider", _PROVIDER
    )(plan)
    if at(plan.manifest, "store", "kind") == "vault":
        address = at(plan.manifest, "store", "address")
        yield from judge(
            plan,
            address,
            _is_https,
            "the store's address in the manifest",
            "is not https://; write store.address with https://",
        )


def _look_at_other_logins(one: Resource) -> Iterator[Finding]:
    if one.type not in ROLES and re.search(r"(?i)authBackend(Role|User|Group)\b|vault:(identity|github)/", one.type):
        yield Finding(
            one.urn, "grants policies by a login that no rule checks; use a role of approle, jwt or kubernetes"
        )


def _look_at_role_policies(plan: Plan) -> Iterator[Finding]:
    own = [at(policy.properties, "name") for policy in plan.of_type(POLICY)]
    for role in plan.of_type(*ROLES):
        both = (at(role.properties, "tokenPolicies"), own)
        wrong = "names a policy that the stack does not define, so nobody reviews it here; use the role's own policy"
        yield from judge(role, both, lambda both: {*listed(both[0])} <= {*both[1]}, "tokenPolicies", wrong)


def _look_at_policies_of_roles(plan: Plan) -> Iterator[Finding]:
    granted = role_policies(plan)
    for policy in plan.of_type(POLICY):
        name = at(policy.properties, "name")
        if name in granted or UNKNOWN in (name, *granted):
            entry = (at(policy.properties, "policy"), name, granted)
            wrong = "has a wildcard, list, sudo, or a path of Vault itself; grant each right on one path of a secret"
            yield from judge(policy, entry, lambda entry: names_each_path(entry[0]), "the policy of a role", wrong)


def _look_at_trail(plan: Plan) -> Iterator[Finding]:
    if not any(plan.of_type(_AUDIT)):
        wrong = (
            "is empty, and the stack has no audit device; set store.audit_files, or output the configuration for "
            "Vault's operators"
        )
        yield from judge(plan, at(plan.outputs, "trail", "policy"), bool, "the output trail.policy", wrong)


def _look_at_cas(plan: Plan) -> Iterator[Finding]:
    for mount in plan.of_type(_MOUNT):
        if at(mount.properties, "type") == "pki":
            for kind in (_CRL, _URLS):
                found = with_name(plan, kind, "backend", name=at(mount.properties, "path"))
                yield from require(
                    mount, found, kind.rpartition(":")[2], "clients find no current CRL; add the missing resource"
                )


def _look_at_mounts(plan: Plan) -> Iterator[Finding]:
    if not any(at(mount.properties, "type") in ("kv", UNKNOWN) for mount in plan.of_type(_MOUNT)):
        yield Finding(plan.urn, "the stack has no mount of its secrets; add a Mount of KV v2")
    for mount in plan.of_type(_MOUNT):
        kind, path = (at(mount.properties, key) for key in ("type", "path"))
        yield from judge(mount, (kind, path), lambda _: True, "its type or path", "")
        if kind == "kv":
            found = with_name(plan, _VERSIONS, "mount", name=path)
            yield from require(
                mount,
                found,
                "SecretBackendV2",
                "Vault's default would set the number of versions; add a SecretBackendV2",
            )


def _look_at_version(mount: Resource) -> Iterator[Finding]:
    if at(mount.properties, "type") == "kv":
        version = at(mount.properties, "options", "version")
        wrong = "is not 2: version 1 overwrites values; set options.version to 2"
        yield from judge(mount, version, lambda version: str(version) == "2", "its KV version", wrong)


def _has_ca(plan: Plan) -> bool:
    return any(plan.of_type(_CRL)) or any(at(mount.properties, "type") == "pki" for mount in plan.of_type(_MOUNT))


def _has_agent(plan: Plan) -> bool:
    pods = (one for one in plan.resources if is_of(one, PODS))
    return any(at(annotations_of(one), f"{_AGENT}agent-inject") is not None for one in pods)


ENCRYPTED = ("vault",)
VALUES = (
    r"vault:((kv|generic)/secret(V2)?|generic/endpoint|index/token|appRole/authBackend(RoleSecretId|Login)):\w+",
    r"vault:pkiSecret/(secretBackendCert|secretBackendConfigCa|backendExportKey):\w+",
)
HOLDS = (protected(_MOUNT, _AUDIT),)

RULES: tuple[Rule, ...] = (
    Rule(
        name="vault-agent-files-are-closed",
        sentence="The agent writes each secret to a file that only its reader can open, and revokes its token at exit.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "only the declared reader can open a secret's file"),
        limitation="The rule does not check what the cluster's injector adds to its agents by default.",
        checks=(Each(PODS, _look_at_agent),),
        applies=_has_agent,
    ),
    Rule(
        name="vault-audit-hides-values",
        sentence="Each audit device writes values as HMACs, to a file that only Vault reads.",
        controls=controls("CC7.2 8.3.2 10.3.1 164.312(b) 32(1)(b)", "readers of the audit log read no value"),
        limitation="The rule does not check whether the log is shipped and retained: Vault's operators do that.",
        checks=(
            Expect(
                _AUDIT,
                "options.log_raw",
                one_of(None, "false", False),
                "is on: values are logged in plain text; remove this property",
            ),
            Each(_AUDIT, _look_at_audit_file),
        ),
    ),
    Rule(
        name="vault-ca-keys-stay",
        sentence="The key of each CA is strong, and Vault creates it and never releases it.",
        controls=controls("CC6.1 4.2.1 164.312(d) 32(1)(a)", "only the CA in Vault can sign trusted certificates"),
        limitation="The rule does not check how Vault seals its storage: its operators configure that.",
        checks=(
            Expect(
                _CAS, "type", one_of("internal", "kms"), "is not internal: the key would be in the state; set internal"
            ),
            Each(_CAS, _look_at_key),
            Expect(_CA_SIGNED, "maxPathLength", one_of(0), "is not 0: the intermediate could sign other CAs; set 0"),
        ),
    ),
    Rule(
        name="vault-ca-signs-clients-alone",
        sentence="The CA signs certificates for one client name only, for at most 90 days, and can revoke them.",
        controls=controls("CC6.1 4.2.1 164.312(d) 32(1)(a)", "a certificate identifies one client"),
        limitation="The rule does not check whether the broker trusts only this CA, or whether it reads the CRL.",
        checks=(
            *(
                Expect(_CA_ROLE, key, one_of(False), "is not false: the role would allow more; set false")
                for key in _WIDENS
            ),
            *(Expect(_CA_ROLE, key, is_true, "is not true: the role would allow more; set true") for key in _NARROWS),
            Expect(_CA_ROLE, "allowedDomains", _signs_one, "is not exactly one name without *; set the client's name"),
            Expect(_CA_ROLE, "maxTtl", _is_short, "is missing or over 90 days; set 2160h or less"),
        ),
    ),
    Rule(
        name="vault-is-reached-by-tls",
        sentence="Operators, readers and the rotator connect to Vault by TLS.",
        controls=controls("CC6.7 8.3.2 164.312(e)(1) 164.312(e)(2)(ii) 32(1)(a)", "secrets are encrypted in transit"),
        limitation="The rule does not check which versions and ciphers of TLS the server accepts: its own "
        "configuration sets that.",
        checks=(
            Expect(_PROVIDER, "address", _is_https, "is not https://: secrets travel in plain text; use https://"),
            Expect(_PROVIDER, "skipTlsVerify", one_of(False, "false"), "is on, or left to a variable; set it to false"),
            Expect(_COPIES, "spec.provider.vault.server", _is_https_or_none, "is not https://; use https://"),
            Expect(
                _METHOD,
                "oidcDiscoveryUrl",
                _is_https,
                "is not https://: keys of tokens travel in plain text; use https://",
            ),
        ),
        across=_look_at_addresses,
        applies=lambda plan: any(plan.of_type(_PROVIDER, _STORE)),
    ),
    Rule(
        name="vault-logins-are-bound",
        sentence="Every role can be used by one workload only: one subject, one service account, or the holder of a "
        "secret id.",
        controls=controls("CC6.1 7.2.5 164.312(d) 32(1)(b)", "a reader is identified before it reads"),
        limitation="The rule does not check who may create a token of that account, or who delivers the secret id.",
        checks=(
            Expect(JWT, "boundSubject", _names_one, "admits other workloads of the issuer; set one subject"),
            Expect(JWT, "boundAudiences", _names_one, "admits tokens for other servers; set one audience"),
            Expect(JWT, "boundAudiences", _is_for_vault, "admits tokens for the API server; set Vault's own audience"),
            *(
                Expect(KUBERNETES, key, _names_one, "admits other pods; set one service account and its namespace")
                for key in ("boundServiceAccountNames", "boundServiceAccountNamespaces")
            ),
            Expect(KUBERNETES, "boundServiceAccountNamespaceSelector", not_set, "admits other namespaces; remove it"),
            Expect(
                APPROLE,
                "bindSecretId",
                one_of(None, True),
                "is off: the role id alone is enough to log in; remove this property",
            ),
            Each("vault:*", _look_at_other_logins),
        ),
    ),
    Rule(
        name="vault-logins-end",
        sentence="A token lasts an hour unless renewed, and at most a day. A secret id lasts at most a year.",
        controls=controls(
            "CC6.1 CC6.3 8.6.3 164.312(a)(2)(iii) 32(1)(b)", "a leaked credential is valid for a limited time"
        ),
        limitation="The rule does not check whether an operator replaces a secret id in time: secretops status shows "
        "when it expires.",
        checks=(
            Expect(ROLES, "tokenTtl", between(1, _HOUR), "is missing or over 3600 s; set 3600"),
            Expect(ROLES, "tokenMaxTtl", between(1, _DAY), "is missing or over 86400 s; set 86400"),
            Expect(ROLES, "tokenPeriod", not_set, "allows unlimited renewal of a token; remove this property"),
            Expect(APPROLE, "secretIdTtl", between(1, 366 * _DAY), "is missing or over a year; set 7776000, 90 days"),
        ),
    ),
    Rule(
        name="vault-operators-run-nothing",
        sentence="No policy of the stack, not even the operators', changes Vault itself or reads values by a wildcard.",
        controls=controls("CC6.3 7.2.2 164.312(a)(1) 32(4)", "operators have only the rights for their tasks"),
        limitation="The rule does not check who gets an operator's policy: an auth method of Vault's operators grants "
        "it.",
        checks=(
            Expect(
                POLICY, "policy", changes_no_vault, "changes Vault, reads by a wildcard, or can't be parsed; name paths"
            ),
        ),
    ),
    Rule(
        name="vault-passwords-are-long",
        sentence="Vault generates passwords of at least 32 characters, with upper-case letters, lower-case letters "
        "and digits.",
        controls=controls("CC6.1 8.6.3 164.312(d) 32(1)(b)", "passwords can't be guessed"),
        limitation="The rule does not check whether operators use these passwords instead of their own.",
        checks=(
            Expect(
                _PASSWORDS,
                "policy",
                _makes_long,
                "is under 32 characters, or lacks a min-chars rule; require both letter cases and digits",
            ),
        ),
        across=required("no PasswordPolicy: operators would invent passwords; add a PasswordPolicy", _PASSWORDS),
        types=(_STORE,),
    ),
    Rule(
        name="vault-pod-tokens-are-for-vault",
        sentence="The token with which a pod logs in to Vault is valid for Vault only.",
        controls=controls("CC6.1 7.2.5 164.312(d) 32(1)(b)", "a token is valid for one server"),
        limitation="The rule does not check whether the cluster's auth method checks the audience: Vault's operators "
        "configure that.",
        checks=(
            Expect(KUBERNETES, "audience", _is_for_vault, "is missing, or a URL such as the API server's; set vault"),
        ),
        enforcement=Enforcement.ADVISORY,
    ),
    Rule(
        name="vault-policies-name-paths",
        sentence="The policies of server and rotator name every path in full, and allow neither list nor sudo.",
        controls=controls("CC6.3 7.2.5 7.3.3 164.312(a)(1) 32(1)(b)", "a role reads only the secrets that it uses"),
        limitation="The rule does not see policies that others grant: a principal that may write policies can grant "
        "itself any right.",
        across=_look_at_policies_of_roles,
        applies=lambda plan: any(plan.of_type(POLICY)) and any(plan.of_type(*ROLES)),
    ),
    Rule(
        name="vault-production-is-recorded",
        sentence="A production stack enables an audit device, or outputs what Vault's operators add.",
        controls=controls("CC7.2 10.2.1 164.312(b) 32(1)(d)", "reads of secrets are recorded"),
        limitation="The rule does not check whether Vault's operators followed that output. secretops doctor "
        "checks it, except in a namespace.",
        across=_look_at_trail,
        types=("vault:*",),
        environments=PRODUCTION,
        enforcement=Enforcement.ADVISORY,
    ),
    Rule(
        name="vault-provider-has-no-token",
        sentence="The provider of Vault has no token and no login among its inputs.",
        controls=controls("CC6.1 8.3.2 164.312(d) 32(1)(b)", "the state has no operator's login"),
        limitation="The rule does not check what the operator's own token may do in Vault, and how long it is valid.",
        checks=(Each(_PROVIDER, _look_at_login),),
    ),
    Rule(
        name="vault-revocations-are-published",
        sentence="Each CA has a CRL that is renewed automatically and that its certificates name.",
        controls=controls("CC6.3 4.2.1 164.312(d) 32(1)(b)", "the broker can find out which certificates are revoked"),
        limitation="The rule does not check whether the broker reads the CRL.",
        checks=(
            Expect(_CRL, "disable", one_of(None, False), "hides revoked certificates; remove this property"),
            Expect(_CRL, "autoRebuild", is_true, "is off: the CRL expires; set it to true"),
            Expect(_CRL, "expiry", _is_soon, "is missing or over 72h; set 72h"),
            Expect(_URLS, "crlDistributionPoints", bool, "is empty: certificates name no CRL; set the CRL's URL"),
        ),
        across=_look_at_cas,
        applies=_has_ca,
    ),
    Rule(
        name="vault-roles-have-one-policy",
        sentence="Every role grants exactly one policy, which the stack defines.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "a role has the rights that were reviewed"),
        limitation="The rule does not see policies that Vault's own entities and groups add to a token.",
        checks=(
            Expect(
                ROLES,
                "tokenPolicies",
                _is_one_policy,
                "is not exactly one policy, other than root and default; set the role's own policy",
            ),
            Expect(
                ROLES,
                "tokenNoDefaultPolicy",
                is_true,
                "is not true, so Vault also grants its policy `default`; set true",
            ),
        ),
        across=_look_at_role_policies,
    ),
    Rule(
        name="vault-versions-are-retained",
        sentence="The mount of the secrets is KV v2, retains at least three versions, and rejects concurrent writes.",
        controls=controls("A1.2 164.312(c)(1) 32(1)(c)", "the previous value can be restored"),
        limitation="The rule does not check whether Vault's storage is backed up.",
        checks=(
            Each(_MOUNT, _look_at_version),
            Expect(_VERSIONS, "maxVersions", between(*_VERSION_COUNTS), "is not from 3 to 100; set store.max_versions"),
            Expect(_VERSIONS, "casRequired", is_true, "is off: one of two writes is lost; set it to true"),
            Expect(_VERSIONS, "deleteVersionAfter", not_set, "deletes versions that are in use; remove this property"),
        ),
        across=_look_at_mounts,
        types=(_STORE,),
    ),
)
