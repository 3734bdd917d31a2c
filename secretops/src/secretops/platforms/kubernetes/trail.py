"""Parse the API server's audit log: lines of audit.k8s.io/v1 Event, from a log file or an audit webhook.

https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from secretops.platforms.kubernetes.location import KubernetesStoreLocation
from secretops.trails import ALL, Access, TrailNames, json_documents, parsing

# Verbs that may return a Secret's data, by experiment. The whole Secret is returned by a patch without a change (a
# dry run, too), a deletecollection, and a delete with propagationPolicy=Foreground. A create or an update returns only
# its input.
GIVES_VALUE = frozenset({"get", "list", "watch", "patch", "delete", "deletecollection"})

CHANGES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

# Processes of the cluster that may read Secrets by bootstrap roles (`kubectl get clusterroles`).
CONTROL_PLANE = frozenset(
    {
        "system:apiserver",
        "system:kube-controller-manager",
        *(
            f"system:serviceaccount:kube-system:{name}"
            for name in (
                "generic-garbage-collector",
                "legacy-service-account-token-cleaner",
                "namespace-controller",
                "resourcequota-controller",
                "storage-version-migrator-controller",
            )
        ),
    }
)

# Prefix of a kubelet's name, and the group of kubelets, which is the declared reader of mounted Secrets. Any user may
# be in the group, so a kubelet must have both. https://kubernetes.io/docs/reference/access-authn-authz/node/
NODE, NODES = "system:node:", "system:nodes"

# Maximum number of remembered open watches: the end of each is a second event.
MOST_OPEN = 10_000

NOBODY = "(not logged in)"


class KubernetesAuditLog(TrailNames):
    """The trail of one stack. A log's lines must be in order, since a watch request has a start line and an end
    line."""

    log_format = "the API server's audit log, one event of audit.k8s.io/v1 per line"

    def __init__(self, location: KubernetesStoreLocation) -> None:
        self._namespace, self._readers = location.namespace, location.readers
        places = {secret: frozenset({place.name, location.versions}) for secret, place in location.delivered.items()}
        super().__init__(places, {location.versions, *location.readers}.union(*places.values()))
        self._open: OrderedDict[str, None] = OrderedDict()

    def read(self, line: bytes) -> Iterator[Access]:
        with parsing("an audit event"):
            for event in json_documents(line):
                is_one = event["kind"] == "Event" and event["apiVersion"] in ("audit.k8s.io/v1", None)
                if not is_one and event["kind"] != "EventList":
                    raise ValueError(f"a {event['kind']}")
                for each in [event] if is_one else event["items"]:
                    yield from self._read(each)

    def _read(self, event: dict[str, Any]) -> Iterator[Access]:
        target = event.get("objectRef") or {}
        if target.get("resource") != "secrets" or target.get("apiGroup") or not self._is_first(event):
            return
        name = target.get("name") or ALL
        if target.get("namespace") not in (None, "", self._namespace) or name not in (*self.known, ALL):
            return
        verb, code = event["verb"], _code(event)
        if name == ALL and verb == "create":
            return
        time = datetime.fromisoformat(event["requestReceivedTimestamp"]).astimezone(UTC)
        user = event.get("user") or {}
        reader = user.get("username") or NOBODY
        impersonated = (event.get("impersonatedUser") or {}).get("username")
        decision = (event.get("annotations") or {}).get("authorization.k8s.io/decision")
        yield Access(
            time=time,
            reader=f"{reader} as {impersonated}" if impersonated else reader,
            operation=verb,
            secret=name,
            allowed=decision == "allow" if decision else code < HTTPStatus.BAD_REQUEST,
            source=_source(event),
            value_returned=verb in GIVES_VALUE and code < HTTPStatus.BAD_REQUEST,
            changed=verb in CHANGES and code < HTTPStatus.BAD_REQUEST,
            declared=self._is_declared(name, reader, user.get("groups") or ()),
            holds_value=any(
                body in event and event[body].get("kind") != "Status" for body in ("requestObject", "responseObject")
            ),
        )

    def _is_first(self, event: dict[str, Any]) -> bool:
        # Ids are compared only for a watch, since clients can choose them.
        stage, request = event["stage"], event["auditID"]
        is_start, rejected = stage == "ResponseStarted", _code(event) == HTTPStatus.UNAUTHORIZED
        if event["verb"] != "watch" or rejected:
            return rejected if is_start else stage in ("ResponseComplete", "Panic")
        if is_start:
            self._open[request] = None
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return True
        if request in self._open:
            del self._open[request]
            return False
        return stage in ("ResponseComplete", "Panic")

    def _is_declared(self, name: str, reader: str, groups: Iterable[str]) -> bool:
        if reader in CONTROL_PLANE:
            return True
        subjects = {reader, *(group for group in groups if group != NODES or reader.startswith(NODE))}
        names = self.known if name == ALL else (name,)
        return all(not subjects.isdisjoint(self._readers.get(each, ())) for each in names)


def _code(event: dict[str, Any]) -> int:
    return int((event.get("responseStatus") or {}).get("code", HTTPStatus.OK))


def _source(event: dict[str, Any]) -> str:
    extra = (event.get("user") or {}).get("extra") or {}
    pods = extra.get("authentication.kubernetes.io/pod-name") or ()
    program = str(event.get("userAgent") or "").split(" ")[0]
    return " ".join([",".join(event.get("sourceIPs") or ()), *(f"pod {pod}" for pod in pods), program]).strip()
