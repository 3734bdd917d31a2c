"""Stand-in for the agent injector's webhook: runs a real `bao agent` as a pod's annotations request.

It reads the annotations as the injector does (https://openbao.org/docs/platform/k8s/injector/annotations/), writes the
agent's configuration, and runs the agent as a container of the pod. An unknown annotation fails the test. This does not
prove that a cluster's webhook accepts the pod, or how long a value takes to arrive (this agent polls more often).
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
# Where the injector mounts the volume that is named for the token.
TOKEN = "/var/run/secrets/vault.hashicorp.com/serviceaccount"  # nosec B105 - a folder

DEFAULT_USER, DEFAULT_GROUP = 100, 1000
# How often the agent polls for a new version, and after how many failed tries it restarts. Its own backoff grows to a
# minute.
EVERY, TRIES = "1s", 2

# Annotations for the pod. The rest concern one file each, and end with its name.
KNOWN = """
agent-inject agent-inject-token agent-copy-volume-mounts agent-pre-populate agent-revoke-on-shutdown
agent-run-as-group agent-run-as-user agent-service-account-token-volume-name auth-path auth-type ca-cert log-level
namespace role secret-volume-path service template-config-exit-on-retry-failure template-static-secret-render-interval
agent-limits-cpu agent-limits-mem agent-requests-cpu agent-requests-mem agent-limits-ephemeral
agent-requests-ephemeral template-max-connections-per-host
"""

AUTH_CONFIG = "auth-config-"
OF_A_FILE = ("agent-inject-secret-", "agent-inject-template-", "agent-inject-file-", "agent-inject-perms-")


@dataclass(frozen=True)
class Injected:
    """The agent of a pod, and the files that it writes."""

    agent: Container
    files: Mount


@dataclass(frozen=True)
class AgentInjector:
    """The injector of one cluster. `program` is the real `bao`."""

    program: Path

    def wants(self, pod: Pod) -> bool:
        return (metadata(pod).annotations or {}).get(f"{PREFIX}agent-inject") == "true"

    def inject(self, volumes: Volumes, folder: Path) -> Injected:
        requested = _asked(volumes.pod)
        user = int(requested.get("agent-run-as-user", DEFAULT_USER))
        group = int(requested.get("agent-run-as-group", DEFAULT_GROUP))
        assert user == group, "this stand-in's containers have their user as their group, too"
        secrets, home = folder / "vault-secrets", folder / "vault-home"
        for each in (secrets, home):
            each.mkdir(parents=True, exist_ok=True)
            each.chmod(0o777)  # like an emptyDir
        files = Mount(secrets, requested.get("secret-volume-path", SECRETS))
        mounts = [
            Mount(secrets, files.target, writable=True),
            Mount(home, HOME, writable=True),
            Mount(volumes.path(requested["agent-service-account-token-volume-name"]), TOKEN),
            *_copied(volumes, requested.get("agent-copy-volume-mounts")),
        ]
        token = f"{TOKEN}/{_token(volumes.pod, requested['agent-service-account-token-volume-name'])}"
        spec = volumes.pod.spec
        whole = spec.securityContext if spec else None
        groups = [whole.fsGroup] if whole and whole.fsGroup else []

        config = home / "agent.json"
        config.write_text(json.dumps(_configuration(requested, token, files.target)))
        config.chmod(0o644)
        argv = [str(self.program), "agent", f"-config={HOME}/{config.name}"]
        log = folder / "agent.log"
        agent = Container(argv=argv, environment={"HOME": HOME}, mounts=mounts, log=log, user=user, groups=groups)
        return Injected(agent, files)


def _asked(pod: Pod) -> dict[str, str]:
    annotations = metadata(pod).annotations or {}
    requested = {name.removeprefix(PREFIX): text for name, text in annotations.items() if name.startswith(PREFIX)}
    unknown = [
        name for name in requested if name not in KNOWN.split() and not name.startswith((AUTH_CONFIG, *OF_A_FILE))
    ]
    assert not unknown, f"annotations that this stand-in does not know: {unknown}"
    return requested


def _configuration(requested: dict[str, str], token: str, folder: str) -> dict[str, Any]:
    assert requested["agent-pre-populate"] == "false", "this stand-in has no agent that ends before the pod starts"
    assert requested.get("auth-type", "kubernetes") in ("kubernetes", "jwt")
    kind = requested.get("auth-type", "kubernetes")
    names = [name.removeprefix("agent-inject-secret-") for name in requested if name.startswith("agent-inject-secret-")]
    assert names, "an agent without a file to write"
    where: dict[str, Any] = {"token_path": token} if kind == "kubernetes" else {}
    for name in (one for one in requested if one.startswith(AUTH_CONFIG)):
        where[name.removeprefix(AUTH_CONFIG).replace("-", "_")] = requested[name]
    server: dict[str, Any] = {"address": requested["service"], "retry": {"num_retries": TRIES}}
    if ca := requested.get("ca-cert"):
        server["ca_cert"] = ca
    method: dict[str, Any] = {
        "type": kind,
        "mount_path": requested.get("auth-path", f"auth/{kind}"),
        "config": {"role": requested["role"], **where},
    }
    if namespace := requested.get("namespace"):
        method["namespace"] = server["namespace"] = namespace
    return {
        "pid_file": f"{HOME}/agent.pid",
        "vault": server,
        "auto_auth": {"method": method, "sink": [{"type": "file", "config": {"path": f"{HOME}/.vault-token"}}]},
        "template_config": {"exit_on_retry_failure": requested.get("template-config-exit-on-retry-failure",
              "true") == "true", "static_secret_render_interval": EVERY},
        "template": [{"destination": f"{folder}/{requested.get(f'agent-inject-file-{name}', name)}",
                      "contents": requested[f"agent-inject-template-{name}"],
                      **({"perms": perms} if (perms := requested.get(f"agent-inject-perms-{name}")) else {})}
                     for name in sorted(names)],
    }  # fmt: skip


def _token(pod: Pod, volume: str) -> str:
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
