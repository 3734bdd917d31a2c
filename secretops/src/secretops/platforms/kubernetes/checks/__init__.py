"""Doctor's checks of a Kubernetes stack: API server, namespace, Secrets, Lease, rights, rotator, server and evidence.

Who may do what is asked of the API server: SelfSubjectAccessReview for the caller, SubjectAccessReview for others.
https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from secretops.check import Check, Repair, Result, attention, clock_skew, expired_lease, judge, ok, poll, reached, table
from secretops.errors import SecretopsError, StoreError
from secretops.platform import OpenedStack
from secretops.platforms.kubernetes.api import MAKES_SECRETS
from secretops.platforms.kubernetes.checks.cluster import METADATA, Cluster, ForbiddenError
from secretops.platforms.kubernetes.checks.evidence import AUDIT, ENCRYPTION, Evidence, audit, encryption
from secretops.platforms.kubernetes.lease import Timing
from secretops.platforms.kubernetes.location import KubernetesStoreLocation

# Names of the Deployment and the CronJob, and of their service accounts.
SERVER, ROTATOR = "coreflux-mcp-server", "coreflux-mcp-rotator"

# Major and minor of the oldest Kubernetes that works. 1.27 is the first that knows `unhealthyPodEvictionPolicy` by
# default, without which a node can't be drained while pods wait for their first values.
# https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy
OLDEST = (1, 27)

# The rotator runs every hour: after two without success something is wrong.
LATE = timedelta(hours=2)

# The Secret that cert-manager writes, in a stack whose certificate it issues.
CERT_MANAGER = "coreflux-mcp-certificate"

# Everything that RBAC can grant on an object, and the verbs that name no object. A list or a watch can, by a selector.
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
UNNAMED = ("create", "deletecollection")
_BOTH = ("get", "update")
_WRITING = ("create", "update", "patch")
_LEASES, _RBAC = "coordination.k8s.io", "rbac.authorization.k8s.io"


def kubernetes_checks(cluster: Cluster, stack: OpenedStack, tick: Repair) -> list[Check]:
    evidence, has_issuer = Evidence(cluster), CERT_MANAGER in cluster.location.readers
    return table(
        cluster,
        {
            "kubeconfig": lambda it: reached(
                lambda: it.connection, lambda: f"{it.connection.server} as {it.connection.identity}"
            ),
            "api server": api_server,
            "clock": clock,
            "namespace": namespace,
            "secrets": partial(secrets, stack=stack, tick=tick),
            "lease": partial(lease, follow=tick),
            "your rights": own_rights,
            "server's rights": partial(account_rights, account=SERVER),
            "rotator's rights": partial(account_rights, account=ROTATOR),
            "others' rights": others_rights,
            "rotator": rotator,
            "server": server,
            AUDIT: lambda _: audit(evidence),
            ENCRYPTION: lambda _: encryption(evidence),
            **({"cert-manager": cert_manager} if has_issuer else {}),
        },
    )


def api_server(cluster: Cluster) -> Result:
    """Check that it answers, and is new enough."""
    try:
        found = cluster.get("/version") or {}
    except SecretopsError as error:
        return Result.of(error)
    release = str(found.get("gitVersion") or "no version")
    numbers = re.match(r"v(\d+)\.(\d+)", release)
    if not numbers:
        return attention(
            f"{cluster.connection.server} says {release!r} of itself",
            "a Kubernetes API server tells its version",
            "is a proxy or a login page in between? kubectl version",
        )
    return judge(
        [f"Kubernetes {release}"] if (int(numbers[1]), int(numbers[2])) < OLDEST else [],
        "1.27 is the oldest that works: before it no node is drained while pods wait for their first values",
        "upgrade the cluster",
        f"Kubernetes {release}",
    )


def clock(cluster: Cluster) -> Result:
    cluster.reach()
    return clock_skew(datetime.now(UTC) - cluster.now(), "the API server", ", and tokens expire", both=True)


def namespace(cluster: Cluster) -> Result:
    """Check that the namespace exists, and runs only restricted pods."""
    name = cluster.location.namespace
    found = cluster.get(f"/api/v1/namespaces/{name}")
    if found is None:
        return attention(
            f"there is no namespace {name}",
            "`pulumi up` makes it, or its owner where the stack has server.create_namespace: false",
            "pulumi up; if it has run: is this the cluster of its server.context?",
        )
    level = (found["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce")
    return judge(
        [f"{name} enforces {level or 'no Pod Security level'}"] if level != "restricted" else [],
        "restricted: no pod in it runs as root, with capabilities, or on the node's own files",
        "pulumi up puts the label back; with server.create_namespace: false its owner does",
        f"{name}, restricted",
    )


def secrets(cluster: Cluster, stack: OpenedStack, tick: Repair) -> Result:
    """Check that the stack's Secrets exist. They are no resources of it; an operator's commands make them."""
    missing = [name for name in cluster.written if cluster.own("secrets", name, accept=METADATA) is None]
    if not missing:
        return ok(", ".join(cluster.written))
    # A tick makes those that have a value. A value that nobody has supplied yet is a person's.
    delivered = cluster.location.delivered
    has = {place.name for name, place in delivered.items() if stack.store.versions(name).current}
    return attention(
        f"no Secret {', '.join(missing)}",
        "the rotator may not create any: an operator's command that writes does",
        f"as somebody who may create Secrets: {MAKES_SECRETS}",
        tick if has.issuperset(missing) else None,
    )


def lease(cluster: Cluster, follow: Repair | None, pause: float = Timing.poll) -> Result:
    """Check that the Lease exists, is this stack's, and is free or renewed; else `follow` takes over."""
    try:
        found = cluster.lease()
    except ForbiddenError:
        raise
    except StoreError as error:
        return Result.of(error)
    if found is None:
        rule = "whoever rotates holds it; `pulumi up` makes it"
        return attention(f"no Lease {cluster.location.lease}", rule, "pulumi up")
    spec = found.get("spec") or {}
    if not (holder := spec.get("holderIdentity")):
        return ok("free")
    duration = spec.get("leaseDurationSeconds") or Timing.duration
    for _ in poll(duration, pause):
        now = (cluster.lease() or {}).get("spec") or {}
        if now != spec:
            return ok(f"held by {now['holderIdentity']}" if now.get("holderIdentity") else "free")
    return expired_lease(holder, duration, follow, "was killed, or has no network,")


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one kind of object in the stack's namespace, or on one object by its name."""

    verb: str
    resource: str
    name: str = ""
    group: str = ""
    # In every namespace, not only the stack's.
    everywhere: bool = False

    def __str__(self) -> str:
        what = f"{self.resource}/{self.name}" if self.name else f"any {self.resource}"
        return f"{self.verb} {what}{' of the cluster' if self.everywhere else ''}"


# What would let an account get a Secret that it may not read: a pod that mounts it, or another's that it enters;
# another's token or name; a new grant. https://kubernetes.io/docs/concepts/security/rbac-good-practices/
WAYS_ROUND = (
    Right("create", "pods"),
    *(Right(verb, f"pods/{part}") for part in ("exec", "attach") for verb in ("create", "get")),
    *(Right(verb, "pods/ephemeralcontainers") for verb in ("update", "patch")),
    *(Right(verb, "replicationcontrollers") for verb in _WRITING),
    Right("create", "jobs", group="batch"),
    *(Right(verb, "cronjobs", group="batch") for verb in _WRITING),
    *(
        Right(verb, kind, group="apps")
        for kind in ("deployments", "statefulsets", "daemonsets", "replicasets")
        for verb in _WRITING
    ),
    Right("create", "serviceaccounts/token"),
    Right("impersonate", "serviceaccounts"),
    *(Right("impersonate", kind, everywhere=True) for kind in ("users", "groups")),
    *(Right(verb, "rolebindings", group=_RBAC) for verb in _WRITING),
    *(Right(verb, "roles", group=_RBAC) for verb in (*_WRITING, "bind", "escalate")),
    *(Right(verb, "clusterroles", group=_RBAC, everywhere=True) for verb in ("bind", "escalate")),
)


def own_rights(cluster: Cluster) -> Result:
    """Check what an operator needs: the Secrets, the Lease, and the broker certificate where an issuer keeps it."""
    lease, issued = cluster.location.lease, cluster.location.issued
    needed = [
        Right("create", "secrets"),
        *(Right(verb, "secrets", name) for name in cluster.written for verb in _BOTH),
        *((Right("get", "secrets", issued.name),) if issued else ()),
        *(Right(verb, "leases", lease, _LEASES) for verb in _BOTH),
    ]
    lacking = [right for right in needed if not _may(cluster, right)]
    return judge(
        [f"you may not {_words(lacking)}"] if lacking else [],
        "an operator creates the Secrets, and reads and updates them under the Lease",
        f"ask for a role in namespace {cluster.location.namespace} that grants it",
        "create, get and update what the stack needs",
    )


def account_rights(cluster: Cluster, account: str) -> Result:
    """Compare what a service account may do, of all verbs, with what it is declared to.

    The server gets at most what it reads: kubelets mount Secrets, and its pods have no token. The rotator also updates
    the Secrets, and holds the Lease.
    """
    place, verbs = cluster.location, _BOTH if account == ROTATOR else ("get",)
    user = _user(place.namespace, account)
    granted = {Right(verb, "secrets", name) for name, who in place.readers.items() if user in who for verb in verbs}
    if account == ROTATOR:
        granted |= {Right(verb, "leases", place.lease, _LEASES) for verb in _BOTH}
    held = {right for right in (*_all_rights(cluster), *WAYS_ROUND) if _may(cluster, right, user, _groups(place))}
    exactly = f"may {_words(granted)}, and none of the other rights asked for"
    wrong = [f"{account} may not {_words(missing)}"] if (missing := granted - held) else []
    if more := held - granted:
        wrong.append(f"{account} may {_words(more)}")
    return judge(
        wrong,
        f"it {exactly}",
        "pulumi up gives back what is missing; who has bound more to it: "
        f"kubectl get rolebindings,clusterrolebindings -A -o wide | grep {account}",
        f"{account} {exactly}",
    )


def _user(namespace: str, account: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def _groups(place: KubernetesStoreLocation) -> tuple[str, ...]:
    """Return the groups of every service account of the namespace."""
    return "system:serviceaccounts", f"system:serviceaccounts:{place.namespace}", "system:authenticated"


def _all_rights(cluster: Cluster) -> Iterator[Right]:
    """Yield every verb on Secrets and Leases: on each of ours, on any, and on Secrets of other namespaces."""
    for resource, group, names in (("secrets", "", cluster.secrets), ("leases", _LEASES, (cluster.location.lease,))):
        for verb in VERBS:
            yield Right(verb, resource, group=group)
            if verb not in UNNAMED:
                yield from (Right(verb, resource, name, group) for name in names)
    yield from (Right(verb, "secrets", everywhere=True) for verb in VERBS)


def others_rights(cluster: Cluster) -> Result:
    """Check that no undeclared account may read the Secrets: of the namespace, of others, logged in or not."""
    accounts = _groups(cluster.location)
    others = {
        "the namespace's default service account": (_user(cluster.location.namespace, "default"), accounts),
        "any service account": (_user("other", "other"), (accounts[0], accounts[2])),
        "anybody who is logged in": ("secretops-doctor:anybody", (accounts[2],)),
        "anybody": ("system:anonymous", ("system:unauthenticated",)),
    }
    asked = [*(Right("get", "secrets", name) for name in cluster.secrets), Right("list", "secrets")]
    return judge(
        (
            f"{who} may {_words(held)}"
            for who, (user, groups) in others.items()
            if (held := [right for right in asked if _may(cluster, right, user, groups)])
        ),
        "only who is declared reads the stack's Secrets",
        "find what grants it: kubectl get rolebindings,clusterrolebindings -A -o wide",
        "none of the namespace's other pods, of other accounts, of others",
    )


def _words(rights: Collection[Right]) -> str:
    """Write rights as a sentence, with the verbs for one object together."""
    things: dict[str, list[str]] = {}
    for right in sorted(rights):
        verb, _, what = str(right).partition(" ")
        things.setdefault(what, []).append(verb)
    return ", ".join(f"{'/'.join(verbs)} {what}" for what, verbs in things.items()) or "do nothing"


def _may(cluster: Cluster, right: Right, user: str = "", groups: tuple[str, ...] = ()) -> bool:
    """Return whether `user`, or the caller, has that right. Raises ForbiddenError when the caller may not ask that."""
    resource, _, part = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": part}
    attributes |= {"name": right.name, "namespace": "" if right.everywhere else cluster.location.namespace}
    kind = "SubjectAccessReview" if user else "SelfSubjectAccessReview"
    who = {"user": user, "groups": list(groups)} if user else {}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {"resourceAttributes": attributes, **who}}
    try:
        answer = cluster.post(f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body)
    except ForbiddenError as error:
        raise ForbiddenError(
            f"{cluster.connection.identity} may not ask what others may",
            rule=f"that takes the right to create {kind.lower()}s",
            remedy="run secretops doctor as a cluster administrator",
        ) from error
    if answer is None:
        raise StoreError(f"the API server knows no {kind}", rule="authorization.k8s.io/v1 is part of Kubernetes")
    return bool(answer["status"]["allowed"])


def rotator(cluster: Cluster) -> Result:
    """Check that the CronJob is on, and that its last success is recent by the API server's clock."""
    found = cluster.own("cronjobs", ROTATOR, group="apis/batch/v1")
    rule = "secretops tick runs every hour, and succeeds"
    if found is None:
        return attention(f"no CronJob {ROTATOR}", rule, "pulumi up")
    if found["spec"].get("suspend"):
        remedy = "pulumi up, or: kubectl patch it to suspend: false"
        return attention(f"CronJob {ROTATOR} is suspended", rule, remedy)
    last = (found.get("status") or {}).get("lastSuccessfulTime")
    good = datetime.fromisoformat(last or found["metadata"]["creationTimestamp"])
    since = f"{good:%Y-%m-%d %H:%M} UTC"
    if cluster.now() - good > LATE:
        pods = f"-n {cluster.location.namespace} -l app.kubernetes.io/name={ROTATOR}"
        remedy = f"its last pod's log says why: kubectl logs {pods} --tail=20"
        return attention(f"no success since {'' if last else 'it was made, '}{since}", rule, remedy)
    return ok(f"last success {since}" if last else f"made {since}, no run has ended yet")


def server(cluster: Cluster) -> Result:
    """Check that all pods of the MCP server that the stack wants are ready."""
    found = cluster.own("deployments", SERVER, group="apis/apps/v1")
    rule = "every replica is ready: it has its values, and the broker lets it in"
    if found is None:
        return attention(f"no Deployment {SERVER}", rule, "pulumi up")
    wanted = found["spec"].get("replicas", 1)
    ready = (found.get("status") or {}).get("readyReplicas", 0)
    value = f"{ready} of {wanted} replicas are ready"
    remedy = f"a pod's log says what it waits for: kubectl -n {cluster.location.namespace} logs deployment/{SERVER}"
    return judge([value] if not wanted or ready < wanted else [], rule, remedy, value)


def cert_manager(cluster: Cluster) -> Result:
    """Check that the cluster has cert-manager, which issues the stack's certificate, and that it was issued."""
    if cluster.get("/apis/cert-manager.io/v1") is None:
        return attention(
            "the cluster does not know cert-manager.io/v1",
            "the stack's certificate_issuer is cert-manager's to act on",
            "install cert-manager (https://cert-manager.io/docs/installation), or take certificate_issuer out",
        )
    if cluster.own("secrets", CERT_MANAGER, accept=METADATA) is None:
        return attention(
            f"no Secret {CERT_MANAGER}",
            "cert-manager writes the certificate that it had issued there",
            f"its Certificate says why: kubectl -n {cluster.location.namespace} describe certificates",
        )
    return ok(f"the cluster knows cert-manager.io/v1, and {CERT_MANAGER} is there")
