"""Doctor's checks of a Kubernetes stack.

Rights are queried by access reviews: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from secretops.check import Check, Repair, Result, attention, clock_skew, expired_lease, judge, ok, poll, reached, table
from secretops.errors import SecretopsError, StoreError
from secretops.formats import counted
from secretops.platform import OpenedStack
from secretops.platforms.kubernetes.api import CREATE_BY_PUT, ForbiddenError
from secretops.platforms.kubernetes.checks.cluster import METADATA, Cluster
from secretops.platforms.kubernetes.checks.evidence import AUDIT, ENCRYPTION, Evidence, audit, encryption
from secretops.platforms.kubernetes.lease import Timing
from secretops.platforms.kubernetes.location import KubernetesStoreLocation

# Names of the Deployment and the CronJob, which are also those of their service accounts.
SERVER, ROTATOR = "coreflux-mcp-server", "coreflux-mcp-rotator"

# Oldest supported Kubernetes: the first with `unhealthyPodEvictionPolicy` by default, without which a node can't be
# drained while pods wait for their first values.
# https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy
OLDEST = (1, 27)

# The rotator, which runs hourly, must have succeeded within this time.
LATE = timedelta(hours=2)

# Secret that cert-manager writes for a stack with certificate_issuer.
CERT_MANAGER = "coreflux-mcp-certificate"

# Verbs of RBAC. A request with a verb of UNNAMED never names an object; list and watch can name one by a selector.
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
            "lease": partial(lease, tick=tick),
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
    try:
        found = cluster.get("/version") or {}
    except SecretopsError as error:
        return Result.of(error)
    release = str(found.get("gitVersion") or "no version")
    numbers = re.match(r"v(\d+)\.(\d+)", release)
    if not numbers:
        return attention(
            f"{cluster.connection.server} returned version {release!r}",
            "the address must be that of an API server, not of a proxy or a login page",
            "kubectl version",
        )
    return judge(
        [f"Kubernetes {release}"] if (int(numbers[1]), int(numbers[2])) < OLDEST else [],
        "Kubernetes must be 1.27 or newer: in older releases no node drains while pods wait for their first values",
        "upgrade the cluster",
        f"Kubernetes {release}",
    )


def clock(cluster: Cluster) -> Result:
    cluster.reach()
    return clock_skew(datetime.now(UTC) - cluster.now(), "the API server", ", and tokens expire", both=True)


def namespace(cluster: Cluster) -> Result:
    name = cluster.location.namespace
    found = cluster.get(f"/api/v1/namespaces/{name}")
    if found is None:
        return attention(
            f"namespace {name} does not exist",
            "the namespace must exist: `pulumi up` creates it, unless server.create_namespace is false",
            "pulumi up; if it has run, check that server.context names the stack's cluster",
        )
    level = (found["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce")
    return judge(
        [f"{name} enforces {level or 'no Pod Security level'}"] if level != "restricted" else [],
        "the namespace must enforce Pod Security level restricted: no pod as root, with capabilities or node files",
        f"pulumi up; if server.create_namespace is false: kubectl label namespace {name} --overwrite "
        "pod-security.kubernetes.io/enforce=restricted",
        f"{name}, restricted",
    )


def secrets(cluster: Cluster, stack: OpenedStack, tick: Repair) -> Result:
    """Check that the stack's Secrets exist. An operator's commands create them, and not `pulumi up`."""
    missing = [name for name in cluster.written if cluster.own("secrets", name, accept=METADATA) is None]
    if not missing:
        return ok(", ".join(cluster.written))
    # A tick creates the Secrets that have a value; the others need an operator.
    delivered = cluster.location.delivered
    has_value = {place.name for name, place in delivered.items() if stack.store.versions(name).current}
    return attention(
        f"Secret {', '.join(missing)} does not exist",
        "the stack's Secrets must exist: an operator's command creates them, because the rotator may not",
        f"run as an operator who may create Secrets: {CREATE_BY_PUT}",
        tick if has_value.issuperset(missing) else None,
    )


def lease(cluster: Cluster, tick: Repair | None, pause: float = Timing.poll) -> Result:
    try:
        found = cluster.lease()
    except StoreError as error:
        if error.code != "lease-of-another-stack":
            raise
        return Result.of(error)
    if found is None:
        return attention(
            f"no Lease {cluster.location.lease}",
            "the Lease, which a rotation acquires, must exist: `pulumi up` creates it",
            "pulumi up",
        )
    spec = found.get("spec") or {}
    if not (holder := spec.get("holderIdentity")):
        return ok("free")
    duration = spec.get("leaseDurationSeconds") or Timing.duration
    for _ in poll(duration, pause):
        now = (cluster.lease() or {}).get("spec") or {}
        if now != spec:
            return ok(f"held by {now['holderIdentity']}" if now.get("holderIdentity") else "free")
    return expired_lease(holder, duration, tick, "was killed, or has no network,")


@dataclass(frozen=True, order=True)
class Right:
    verb: str
    resource: str
    name: str = ""
    group: str = ""
    # In all namespaces.
    everywhere: bool = False

    def __str__(self) -> str:
        what = f"{self.resource}/{self.name}" if self.name else f"any {self.resource}"
        return f"{self.verb} {what}{' of the cluster' if self.everywhere else ''}"


# Rights that give access to a Secret indirectly: a pod that mounts it, a running pod, another identity, a new grant.
# https://kubernetes.io/docs/concepts/security/rbac-good-practices/
ESCALATIONS = (
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
        "an operator must be able to create Secrets, and to get and update the stack's Secrets and Lease",
        f"request a Role in namespace {cluster.location.namespace} that grants these rights",
        "create, get and update what the stack needs",
    )


def account_rights(cluster: Cluster, account: str) -> Result:
    place, verbs = cluster.location, _BOTH if account == ROTATOR else ("get",)
    user = _user(place.namespace, account)
    declared = {Right(verb, "secrets", name) for name, who in place.readers.items() if user in who for verb in verbs}
    if account == ROTATOR:
        declared |= {Right(verb, "leases", place.lease, _LEASES) for verb in _BOTH}
    granted = {right for right in (*_all_rights(cluster), *ESCALATIONS) if _may(cluster, right, user, _groups(place))}
    exactly = f"may {_words(declared)}, and has no other right that doctor checks"
    wrong = [f"{account} may not {_words(missing)}"] if (missing := declared - granted) else []
    if more := granted - declared:
        wrong.append(f"{account} may {_words(more)}")
    return judge(
        wrong,
        f"{account} must have exactly these of the rights that doctor checks: {_words(declared)}",
        "pulumi up grants missing rights; to find the bindings of other rights: kubectl get "
        f"rolebindings,clusterrolebindings -A -o wide | grep {account}",
        f"{account} {exactly}",
    )


def _user(namespace: str, account: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def _groups(place: KubernetesStoreLocation) -> tuple[str, ...]:
    return "system:serviceaccounts", f"system:serviceaccounts:{place.namespace}", "system:authenticated"


def _all_rights(cluster: Cluster) -> Iterator[Right]:
    for resource, group, names in (("secrets", "", cluster.secrets), ("leases", _LEASES, (cluster.location.lease,))):
        for verb in VERBS:
            yield Right(verb, resource, group=group)
            if verb not in UNNAMED:
                yield from (Right(verb, resource, name, group) for name in names)
    yield from (Right(verb, "secrets", everywhere=True) for verb in VERBS)


def others_rights(cluster: Cluster) -> Result:
    accounts = _groups(cluster.location)
    others = {
        "the namespace's default service account": (_user(cluster.location.namespace, "default"), accounts),
        "any service account": (_user("other", "other"), (accounts[0], accounts[2])),
        "any authenticated user": ("secretops-doctor:anybody", (accounts[2],)),
        "an anonymous user": ("system:anonymous", ("system:unauthenticated",)),
    }
    checked = [*(Right("get", "secrets", name) for name in cluster.secrets), Right("list", "secrets")]
    return judge(
        (
            f"{who} may {_words(granted)}"
            for who, (user, groups) in others.items()
            if (granted := [right for right in checked if _may(cluster, right, user, groups)])
        ),
        "only declared readers may read the stack's Secrets",
        "find and remove the binding: kubectl get rolebindings,clusterrolebindings -A -o wide",
        "no other pod of the namespace, no other account, no anonymous user",
    )


def _words(rights: Collection[Right]) -> str:
    things: dict[str, list[str]] = {}
    for right in sorted(rights):
        verb, _, what = str(right).partition(" ")
        things.setdefault(what, []).append(verb)
    return ", ".join(f"{'/'.join(verbs)} {what}" for what, verbs in things.items()) or "do nothing"


def _may(cluster: Cluster, right: Right, user: str = "", groups: tuple[str, ...] = ()) -> bool:
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
            f"{cluster.connection.identity} may not create {kind.lower()}s, with which doctor checks rights",
            rule=f"the account that runs doctor must have the right to create {kind.lower()}s",
            remedy="run secretops doctor as a cluster administrator",
            code="kubernetes-review-denied",
        ) from error
    if answer is None:
        raise StoreError(
            f"the API server does not support {kind}",
            rule="the API server must support authorization.k8s.io/v1, which is part of Kubernetes",
            remedy="check that the address is that of an API server: kubectl api-versions",
            code="kubernetes-api-missing",
        )
    return bool(answer["status"]["allowed"])


def rotator(cluster: Cluster) -> Result:
    found = cluster.own("cronjobs", ROTATOR, group="apis/batch/v1")
    rule = "secretops tick must succeed every hour"
    if found is None:
        return attention(f"no CronJob {ROTATOR}", rule, "pulumi up")
    if found["spec"].get("suspend"):
        patch = f'kubectl -n {cluster.location.namespace} patch cronjob {ROTATOR} -p \'{{"spec":{{"suspend":false}}}}\''
        return attention(f"CronJob {ROTATOR} is suspended", rule, f"pulumi up; or at once: {patch}")
    last = (found.get("status") or {}).get("lastSuccessfulTime")
    good = datetime.fromisoformat(last or found["metadata"]["creationTimestamp"])
    since = f"{good:%Y-%m-%d %H:%M} UTC"
    if cluster.now() - good > LATE:
        pods = f"-n {cluster.location.namespace} -l app.kubernetes.io/name={ROTATOR}"
        remedy = f"kubectl logs {pods} --tail=20"
        what = f"last succeeded {since}" if last else f"was created {since}, and never succeeded"
        return attention(f"CronJob {ROTATOR} {what}", rule, remedy)
    return ok(f"last success {since}" if last else f"created {since}, no run has ended yet")


def server(cluster: Cluster) -> Result:
    found = cluster.own("deployments", SERVER, group="apis/apps/v1")
    rule = "the Deployment must have at least one replica, and each must be ready: the broker must accept its values"
    if found is None:
        return attention(f"no Deployment {SERVER}", rule, "pulumi up")
    wanted = found["spec"].get("replicas", 1)
    ready = (found.get("status") or {}).get("readyReplicas", 0)
    value = f"{ready} of {counted(wanted, 'replica is', 'replicas are')} ready"
    remedy = f"kubectl -n {cluster.location.namespace} logs deployment/{SERVER}"
    return judge([value] if not wanted or ready < wanted else [], rule, remedy, value)


def cert_manager(cluster: Cluster) -> Result:
    if cluster.get("/apis/cert-manager.io/v1") is None:
        return attention(
            "the cluster does not serve cert-manager.io/v1",
            "server.certificate_issuer in the stack file requires cert-manager",
            "install cert-manager (https://cert-manager.io/docs/installation), or remove server.certificate_issuer",
        )
    if cluster.own("secrets", CERT_MANAGER, accept=METADATA) is None:
        return attention(
            f"no Secret {CERT_MANAGER}",
            "cert-manager must write the issued certificate to this Secret",
            f"kubectl -n {cluster.location.namespace} describe certificates",
        )
    return ok(f"the cluster serves cert-manager.io/v1, and Secret {CERT_MANAGER} exists")
