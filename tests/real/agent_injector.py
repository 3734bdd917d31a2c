"""A stand-in for the agent injector's webhook: what a pod's annotations ask for, as a real `bao agent` beside it.

It reads the annotations as the injector does (https://openbao.org/docs/platform/k8s/injector/annotations/), writes the
agent's configuration, and runs the agent as a container of the pod. An annotation that it does not know fails the test.
It does not prove that a cluster's webhook takes the pod, nor how long a value takes: this agent looks more often.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightkube.resources.core_v1 import Pod

from tests.real.pod_process import Container, Mount
from tests.real.pod_volumes import Volumes, container_of, metadata

PREFIX = "vault.hashicorp.com/"
SECRETS = "/vault/secrets"
HOME = "/home/vault"
TOKEN = "/var/run/secrets/vault.hashicorp.com/serviceaccount"  # nosec B105 - a folder
"""Where the injector mounts the volume that is named for the token."""

DEFAULT_USER, DEFAULT_GROUP = 100, 1000
EVERY, TRIES = "1s", 2
"""How often the agent looks for a new version; and after how many tries it begins anew with what is not there yet, in
place of waiting longer each time, up to a minute."""

KNOWN = """
agent-inject agent-inject-token agent-copy-volume-mounts agent-pre-populate agent-revoke-on-shutdown
agent-run-as-group agent-run-as-user agent-service-account-token-volume-name auth-path auth-type ca-cert log-level
namespace role secret-volume-path service template-config-exit-on-retry-failure template-static-secret-render-interval
agent-limits-cpu agent-limits-mem agent-requests-cpu agent-requests-mem agent-limits-ephemeral
agent-requests-ephemeral template-max-connections-per-host
"""
"""Annotations for the pod. The rest is of one file each, and ends with its name."""

AUTH_CONFIG = "auth-config-"
OF_A_FILE = ("agent-inject-secret-", "agent-inject-template-", "agent-inject-file-", "agent-inject-perms-")


@dataclass(frozen=True)
class Injected:
    """What a pod gets: its agent, and the files that the agent lays for the others."""

    agent: Container
    files: Mount


@dataclass(frozen=True)
class AgentInjector:
    """Of one cluster. `program` is the real `bao`."""

    program: Path

    def wants(self, pod: Pod) -> bool:
        return (metadata(pod).annotations or {}).get(f"{PREFIX}agent-inject") == "true"

    def inject(self, volumes: Volumes, folder: Path) -> Injected:
        """Its files are below `folder`, which is the pod's own."""
        asked = _asked(volumes.pod)
        user = int(asked.get("agent-run-as-user", DEFAULT_USER))
        group = int(asked.get("agent-run-as-group", DEFAULT_GROUP))
        assert user == group, "this stand-in's containers have their user as their group, too"
        secrets, home = folder / "vault-secrets", folder / "vault-home"
        for each in (secrets, home):
            each.mkdir(parents=True, exist_ok=True)
            each.chmod(0o777)  # as an emptyDir is
        files = Mount(secrets, asked.get("secret-volume-path", SECRETS))
        mounts = [
            Mount(secrets, files.target, writable=True),
            Mount(home, HOME, writable=True),
            Mount(volumes.path(asked["agent-service-account-token-volume-name"]), TOKEN),
            *_copied(volumes, asked.get("agent-copy-volume-mounts")),
        ]
        token = f"{TOKEN}/{_token(volumes.pod, asked['agent-service-account-token-volume-name'])}"
        spec = volumes.pod.spec
        whole = spec.securityContext if spec else None
        groups = [whole.fsGroup] if whole and whole.fsGroup else []

        config = home / "agent.json"
        config.write_text(json.dumps(_configuration(asked, token, files.target)))
        config.chmod(0o644)
        argv = [str(self.program), "agent", f"-config={HOME}/{config.name}"]
        log = folder / "agent.log"
        agent = Container(argv=argv, environment={"HOME": HOME}, mounts=mounts, log=log, user=user, groups=groups)
        return Injected(agent, files)


def _asked(pod: Pod) -> dict[str, str]:
    annotations = metadata(pod).annotations or {}
    asked = {name.removeprefix(PREFIX): text for name, text in annotations.items() if name.startswith(PREFIX)}
    unknown = [name for name in asked if name not in KNOWN.split() and not name.startswith((AUTH_CONFIG, *OF_A_FILE))]
    assert not unknown, f"annotations that this stand-in does not know: {unknown}"
    return asked


def _configuration(asked: dict[str, str], token: str, folder: str) -> dict[str, Any]:
    assert asked["agent-pre-populate"] == "false", "this stand-in has no agent that ends before the pod starts"
    assert asked.get("auth-type", "kubernetes") in ("kubernetes", "jwt")
    kind = asked.get("auth-type", "kubernetes")
    names = [name.removeprefix("agent-inject-secret-") for name in asked if name.startswith("agent-inject-secret-")]
    assert names, "an agent without a file to lay"
    where: dict[str, Any] = {"token_path": token} if kind == "kubernetes" else {}
    for name in (one for one in asked if one.startswith(AUTH_CONFIG)):
        where[name.removeprefix(AUTH_CONFIG).replace("-", "_")] = asked[name]
    server: dict[str, Any] = {"address": asked["service"], "retry": {"num_retries": TRIES}}
    if ca := asked.get("ca-cert"):
        server["ca_cert"] = ca
    method: dict[str, Any] = {
        "type": kind,
        "mount_path": asked.get("auth-path", f"auth/{kind}"),
        "config": {"role": asked["role"], **where},
    }
    if namespace := asked.get("namespace"):
        method["namespace"] = server["namespace"] = namespace
    return {
        "pid_file": f"{HOME}/agent.pid",
        "vault": server,
        "auto_auth": {"method": method, "sink": [{"type": "file", "config": {"path": f"{HOME}/.vault-token"}}]},
        "template_config": {"exit_on_retry_failure": asked.get("template-config-exit-on-retry-failure",
              "true") == "true", "static_secret_render_interval": EVERY},
        "template": [{"destination": f"{folder}/{asked.get(f'agent-inject-file-{name}', name)}",
                      "contents": asked[f"agent-inject-template-{name}"],
                      **({"perms": perms} if (perms := asked.get(f"agent-inject-perms-{name}")) else {})}
                     for name in sorted(names)],
    }  # fmt: skip


def _token(pod: Pod, volume: str) -> str:
    """The file of the token in the volume that the annotation names: a projected one, and nothing else is taken."""
    assert pod.spec
    (named,) = (one for one in pod.spec.volumes or () if one.name == volume)
    assert named.projected is not None
    paths = [one.serviceAccountToken.path for one in named.projected.sources or () if one.serviceAccountToken]
    return paths[0]


def _copied(volumes: Volumes, container: str | None) -> list[Mount]:
    if container is None:
        return []
    spec = container_of(volumes.pod)
    assert spec.name == container
    scratch = {one.name for one in (volumes.pod.spec.volumes if volumes.pod.spec else None) or () if one.emptyDir}
    return [
        Mount(volumes.path(one.name), one.mountPath, writable=one.name in scratch and not one.readOnly)
        for one in spec.volumeMounts or ()
    ]
