"""The rules for Vault: each fails on the one thing that breaks it, and says so where that is not known yet.

That all shipped stacks keep all of them is for tests/unit/test_policy_pack.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from policies.rule import UNKNOWN, Enforcement, Environment, Plan
from policies.vault.access import rights
from tests.unit import vault_stack
from tests.unit.policy_plans import Break, changed, holds, named, plan_of, row, shipped, verdicts, without

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

AGENT = ("spec", "template", "metadata", "annotations")
INJECTED = "vault.hashicorp.com/"
BASE = "coreflux-mcp-prod-vault-kubernetes"
API_SERVER = "https://kubernetes.default.svc.cluster.local"


def pods() -> Plan:
    """An agent lays files into them; they log in as service accounts."""
    return shipped("prod-vault-kubernetes")


def here() -> Plan:
    """A launcher of this machine asks; it logs in by a secret id."""
    return shipped("dev-vault-local")


@cache
def everything() -> Plan:
    """Login by jwt, a PKI, an audit file."""
    return plan_of(vault_stack.with_every_option(), "prod")


@cache
def copied() -> Plan:
    """By External Secrets."""
    return plan_of(vault_stack.by_external_secrets(), "prod")


@cache
def unrecorded() -> Plan:
    """An OpenBao, whose API enables no audit device: the stack gives its text."""
    return plan_of(vault_stack.for_pods(", product: openbao"), "prod")


def of_pods(rule: str, at: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"vault-{rule}", pods, at, *path, to=to, **more)


def by_jwt(rule: str, at: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"vault-{rule}", everything, at, *path, to=to, **more)


def by_approle(rule: str, at: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"vault-{rule}", here, at, *path, to=to, **more)


def may(path: str, *capabilities: str) -> Any:
    """A policy with one right more."""
    said = ", ".join(f'"{one}"' for one in capabilities)
    return lambda policy: f'{policy}path "{path}" {{\n  capabilities = [{said}]\n}}\n'


def pki(key: str, to: Any) -> Break:
    return by_jwt("ca-signs-clients-alone", "pki-client", key, to=to)


def gone(rule: str, at: str, *, plan: Callable[[], Plan] = pods) -> Break:
    """What has to be there is not."""
    return Break(rule=f"vault-{rule}", plan=plan, change=without(at))


BREAKS: tuple[Break, ...] = (
    of_pods("is-reached-by-tls", "vault", "address", to="http://vault.example.com:8200"),
    gone("is-reached-by-tls", "vault"),
    of_pods("is-reached-by-tls", "vault", "address", to=None),
    of_pods("is-reached-by-tls", "vault", "skipTlsVerify", to="true"),
    of_pods("is-reached-by-tls", "vault", "skipTlsVerify", to=None),
    of_pods("is-reached-by-tls", "", "secretops", "store", "address", to="http://vault.example.com:8200"),
    by_jwt("is-reached-by-tls", "jwt", "oidcDiscoveryUrl", to="http://kubernetes.example.com"),
    row("vault-is-reached-by-tls", copied, "secret-store", "spec", "provider", "vault", "server", to="http://vault"),
    of_pods("provider-has-no-token", "vault", "token", to="a token"),
    of_pods("provider-has-no-token", "vault", "authLoginUserpass", to={"username": "somebody"}, unknown=False),
    of_pods("policies-name-paths", "server-policy", "policy", to=may(f"{BASE}/data/*", "read")),
    of_pods("policies-name-paths", "server-policy", "policy", to=may(f"{BASE}/+/mqtt", "read")),
    of_pods("policies-name-paths", "rotator-policy", "policy", to=may(f"{BASE}/metadata/", "list")),
    of_pods("policies-name-paths", "rotator-policy", "policy", to=may(f"{BASE}/data/mqtt", "sudo")),
    of_pods("policies-name-paths", "rotator-policy", "policy", to=may("sys/policies/acl/another", "update")),
    of_pods("policies-name-paths", "rotator-policy", "policy", to=may("auth/token/create", "update")),
    of_pods("policies-name-paths", "rotator-policy", "policy", to=may("auth/approle/role/admin/secret-id", "update")),
    of_pods("policies-name-paths", "server-policy", "policy", to=may("auth/token/lookup", "update")),
    of_pods("policies-name-paths", "server-policy", "policy", to='path "*" { policy = "write" }'),
    of_pods("policies-name-paths", "server-policy", "policy", to=""),
    of_pods("operators-run-nothing", "operator-policy", "policy", to=may("sys/policies/acl/another", "update")),
    of_pods("operators-run-nothing", "operator-policy", "policy", to=may(f"{BASE}/data/*", "read")),
    of_pods("operators-run-nothing", "operator-policy", "policy", to=may("+/data/mqtt", "read")),
    of_pods("operators-run-nothing", "operator-policy", "policy", to=may("auth/*", "update")),
    of_pods("operators-run-nothing", "operator-policy", "policy", to=may(f"{BASE}/config", "sudo")),
    of_pods("operators-run-nothing", "operator-policy", "policy", to=may("sys/audit", "update")),
    of_pods("operators-run-nothing", "operator-policy", "policy", to="sentinel = true"),
    of_pods("roles-have-one-policy", "server-role", "tokenPolicies", to=[f"{BASE}-server", "admins"]),
    of_pods("roles-have-one-policy", "server-role", "tokenPolicies", to=[]),
    by_approle("roles-have-one-policy", "rotator-role", "tokenPolicies", to=["admins"]),
    of_pods("roles-have-one-policy", "server-role", "tokenNoDefaultPolicy", to=None),
    by_jwt("logins-are-bound", "server-role", "boundSubject", to=None),
    by_jwt("logins-are-bound", "server-role", "boundSubject", to="system:serviceaccount:coreflux-mcp:*"),
    by_jwt("logins-are-bound", "rotator-role", "boundAudiences", to=[]),
    by_jwt("logins-are-bound", "server-role", "boundAudiences", to=[API_SERVER]),
    by_jwt("logins-are-bound", "server-role", "boundAudiences", to=["vault", API_SERVER]),
    of_pods("logins-are-bound", "server-role", "boundServiceAccountNames", to=["*"]),
    of_pods("logins-are-bound", "rotator-role", "boundServiceAccountNamespaces", to=["coreflux-mcp", "*"]),
    by_approle("logins-are-bound", "server-role", "bindSecretId", to=False),
    of_pods("pod-tokens-are-for-vault", "server-role", "audience", to=None),
    of_pods("pod-tokens-are-for-vault", "server-role", "audience", to=API_SERVER),
    of_pods("logins-end", "server-role", "tokenTtl", to=7200),
    of_pods("logins-end", "server-role", "tokenMaxTtl", to=0),
    by_jwt("logins-end", "rotator-role", "tokenTtl", to=None),
    by_jwt("logins-end", "rotator-role", "tokenPeriod", to=3600),
    by_approle("logins-end", "rotator-role", "secretIdTtl", to=0),
    by_approle("logins-end", "rotator-role", "secretIdTtl", to=400 * 86400),
    gone("versions-are-kept", "mount"),
    gone("versions-are-kept", "versions"),
    of_pods("versions-are-kept", "mount", "options", "version", to="1"),
    of_pods("versions-are-kept", "versions", "maxVersions", to=1),
    of_pods("versions-are-kept", "versions", "maxVersions", to=None),
    of_pods("versions-are-kept", "versions", "casRequired", to=False),
    of_pods("versions-are-kept", "versions", "deleteVersionAfter", to=3600),
    of_pods("versions-are-kept", "versions", "mount", to="another"),
    pki("allowAnyName", True),
    pki("allowSubdomains", True),
    pki("allowWildcardCertificates", None),
    pki("allowIpSans", None),
    pki("serverFlag", True),
    pki("noStore", True),
    pki("clientFlag", None),
    pki("allowedDomains", ["one.example.com", "two.example.com"]),
    pki("allowedDomains", ["*.example.com"]),
    pki("maxTtl", "8760h"),
    pki("maxTtl", None),
    by_jwt("ca-keys-stay", "pki-request", "type", to="exported"),
    by_jwt("ca-keys-stay", "root-certificate", "type", to="exported"),
    by_jwt("ca-keys-stay", "root-certificate", "keyBits", to=224),
    by_jwt("ca-keys-stay", "pki-request", "keyType", to="rsa"),
    by_jwt("ca-keys-stay", "pki-request", "keyType", to="any"),
    by_jwt("ca-keys-stay", "root-signs", "maxPathLength", to=None),
    gone("revocations-are-told", "pki-crl", plan=everything),
    gone("revocations-are-told", "root-crl", plan=everything),
    gone("revocations-are-told", "pki-urls", plan=everything),
    by_jwt("revocations-are-told", "root-crl", "backend", to="another"),
    by_jwt("revocations-are-told", "pki-crl", "disable", to=True),
    by_jwt("revocations-are-told", "root-crl", "autoRebuild", to=False),
    by_jwt("revocations-are-told", "pki-crl", "expiry", to="720h"),
    by_jwt("revocations-are-told", "pki-crl", "expiry", to=None),
    by_jwt("revocations-are-told", "pki-urls", "crlDistributionPoints", to=[]),
    of_pods("audit-hides-values", "audit-1", "options", "log_raw", to="true"),
    by_jwt("audit-hides-values", "audit-1", "options", "mode", to="0644"),
    by_jwt("audit-hides-values", "audit-1", "options", "mode", to=None),
    by_jwt("audit-hides-values", "audit-1", "options", "file_path", to="discard"),
    row("vault-production-is-recorded", unrecorded, "", "trail", "policy", to=""),
    of_pods("agent-files-are-closed", "deployment", *AGENT, f"{INJECTED}service", to="http://vault.example.com"),
    of_pods("agent-files-are-closed", "deployment", *AGENT, f"{INJECTED}agent-revoke-on-shutdown", to=None),
    of_pods("agent-files-are-closed", "deployment", *AGENT, f"{INJECTED}agent-run-as-user", to="0"),
    of_pods("agent-files-are-closed", "deployment", *AGENT, f"{INJECTED}agent-inject-perms-mqtt", to="0644"),
    of_pods("agent-files-are-closed", "deployment", *AGENT, f"{INJECTED}agent-inject-perms-mqtt", to=None),
    gone("passwords-are-long", "passwords"),
    of_pods("passwords-are-long", "passwords", "policy", to=lambda text: text.replace("length = 40", "length = 20")),
    of_pods("passwords-are-long", "passwords", "policy", to=lambda text: text.replace("0123456789", "+-*/")),
    of_pods(
        "passwords-are-long", "passwords", "policy", to=lambda text: text.replace("min-chars = 1", "min-chars = 0")
    ),
)


@pytest.mark.parametrize("break_", BREAKS, ids=lambda one: one.rule)
def test_one_thing_broken_breaks_its_rule_and_no_other(break_: Break) -> None:
    holds(break_)


def test_production_without_a_device_is_told_and_not_stopped() -> None:
    plan = pods()
    for one in ("audit-1", "audit-2"):
        plan = without(one)(plan)

    assert verdicts(plan)["vault-production-is-recorded"] == "broken"
    assert named("vault-production-is-recorded").enforcement is Enforcement.ADVISORY
    staging = replace(plan, environment=Environment.STAGING)
    assert not named("vault-production-is-recorded").applies(staging)


def test_a_mount_that_may_yet_be_of_secrets_is_unknown() -> None:
    assert verdicts(changed("mount", "type", to=UNKNOWN)(pods()))["vault-versions-are-kept"] == "unknown"


def test_a_policy_that_a_role_may_yet_give_is_unknown() -> None:
    plan = changed("server-role", "tokenPolicies", to=UNKNOWN)(pods())

    assert verdicts(plan)["vault-policies-name-paths"] == "unknown"
    assert verdicts(plan)["vault-operators-run-nothing"] == "unknown"


def test_a_policy_reads_as_vault_reads_it() -> None:
    text = (
        '# path "commented" {}\npath "a/\\"b\\"" {\n  capabilities = ["read", "list"]\n}\npath "c" { capabilities=[] }'
    )

    assert rights(text) == {'a/"b"': ["read", "list"], "c": []}


def test_a_path_that_is_there_twice_hides_nothing() -> None:
    text = 'path "a" { capabilities = ["sudo"] }\npath "a" { capabilities = ["read"] }'

    assert rights(text) == {"a": ["sudo", "read"]}


@pytest.mark.parametrize(
    "text",
    [
        'path "a" { capabilities = ["read"] allowed_parameters = {} }',
        'path "a" { policy = "read" }',
        'path "a" { capabilities = [read] }',
        "",
    ],
)
def test_a_policy_that_says_more_than_paths_is_not_understood_or_gives_nothing(text: str) -> None:
    assert not rights(text)


@pytest.mark.parametrize("stack", ["prod-vault-kubernetes", "prod-vault-swarm", "dev-vault-local"])
def test_each_stack_with_vault_is_judged_by_the_rules_for_it(stack: str) -> None:
    said = verdicts(shipped(stack))

    for rule in (
        "is-reached-by-tls",
        "provider-has-no-token",
        "policies-name-paths",
        "operators-run-nothing",
        "roles-have-one-policy",
        "logins-are-bound",
        "logins-end",
        "versions-are-kept",
        "passwords-are-long",
    ):
        assert said.get(f"vault-{rule}") == "kept", rule


@pytest.mark.parametrize("plan", [everything, copied, unrecorded])
def test_what_an_option_adds_keeps_all_rules(plan: Any) -> None:
    assert {rule: said for rule, said in verdicts(plan()).items() if said != "kept"} == {}


@pytest.mark.parametrize("stack", ["dev", "prod", "staging", "prod-swarm"])
def test_a_stack_without_vault_is_judged_by_none_of_them(stack: str) -> None:
    for rule in {one.rule for one in BREAKS}:
        assert not named(rule).applies(shipped(stack)), rule
