"""Staging end to end: the real engine and provider, a real API server, and a real broker.

A stand-in for kubelet runs its pods (tests/real/kubelet.py lists what that does not prove).
"""

import asyncio
import dataclasses
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightkube import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import CronJob
from lightkube.resources.core_v1 import Namespace, Pod, Secret
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding
from lightkube.types import PatchType

from secretops.errors import ExitCode
from secretops.values import new_password
from tests.gates.test_leak import forms
from tests.real.cluster import Cluster
from tests.real.kubelet import MISSING, Kubelet
from tests.real.mosquitto import Mosquitto
from tests.real.upstream import SMALL_SERVER, real_server
from tests.stacks.staging import (
    IMAGE,
    NAMESPACE,
    ROTATOR,
    SECRETS,
    SERVER,
    Staging,
    all_log,
    new_staging,
    rotate_under_clients,
)

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staging]:
    home = tmp_path_factory.mktemp("staging")
    stack = new_staging(home, cluster.admin, broker)
    server = real_server() or SMALL_SERVER
    with Kubelet(cluster, NAMESPACE, home / "kubelet", server=server) as kubelet:
        made = Staging(stack, cluster, kubelet, cluster.client())
        preview = stack.run("preview")
        assert preview.returncode == 0, preview.stdout
        made.output += [preview.stdout, stack.up()]
        assert not [output for output in made.output if "warning:" in output]
        yield made


@pytest.fixture(scope="module")
def serving(deployed: Staging, broker: Mosquitto) -> Staging:
    deployed.kubelet.until("the pods say what they wait for", lambda: all_log(deployed.kubelet, "mqtt"))
    assert not deployed.is_available()
    deployed.operator("put", "broker-admin", "--stack", deployed.stack.name, stdin=json.dumps(dict(broker.admin)))
    first = deployed.job("first-tick")
    assert first.code == ExitCode.DONE, first.log
    deployed.operator("put", "http-token", stdin=new_password())
    deployed.operator("put", "agent-key", "--untested", stdin=f"canary-{new_password()}/+%")
    deployed.kubelet.until("the Deployment is available", deployed.is_available)
    return deployed


@pytest.fixture(scope="module")
def rotated(serving: Staging) -> Staging:
    """Return the stack after three rotations under an MCP client on each pod. The first has only the rotator's
    rights."""
    token = serving.secret("coreflux-mcp-secrets")["http-token"]
    asyncio.run(rotate_under_clients(serving.kubelet, token, partial(_rotate, serving)))
    serving.output += [pod.log for pod in serving.servers()]
    return serving


def _rotate(staging: Staging, turn: int) -> str:
    if turn == 1:
        mine = ["rotate", "mqtt", "--manifest", "/etc/coreflux-mcp/stack/secretops.json"]
        pod = staging.job("a-rotation", mine)
        assert pod.code == ExitCode.DONE, pod.log
    else:
        staging.operator("rotate", "mqtt")
    return staging.secret("coreflux-mcp-secrets")["mqtt-version"]


def test_the_first_values_come_by_the_cronjobs_own_command_and_the_server_serves(serving: Staging) -> None:
    assert set(serving.secret("coreflux-mcp-secrets")) == {
        *("mqtt-user", "mqtt-password", "mqtt-version"),
        *("http-token", "http-token-version", "api-key", "agent-key-version"),
    }
    for pod in serving.servers():
        assert pod.code is None
        assert "Waiting:" in pod.log and "Traceback" not in pod.log
        status = Path(f"/proc/{pod.process.pid}/status").read_text() if pod.process else ""
        assert "Uid:\t10001\t10001" in status and "Groups:\t10001 \n" in status
        assert "CapEff:\t0000000000000000\n" in status and "NoNewPrivs:\t1\n" in status


def test_three_rotations_reach_every_pod_which_goes_on_with_its_clients(rotated: Staging) -> None:
    assert len(rotated.servers()) == 2, "no other pod was ever made"
    for pod in rotated.servers():
        assert pod.code is None
        assert len(re.findall(r"Using version \S+ of mqtt", pod.log)) >= 3
        assert "Traceback" not in pod.log


def test_after_rotations_refresh_and_preview_find_nothing_and_no_value_is_anywhere(rotated: Staging) -> None:
    stack, output = rotated.stack, list(rotated.output)
    for command in (("refresh", "--yes"), ("preview", "--diff", "--expect-no-changes", "-v=9", "--logtostderr")):
        done = stack.run(*command)
        assert done.returncode == 0, done.stdout[-4000:]
        output.append(done.stdout)
    output.append(stack.state())
    assert not [one for one in json.loads(output[-1])["deployment"]["resources"] if one["type"].endswith(":Secret")]
    places = [*(stack.home / "state").rglob("*"), *rotated.cluster.folder.glob("*.log"), rotated.cluster.audit_file]
    whole = "\0".join([*output, *(path.read_text() for path in places if path.is_file())]).encode()
    values = rotated.values
    assert len(values) >= 7, "an admin's, a token, an agent key, and four passwords of mqtt"
    assert rotated.secret("coreflux-mcp-secrets")["mqtt-password"] in values, "what is looked for can be found"
    assert not [index for index, value in enumerate(values) for form in forms(value) if form in whole]
    assert b'"ciphertext"' not in whole, "and nothing is kept encrypted either"


def test_every_read_is_in_the_audit_log_with_its_reader_and_without_its_value(rotated: Staging) -> None:
    server = rotated.cluster.client(rotated.cluster.kubeconfig_of(NAMESPACE, SERVER))
    stranger = rotated.cluster.client(rotated.cluster.kubeconfig_for("eve", ("system:masters",)))
    stranger.get(Secret, SECRETS[2], namespace=NAMESPACE)
    for name in (SECRETS[0], SECRETS[2]):
        with pytest.raises(ApiError, match="forbidden"):
            server.get(Secret, name, namespace=NAMESPACE)

    prefix = f"system:serviceaccount:{NAMESPACE}:"
    expected = {
        *((f"{prefix}{SERVER}", name, 403) for name in (SECRETS[0], SECRETS[2])),
        *((f"{prefix}{ROTATOR}", name, 200) for name in (SECRETS[0], SECRETS[2])),
        (f"system:node:{rotated.kubelet.node}", SECRETS[0], 200),
        *(("admin", name, 200) for name in (SECRETS[0], SECRETS[2])),
        ("eve", SECRETS[2], 200),
    }
    for who, name, code in expected:

        def is_it(event: dict[str, Any], sought: tuple[str, str, int] = (who, name, code)) -> bool:
            return _read(event) == sought

        assert rotated.cluster.audited(is_it)
    found = {read for event in rotated.cluster.audit() if (read := _read(event))}
    assert {who for who, _, _ in found} == {who for who, _, _ in expected}, "and there is no reader but these"
    done = rotated.stack.secretops("audit", "--json", str(rotated.cluster.audit_file))
    assert done.returncode == ExitCode.ATTENTION, done.stdout
    rows = [json.loads(line) for line in done.stdout.splitlines()][:-1]
    assert {row["reader"] for row in rows if row["outcome"] == "got value" and not row["declared"]} == {"eve"}
    bodies = [event for event in rotated.cluster.audit() if {"requestObject", "responseObject"} & event.keys()]
    assert not bodies


def _read(event: dict[str, Any]) -> tuple[str, str, int] | None:
    what = event["objectRef"]
    if (what["resource"], what.get("namespace"), event["verb"]) != ("secrets", NAMESPACE, "get"):
        return None
    return event["user"]["username"], what["name"], event["responseStatus"]["code"]


def test_a_pod_without_the_deployments_restrictions_is_refused_by_the_namespace(deployed: Staging) -> None:
    template = deployed.client.get(Deployment, SERVER, namespace=NAMESPACE).spec
    assert template and template.template.spec
    spec = template.template.spec
    about = ObjectMeta(name="unrestricted")
    deployed.client.create(Pod(metadata=about, spec=spec), namespace=NAMESPACE, dry_run=True)
    spec.securityContext = None
    spec.containers[0].securityContext = None
    with pytest.raises(ApiError, match='violates PodSecurity "restricted:') as refused:
        deployed.client.create(Pod(metadata=about, spec=spec), namespace=NAMESPACE)
    for missing in ("allowPrivilegeEscalation", "unrestricted capabilities", "runAsNonRoot", "seccompProfile"):
        assert missing in str(refused.value)


def _doctor(staging: Staging, kubeconfig: Path | None = None, *arguments: str) -> dict[str, dict[str, str]]:
    stack = dataclasses.replace(staging.stack, kubeconfig=kubeconfig or staging.stack.kubeconfig)
    done = stack.secretops("doctor", "--json", *arguments)
    staging.output.append(done.stdout)
    return {one["check"]: one for one in json.loads(done.stdout[: done.stdout.rindex("}") + 1])["checks"]}


def _wrong(examined: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: one["level"] for name, one in examined.items() if one["level"] != "ok"}


def test_doctor_finds_the_deployed_stack_healthy_and_each_planted_fault(rotated: Staging) -> None:
    client = rotated.client
    healthy = _doctor(rotated)
    assert _wrong(healthy) == {}
    assert healthy["encryption-at-rest"]["value"] == "k8s:enc:secretbox:v1:"
    assert {"server's rights", "rotator's rights", "others' rights"} <= healthy.keys(), (
        "the whole table of each account"
    )
    meta = ObjectMeta(name="more", namespace=NAMESPACE)
    role = RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name="more")
    client.create(Role(metadata=meta, rules=[PolicyRule(apiGroups=[""], resources=["secrets"], verbs=["list"])]))
    subjects = [Subject(kind="ServiceAccount", name=name, namespace=NAMESPACE) for name in (SERVER, "default")]
    client.create(RoleBinding(metadata=meta, roleRef=role, subjects=subjects))
    merge = partial(client.patch, namespace=NAMESPACE, patch_type=PatchType.MERGE)
    merge(CronJob, ROTATOR, {"spec": {"suspend": True}})
    merge(Secret, SECRETS[0], {"stringData": {"api-key": "of-another"}})
    before = rotated.secret(SECRETS[0])
    found = _doctor(rotated)
    assert _wrong(found).keys() == {"server's rights", "others' rights", "rotator", "secret agent-key"}
    client.delete(RoleBinding, "more", namespace=NAMESPACE)
    client.delete(Role, "more", namespace=NAMESPACE)
    merge(CronJob, ROTATOR, {"spec": {"suspend": False}})
    kept = json.loads(rotated.secret(SECRETS[2])[f"agent-key.{before['agent-key-version']}"])["api-key"]
    merge(Secret, SECRETS[0], {"stringData": {"api-key": kept}})

    output = _doctor(rotated, None, "--confirm", "audit=ticket 12")["audit"]
    assert (output["level"], "confirmed by admin" in output["value"]) == ("ok", True)
    assert _wrong(_doctor(rotated)) == {}


def test_up_fails_on_an_image_that_cannot_be_pulled_and_pods_serve_on(rotated: Staging) -> None:
    stack, section = rotated.stack, rotated.stack.config["server"]
    section |= {"image": f"registry.example.com/it{MISSING}", "rollout_seconds": 30}
    stack.configure()
    done = stack.run("up", "--yes", "--skip-preview")
    assert done.returncode != 0 and "timed out" in done.stdout, done.stdout[-4000:]
    assert rotated.is_available()
    section |= {"image": IMAGE, "rollout_seconds": 300}
    stack.configure()
    stack.up()
    done = stack.run("preview", "--refresh", "--expect-no-changes")
    assert done.returncode == 0, done.stdout[-4000:]
    assert len([pod for pod in rotated.servers() if pod.process and pod.code is None]) == 2


def test_destroy_leaves_nothing_behind(rotated: Staging) -> None:
    deployed, pods = rotated, [pod for pod in rotated.servers() if pod.process]
    assert len(pods) == 2
    refused = deployed.stack.run("destroy", "--yes")
    assert refused.returncode != 0
    assert "protect" in refused.stdout
    kept = deployed.client.get(Deployment, SERVER, namespace=NAMESPACE).metadata
    assert kept and not kept.deletionTimestamp, "and nothing was taken away"
    unprotected = deployed.stack.run("state", "unprotect", "--all", "--yes", config=False)
    assert unprotected.returncode == 0, unprotected.stdout
    done = deployed.stack.run("destroy", "--yes")
    assert done.returncode == 0, done.stdout
    with pytest.raises(ApiError, match="not found"):
        deployed.client.get(Namespace, NAMESPACE)
    found = [one.metadata for one in deployed.client.list(Namespace)]
    found += [one.metadata for one in deployed.client.list(ClusterRole)]
    found += [one.metadata for one in deployed.client.list(ClusterRoleBinding)]
    assert not [one.name for one in found if one and "coreflux" in (one.name or "")]
    assert "resources" not in json.loads(deployed.stack.state())["deployment"]
    assert all(pod.code == 0 for pod in pods), "and every server had the time to end by itself"
