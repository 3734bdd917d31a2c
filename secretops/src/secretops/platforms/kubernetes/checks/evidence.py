"""Check that reads are on record and values encrypted at rest: by the API server's metrics, or by asking a person.

Found by experiment on kube-apiserver 1.37 (tests/stacks/test_staging.py repeats it), at /metrics:

    apiserver_audit_event_total    0 while no policy or no log is set; else each request that the policy logs adds one
    apiserver_storage_transformation_operations_total{resource="secrets", transformation_type="from_storage"}
                                   absent while nothing is configured; else each read of a Secret adds one under the
                                   prefix it is stored with: "k8s:enc:…", or "identity" where it is stored as it is

So doctor reads the stack's own Secrets (their metadata, no value) and compares the counters. What an operator confirms
is an annotation on the Secret that only the rotator reads.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC

from secretops.access import this_actor
from secretops.check import Level, Result, attention, ok, unknown
from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.platforms.kubernetes.api import Api
from secretops.platforms.kubernetes.checks.cluster import METADATA, Cluster, ForbiddenError
from secretops.platforms.kubernetes.secrets import PREFIX, SecretData, Secrets

# What can be confirmed.
AUDIT, ENCRYPTION = "audit", "encryption-at-rest"
_CONFIRMED = f"{PREFIX}confirmed."

# Characters of what is confirmed: one line that names where it is written, such as a ticket.
LONGEST = 300

# Of each Secret: more than others are likely to read in the same tenths of a second, which are counted too.
READS = 10

# Behind a balancer the counters may be of two API servers, and prove nothing; then they are read again.
TRIES = 3

AUDITED = "apiserver_audit_event_total"
LOST = "apiserver_audit_error_total"
STORED = "apiserver_storage_transformation_operations_total"
# Distinguishes one API server from another.
STARTED = "process_start_time_seconds"
ENCRYPTED, PLAIN = "k8s:enc:", "identity"

UNSEEN = "neither the API server's metrics nor its flags can be looked at"
HOW_TO_SEE = "read /metrics of the API server, or ask whoever runs it"

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Services that run the API server, by its version and address. The destination of their log is not visible from here.
_MANAGED = {"EKS": r"^\S*-eks-|\.eks\.amazonaws\.com", "GKE": r"^\S*-gke\.|\.gke\.goog", "AKS": r"\.azmk8s\.io"}


class Evidence:
    """Growth of the API server's counters while the stack's Secrets are read. Measured once, for both checks."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @functools.cached_property
    def growth(self) -> dict[str, float]:
        """Growth of each metric of one API server, by its printed name and labels. Raises StoreError without one."""
        for _ in range(TRIES):
            before = _counters(self.cluster.text("/metrics"))
            for name in self.cluster.secrets:
                for _ in range(READS):
                    self._read(name)
            after = _counters(self.cluster.text("/metrics"))
            if before.get(STARTED) == after.get(STARTED):
                return {name: count - before.get(name, 0.0) for name, count in after.items()}
        raise StoreError("each answer is of another API server", rule="their counters can't be compared")

    @functools.cached_property
    def present(self) -> int:
        """How many of the Secrets exist and may be read."""
        return sum(self._read(name) for name in self.cluster.secrets)

    @functools.cached_property
    def flags(self) -> frozenset[str]:
        """Names of the API server's flags, if it runs as a pod that may be read, as kubeadm's does; else empty."""
        path = "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-apiserver"
        try:
            pods = (self.cluster.get(path) or {}).get("items", ())
        except SecretopsError:
            return frozenset()
        containers = (container for pod in pods for container in pod["spec"]["containers"])
        words = (word for one in containers for key in ("command", "args") for word in one.get(key) or ())
        return frozenset(word.partition("=")[0] for word in words)

    @functools.cached_property
    def managed(self) -> str | None:
        """The cloud service that runs the API server, if it is a known one."""
        seen = f"{(self.cluster.get('/version') or {}).get('gitVersion')} {self.cluster.connection.server}"
        return next((name for name, signs in _MANAGED.items() if re.search(signs, seen)), None)

    def _read(self, name: str) -> bool:
        """Return whether it exists. A read that is refused is on record as well."""
        try:
            return self.cluster.own("secrets", name, accept=METADATA) is not None
        except ForbiddenError:
            return False


def audit(evidence: Evidence) -> Result:
    """Check that every read of the stack's Secrets is on record. What is seen outranks what is confirmed."""
    seen, said = _audit_seen(evidence), recorded(evidence.cluster, AUDIT)
    if not said:
        return seen
    if seen.level is Level.ATTENTION:
        return attention(f"{seen.value}; {said}", seen.rule, seen.remedy)
    return ok(f"{said}; {seen.value}")


def _audit_seen(evidence: Evidence) -> Result:
    rule = "each read of the stack's Secrets is on record, by the audit policy of the stack's output"
    give = "give the API server the policy (docs/operations/kubernetes.md says how, also on EKS, GKE and AKS)"
    try:
        growth = evidence.growth
    except StoreError:
        growth = {}
    if AUDITED not in growth:
        flags = evidence.flags
        has_audit = "--audit-policy-file" in flags and flags & {"--audit-log-path", "--audit-webhook-config-file"}
        if has_audit or not flags:
            value = "the API server has an audit policy; not which" if has_audit else UNSEEN
            return unknown(value, rule, _ask(AUDIT, HOW_TO_SEE))
        return attention("the API server has no audit policy, or no log", rule, "give it --audit-policy-file and a log")
    made, reads = growth[AUDITED], READS * len(evidence.cluster.secrets)
    if made < reads:
        what = f"{made:.0f} audit events" if made else "no audit event"
        return attention(f"{what} for {reads} reads of Secrets", rule, give)
    if lost := sum(count for name, count in growth.items() if name.startswith(LOST)):
        return attention(f"{lost:.0f} audit events were lost", rule, "look at the API server's log, and its disk")
    value = f"{reads} reads of Secrets made {made:.0f} audit events"
    if evidence.managed:
        return unknown(f"{value}; where {evidence.managed} keeps them can't be seen from here", rule, _ask(AUDIT, give))
    return ok(value)


def encryption(evidence: Evidence) -> Result:
    """Check that the stack's Secrets are encrypted in etcd."""
    cluster, said = evidence.cluster, recorded(evidence.cluster, ENCRYPTION)
    rule = "values are encrypted before they are stored"

    def unseen(value: str, rule: str, remedy: str) -> Result:
        return ok(f"{said}; {value}") if said else unknown(value, rule, _ask(ENCRYPTION, remedy))

    try:
        growth, present = evidence.growth, evidence.present
    except StoreError:
        value = "the API server has no encryption configuration" if (flags := evidence.flags) else UNSEEN
        if "--encryption-provider-config" in flags:
            value = "the API server has an encryption configuration; not which"
        return unseen(value, rule, HOW_TO_SEE)
    rule += ": a copy of etcd, or of its disk, opens nothing"
    if not present:
        remedy = "secretops put broker-admin, then look again"
        return unseen("no Secret of the stack is there to look at", rule, remedy)
    stored = list(_stored(growth))
    encrypted = {prefix for prefix, _ in stored if prefix.startswith(ENCRYPTED)}
    if sum(count for prefix, count in stored if prefix in encrypted) >= READS * present:
        return ok(", ".join(sorted(encrypted)))
    if sum(count for prefix, count in stored if prefix == PLAIN) >= READS:
        return attention(
            "a Secret of the stack is stored as it is, though encryption is configured",
            rule,
            f"if it is of before that, write it anew: kubectl -n {cluster.location.namespace} get secrets -o json | "
            "kubectl replace -f -; else identity is the first of the providers: put another before it",
        )
    if said:  # a disk that encrypts itself is below what the API server knows
        return ok(f"{said}; not by the API server")
    on = "https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data"
    remedy = _ask(ENCRYPTION, f"turn it on ({on}), or see that etcd's disk is encrypted")
    return attention("the API server stores Secrets as they are", rule, remedy)


def _counters(text: str) -> dict[str, float]:
    """Parse the counters that are used, of the text that Prometheus reads.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    lines = (line for line in text.splitlines() if line.startswith((AUDITED, LOST, STORED, STARTED)))
    return {name: float(count) for name, _, count in (line.rpartition(" ") for line in lines)}


def _stored(growth: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Prefix of storage -> how many Secrets were read with it. Kubernetes before 1.28 does not name the resource."""
    for name, count in growth.items():
        labels = dict(_LABEL.findall(name))
        is_read = labels.get("transformation_type") == "from_storage" and labels.get("resource", "secrets") == "secrets"
        if name.startswith(STORED) and count and is_read:
            yield labels.get("transformer_prefix", ""), count


def _ask(subject: str, why: str) -> str:
    return f'{why}, then say so: secretops doctor --confirm {subject}="where that is written"'


def recorded(cluster: Cluster, subject: str) -> str | None:
    """Return who confirmed `subject`, when and where; None if nobody did, or the Secret can't be read."""
    try:
        found = cluster.own("secrets", cluster.location.versions, accept=METADATA) or {}
        text = (found.get("metadata", {}).get("annotations") or {}).get(f"{_CONFIRMED}{subject}")
        return "confirmed by {by} on {at:.10}: {words}".format(**json.loads(text)) if text else None
    except (SecretopsError, ValueError, TypeError, KeyError):
        return None


def confirm(cluster: Cluster, said: Sequence[str]) -> None:
    """Record each `subject=words`, by compare-and-swap.

    Raises UsageError, and StoreError if the Lease is another stack's, before anything is written.
    """
    pairs = {}
    for entry in said:
        subject, _, words = (part.strip() for part in entry.partition("="))
        if subject not in (AUDIT, ENCRYPTION) or not words or len(words) > LONGEST or not words.isprintable():
            raise UsageError(
                "--confirm: not what can be confirmed, or no words",
                rule=f"{AUDIT}= or {ENCRYPTION}=, and one line of at most {LONGEST} characters that holds no secret",
                remedy=f'for example --confirm {AUDIT}="control plane logging is on, ticket 12"',
            )
        pairs[subject] = words
    cluster.lease()
    # Before Kubernetes 1.28 the API server can't say who the caller is.
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = cluster.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    who = str(answer["status"]["userInfo"]["username"]) if answer else this_actor("operator")
    when = f"{cluster.now().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def note(found: SecretData) -> None:
        for subject, words in pairs.items():
            found.annotations[f"{_CONFIRMED}{subject}"] = json.dumps({"by": who, "at": when, "words": words})

    place = cluster.location
    Secrets(Api(place.namespace, place.context), lambda _: None).change(place.versions, note)
