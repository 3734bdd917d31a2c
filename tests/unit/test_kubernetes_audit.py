"""`secretops audit` over an API server's audit log: who read what. That a real log is so, is shown by
tests/contract/test_audit_kubernetes.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from secretops.manifest import Delivered, KubernetesStore
from secretops.trails.kubernetes import KubernetesAuditLog
from secretops.trails.protocol import ALL, Access

SECRETS, VERSIONS = "coreflux-mcp-secrets", "coreflux-mcp-versions"
SERVER = "system:serviceaccount:plant:coreflux-mcp-server"
STORE = KubernetesStore(
    namespace="plant",
    versions=VERSIONS,
    lease="rotator",
    delivered={"mqtt": Delivered(name=SECRETS, keys={"password": "mqtt-password"})},
    readers={SECRETS: (SERVER, "system:nodes"), VERSIONS: ("jane",)},
)


def event(reader: str = "eve", verb: str = "get", name: str | None = SECRETS, **more: Any) -> dict[str, Any]:
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "auditID": "a",
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": reader, "groups": more.pop("groups", [])},
        "objectRef": {"resource": "secrets", "namespace": "plant", "name": name},
        "requestReceivedTimestamp": "2026-03-01T12:00:00.000000Z",
        "responseStatus": {"code": 200},
        **more,
    }


def read(*events: dict[str, Any]) -> list[Access]:
    log = KubernetesAuditLog(STORE)
    return [access for one in events for access in log.read(json.dumps(one).encode())]


@pytest.mark.parametrize("verb", ["get", "list", "watch", "patch", "delete", "deletecollection"])
def test_every_verb_that_shows_a_value_counts_as_one_read(verb: str) -> None:
    name = None if verb in ("list", "deletecollection") else SECRETS
    stages = ["ResponseStarted", "ResponseComplete"]
    (access,) = read(*(event(verb=verb, name=name, stage=stage) for stage in stages))
    assert (access.given, access.allowed, access.declared) == (True, True, False)
    assert access.secret == (name or ALL)


def test_the_group_of_nodes_alone_makes_nobody_a_node() -> None:
    (access,) = read(event("eve", groups=["system:nodes"]))
    assert not access.declared


def test_an_impersonator_is_judged_by_their_own_name() -> None:
    (access,) = read(event("eve", impersonatedUser={"username": SERVER}))
    assert (access.reader, access.declared) == (f"eve as {SERVER}", False)


def test_a_refused_request_is_no_read() -> None:
    denied = {"annotations": {"authorization.k8s.io/decision": "forbid"}, "responseStatus": {"code": 403}}
    (access,) = read(event(**denied))
    assert (access.given, access.allowed) == (False, False)
    (nobody,) = read(event("", stage="ResponseStarted", responseStatus={"code": 401}))
    assert (nobody.given, nobody.allowed, nobody.reader) == (False, False, "(not logged in)")
