"""A Kubernetes stack's own parts: the way to the API server, the namespace, Secrets, Lease, rotator and server."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from secretops.check import Check, Level, Repair, Result, attention, ok
from secretops.errors import SecretopsError, StoreError
from secretops.platform import OpenedStack
from secretops.platforms.kubernetes.api import MAKES_SECRETS
from secretops.platforms.kubernetes.checks.cluster import METADATA, Cluster, ForbiddenError
from secretops.platforms.kubernetes.checks.evidence import AuditOn, EncryptedAtRest, Evidence
from secretops.platforms.kubernetes.checks.rights import OthersRights, OwnRights, rotator_rights, server_rights
from secretops.platforms.kubernetes.lease import Timing

SERVER, ROTATOR = "coreflux-mcp-server", "coreflux-mcp-rotator"
"""What the program calls its Deployment and its CronJob, and the service accounts that they run as."""

OLDEST = (1, 27)
"""Major and minor of the oldest Kubernetes that the stack works on. 1.27 is the first that by default knows
`unhealthyPodEvictionPolicy`, without which a node can't be drained while pods wait for their first values. Pod Security
admission, which enforces `restricted` on the namespace, is stable since 1.25; policy/v1 and batch/v1 CronJob are older.
https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy"""

LATE = timedelta(hours=2)
"""The rotator runs every hour: after two without success something is wrong."""

SKEW = timedelta(seconds=60)
"""How far this machine's clock may be from the API server's: versions are named by their time, and tokens expire."""

CERT_MANAGER = "coreflux-mcp-certificate"
"""The Secret that cert-manager writes, in a stack whose certificate it issues."""


def kubernetes_checks(cluster: Cluster, session: OpenedStack, tick: Repair) -> list[Check]:
    """The store's own checks, in the order in which one rests on the other."""
    evidence = Evidence(cluster)
    found: list[Check] = [
        Kubeconfig(cluster),
        ApiServer(cluster),
        ClockTogether(cluster),
        RestrictedNamespace(cluster),
        SecretsThere(cluster, session, tick),
        LeaseThere(cluster, follow=tick),
        OwnRights(cluster),
        server_rights(cluster, SERVER),
        rotator_rights(cluster, ROTATOR),
        OthersRights(cluster),
        RotatorRuns(cluster),
        ServerReady(cluster),
        AuditOn(cluster, evidence),
        EncryptedAtRest(cluster, evidence),
    ]
    if CERT_MANAGER in cluster.location.readers:
        found.append(CertManagerThere(cluster))
    return found


@dataclass(frozen=True)
class Kubeconfig:
    """The kubeconfig leads somewhere: it reads, and has the stack's context."""

    cluster: Cluster
    name: str = "kubeconfig"

    def look(self) -> Result:
        try:
            connection = self.cluster.connection
        except SecretopsError as error:
            return Result.of(error, Level.ATTENTION)
        return ok(f"{connection.server} as {connection.identity}")


@dataclass(frozen=True)
class ApiServer:
    """It answers, and is new enough for what the stack is made of."""

    cluster: Cluster
    name: str = "api server"

    def look(self) -> Result:
        try:
            found = self.cluster.get("/version") or {}
        except SecretopsError as error:
            return Result.of(error, Level.ATTENTION)
        told = str(found.get("gitVersion") or "no version")
        numbers = re.match(r"v(\d+)\.(\d+)", told)
        if not numbers:
            return attention(
                f"{self.cluster.connection.server} says {told!r} of itself",
                "a Kubernetes API server tells its version",
                "is a proxy or a login page in between? kubectl version",
            )
        if (int(numbers[1]), int(numbers[2])) < OLDEST:
            return attention(
                f"Kubernetes {told}",
                "1.27 is the oldest that works: before it no node is drained while pods wait for their first values",
                "upgrade the cluster",
            )
        return ok(f"Kubernetes {told}")


@dataclass(frozen=True)
class ClockTogether:
    """This machine and the API server agree on the time."""

    cluster: Cluster
    name: str = "clock"

    def look(self) -> Result:
        self.cluster.reach()
        ahead = datetime.now(UTC) - self.cluster.now()
        if abs(ahead) > SKEW:
            return attention(
                f"this machine is {abs(ahead).total_seconds():.0f} s {'ahead of' if ahead > SKEW else 'behind'} "
                "the API server",
                f"within {SKEW.seconds} s: versions are named by their time, and tokens expire",
                "let both take their time from NTP",
            )
        return ok("as the API server's")


@dataclass(frozen=True)
class RestrictedNamespace:
    """The namespace is there, and only restricted pods run in it."""

    cluster: Cluster
    name: str = "namespace"

    def look(self) -> Result:
        namespace = self.cluster.location.namespace
        found = self.cluster.get(f"/api/v1/namespaces/{namespace}")
        if found is None:
            return attention(
                f"there is no namespace {namespace}",
                "`pulumi up` makes it, or its owner where the stack has server.create_namespace: false",
                "pulumi up; if it has run: is this the cluster of its server.context?",
            )
        level = (found["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce")
        if level != "restricted":
            return attention(
                f"{namespace} enforces {level or 'no Pod Security level'}",
                "restricted: no pod in it runs as root, with capabilities, or on the node's own files",
                "pulumi up puts the label back; with server.create_namespace: false its owner does",
            )
        return ok(f"{namespace}, restricted")


@dataclass(frozen=True)
class SecretsThere:
    """The Secrets of the stack are there. They are no resources of it; an operator's commands make them."""

    cluster: Cluster
    session: OpenedStack
    tick: Repair
    name: str = "secrets"

    def look(self) -> Result:
        names = self.cluster.written
        missing = [name for name in names if self.cluster.own("secrets", name, accept=METADATA) is None]
        if missing:
            return attention(
                f"no Secret {', '.join(missing)}",
                "the rotator may not create any: an operator's command that writes does",
                f"as somebody who may create Secrets: {MAKES_SECRETS}",
                self.tick if self._kept(missing) else None,
            )
        return ok(", ".join(names))

    def _kept(self, missing: list[str]) -> bool:
        """Whether a tick has something for each of them. A value that nobody has supplied yet is a person's."""
        delivered = self.cluster.location.delivered
        has = {place.name for name, place in delivered.items() if self.session.store.versions(name).current}
        return has.issuperset(missing)


@dataclass(frozen=True)
class LeaseThere:
    """The Lease is there, this stack's, and free or held by somebody who lives: without it nobody may rotate."""

    cluster: Cluster
    follow: Repair | None = None
    """What follows a holder that was killed."""
    look_seconds: float = Timing.look
    name: str = "lease"

    def look(self) -> Result:
        lease = self.cluster.location.lease
        try:
            found = self.cluster.lease()
        except ForbiddenError:
            raise
        except StoreError as error:
            return Result.of(error, Level.ATTENTION)
        if found is None:
            return attention(f"no Lease {lease}", "whoever rotates holds it; `pulumi up` makes it", "pulumi up")
        spec = found.get("spec") or {}
        if not (holder := spec.get("holderIdentity")):
            return ok("free")
        began, duration = time.monotonic(), spec.get("leaseDurationSeconds") or Timing.duration
        while time.monotonic() - began < duration:
            time.sleep(self.look_seconds)
            now = (self.cluster.lease() or {}).get("spec") or {}
            if now != spec:
                return ok(f"held by {now['holderIdentity']}" if now.get("holderIdentity") else "free")
        return attention(
            f"held by {holder}, who did not renew it for {duration} s",
            "who lives renews it: this one was killed, or has no network, and may have left a rotation half-done",
            "secretops tick follows it, and finishes what was begun",
            self.follow,
        )


@dataclass(frozen=True)
class RotatorRuns:
    """The CronJob is on, and its last success is recent by the API server's own clock."""

    cluster: Cluster
    name: str = "rotator"

    def look(self) -> Result:
        found = self.cluster.own("cronjobs", ROTATOR, group="apis/batch/v1")
        rule = "secretops tick runs every hour, and succeeds"
        if found is None:
            return attention(f"no CronJob {ROTATOR}", rule, "pulumi up")
        if found["spec"].get("suspend"):
            return attention(
                f"CronJob {ROTATOR} is suspended", rule, "pulumi up, or: kubectl patch it to suspend: false"
            )
        status = found.get("status") or {}
        good, made = status.get("lastSuccessfulTime"), found["metadata"]["creationTimestamp"]
        if self.cluster.now() - _time(good or made) > LATE:
            pods = f"-n {self.cluster.location.namespace} -l app.kubernetes.io/name={ROTATOR}"
            return attention(
                f"no success since {_told(good)}" if good else f"no success since it was made, {_told(made)}",
                rule,
                f"its last pod's log says why: kubectl logs {pods} --tail=20",
            )
        return ok(f"last success {_told(good)}" if good else f"made {_told(made)}, no run has ended yet")


@dataclass(frozen=True)
class ServerReady:
    """As many pods of the MCP server are ready as the stack asks for."""

    cluster: Cluster
    name: str = "server"

    def look(self) -> Result:
        found = self.cluster.own("deployments", SERVER, group="apis/apps/v1")
        rule = "every replica is ready: it has its values, and the broker lets it in"
        if found is None:
            return attention(f"no Deployment {SERVER}", rule, "pulumi up")
        wanted = found["spec"].get("replicas", 1)
        ready = (found.get("status") or {}).get("readyReplicas", 0)
        if not wanted or ready < wanted:
            namespace = self.cluster.location.namespace
            return attention(
                f"{ready} of {wanted} replicas are ready",
                rule,
                f"a pod's log says what it waits for: kubectl -n {namespace} logs deployment/{SERVER}",
            )
        return ok(f"{ready} of {wanted} replicas are ready")


@dataclass(frozen=True)
class CertManagerThere:
    """The cluster knows the kinds of cert-manager, which issues the stack's certificate, and that is there."""

    cluster: Cluster
    name: str = "cert-manager"

    def look(self) -> Result:
        if self.cluster.get("/apis/cert-manager.io/v1") is None:
            return attention(
                "the cluster does not know cert-manager.io/v1",
                "the stack's certificate_issuer is cert-manager's to act on",
                "install cert-manager (https://cert-manager.io/docs/installation), or take certificate_issuer out",
            )
        if self.cluster.own("secrets", CERT_MANAGER, accept=METADATA) is None:
            return attention(
                f"no Secret {CERT_MANAGER}",
                "cert-manager writes the certificate that it had issued there",
                f"its Certificate says why: kubectl -n {self.cluster.location.namespace} describe certificates",
            )
        return ok(f"the cluster knows cert-manager.io/v1, and {CERT_MANAGER} is there")


def _time(text: Any) -> datetime:
    return datetime.fromisoformat(str(text))


def _told(text: Any) -> str:
    return f"{_time(text):%Y-%m-%d %H:%M} UTC"
