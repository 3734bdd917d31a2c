"""Rules on a cluster's objects: access, network, copies of secrets, schedule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from policies.controls import controls
from policies.kubernetes.objects import ROTATOR, SERVER, in_a_cluster, name_of, namespace_of, of_kind
from policies.matchers import at, between, each, forbidden, judge, known, listed, not_set, one_of, open_cidr, required
from policies.plan import Finding, Plan, Resource, type_of
from policies.rule import Each, Expect, Rule, protected

_PROVIDER = "pulumi:providers:kubernetes"
_ROLE = "kubernetes:*:Role"
_CLUSTER_ROLE = "kubernetes:*:ClusterRole"
_BINDING = "kubernetes:*:RoleBinding"
_BINDING_OF_ALL = "kubernetes:*:ClusterRoleBinding"
_CERTIFICATE = "kubernetes:*:Certificate"
_COPY = "kubernetes:*:ExternalSecret"
_SERVICE = "kubernetes:*:Service"
_STORE = "kubernetes:*:SecretStore"
_CLUSTER_STORE = "kubernetes:*:ClusterSecretStore"
_POLICY = "kubernetes:*:NetworkPolicy"
_INGRESS = "kubernetes:*:Ingress"
_CRON_JOB = "kubernetes:batch/v1:CronJob"
# Components with a rotator in the cluster. Vault runs no programs, so its rotator is in the server's cluster.
_OWN_STORE = "coreflux-mcp-secrets:kubernetes:SecretStore"
_VAULT = "coreflux-mcp-secrets:vault:SecretStore"

_LEVEL = "pod-security.kubernetes.io/enforce"
_DEADLINE = "spec.jobTemplate.spec.activeDeadlineSeconds"
# Maximum lifetime of a client certificate in hours: the Secret Management Guide's 90 days.
_LONGEST_HOURS = 90 * 24
# Maximum seconds between two reads of the store: well below the shortest grace period.
_LONGEST_REFRESH = 600
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_CLIENT_USAGES = ("client auth", "digital signature")
# Allowed verbs of Roles. Other verbs delete what is in use, can't be limited by name, or grant rights.
_READS = ("get",)
_ROTATES = ("get", "update", "patch")
# Ports to which pods must not connect at every address: DNS can leak values unnoticed, and clouds' metadata services
# use HTTP.
_NEVER = (53, 80)
_METADATA = "169.254.169.254/32"


def _is_short(duration: Any) -> bool:
    hours = re.fullmatch(r"(\d+)h(0m)?(0s)?", duration) if isinstance(duration, str) else None
    return hours is not None and 0 < int(hours[1]) <= _LONGEST_HOURS


def _is_often(interval: Any) -> bool:
    parts = re.findall(r"(\d+)([smh])", interval) if isinstance(interval, str) else []
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in parts)
    return 0 < seconds <= _LONGEST_REFRESH and "".join(map("".join, parts)) == interval


def _is_hourly(schedule: Any) -> bool:
    fields = schedule.split() if isinstance(schedule, str) else []
    return schedule == "@hourly" or fields[1:] == ["*"] * 4


def _names_account(name: Any) -> bool:
    return bool(name) and name not in ("*", "default")


def _names(entry: Any) -> bool:
    return bool(listed(entry)) and "*" not in entry


def _only(entries: Any, *, allowed: tuple[str, ...]) -> bool:
    return bool(listed(entries)) and all(entry in allowed for entry in entries)


def _look_at_subjects(binding: Resource) -> Iterator[Finding]:
    for subject in each(at(binding.properties, "subjects")):
        both = (at(subject, "namespace"), namespace_of(binding))
        wrong = "is not the binding's: owners of that namespace could read the secrets; use the binding's namespace"
        yield from judge(binding, both, lambda both: both[0] == both[1], "a subject's namespace", wrong)


def _look_at_bound_roles(plan: Plan) -> Iterator[Finding]:
    roles = [name_of(role) for role in of_kind(plan, "Role")]
    for binding in of_kind(plan, "RoleBinding"):
        both = (at(binding.properties, "roleRef", "name"), roles)
        wrong = "is not a Role of the stack, so no rule checks it; bind a Role of the stack"
        yield from judge(binding, both, lambda both: both[0] in both[1], "roleRef.name", wrong)


def _look_at_verbs(role: Resource) -> Iterator[Finding]:
    allowed = _ROTATES if type_of(role.parent) == ROTATOR else _READS
    for rule in each(at(role.properties, "rules")):
        wrong = f"is empty, or has a verb that the account does not need; use only {', '.join(allowed)}"
        yield from judge(role, at(rule, "verbs"), partial(_only, allowed=allowed), "rules[].verbs", wrong)


def _keys(entry: Any) -> Iterator[str]:
    if isinstance(entry, Mapping):
        yield from entry
    for inner in entry.values() if isinstance(entry, Mapping) else listed(entry):
        yield from _keys(inner)


def _reads_as_account(provider: Any) -> bool:
    keys = {*_keys(provider)}
    return "serviceAccountRef" in keys and not any(re.search(r"(?i)secret(access)?(key)?ref$", key) for key in keys)


def _denies_all(spec: Any) -> bool:
    allows = any(at(spec, key) for key in ("podSelector", "ingress", "egress"))
    return {"Ingress", "Egress"} <= {*listed(at(spec, "policyTypes"))} and not allows


def _look_at_namespaces(plan: Plan) -> Iterator[Finding]:
    policies = [(namespace_of(one), at(one.properties, "spec")) for one in of_kind(plan, "NetworkPolicy")]
    closed = [where for where, spec in policies if known(spec) and _denies_all(spec)]
    if not any(of_kind(plan, "Namespace")) and not closed:
        yield Finding(plan.urn, "no NetworkPolicy closes the namespace; add one that allows nothing in and nothing out")
    for namespace in of_kind(plan, "Namespace"):
        if name_of(namespace) not in closed:
            wrong = "is not restricted; add a NetworkPolicy for all pods that allows nothing in and nothing out"
            entry = (policies, name_of(namespace))
            yield from judge(namespace, entry, lambda _: False, "the network of its pods", wrong)


def _is_from_few(peers: Any) -> bool:
    return not any(open_cidr(at(peer, "ipBlock", "cidr")) for peer in listed(peers))


def _goes_to_few(rule: Any) -> bool:
    ports = listed(at(rule, "ports"))
    numbers = [at(port, "port") if at(port, "endPort") is None else None for port in ports]
    if any(at(peer, "ipBlock", "cidr") == _METADATA for peer in listed(at(rule, "to"))) and {80, None} & {*numbers}:
        return False
    return _is_from_few(at(rule, "to")) or not any(number in (None, *_NEVER) for number in numbers)


def _rotates(plan: Plan) -> bool:
    of_vault = any(plan.of_type(_VAULT)) and any(plan.of_type(SERVER))
    return of_vault or any(plan.of_type(_OWN_STORE, ROTATOR)) or any(of_kind(plan, "CronJob"))


VALUES = ("kubernetes:((core/)?v1:)?Secret(Patch|List)?",)
HOLDS = (protected("kubernetes:core/v1:Namespace"),)

RULES: tuple[Rule, ...] = (
    Rule(
        name="kubernetes-bindings-name-accounts",
        sentence="Every Role is bound to named service accounts of its namespace. Nothing is granted cluster-wide.",
        controls=controls("CC6.3 7.2.5 164.312(a)(2)(i) 32(1)(b)", "each reader is one named account"),
        limitation="The rule does not check who may create pods in the namespace, and so run as such an account.",
        checks=(
            Each((_BINDING_OF_ALL, _CLUSTER_ROLE), forbidden("is cluster-wide; use a Role of the namespace")),
            Expect(_BINDING, "roleRef.kind", one_of("Role"), "is not Role: others can widen a ClusterRole; use a Role"),
            Expect(
                _BINDING, "subjects[].kind", one_of("ServiceAccount"), "is not ServiceAccount; name a service account"
            ),
            Expect(
                _BINDING,
                "subjects[].name",
                _names_account,
                "is missing, * or default; name a service account of the stack",
            ),
            Each(_BINDING, _look_at_subjects),
        ),
        across=_look_at_bound_roles,
    ),
    Rule(
        name="kubernetes-certificates-are-new",
        sentence="A client certificate lasts at most 90 days, gets a new key each time, and is only for clients.",
        controls=controls("CC6.1 4.2.1 164.312(d) 32(1)(a)", "the broker's client has a valid certificate"),
        limitation="The rule does not check whether the broker refuses a revoked certificate.",
        checks=(
            Expect(
                _CERTIFICATE,
                "spec.privateKey.rotationPolicy",
                one_of("Always"),
                "is not Always: the old key stays in use; set Always",
            ),
            Expect(
                _CERTIFICATE, "spec.duration", _is_short, "is missing, over 90 days or not in hours; set 2160h or less"
            ),
            Expect(
                _CERTIFICATE,
                "spec.usages",
                partial(_only, allowed=_CLIENT_USAGES),
                f"include usages other than {' and '.join(_CLIENT_USAGES)}; set only these two",
            ),
        ),
    ),
    Rule(
        name="kubernetes-copies-are-fresh",
        sentence="Every ExternalSecret is refreshed at least every ten minutes, by a SecretStore of its namespace.",
        controls=controls("CC6.1 8.6.3 164.312(a)(1) 32(1)(b)", "a changed password reaches its readers"),
        limitation="The rule does not check whether External Secrets runs, or whether the cluster encrypts the copies "
        "at rest.",
        checks=(
            Expect(_COPY, "spec.refreshInterval", _is_often, "is missing, 0 or over 600 s; set 1m"),
            Expect(
                _COPY, "spec.target.creationPolicy", one_of("Owner"), "is not Owner: copies would remain; set Owner"
            ),
            Expect(
                _COPY,
                "spec.target.deletionPolicy",
                one_of("Retain"),
                "is not Retain: an outage deletes copies; set Retain",
            ),
            Expect(_COPY, "spec.secretStoreRef.kind", one_of("SecretStore"), "is cluster-wide; use SecretStore"),
        ),
    ),
    Rule(
        name="kubernetes-copying-has-no-key",
        sentence="External Secrets logs in to the store as a service account of the namespace, without a stored key.",
        controls=controls("CC6.1 8.3.2 164.312(d) 32(1)(b)", "the cluster stores no credential for the store"),
        limitation="The rule does not check who may create a token of that account, by the verb create on "
        "serviceaccounts/token.",
        checks=(
            Each(_CLUSTER_STORE, forbidden("serves every namespace, but the stack has only one; use a SecretStore")),
            Expect(
                (_STORE, _CLUSTER_STORE),
                "spec.provider",
                _reads_as_account,
                "must have serviceAccountRef, and no stored key; set only serviceAccountRef",
            ),
        ),
    ),
    Rule(
        name="kubernetes-namespace-is-restricted",
        sentence="The namespace of the secrets enforces the Pod Security level `restricted`.",
        controls=controls("CC6.3 2.2.1 164.312(a)(1) 32(1)(b)", "the cluster refuses pods with privileges"),
        limitation="The rule does not check other namespaces. If the stack does not create the namespace, secretops "
        "doctor checks it.",
        checks=(
            Expect(
                "kubernetes:*:Namespace",
                "metadata.labels",
                lambda labels: at(labels, _LEVEL) == "restricted",
                f"admits pods that are not restricted; set {_LEVEL}: restricted",
            ),
        ),
    ),
    Rule(
        name="kubernetes-network-is-closed",
        sentence="A NetworkPolicy denies all traffic in the namespace that no other policy allows.",
        controls=controls("CC6.6 1.3.1 1.3.2 164.312(e)(1) 32(1)(b)", "traffic that no policy names is denied"),
        limitation="The rule does not check whether the cluster's network plugin enforces policies: some plugins "
        "ignore them.",
        across=_look_at_namespaces,
        applies=in_a_cluster,
    ),
    Rule(
        name="kubernetes-network-names-both-ends",
        sentence="Every allowed connection names its peers and ports; no ingress is open to every address.",
        controls=controls("CC6.6 1.3.1 1.3.2 164.312(e)(1) 32(1)(b)", "traffic that no policy names is denied"),
        limitation="The rule does not check whether a network could be narrower: by default the broker's port is open "
        "to any address.",
        checks=(
            *(
                Expect(
                    _POLICY,
                    path,
                    lambda entry: bool(listed(entry)),
                    "is missing or empty, and so allows all; list the peers or ports",
                )
                for path in ("spec.ingress[].from", "spec.ingress[].ports", "spec.egress[].to", "spec.egress[].ports")
            ),
            Expect(
                _POLICY,
                "spec.ingress[].from",
                _is_from_few,
                "contains a network larger than /8; set server.client_cidrs",
            ),
            Expect(
                _POLICY,
                "spec.egress[]",
                _goes_to_few,
                "opens DNS, HTTP or all ports to a network larger than /8, or HTTP to the metadata service; list ports",
            ),
        ),
    ),
    Rule(
        name="kubernetes-provider-has-no-login",
        sentence="The provider of the cluster has no kubeconfig among its inputs, and adopts no existing object.",
        controls=controls("CC6.1 8.3.2 164.312(d) 32(1)(b)", "the state has no operator's login"),
        limitation="The rule does not check what the operator may do in the cluster.",
        checks=(
            Expect(_PROVIDER, "kubeconfig", not_set, "puts a login into the state; set a context"),
            Expect(
                _PROVIDER,
                "upsertExistingObjects",
                one_of(None, False, "false"),
                "is on: the provider adopts existing objects; set false",
            ),
        ),
        across=required(
            "no Kubernetes provider: the operator's variables would select the cluster; add a provider", _PROVIDER
        ),
        applies=lambda plan: any(plan.of_type(_PROVIDER)) or in_a_cluster(plan),
    ),
    Rule(
        name="kubernetes-roles-name-objects",
        sentence="Every Role names its objects, and allows only get. The rotator's Role also allows update.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "an account reads only the Secrets that it uses"),
        limitation="The rule does not check other Roles of the cluster: secretops doctor and the audit look for other "
        "readers.",
        checks=(
            Each((_ROLE, _CLUSTER_ROLE), _look_at_verbs),
            *(
                Expect((_ROLE, _CLUSTER_ROLE), f"rules[].{key}", _names, "is empty or has *; name each object")
                for key in ("apiGroups", "resources", "resourceNames")
            ),
        ),
    ),
    Rule(
        name="kubernetes-service-is-inside",
        sentence="Every Service is a ClusterIP, and every Ingress terminates TLS.",
        controls=controls("CC6.6 1.3.1 164.312(e)(1) 32(1)(b)", "the stack opens no way in from outside"),
        limitation="The rule does not check what an operator's own ingress admits, or whether that ingress terminates "
        "TLS.",
        checks=(
            Expect(_SERVICE, "spec.type", one_of(None, "ClusterIP"), "is not ClusterIP; use ClusterIP and an ingress"),
            Expect(_SERVICE, "spec.externalIPs", not_set, "are public; remove these addresses, and use an ingress"),
            Expect(_INGRESS, "spec.tls", bool, "is missing: tokens travel in plain text; set tls"),
        ),
    ),
    Rule(
        name="kubernetes-ticks-are-alone",
        sentence="The rotator's CronJob starts every hour. Runs never overlap, and each run ends within the hour.",
        controls=controls("CC6.1 8.6.3 164.312(d) 32(1)(d)", "due passwords are changed within the hour"),
        limitation="The rule does not check whether runs succeed: secretops status and the Jobs show that.",
        checks=(
            Expect(_CRON_JOB, "spec.schedule", _is_hourly, "is not hourly: due secrets wait; set 0 * * * *"),
            Expect(_CRON_JOB, "spec.suspend", one_of(None, False), "is on: nothing rotates; remove this field"),
            Expect(_CRON_JOB, "spec.concurrencyPolicy", one_of("Forbid"), "allows two runs at a time; set Forbid"),
            Expect(
                _CRON_JOB,
                _DEADLINE,
                between(1, 3599),
                "is missing, or 3600 or more: a run that hangs blocks all others; set 3000",
            ),
        ),
        across=required("no CronJob rotates the secrets; add one that runs secretops tick", _CRON_JOB),
        applies=_rotates,
    ),
)
