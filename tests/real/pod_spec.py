"""What a Pod asks for, as a process gets it: arguments, environment, mounts and rights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lightkube import Client
from lightkube.models.core_v1 import Container as ContainerSpec
from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import ConfigMap, Pod

from tests.real import pod_process
from tests.real.pod_process import Container, Mount
from tests.real.pod_volumes import Volumes, field_of, metadata

ENTRYPOINT = ["secretops"]
"""The image's."""

EVERY_ADDRESS = "0.0.0.0:"


def container_of(pod: Pod) -> ContainerSpec:
    """The only container."""
    assert pod.spec and len(pod.spec.containers) == 1 and not pod.spec.initContainers
    return pod.spec.containers[0]


def as_container(volumes: Volumes, client: Client, *, own: Mapping[str, str], port: int, log: Path) -> Container:
    """The pod of `volumes`. `own` are the image's and kubelet's variables; what listens, listens on `port`.

    Raises ApiError while a ConfigMap of its environment is not there.
    """
    pod, spec = volumes.pod, container_of(volumes.pod)
    assert pod.spec and pod.spec.enableServiceLinks is False, "every Service of the namespace would set variables"
    mine, whole = spec.securityContext, pod.spec.securityContext
    assert mine and mine.allowPrivilegeEscalation is False and mine.capabilities and mine.readOnlyRootFilesystem
    assert mine.capabilities.drop == ["ALL"] and not mine.capabilities.add, "every container here runs restricted"
    environment = _environment(pod, client, own)
    words = [_expanded(word, environment) for word in (*(spec.command or ENTRYPOINT), *(spec.args or ()))]
    group = whole.fsGroup if whole else None
    return Container(
        argv=[f"127.0.0.1:{port}" if word.startswith(EVERY_ADDRESS) else word for word in words],
        environment=environment,
        mounts=_mounts(volumes, pod.spec, spec),
        log=log,
        user=mine.runAsUser or (whole and whole.runAsUser) or pod_process.USER,
        groups=[group] if group else [],
    )


def _environment(pod: Pod, client: Client, own: Mapping[str, str]) -> dict[str, str]:
    environment, spec = dict(own), container_of(pod)
    for source in spec.envFrom or ():
        assert source.configMapRef, "values are files, never variables"
        config = client.get(ConfigMap, str(source.configMapRef.name), namespace=metadata(pod).namespace)
        environment |= {f"{source.prefix or ''}{key}": text for key, text in (config.data or {}).items()}
    for variable in spec.env or ():
        if variable.valueFrom is None:
            environment[variable.name] = _expanded(variable.value or "", environment)
            continue
        assert variable.valueFrom.fieldRef, "of what is not written out, this stand-in knows fieldRef"
        environment[variable.name] = field_of(pod, variable.valueFrom.fieldRef.fieldPath)
    return environment


def _mounts(volumes: Volumes, pod: PodSpec, spec: ContainerSpec) -> list[Mount]:
    scratch = {volume.name for volume in pod.volumes or () if volume.emptyDir is not None}
    mounts = []
    for mount in spec.volumeMounts or ():
        assert not mount.subPath, "a subPath is never brought up to date"
        writable = mount.name in scratch and not mount.readOnly
        mounts.append(Mount(volumes.path(mount.name), mount.mountPath, writable))
    return mounts


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """$(NAME) of a variable that there is; $$ is a dollar sign."""
    return re.sub(
        r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)",
        lambda found: "$" if found[0] == "$$" else environment.get(found[1], found[0]),
        text,
    )
