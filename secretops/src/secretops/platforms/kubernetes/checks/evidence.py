"""Check audit logging and encryption at rest, by the API server's metrics or an operator's confirmation.

Counters at /metrics, by experiment on kube-apiserver 1.37 (tests/stacks/test_staging.py repeats it):

    apiserver_audit_event_total    0 without a policy or a log; else +1 for each request that the policy logs
    apiserver_storage_transformation_operations_total{resource="secrets", transformation_type="from_storage"}
                                   missing without encryption; else +1 for each read of a Secret, by its storage prefix:
                                   "k8s:enc:…", or "identity" for plain text
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
from secretops.platforms.kubernetes.api import Api, ForbiddenError
from secretops.platforms.kubernetes.checks.cluster import METADATA, Cluster
from secretops.platforms.kubernetes.secrets import PREFIX, SecretData, Secrets

# Subjects of a confirmation.
AUDIT, ENCRYPTION = "audit", "encryption-at-rest"
_CONFIRMED = f"{PREFIX}confirmed."

# Maximum characters of a confirmation.
LONGEST = 300

# Reads of each Secret: more than other clients are likely to send in the same tenths of a second.
READS = 10

# Attempts to get two answers from the same API server: a load balancer may have several.
TRIES = 3

AUDITED = "apiserver_audit_event_total"
LOST = "apiserver_audit_error_total"
STORED = "apiserver_storage_transformation_operations_total"
# Metric whose value differs between API servers.
STARTED = "process_start_time_seconds"
ENCRYPTED, PLAIN = "k8s:enc:", "identity"

UNSEEN = "the metrics of a single API server can't be read"
HOW_TO_SEE = "check the API server's configuration, or ask its administrator"

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Cloud services that run API servers, by version and address. Doctor can't see where they store the audit log.
_MANAGED = {"EKS": r"^\S*-eks-|\.eks\.amazonaws\.com", "GKE": r"^\S*-gke\.|\.gke\.goog", "AKS": r"\.azmk8s\.io"}


class Evidence:
    """Measures how counters of the API server grow while doctor reads the stack's Secrets."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # Number of Secrets that exist and can be read.
        self.present = 0

    @functools.cached_property
    def growth(self) -> dict[str, float]:
        """Return how much each counter grew, by its name with labels. Raises StoreError if several API servers
        answer."""
        for _ in range(TRIES):
            before = self._counters()
            self.present = sum(self._read(name) for name in self.cluster.secrets * READS) // READS
            after = self._counters()
            if before.get(STARTED) == after.get(STARTED):
                return {name: count - before.get(name, 0.0) for name, count in after.items()}
        raise StoreError(
            "the responses come from different API servers",
            rule="all responses must come from one API server: counters of two can't be compared",
            code="kubernetes-counters-inconsistent",
        )

    @functools.cached_property
    def managed(self) -> str | None:
        seen = f"{(self.cluster.get('/version') or {}).get('gitVersion')} {self.cluster.connection.server}"
        return next((name for name, signs in _MANAGED.items() if re.search(signs, seen)), None)

    def _read(self, name: str) -> bool:
        try:
            return self.cluster.own("secrets", name, accept=METADATA) is not None
        except ForbiddenError:
            return False

    def _counters(self) -> dict[str, float]:
        """Fetch the counters.

        https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
        """
        lines = self.cluster.text("/metrics").splitlines()
        used = (line.rpartition(" ") for line in lines if line.startswith((AUDITED, LOST, STORED, STARTED)))
        return {name: float(count) for name, _, count in used}


def audit(evidence: Evidence) -> Result:
    """Check that the API server audits reads of Secrets. An operator's confirmation counts only if the
    measurement shows no fault."""
    measured, confirmed = _measured_audit(evidence), confirmation(evidence.cluster, AUDIT)
    if not confirmed:
        return measured
    if measured.level is Level.ATTENTION:
        return attention(f"{measured.value}; {confirmed}", measured.rule, measured.remedy)
    return ok(f"{confirmed}; {measured.value}")


def _measured_audit(evidence: Evidence) -> Result:
    rule = "the audit policy of the stack's output must log each read of the stack's Secrets"
    apply = "configure the audit policy of the stack's output (docs/operations/kubernetes.md; also EKS, GKE and AKS)"
    try:
        growth = evidence.growth
        events, reads = growth[AUDITED], READS * len(evidence.cluster.secrets)
    except (StoreError, KeyError):
        return unknown(UNSEEN, rule, _to_confirm(AUDIT, HOW_TO_SEE))
    if events < reads:
        what = f"{events:.0f} audit events" if events else "no audit event"
        return attention(f"{what} for {reads} reads of Secrets", rule, apply)
    if lost := sum(count for name, count in growth.items() if name.startswith(LOST)):
        return attention(f"{lost:.0f} audit events were lost", rule, "check the API server's log and disk")
    value = f"{events:.0f} audit events for {reads} reads of Secrets"
    if evidence.managed:
        return unknown(f"{value}; the destination at {evidence.managed} is unknown", rule, _to_confirm(AUDIT, apply))
    return ok(value)


def encryption(evidence: Evidence) -> Result:
    cluster, confirmed = evidence.cluster, confirmation(evidence.cluster, ENCRYPTION)
    rule = "secret values must be encrypted before they are stored, so that a copy of etcd or its disk reveals nothing"

    def unmeasured(value: str, remedy: str) -> Result:
        return ok(f"{confirmed}; {value}") if confirmed else unknown(value, rule, _to_confirm(ENCRYPTION, remedy))

    try:
        growth, present = evidence.growth, evidence.present
    except StoreError:
        return unmeasured(UNSEEN, HOW_TO_SEE)
    if not present:
        return unmeasured("no Secret of the stack exists", "secretops put broker-admin, then secretops doctor")
    stored = list(_stored(growth))
    encrypted = {prefix for prefix, _ in stored if prefix.startswith(ENCRYPTED)}
    if sum(count for prefix, count in stored if prefix in encrypted) >= READS * present:
        return ok(", ".join(sorted(encrypted)))
    if sum(count for prefix, count in stored if prefix == PLAIN) >= READS:
        return attention(
            "a Secret of the stack is stored in plain text, although encryption is configured",
            rule,
            f"rewrite older Secrets: kubectl -n {cluster.location.namespace} get secrets -o json | "
            "kubectl replace -f -; if that does not help, move the provider `identity` to the end of the API server's "
            "EncryptionConfiguration",
        )
    if confirmed:  # an encrypted disk is invisible to the API server
        return ok(f"{confirmed}; the API server itself does not encrypt")
    enable = "https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data"
    remedy = _to_confirm(ENCRYPTION, f"enable encryption ({enable}), or encrypt etcd's disk")
    return attention("the API server stores Secrets in plain text", rule, remedy)


def _stored(growth: dict[str, float]) -> Iterator[tuple[str, float]]:
    # Pairs of a storage prefix and its number of reads. Kubernetes before 1.28 has no label `resource`.
    for name, count in growth.items():
        labels = dict(_LABEL.findall(name))
        is_read = labels.get("transformation_type") == "from_storage" and labels.get("resource", "secrets") == "secrets"
        if name.startswith(STORED) and count and is_read:
            yield labels.get("transformer_prefix", ""), count


def _to_confirm(subject: str, remedy: str) -> str:
    return f'{remedy}, then: secretops doctor --confirm {subject}="where this is documented"'


def confirmation(cluster: Cluster, subject: str) -> str | None:
    """Return a text with an operator's confirmation of `subject`, its author and date, or None."""
    try:
        found = cluster.own("secrets", cluster.location.versions, accept=METADATA) or {}
        text = (found.get("metadata", {}).get("annotations") or {}).get(f"{_CONFIRMED}{subject}")
        return "confirmed by {by} on {at:.10}: {words}".format(**json.loads(text)) if text else None
    except (SecretopsError, ValueError, TypeError, KeyError):
        return None


def confirm(cluster: Cluster, statements: Sequence[str]) -> None:
    """Record each confirmation, `subject=words`. Raises UsageError, StoreError before it writes any of them."""
    pairs = {}
    for entry in statements:
        subject, _, words = (part.strip() for part in entry.partition("="))
        if subject not in (AUDIT, ENCRYPTION) or not words or len(words) > LONGEST or not words.isprintable():
            raise UsageError(
                "--confirm names an unknown check, or has no valid text",
                rule=f"--confirm must be {AUDIT}=TEXT or {ENCRYPTION}=TEXT; TEXT says how you verified it, in one "
                f"line of at most {LONGEST} characters, without a secret value",
                remedy=f'for example --confirm {AUDIT}="control plane logging is on, ticket 12"',
                code="confirmation-invalid",
            )
        pairs[subject] = words
    cluster.lease()
    # Kubernetes before 1.28 has no SelfSubjectReview.
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = cluster.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    user = str(answer["status"]["userInfo"]["username"]) if answer else this_actor("operator")
    at = f"{cluster.now().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def annotate(found: SecretData) -> None:
        for subject, words in pairs.items():
            found.annotations[f"{_CONFIRMED}{subject}"] = json.dumps({"by": user, "at": at, "words": words})

    place = cluster.location
    Secrets(Api(place.namespace, place.context), lambda _: None).change(place.versions, annotate)
