"""Whether reads are on record and values encrypted at rest, as far as the API server shows it; else by asking a person.

Found by experiment on kube-apiserver 1.37 (tests/stacks/test_staging.py asks it again), at /metrics:

    apiserver_audit_event_total    0 while no policy or no log is given; else each request that the policy logs adds one
    apiserver_storage_transformation_operations_total{resource="secrets", transformation_type="from_storage"}
                                   absent while nothing is configured; else each read of a Secret adds one under the
                                   prefix it is stored with: "k8s:enc:…", or "identity" where it is stored as it is

So both are asked by reading our own Secrets (their metadata, no value) and looking at what grew.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from secretops.check import Level, Result, attention, ok, unknown
from secretops.errors import SecretopsError, StoreError
from secretops.platforms.kubernetes.checks.cluster import METADATA, Cluster, ForbiddenError
from secretops.platforms.kubernetes.checks.confirmation import AUDIT, ENCRYPTION, Confirmation, ask, recorded

READS = 10
"""Of each Secret: more than others are likely to make in the same tenths of a second, which are counted too."""

TRIES = 3
"""Behind a balancer the counters may be of two API servers, and say nothing; then they are read again."""

AUDITED = "apiserver_audit_event_total"
LOST = "apiserver_audit_error_total"
STORED = "apiserver_storage_transformation_operations_total"
STARTED = "process_start_time_seconds"
"""Tells one API server from another."""
ENCRYPTED, PLAIN = "k8s:enc:", "identity"

UNSEEN = "neither the API server's metrics nor its flags can be looked at"

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_MANAGED = (
    ("EKS", re.compile(r"-eks-"), re.compile(r"\.eks\.amazonaws\.com")),
    ("GKE", re.compile(r"-gke\."), re.compile(r"\.gke\.goog")),
    ("AKS", re.compile(r"(?!)"), re.compile(r"\.azmk8s\.io")),
)
"""Who runs the API server: told by its version, or by its address. There, where the log goes can't be seen."""

Counters = dict[str, float]
"""A metric with its labels, as it is printed -> its count."""


class Evidence:
    """What the API server's own counters do while the stack's Secrets are read. Taken once, for both checks."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @functools.cached_property
    def growth(self) -> Counters:
        """By how much each counter of one API server grew. Raises StoreError when each answer is of another one."""
        for _ in range(TRIES):
            before = _counters(self.cluster.text("/metrics"))
            for name in self.cluster.secrets:
                for _ in range(READS):
                    self._read(name)
            after = _counters(self.cluster.text("/metrics"))
            if before.get(STARTED) == after.get(STARTED):
                return {name: count - before.get(name, 0.0) for name, count in after.items()}
        raise StoreError("each answer is of another API server", rule="their counters can't be compared")

    @property
    def reads(self) -> int:
        return READS * len(self.cluster.secrets)

    @functools.cached_property
    def present(self) -> int:
        """How many of the Secrets are there for us to read."""
        return sum(self._read(name) for name in self.cluster.secrets)

    @functools.cached_property
    def flags(self) -> frozenset[str]:
        """The names of the API server's flags, where it runs as a pod that we may look at (kubeadm's does)."""
        found = self.cluster.get("/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-apiserver") or {}
        words = [
            word
            for pod in found.get("items", ())
            for container in pod["spec"]["containers"]
            for word in (*(container.get("command") or ()), *(container.get("args") or ()))
        ]
        return frozenset(word.partition("=")[0] for word in words)

    @functools.cached_property
    def managed(self) -> str | None:
        """The service that runs the API server, if it is one that we know."""
        told = str((self.cluster.get("/version") or {}).get("gitVersion"))
        address = self.cluster.connection.server
        return next((name for name, version, host in _MANAGED if version.search(told) or host.search(address)), None)

    def _read(self, name: str) -> bool:
        """Whether it is there. A read that is refused is on record as well."""
        try:
            return self.cluster.own("secrets", name, accept=METADATA) is not None
        except ForbiddenError:
            return False


@dataclass(frozen=True)
class AuditOn:
    """Every read of the stack's Secrets is on record."""

    cluster: Cluster
    evidence: Evidence
    name: str = AUDIT

    def look(self) -> Result:
        seen, said = self._seen(), recorded(self.cluster, AUDIT)
        if not said:
            return seen
        if seen.level is Level.ATTENTION:  # what is seen outranks what is said
            return attention(f"{seen.value}; {said}", seen.rule, seen.remedy)
        return ok(f"{said}; {seen.value}")

    def _seen(self) -> Result:
        rule = "each read of the stack's Secrets is on record, by the audit policy of the stack's output"
        give = "give the API server the policy (docs/operations/kubernetes.md says how, also on EKS, GKE and AKS)"
        evidence = self.evidence
        try:
            growth = evidence.growth
        except StoreError:
            return self._by_flags(rule)
        if AUDITED not in growth:
            return self._by_flags(rule)
        made = growth[AUDITED]
        if made < evidence.reads:
            what = "no audit event" if not made else f"{made:.0f} audit events"
            return attention(f"{what} for {evidence.reads} reads of Secrets", rule, give)
        if lost := sum(count for name, count in growth.items() if name.startswith(LOST)):
            return attention(f"{lost:.0f} audit events were lost", rule, "look at the API server's log, and its disk")
        value = f"{evidence.reads} reads of Secrets made {made:.0f} audit events"
        if evidence.managed:
            return unknown(
                f"{value}; where {evidence.managed} keeps them can't be seen from here", rule, ask(AUDIT, give)
            )
        return ok(value)

    def _by_flags(self, rule: str) -> Result:
        look = "read /metrics of the API server, or ask whoever runs it"
        try:
            flags = self.evidence.flags
        except SecretopsError:
            flags = frozenset()
        if not flags:
            return unknown(UNSEEN, rule, ask(AUDIT, look))
        if "--audit-policy-file" in flags and flags & {"--audit-log-path", "--audit-webhook-config-file"}:
            return unknown("the API server has an audit policy; not which", rule, ask(AUDIT, look))
        return attention("the API server has no audit policy, or no log", rule, "give it --audit-policy-file and a log")


@dataclass(frozen=True)
class EncryptedAtRest:
    """The stack's Secrets are encrypted in etcd."""

    cluster: Cluster
    evidence: Evidence
    name: str = ENCRYPTION

    def look(self) -> Result:
        said = recorded(self.cluster, ENCRYPTION)
        try:
            growth, present = self.evidence.growth, self.evidence.present
        except StoreError:
            return self._by_flags(said)
        rule = "values are encrypted before they are stored: a copy of etcd, or of its disk, opens nothing"
        if not present:
            return self._asked(
                said, "no Secret of the stack is there to look at", rule, "secretops put broker-admin, then look again"
            )
        stored = list(_stored(growth))
        plain = sum(count for prefix, count in stored if prefix == PLAIN)
        encrypted = sum(count for prefix, count in stored if prefix.startswith(ENCRYPTED))
        kinds = ", ".join(sorted({prefix for prefix, _ in stored if prefix.startswith(ENCRYPTED)}))
        if encrypted >= READS * present:
            return ok(kinds)
        if plain >= READS:
            namespace = self.cluster.location.namespace
            return attention(
                "a Secret of the stack is stored as it is, though encryption is configured",
                rule,
                f"if it is of before that, write it anew: kubectl -n {namespace} get secrets -o json | "
                "kubectl replace -f -; else identity is the first of the providers: put another before it",
            )
        on = "https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data"
        if said:  # a disk that encrypts itself is below what the API server knows
            return ok(f"{said}; not by the API server")
        return attention(
            "the API server stores Secrets as they are",
            rule,
            ask(ENCRYPTION, f"turn it on ({on}), or see that etcd's disk is encrypted"),
        )

    def _by_flags(self, said: Confirmation | None) -> Result:
        rule = "values are encrypted before they are stored"
        try:
            flags = self.evidence.flags
        except SecretopsError:
            flags = frozenset()
        if "--encryption-provider-config" in flags:
            value = "the API server has an encryption configuration; not which"
        elif flags:
            value = "the API server has no encryption configuration"
        else:
            value = UNSEEN
        return self._asked(said, value, rule, "read /metrics of the API server, or ask whoever runs it")

    @staticmethod
    def _asked(said: Confirmation | None, value: str, rule: str, why: str) -> Result:
        return ok(f"{said}; {value}") if said else unknown(value, rule, ask(ENCRYPTION, why))


def _counters(text: str) -> Counters:
    """The counters that we look at, of the text that Prometheus reads.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    wanted = (AUDITED, LOST, STORED, STARTED)
    found: Counters = {}
    for line in text.splitlines():
        if line.startswith(wanted):
            name, _, count = line.rpartition(" ")
            found[name] = float(count)
    return found


def _stored(growth: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Prefix of storage -> how many Secrets were read with it. Before Kubernetes 1.28 the resource is not told."""
    for name, count in growth.items():
        labels = dict(_LABEL.findall(name))
        if (
            name.startswith(STORED)
            and count
            and labels.get("transformation_type") == "from_storage"
            and labels.get("resource", "secrets") == "secrets"
        ):
            yield labels.get("transformer_prefix", ""), count
