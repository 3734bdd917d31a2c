"""Who may do what with the stack's Secrets, asked of the API server itself: SelfSubjectAccessReview for the caller,
SubjectAccessReview for others. https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from secretops.check import Result, attention, ok
from secretops.errors import StoreError
from secretops.platforms.kubernetes.checks.cluster import Cluster, ForbiddenError

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
"""Everything that RBAC can grant on an object."""

UNNAMED = ("create", "deletecollection")
"""Verbs that are about no object by its name. A list or a watch can be, by a field selector."""

_LEASES = "coordination.k8s.io"

_NO_MORE = "and none of the other rights asked for"


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one kind of thing in the stack's namespace, or on one thing of it by its name."""

    verb: str
    resource: str
    name: str = ""
    group: str = ""
    everywhere: bool = False
    """In every namespace, not only the stack's."""

    def __str__(self) -> str:
        what = f"{self.resource}/{self.name}" if self.name else f"any {self.resource}"
        return f"{self.verb} {what}{' of the cluster' if self.everywhere else ''}"


_WRITING = ("create", "update", "patch")

_RBAC = "rbac.authorization.k8s.io"

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
"""What would let an account have a Secret that it may not read: a pod that mounts it, or another's that it gets into;
another's token or name; a new grant. https://kubernetes.io/docs/concepts/security/rbac-good-practices/"""


@dataclass(frozen=True)
class OwnRights:
    """What an operator of the stack needs: to create its Secrets, read and update them, and hold the Lease; and to
    read the certificate that secretops shows to the broker, where an issuer keeps it."""

    cluster: Cluster
    name: str = "your rights"

    def look(self) -> Result:
        lease, issued = self.cluster.location.lease, self.cluster.location.issued
        needed = [
            Right("create", "secrets"),
            *(Right(verb, "secrets", name) for name in self.cluster.written for verb in ("get", "update")),
            *((Right("get", "secrets", issued.name),) if issued else ()),
            *(Right(verb, "leases", lease, _LEASES) for verb in ("get", "update")),
        ]
        lacking = [right for right in needed if not _may(self.cluster, right)]
        if lacking:
            return attention(
                f"you may not {_told(lacking)}",
                "an operator creates the Secrets, and reads and updates them under the Lease",
                f"ask for a role in namespace {self.cluster.location.namespace} that grants it",
            )
        return ok("create, get and update what the stack needs")


@dataclass(frozen=True)
class AccountsRights:
    """A service account of the stack may do exactly what it is there for, over the whole table of verbs."""

    cluster: Cluster
    name: str
    account: str
    granted: frozenset[Right]

    def look(self) -> Result:
        namespace = self.cluster.location.namespace
        user = f"system:serviceaccount:{namespace}:{self.account}"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        held = {right for right in (*_table(self.cluster), *WAYS_ROUND) if _may(self.cluster, right, user, groups)}
        said = []
        if missing := self.granted - held:
            said.append(f"{self.account} may not {_told(missing)}")
        if more := held - self.granted:
            said.append(f"{self.account} may {_told(more)}")
        if said:
            return attention(
                "; ".join(said),
                f"it may {_told(self.granted)}, {_NO_MORE}",
                "pulumi up gives back what is missing; who has bound more to it: "
                f"kubectl get rolebindings,clusterrolebindings -A -o wide | grep {self.account}",
            )
        return ok(f"{self.account} may {_told(self.granted)}, {_NO_MORE}")


@dataclass(frozen=True)
class OthersRights:
    """Nobody reads the Secrets for being somebody: any pod of the namespace, any account, anyone logged in or not."""

    cluster: Cluster
    name: str = "others' rights"

    def look(self) -> Result:
        namespace = self.cluster.location.namespace
        accounts = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        others = {
            "the namespace's default service account": (f"system:serviceaccount:{namespace}:default", accounts),
            "any service account": ("system:serviceaccount:other:other", (accounts[0], accounts[2])),
            "anybody who is logged in": ("secretops-doctor:anybody", (accounts[2],)),
            "anybody": ("system:anonymous", ("system:unauthenticated",)),
        }
        asked = [*(Right("get", "secrets", name) for name in self.cluster.secrets), Right("list", "secrets")]
        said = [
            f"{who} may {_told(held)}"
            for who, (user, groups) in others.items()
            if (held := [right for right in asked if _may(self.cluster, right, user, groups)])
        ]
        if said:
            return attention(
                "; ".join(said),
                "only who is declared reads the stack's Secrets",
                "find what grants it: kubectl get rolebindings,clusterrolebindings -A -o wide",
            )
        return ok("none of the namespace's other pods, of other accounts, of others")


def server_rights(cluster: Cluster, account: str) -> AccountsRights:
    """None: kubelets mount its Secrets, and its pods have no token. Only a declared reader may get them."""
    read = frozenset(Right("get", "secrets", name) for name in _declared(cluster, account))
    return AccountsRights(cluster, "server's rights", account, read)


def rotator_rights(cluster: Cluster, account: str) -> AccountsRights:
    """To get and update the Secrets that it is declared to read, and the Lease."""
    both = ("get", "update")
    granted = {Right(verb, "secrets", name) for name in _declared(cluster, account) for verb in both}
    granted |= {Right(verb, "leases", cluster.location.lease, _LEASES) for verb in both}
    return AccountsRights(cluster, "rotator's rights", account, frozenset(granted))


def _declared(cluster: Cluster, account: str) -> Iterator[str]:
    user = f"system:serviceaccount:{cluster.location.namespace}:{account}"
    return (name for name, readers in cluster.location.readers.items() if user in readers)


def _table(cluster: Cluster) -> Iterator[Right]:
    """Every verb on Secrets and Leases: on each of ours by its name, on any, and on those of other namespaces."""
    for resource, group, names in (
        ("secrets", "", cluster.secrets),
        ("leases", _LEASES, (cluster.location.lease,)),
    ):
        for verb in VERBS:
            yield Right(verb, resource, group=group)
            if verb not in UNNAMED:
                yield from (Right(verb, resource, name, group) for name in names)
    yield from (Right(verb, "secrets", everywhere=True) for verb in VERBS)


def _told(rights: frozenset[Right] | set[Right] | list[Right]) -> str:
    """Rights as a sentence: verbs that go for the same thing together."""
    things: dict[str, list[str]] = {}
    for right in sorted(rights):
        verb, _, what = str(right).partition(" ")
        things.setdefault(what, []).append(verb)
    return ", ".join(f"{'/'.join(verbs)} {what}" for what, verbs in things.items()) or "do nothing"


def _may(cluster: Cluster, right: Right, user: str = "", groups: tuple[str, ...] = ()) -> bool:
    """Whether `user`, or the caller, has that right. Raises ForbiddenError when the caller may not ask that."""
    resource, _, part = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": part,
        "name": right.name,
        "namespace": "" if right.everywhere else cluster.location.namespace,
    }
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
